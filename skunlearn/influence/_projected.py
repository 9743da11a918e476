"""Influence of training rows on a net's performance."""

from skunlearn._seeding import draw_seed
from skunlearn.influence._asked import net_of, rows_of
from skunlearn.influence._criteria import check_criteria, slopes
from skunlearn.influence._objective import Objective
from skunlearn.influence._settings import Settings

__all__ = ["projected_influence"]


def projected_influence(
    estimator,
    X,
    y,
    *,
    criteria="retained",
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
    net = net_of(estimator, "projected_influence")
    criteria = check_criteria(criteria)
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
    rows = rows_of(estimator, X, y, "train")
    objective = Objective(net, len(rows), batch_size=batch_size, seed=draw_seed(random_state))

    def read(X, y):
        return rows_of(estimator, X, y, "validation")

    classes = getattr(estimator, "classes_", None)
    wanted = slopes(objective, rows, criteria, read, None if classes is None else len(classes))
    return objective.dots(rows, settings.inverse(objective, rows)(wanted))
