"""Requests of a few rows, of which no AUC can be taken."""

import warnings

import numpy as np
import pytest
import torch

from skunlearn import AutoUnlearner
from skunlearn._rows.views import Rows
from skunlearn.auto import _keeping, auto_unlearner
from skunlearn.auto._few import LEVEL, rarity
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning, UnlearningError
from tests.auto.digits import digits, net

CLASSES = np.arange(10)


@pytest.fixture(scope="module")
def nets():
    """One that knows wrong labels by heart, a reference, and one that was trained in full."""
    X, y, X_unseen, y_unseen, _ = digits()
    kept = np.arange(100, 1000)
    torch.manual_seed(0)
    original = net(module__hidden=128, max_epochs=60).fit(X, y)
    reference, retrained = (
        net(module__hidden=128, max_epochs=n).fit(X[kept], y[kept]) for n in (2, 60)
    )
    wrong = np.flatnonzero(retrained.predict(X[:100]) != y[:100])
    unseen = Rows(X_unseen, y_unseen, np.arange(len(y_unseen)))
    return original, reference, retrained, Rows(X, y, np.arange(1000)), wrong, unseen


def test_rows_known_by_heart_are_rare(nets):
    """Whose labels are wrong, so that a net that never saw them would not name them."""
    original, reference, retrained, rows, wrong, unseen = nets

    def of_each(model):
        given = [rows.take(wrong[i : i + 1]) for i in range(len(wrong))]
        return np.array([rarity(model, reference, row, unseen, CLASSES) for row in given])

    known = of_each(original)
    assert np.median(known) < 0.05
    assert (known < LEVEL).mean() > 0.35
    assert np.median(of_each(retrained)) > 0.5
    # One known row among several is enough.
    rarest, others = np.argmin(known), np.argsort(-known)[:2]
    few = rows.take(wrong[[rarest, *others]])
    assert rarity(original, reference, few, unseen, CLASSES) == pytest.approx(3 * known[rarest])


def test_rows_that_it_has_never_seen_are_as_rare_as_it_says(nets):
    *_, unseen = nets
    _, reference, retrained, *_ = nets
    asked, others = unseen.take(np.arange(300)), unseen.take(np.arange(300, 797))
    for n in (1, 3):
        found = np.array([
            rarity(retrained, reference, asked.take(np.arange(k, k + n)), others, CLASSES)
            for k in range(0, 300, n)
        ])  # fmt: skip
        assert (found < 0.1).mean() < 0.16
        assert (found < 0.5).mean() > 0.25


def test_too_few_unseen_rows_say_nothing(nets):
    original, reference, _, rows, wrong, unseen = nets
    some = unseen.take(np.arange(60))
    assert rarity(original, reference, rows.take(wrong[:1]), some, CLASSES) is not None
    assert rarity(original, reference, rows.take(wrong[:2]), some, CLASSES) is None


def test_a_row_that_is_easy_is_not_said_to_be_remembered():
    X, y, X_unseen, y_unseen, _ = digits()
    model = net(module__hidden=128, max_epochs=30)
    auto = AutoUnlearner(model, random_state=0).fit(X, y)
    right = auto.predict_proba(X)[np.arange(1000), y]
    easy = np.argsort(-right)[100]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto.unlearn(indices=[easy], X_val=X_unseen, y_val=y_unseen)
    entry = auto.deletions_[-1]
    assert entry["auto"]["rarity"] > LEVEL
    assert not entry["auto"]["judged"]
    assert "not_looked_at" not in entry
    assert entry["auto"]["accuracy"][1] == pytest.approx(auto.score(X_unseen, y_unseen))
    assert entry["auto"]["accuracy_rows"] == len(y_unseen)
    assert entry["auto"]["confidence"] > 1


@pytest.mark.parametrize("on_failure", ["warn", "raise"])
def test_a_row_that_is_still_known_is(monkeypatch, on_failure):
    X, y, X_unseen, y_unseen, _ = digits()
    monkeypatch.setattr(_keeping, "_BLIND", 1.0)  # nothing is taken away
    model = net(module__hidden=128, max_epochs=30)
    auto = AutoUnlearner(model, random_state=0, on_failure=on_failure).fit(X, y)
    monkeypatch.setattr(auto_unlearner, "rarity", lambda *given: 0.004)
    given = {"indices": [3], "X_val": X_unseen, "y_val": y_unseen}
    said = r"better than a reference knows it that never saw it, by more than 99.6 %"
    if on_failure == "raise":
        with pytest.raises(UnlearningError, match=said):
            auto.unlearn(**given)
        assert auto.deletions_ == []
        return
    with pytest.warns(NotForgottenWarning, match=said):
        auto.unlearn(**given)


@pytest.mark.parametrize("by_heart", [False, True])
def test_unseen_rows_say_what_a_request_of_one_row_has_cost(monkeypatch, by_heart):
    """They were not asked: 20 points went in silence, and random labels let go were a damage."""
    X, y = load_digits_images(return_X_y=True)
    X, y = X.reshape(len(X), -1), y.copy()
    if by_heart:
        y = np.random.default_rng(0).integers(0, 10, len(y))
    n, lr = (400, 0.1) if by_heart else (800, 0.02)
    model = net(module__hidden=128, module__norm=by_heart, max_epochs=40, lr=lr)
    auto = AutoUnlearner(model, lr=1e-5, random_state=0).fit(X[:n], y[:n])
    # Nothing is left of the net but its short reference, and hardly trained.
    monkeypatch.setattr(_keeping.Keeping, "choose", lambda self, *given: 0.0)
    known = auto.score(X[:n], y[:n]), auto.score(X[1000:], y[1000:])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        auto.unlearn(indices=[40], X_val=X[1000:], y_val=y[1000:])
    left = auto.score(X[:n], y[:n]), auto.score(X[1000:], y[1000:])
    assert auto.deletions_[0]["auto"]["accuracy"] == pytest.approx([known[1], left[1]], abs=0.01)
    said = [str(w.message) for w in caught if w.category is ModelDamagedWarning]
    if by_heart:
        assert known[0] - left[0] > 0.4
        assert said == []
    else:
        assert 0.1 < known[0] - left[0] < 0.4
        assert len(said) == 1
        assert f"{100 * (known[1] - left[1]):.0f} points of accuracy" in said[0]
        assert "cost rows that it has never seen" in said[0]


@pytest.mark.parametrize("wrong", [False, True])
def test_a_row_like_others_is_no_reason_to_lose_what_is_known_of_them(wrong):
    """Of a net that generalises; a row with a wrong label, known by heart, is one."""
    X, y = load_digits_images(return_X_y=True)
    X, y, row = X.reshape(len(X), -1), y.copy(), 17
    if wrong:
        y[row] = (y[row] + 3) % 10
    model = net(module__hidden=128, max_epochs=60 if wrong else 20)
    unlearner = AutoUnlearner(model, random_state=0).fit(X[:1200], y[:1200])
    assert unlearner.predict(X[row : row + 1]) == y[row]
    before = unlearner.score(X[1500:], y[1500:])
    unlearner.unlearn(indices=[row], X_val=X[1200:1500], y_val=y[1200:1500])
    (share,) = unlearner.deletions_[0]["auto"]["shares"]
    if wrong:
        assert share <= 0.5
        assert unlearner.predict(X[row : row + 1]) != y[row]
    else:
        assert share > 0.5
        assert unlearner.score(X[1500:], y[1500:]) > before - 0.01
