"""A model that several scorers ask about the same rows answers once."""

import gc
import weakref

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_validate
from sklearn.neighbors import KNeighborsClassifier
from torch.utils.data import TensorDataset

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn.metrics import MIAScorer
from skunlearn.metrics._scorers import shared_looks
from skunlearn.model_selection import ForgetSplit
from tests.instances import make_net
from tests.small import quiet

pytestmark = quiet
ATTACKS = ("strongest", "margin", "loss", "learned")
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 64)).astype(np.float32)
Y = RNG.integers(0, 3, 90)
X_NEW, Y_NEW = RNG.normal(size=(40, 64)).astype(np.float32), RNG.integers(0, 3, 40)


class Bent(torch.nn.Sequential):
    """A layer, and a slope that is no weight."""

    def __init__(self):
        super().__init__()
        self.layer, self.act = torch.nn.Linear(64, 3), torch.nn.LeakyReLU(0.1)


def net():
    return make_net(module__n_out=3, max_epochs=4)


@pytest.fixture
def asked(monkeypatch):
    """How often a model was asked."""
    plain, found = shared_looks.observe, []

    def observe(*args):
        found.append(1)
        return plain(*args)

    monkeypatch.setattr(shared_looks, "observe", observe)
    return found


@pytest.fixture(autouse=True)
def nothing_kept():
    """Answers of models that other tests have asked and not let go of."""
    shared_looks._KEPT.of.clear()


@pytest.fixture(params=["net", "scikit-learn"])
def unlearner(request):
    made = (
        FineTuneUnlearner(net(), random_state=0)
        if request.param == "net"
        else RetrainUnlearner(LogisticRegression(), random_state=0)
    )
    return made.fit(X, Y).unlearn(indices=range(30))


def scores(unlearner, rows=X_NEW, labels=Y_NEW):
    return [MIAScorer(attack)(unlearner, rows, labels) for attack in ATTACKS]


def test_once_a_fold_in_a_search(asked):
    how = {"cv": ForgetSplit(2, forget=Y == 2, random_state=0), "params": {"forget": Y == 2}}
    unlearner = FineTuneUnlearner(net(), random_state=0)
    together = cross_validate(unlearner, X, Y, scoring={a: MIAScorer(a) for a in ATTACKS}, **how)
    assert len(asked) == 2
    for attack in ATTACKS:
        alone = cross_validate(unlearner, X, Y, scoring=MIAScorer(attack), **how)
        assert np.array_equal(alone["test_score"], together[f"test_{attack}"])
    assert len(asked) == 2 + 2 * len(ATTACKS)


def test_a_reference_is_asked_once_too(asked, unlearner):
    other = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X[30:], Y[30:])
    for attack in ATTACKS:
        MIAScorer(attack, reference=other)(unlearner, X_NEW, Y_NEW)
    assert len(asked) == 3  # of unseen rows the one, of both kinds the other


def test_whatever_changes_is_seen(asked, unlearner):
    rows, labels = X_NEW.copy(), Y_NEW.copy()
    before = scores(unlearner, rows, labels)
    assert len(asked) == 1
    assert scores(unlearner, rows.copy(), labels.copy()) == before  # equal rows are the same
    assert len(asked) == 1
    rows[3] += 5
    assert scores(unlearner, rows, labels) == scores(unlearner, rows.copy(), labels)
    assert len(asked) == 2
    labels[:20] = (labels[:20] + 1) % 3
    assert scores(unlearner, rows, labels) != before
    assert len(asked) == 3
    model = unlearner.estimator_
    if hasattr(model, "module_"):
        with torch.no_grad():
            next(model.module_.parameters()).mul_(-2)
    else:
        model.coef_ *= -2
    changed = scores(unlearner, X_NEW, Y_NEW)
    assert changed != before
    assert len(asked) == 4
    shared_looks._KEPT.of.clear()
    assert scores(unlearner, X_NEW, Y_NEW) == changed


@pytest.mark.parametrize("kind", ["net", "scikit-learn"])
def test_settings_that_change_are_seen(asked, kind):
    made = RetrainUnlearner(KNeighborsClassifier(15))
    if kind == "net":
        made = FineTuneUnlearner(make_net(max_epochs=4).set_params(module=Bent), random_state=0)
    unlearner = made.fit(X, Y).unlearn(indices=range(30))
    before = scores(unlearner)
    if kind == "net":
        unlearner.estimator_.module_.act.negative_slope = -5.0
    else:
        unlearner.estimator_.set_params(n_neighbors=2)
    after = scores(unlearner)
    assert after != before
    assert len(asked) == 2
    shared_looks._KEPT.of.clear()
    assert scores(unlearner) == after


def test_a_request_makes_another_model(asked, unlearner):
    scores(unlearner)
    unlearner.unlearn(indices=range(30, 40))
    after = scores(unlearner)
    assert len(asked) == 2
    shared_looks._KEPT.of.clear()
    assert scores(unlearner) == after


def test_another_type_or_shape_of_the_same_bytes_is_asked_about(asked, unlearner):
    rows = shared_looks._describe(unlearner.estimator_, _rows(X_NEW))
    others = X_NEW.view(np.int32), X_NEW.reshape(40, 8, 8)
    assert all(shared_looks._describe(unlearner.estimator_, _rows(X)) != rows for X in others)


def _rows(rows):
    return Rows(rows, Y_NEW, np.arange(40))


def test_neither_model_nor_rows_are_held(unlearner):
    rows = X_NEW.copy()
    scores(unlearner, rows)
    model, given = weakref.ref(unlearner.estimator_), weakref.ref(rows)
    unlearner.unlearn(indices=[50])
    del rows
    gc.collect()
    assert model() is None
    assert given() is None
    assert len(shared_looks._KEPT.of) == 0


def test_few_answers_are_kept():
    copies = [FineTuneUnlearner(net(), random_state=i).fit(X, Y) for i in range(6)]
    for fitted in copies:
        fitted.unlearn(indices=[0, 1, 2])
        for shift in range(4):
            MIAScorer("loss", match=None)(fitted, X_NEW + shift, Y_NEW)
    assert len(shared_looks._KEPT.of) <= 4
    assert max(map(len, shared_looks._KEPT.of.values())) <= 2


def test_items_of_a_dataset_are_asked_about_each_time(asked):
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(Y))
    new = TensorDataset(torch.from_numpy(X_NEW), torch.from_numpy(Y_NEW))
    fitted = FineTuneUnlearner(net(), random_state=0).fit(data, None).unlearn(indices=range(30))
    for attack in ATTACKS:
        MIAScorer(attack)(fitted, new, None)
    assert len(asked) == len(ATTACKS)
