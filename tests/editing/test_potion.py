"""Potion: importances, the search, and poison of which only a part is known."""

import math

import numpy as np
import pytest
import torch

from skunlearn import PotionUnlearner, RetrainUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.editing import potion
from skunlearn.exceptions import NotForgottenWarning
from skunlearn.forget_sets import backdoor_forget_set
from skunlearn.metrics import backdoor_success_rate
from skunlearn.nets import digits_classifier
from tests.instances import make_regressor_net
from tests.method_nets import linear, weight

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def poisoned(data):
    """Rows of which twelve have a mark and a false label."""
    X, y = data
    X, y = X.copy(), y.copy()
    X[:12, 3], y[:12] = 5.0, 2
    return X, y


def by_formula(W, X, y, rows, left):
    """One step of the search after the other, as the authors take them."""
    others = np.setdiff1d(np.arange(len(X)), rows)

    def importance(index):
        out = X[index] @ W.T
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return np.abs(out[:, :, None] * X[index][:, None, :]).mean(axis=0)

    f, r = importance(rows), importance(others)
    s = len(rows) / len(X) / 25
    before = np.mean((X[rows] @ W.T).argmax(1) == y[rows])
    while True:
        alpha = np.percentile((f / r).ravel(), 100 - math.log(1 + 100 * s))
        dampened = np.where(f > alpha * r, W * np.minimum(r / f, 1), W)
        known = np.mean((X[rows] @ dampened.T).argmax(1) == y[rows])
        if known <= left * before or alpha <= 1:
            return dampened, alpha, np.mean(dampened != W)
        s *= 1.1


@pytest.mark.parametrize("left", [0.0, 0.3, 0.7, 1.0])
def test_the_edit_is_that_of_the_formula(data, left):
    """On a linear net, where ‖Wx‖ has the derivative Wxxᵀ / ‖Wx‖."""
    X, y = poisoned(data)
    rows = np.arange(6)  # half of the poison is known
    unlearner = PotionUnlearner(linear(), left=left, random_state=0).fit(X, y)
    W = weight(unlearner)
    expected, alpha, share = by_formula(W, X.astype(np.float64), y, rows, left)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(expected, rel=1e-4)
    assert np.abs(expected - W).max() > 0.01
    said = unlearner.deletions_[0]["dampened"]
    assert said["alpha"] == pytest.approx(alpha, rel=1e-3)
    assert said["weights"] == pytest.approx(share, abs=1e-5)


def test_thresholds_are_percentiles_and_ratios_without_end_are_left_out():
    rng = np.random.default_rng(0)
    f, r = rng.random((7, 9)), rng.random((7, 9))
    r[0, 0] = r[1, 1] = f[1, 1] = 0  # infinite, and none at all
    found = potion.Thresholds([torch.tensor(f)], [torch.tensor(r)], 0.1)
    with np.errstate(all="ignore"):
        ratios = (f / r)[np.isfinite(f / r)]
    for step in (0, 3, 40, 80):
        cut = 100 - math.log(1 + 100 * 0.1 / 25 * 1.1**step)
        assert found[step] == pytest.approx(np.percentile(ratios, cut))
    assert found[found.last] <= 1 < found[found.last - 1]
    assert potion.Thresholds([torch.ones(2)], [torch.zeros(2)], 0.1).last == 0


@pytest.mark.parametrize("last", [0, 1, 7, 100])
def test_the_first_step_that_will_do(last):
    for wanted in range(last + 3):
        asked = []

        def holds(step, wanted=wanted, asked=asked):
            asked.append(step)
            return step >= wanted

        found = potion.first(holds, last)
        assert found == min(wanted, last)
        assert len(asked) <= 2 * math.log2(last + 2) + 1


@pytest.fixture(scope="module")
def backdoor():
    X, y = load_digits_images(return_X_y=True)
    found = backdoor_forget_set(X[:1000], y[:1000], target=0, size=50, known=0.5, random_state=0)
    net = digits_classifier(max_epochs=15)
    trained = RetrainUnlearner(net, random_state=0).fit(found.X, found.y)
    clean = RetrainUnlearner(net, random_state=0).fit(
        found.X[~found.planted], found.y[~found.planted]
    )
    return found, net, trained, clean, X[1000:], y[1000:]


def success(model, found, X, y):
    """How often the trigger works on unseen rows."""
    return backdoor_success_rate(y, model.predict(found.trigger(X)), target=0).estimate


def test_unknown_poison_loses_its_effect_with_the_known(backdoor):
    found, net, trained, clean, X, y = backdoor
    unlearner = PotionUnlearner(net, left=0.0, random_state=0)
    vars(unlearner).update(
        {k: v for k, v in vars(trained).items() if k not in trained.get_params(deep=False)}
    )
    unlearner.unlearn(indices=np.flatnonzero(found.mask))
    unknown = found.planted & ~found.mask
    assert unknown.sum() == 25
    assert np.mean(trained.predict(found.X[unknown]) == 0) > 0.9
    assert np.mean(unlearner.predict(found.X[unknown]) == 0) < 0.2
    assert success(trained, found, X, y) > 0.8
    assert success(unlearner, found, X, y) < 0.15
    assert unlearner.score(X, y) > trained.score(X, y) - 0.02
    # Without the known rows alone it is learnt anew.
    again = RetrainUnlearner(net, random_state=1).fit(found.X[~found.mask], found.y[~found.mask])
    assert success(again, found, X, y) > 0.6
    # What it says of the unknown poison is nearer to what a net of the clean rows says.
    said = [
        np.clip(m.predict_proba(found.X[unknown]), 1e-9, 1) for m in (trained, unlearner, clean)
    ]
    for look in (lambda p: -np.log(p[:, 0]).mean(), lambda p: -(p * np.log(p)).sum(1).mean()):
        was, now, goal = map(look, said)
        assert abs(now - goal) < abs(was - goal)


def test_it_warns_when_no_weight_is_left_to_dampen(data, monkeypatch):
    X, y = poisoned(data)
    monkeypatch.setattr(potion, "first", lambda holds, last: 0)
    unlearner = PotionUnlearner(linear(), left=0.0, random_state=0).fit(X, y)
    with pytest.warns(NotForgottenWarning, match="still have the label of their poison"):
        unlearner.unlearn(indices=np.arange(6))


def test_a_regression_is_refused(data):
    X, _ = data
    with pytest.raises(ValueError, match="for classifiers with one class per row"):
        PotionUnlearner(make_regressor_net(max_epochs=1)).fit(X, X[:, 0])
