"""What ascent on the forget rows computes, and where it ends."""

import numpy as np
import pytest
from scipy.special import log_softmax
from sklearn.base import clone

from skunlearn import GradientAscentUnlearner, NegGradPlusUnlearner, RetrainUnlearner
from skunlearn.ascent._bound import KnownRows
from skunlearn.datasets import load_digits_images
from skunlearn.nets import digits_classifier
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


@pytest.fixture(scope="module")
def short():
    """A net of five epochs, of which the forget rows of a digit fill two batches."""
    X, y = load_digits_images(return_X_y=True)
    fitted = RetrainUnlearner(digits_classifier(max_epochs=5), random_state=0).fit(
        X[:1000], y[:1000]
    )
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    return X, y, fitted.estimator, state, fitted.score(X[1000:], y[1000:])


@pytest.mark.parametrize(
    "name", ["GradientAscentUnlearner", "DELETEUnlearner", "BoundaryUnlearner", "MUMisUnlearner"]
)
def test_few_steps_are_long_enough_to_forget_a_class(short, name):
    """At three hundredths of the net's rate a digit was still named 86 to 95 % of the time."""
    X, y, net, state, before = short
    rows, rest = np.flatnonzero(y[:1000] == 3), np.flatnonzero(y[1000:] != 3) + 1000
    unlearner = all_unlearners()[name](net, random_state=0)
    vars(unlearner).update(state)
    slow = all_unlearners()[name](net, lr=0.03 * net.lr, random_state=0)
    vars(slow).update(state)  # a rate that is given stays
    assert slow.unlearn(indices=rows).score(X[rows], y[rows]) > 0.8
    unlearner.unlearn(indices=rows)
    assert unlearner.score(X[rows], y[rows]) < 0.1
    assert unlearner.score(X[rest], y[rest]) > before - 0.2
    if name == "MUMisUnlearner":  # ten times as fast under any schedule
        return
    other = clone(unlearner).set_params(schedule="net")  # the rate is left to the net
    vars(other).update(state)
    assert other.unlearn(indices=rows).score(X[rows], y[rows]) > 0.8


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
