"""Random logistic problems with rows of norm up to 1, for the tests of certified methods."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import Normalizer

from skunlearn import CertifiedRemovalUnlearner, DescentToDeleteUnlearner, LangevinUnlearner
from skunlearn.certified._logistic import minimise
from skunlearn.certified._published import weights_of

METHODS = (CertifiedRemovalUnlearner, DescentToDeleteUnlearner, LangevinUnlearner)


def random_problem(seed):
    """Rows, labels, a recipe and rows to forget, of a size and difficulty drawn from `seed`."""
    rng = np.random.default_rng(seed)
    n, d, k = int(rng.integers(20, 120)), int(rng.integers(1, 8)), int(rng.integers(2, 5))
    X = rng.normal(size=(n, d))
    y = (X[:, 0] + 0.3 * rng.normal(size=n) > 0).astype(int) if k == 2 else rng.integers(0, k, n)
    y[:k] = np.arange(k)
    X *= rng.uniform(0.5, 2) / np.linalg.norm(X, axis=1, keepdims=True)  # some are clipped
    recipe = LogisticRegression(
        C=float(10 ** rng.uniform(-2, 1)),
        fit_intercept=bool(rng.integers(2)),
        intercept_scaling=float(rng.uniform(0.5, 2)),
    )
    forget = rng.choice(n, int(rng.integers(1, 1 + n // 3)), replace=False)
    return X, y, recipe, forget


def optimum(unlearner, rows, slope=0.0):
    """The minimiser of the unlearner's own objective over some rows."""
    problem = unlearner._problem(rows)
    shape = problem.T.shape[1], problem.X.shape[1]
    return minimise(problem, shape, 1e-9 * max(1.0, problem.penalty), slope)


def all_rows(unlearner):
    """View of every row that is kept."""
    return unlearner._record.view(np.flatnonzero(unlearner._record.retained))


methods = pytest.mark.parametrize("cls", METHODS)


def task(classes=2, n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = Normalizer().fit_transform(rng.normal(size=(n, 4)))
    scores = X[:, :classes] if classes > 2 else np.column_stack([X[:, 0], np.zeros(n)])
    return X, (scores + 0.3 * rng.normal(size=scores.shape)).argmax(axis=1)


def make(cls=DescentToDeleteUnlearner, C=0.1, recipe=None, **kwargs):
    if recipe is None:
        recipe = LogisticRegression(C=C)
    return cls(recipe, **({"random_state": 0} | kwargs))


def weights(unlearner):
    return weights_of(unlearner.estimator_, unlearner._setting.constant)
