"""What ascent on the forget rows computes, and where it ends."""

import numpy as np
import pytest
from scipy.special import log_softmax

from skunlearn import GradientAscentUnlearner, NegGradPlusUnlearner
from skunlearn.ascent._bound import KnownRows
from skunlearn.utils import all_unlearners
from tests.method_nets import FORGET, gradient, headed, linear, weight

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_neggrad_plus_is_its_formula(data):
    """One whole-batch step on a linear net, in closed form."""
    X, y = data
    unlearner = NegGradPlusUnlearner(
        linear(), beta=0.7, bound=100.0, max_norm=1e9, lr=0.3, max_epochs=1, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    W = weight(unlearner)
    kept = np.setdiff1d(np.arange(60), FORGET)
    step = 0.7 * gradient(W, X[kept], y[kept]) - 0.3 * gradient(W, X[FORGET], y[FORGET])
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(W - 0.3 * step, abs=1e-6)


def test_ascent_is_its_formula_and_bounded(data):
    X, y = data
    given = {"max_norm": 1e9, "lr": 0.3, "max_epochs": 1, "schedule": "constant", "random_state": 0}
    unlearner = GradientAscentUnlearner(linear(), bound=100.0, **given).fit(X, y)
    W = weight(unlearner)
    step = gradient(W, X[FORGET], y[FORGET])
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(W + 0.3 * step, abs=1e-6)
    # Rows whose loss is beyond the bound are left alone.
    unlearner = GradientAscentUnlearner(linear(), bound=1e-6, **given).fit(X, y)
    assert np.array_equal(weight(unlearner.unlearn(indices=FORGET)), W.astype(np.float32))
    losses = -log_softmax(X @ W.T, axis=1)[np.arange(60), y][FORGET]
    middle = float(np.median(losses))
    unlearner = GradientAscentUnlearner(linear(), bound=middle, **given).fit(X, y)
    low = losses < middle
    step = gradient(W, X[FORGET][low], y[FORGET][low]) * low.mean()
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(W + 0.3 * step, abs=1e-6)


@pytest.mark.parametrize("max_norm, length", [(1e9, 1.0), (0.5, 0.5)])
def test_a_short_slope_of_a_whole_class_is_lengthened(data, max_norm, length):
    """A net that is sure of its rows has next to no gradient on them."""
    X, y = data
    rows = np.flatnonzero(y == 1)
    unlearner = GradientAscentUnlearner(
        linear(), bound=100.0, max_norm=max_norm, lr=0.3, max_epochs=1, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    W = weight(unlearner)
    step = gradient(W, X[rows], y[rows])
    assert np.linalg.norm(step) < length
    step *= length / np.linalg.norm(step)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(W + 0.3 * step, abs=1e-5)


def test_chance_bounds_a_long_ascent(data):
    """Without it the loss runs away; with it, it ends near ln 3."""
    X, y = data
    given = {"lr": 1.0, "max_epochs": 200, "schedule": "constant", "random_state": 0}
    unlearner = GradientAscentUnlearner(linear(), **given).fit(X, y).unlearn(indices=FORGET)
    assert unlearner.deletions_[0]["measured"]["forget_after"]["loss"] < 3
    wild = GradientAscentUnlearner(linear(), bound=1e9, **given).fit(X, y).unlearn(indices=FORGET)
    assert wild.deletions_[0]["measured"]["forget_after"]["loss"] > 10


@pytest.mark.parametrize("name", ["GradientAscentUnlearner", "DELETEUnlearner"])
def test_methods_on_forget_rows_alone_end_when_these_are_forgotten(data, name, monkeypatch):
    """Momentum would carry the weights on, although no row has a gradient any more."""
    X, y = data
    rows = np.flatnonzero(y == 1)
    cls, loss = all_unlearners()[name], {}
    for ends in (True, False):
        unlearner = cls(headed(), lr=0.05, max_epochs=40, random_state=0).fit(X, y)
        if not ends:
            monkeypatch.setattr(KnownRows, "on_batch_end", lambda self, net, **kwargs: None)
        unlearner.unlearn(indices=rows)
        loss[ends] = unlearner.deletions_[0]["measured"]["forget_after"]["loss"]
        assert (len(unlearner.estimator_.history) < 40) == ends
    assert np.log(3) - 0.3 < loss[True] < 0.8 * loss[False]
    assert cls(headed(max_epochs=7)).fit(X, y)._epochs() == 7
