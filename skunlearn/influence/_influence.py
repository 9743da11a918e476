"""Influence of single training rows on single other rows."""

from skunlearn._seeding import draw_seed
from skunlearn.influence._asked import net_of, rows_of
from skunlearn.influence._objective import Objective
from skunlearn.influence._settings import Settings

import numpy as np
import torch

__all__ = ["influence"]

_FLOATS = 2**26  # solutions that are held at a time, in numbers


def influence(
    estimator,
    X_train,
    y_train,
    X_test,
    y_test,
    *,
    solver="cg",
    curvature="gauss_newton",
    damping=0.1,
    sample=1000,
    tol=None,
    max_iter=None,
    preconditioner=None,
    batch_size=256,
    random_state=0,
    verbose=0,
):
    net = net_of(estimator, "influence")
    settings = Settings(
        solver=solver,
        curvature=curvature,
        damping=damping,
        sample=sample,
        tol=tol,
        max_iter=max_iter,
        preconditioner=preconditioner,
        batch_size=batch_size,
        verbose=verbose,
    ).check()
    train = rows_of(estimator, X_train, y_train, "train")
    test = rows_of(estimator, X_test, y_test, "test")
    seed = draw_seed(random_state)
    objective = Objective(net, len(train), batch_size=batch_size, seed=seed)
    solve = settings.inverse(objective, train)
    found, n = np.empty((len(test), len(train))), objective.mass(train)
    step = max(1, _FLOATS // len(objective))
    for start in range(0, len(test), step):
        some = range(start, min(start + step, len(test)))
        pulls = objective.row_gradients(test.take(np.asarray(some)))
        found[some] = objective.dots(train, solve(pulls)) / n
    return found
