"""A small task, and its report."""

import numpy as np

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.robustness import robustness_report
from tests.instances import make_net

KEY = ["forget set", "condition", "severity", "model", "metric"]


def make_rows():
    """Images of three classes that a linear model tells apart."""
    rng = np.random.default_rng(0)
    y = np.repeat([2, 5, 7], 60)
    X = rng.random((180, 1, 4, 4)).astype(np.float32) * 0.6
    for k, label in enumerate((2, 5, 7)):
        X[y == label, 0, k] += 0.3
    order = rng.permutation(180)
    X, y = X[order], y[order]
    return X[:100], y[:100], X[100:], y[100:]


def net(**kwargs):
    return make_net(**({"module__n_out": 3, "max_epochs": 12, "batch_size": 16} | kwargs))


def stress(rows, forget_sets, conditions=("gaussian_noise",), unlearners=None, **options):
    X, y, X_test, y_test = rows
    unlearners = unlearners or {"tuned": FineTuneUnlearner(net(), max_epochs=2)}
    return robustness_report(
        unlearners, net(), X, y, X_test, y_test, forget_sets=forget_sets, conditions=conditions,
        **options,
    )  # fmt: skip


def value(frame, *place):
    found = frame.set_index(KEY)["value"]
    return found[place]


def by_hand(rows, mask):
    X, y, _, _ = rows
    retrained = RetrainUnlearner(net(), random_state=0).fit(X, y)
    original = retrained.estimator_
    tuned = FineTuneUnlearner(net(), max_epochs=2, random_state=0).fit(X, y)
    models = {"original": original}
    for name, unlearner in (("tuned", tuned), ("retrained", retrained)):
        models[name] = unlearner.unlearn(indices=np.flatnonzero(mask)).estimator_
    return {name: lambda X, m=m: m.forward(X).numpy() for name, m in models.items()}
