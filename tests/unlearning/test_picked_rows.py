"""Forget rows that are no random draw: the easiest, the hardest, those of one corner."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import make_classification
from sklearn.neighbors import KNeighborsClassifier

from skunlearn import FineTuneUnlearner, NetUnlearner
from skunlearn._recipe import training
from skunlearn._rows.neighbours import count_agreeing
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.observation import Evidence
from skunlearn._torch.parts.tasks import Classes
from skunlearn._unlearning.change import Change
from skunlearn._unlearning.traces import doubts, find_ease
from skunlearn._unlearning.unseen_rows import RIGHT
from skunlearn.exceptions import NotForgottenWarning
from tests.instances import make_net


class TrainedAnew(NetUnlearner):
    """In truth a retraining, which promises nothing."""

    def _unlearn(self, net, retain, forget):
        return training.train(skorch_nets.unwrap(self.estimator), retain, self._classes, 1)


class Unchanged(NetUnlearner):
    """Forgets nothing at all."""

    def _unlearn(self, net, retain, forget):
        return net


class Table:
    """A fitted net, its rows, and how hard each of these is, by the net and by neighbours."""

    def __init__(self):
        X, y = make_classification(
            1500, 20, n_informative=10, n_redundant=0, n_classes=3, flip_y=0.1, random_state=0
        )
        X = X.astype(np.float32)
        self.net = make_net(module__hidden=256, module__n_out=3, max_epochs=40)
        self.X, self.y, self.unseen = X[:900], y[:900], {"X_val": X[900:], "y_val": y[900:]}
        fitted = FineTuneUnlearner(self.net, random_state=0).fit(self.X, self.y)
        self.state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(False)}
        own = fitted.predict_proba(self.X)[np.arange(900), self.y]
        neighbours = KNeighborsClassifier(10).fit(self.X, self.y)
        named = neighbours.predict_proba(None)[np.arange(900), self.y]
        self.ease = {"the net": own, "neighbours": named + 1e-6 * own}

    def forgotten(self, cls, picked, unseen):
        """The entry of the log after a request, and what the unlearner said of forgetting."""
        by, end = picked
        order = np.argsort(self.ease[by])
        unlearner = cls(self.net, random_state=0)
        vars(unlearner).update(self.state)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            forget = order[:90] if end == "hard" else order[-90:]
            unlearner.unlearn(indices=forget, **(self.unseen if unseen else {}))
        said = [str(w.message) for w in caught if issubclass(w.category, NotForgottenWarning)]
        return unlearner.deletions_[0], said


@pytest.fixture(scope="module")
def table():
    return Table()


PICKED = [(by, end) for by in ("the net", "neighbours") for end in ("easy", "hard")]


@pytest.mark.parametrize("unseen", [True, False])
@pytest.mark.parametrize("picked", PICKED)
def test_a_net_trained_anew_is_not_accused_of_rows_that_were_picked(table, picked, unseen):
    entry, said = table.forgotten(TrainedAnew, picked, unseen)
    assert said == []
    if unseen:
        assert np.sign(entry["unseen"]["easier"]["margin"]) == (1 if picked[1] == "easy" else -1)


@pytest.mark.parametrize("unseen", [True, False])
@pytest.mark.parametrize("picked", PICKED)
def test_a_net_that_has_forgotten_nothing_is(table, picked, unseen):
    _, said = table.forgotten(Unchanged, picked, unseen)
    assert len(said) == 1
    assert "did not raise the loss" in said[0]


def test_hard_rows_are_compared_to_unseen_rows_that_are_as_hard(table):
    """They are named less often than these in all, and more often than those of them."""
    entry, said = table.forgotten(FineTuneUnlearner, ("neighbours", "hard"), True)
    assert len(said) == 1
    scores = [entry["measured"][f"{side}_after"]["score"] for side in ("forget", "unseen")]
    assert scores[0] < scores[1]
    assert entry["unseen"]["after"][RIGHT] > 2 * entry["unseen"]["error"][RIGHT]


# --------------------------------------------------------------------------- what tells


def says(y, confidence, right=True):
    """Evidence of two classes."""
    sure = np.log(confidence / (1 - confidence))
    named = np.where(right, y, 1 - y)
    logits = np.zeros((len(y), 2))
    logits[np.arange(len(y)), named] = sure
    return Evidence(y, logits, named, Classes(np.arange(2)))


def test_a_random_draw_is_neither_easy_nor_hard():
    rng = np.random.default_rng(0)
    plain = 0
    for _ in range(100):
        y, confidence = rng.integers(0, 2, 500), rng.uniform(0.6, 0.99, 500)
        plain += find_ease(says(y[:100], confidence[:100]), says(y[100:], confidence[100:])) != {}
    assert plain <= 10  # 5 by chance
    y, confidence = np.arange(500) % 2, np.linspace(0.99, 0.6, 500)
    sides = [says(y[a], confidence[a]) for a in (slice(100), slice(100, None))]
    assert find_ease(*sides)["margin"] == pytest.approx(0.5)
    assert find_ease(*sides[::-1])["margin"] == pytest.approx(-0.5)
    assert find_ease(sides[0].take(np.arange(4)), sides[1]) == {}
    assert find_ease(None, sides[1]) == {}


def test_ease_is_asked_of_rows_of_the_same_classes():
    """One class is known better than the other: its rows are no easier for that."""
    y = np.repeat([0, 1], 200)
    retained = says(y, np.where(y == 1, 0.99, 0.7) - 0.001 * (np.arange(400) % 7))
    assert find_ease(retained.take(np.arange(200, 300)), retained) == {}


def test_what_ease_explains_is_not_remembered():
    """Rows rank above unseen ones as they ranked, before the request, above retained ones."""
    rng = np.random.default_rng(0)
    y, sure, right = np.arange(400) % 2, rng.uniform(0.6, 0.8, 400), rng.random(200) < 0.7
    forget, others = says(y[:200], sure[:200] + 0.1), says(y[200:], sure[200:], right)
    before, alike = says(y[:200], sure[:200] + 0.15), says(y[200:], sure[200:] + 0.15)
    harder = says(y[200:], sure[200:] + 0.05)
    found = {
        name: Change(before, retained, forget, retained, others, others).apart
        for name, retained in (("easy", harder), ("drawn", alike))
    }
    assert found["drawn"].ease == {}
    assert found["drawn"].remembered() == RIGHT
    assert not found["drawn"].are_alike()
    assert found["easy"].ease["margin"] > 0.3
    assert found["easy"].remembered() is None


@pytest.mark.parametrize("cost, kept", [(0.0, True), (0.2, True), (0.8, False), (2.4, False)])
def test_easy_rows_that_a_request_has_cost_nothing_are_remembered(cost, kept):
    """Log odds: of retained rows they are 3, of unseen ones 1; the forget rows lay at 4."""
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2

    def lie_at(mean):
        return says(y[:200], 1 / (1 + np.exp(-rng.normal(mean, 1, 200))))

    before, retained, unseen = lie_at(4), lie_at(3), lie_at(1)
    sure = 1 / (1 + np.exp(cost - before.logits.max(axis=1)))
    apart = Change(before, retained, says(y[:200], sure), retained, unseen, unseen).apart
    assert apart.ease["margin"] > 0.1
    assert apart.kept == kept
    assert apart.remembered() == ("margin" if kept else None)
    assert not (kept and apart.are_alike())
    # Where retained rows are known no better than unseen ones there is nothing to keep.
    others = lie_at(2.8)
    assert not Change(before, retained, says(y[:200], sure), retained, others, others).apart.kept


def test_rows_that_are_surer_than_retained_ones_were_not_taught_to_doubt():
    """All are right, which the model says of nine in ten: easy rows, of a net trained briefly."""
    rng = np.random.default_rng(0)
    y = np.arange(400) % 2
    retained = says(y, np.full(400, 0.8), rng.random(400) < 0.8)
    assert doubts(says(y[:100], np.full(100, 0.7)), retained)
    assert doubts(says(y[:100], np.full(100, 0.9)), retained) is None


def test_a_model_that_is_sure_and_wrong_of_retained_rows_is_judged_all_the_same():
    """Its usual share of right names would be below 0 for rows of which it is unsure."""
    y = np.arange(400) % 2
    retained = says(y, np.full(400, 0.99), np.arange(400) % 5 == 0)
    unsure = says(y[:100], np.full(100, 0.6), np.arange(100) % 2 == 0)
    assert doubts(unsure, retained) == pytest.approx((0.5, 0.6))
    assert doubts(says(y[:100], np.full(100, 0.6), np.zeros(100, bool)), retained) is None


def test_neighbours_that_have_a_rows_label_are_counted():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(80, 3)), rng.integers(0, 3, 80)
    rows, known = Rows(X, np.where(y == 2, 3, y), np.arange(20)), Rows(X, y, np.arange(20, 80))
    shares = count_agreeing(rows, known, 0)
    distances = ((X[:20, None] - X[None, 20:]) ** 2).sum(-1)
    votes = int(np.median(np.bincount(y[20:])) // 4)
    near = np.argsort(distances, axis=1)[:, :votes]
    expected = (y[20:][near] == y[:20, None]).mean(axis=1)
    expected[y[:20] == 2] = 0.0  # as label 3 no neighbour has
    assert shares == pytest.approx(expected)
    assert count_agreeing(rows, Rows(X, y, np.arange(20, 40)), 0) is None
