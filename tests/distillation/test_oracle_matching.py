"""OracleMatchingUnlearner: what nets say that never saw the forget rows."""

import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.nn.functional import cross_entropy

from skunlearn import OracleMatchingUnlearner, RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.parts.tasks import Labels
from skunlearn.distillation._sureness import MatchedTemperature, entropies, match_sureness
from skunlearn.metrics import auc, membership_scores
from tests.instances import make_net
from tests.small import quiet

pytestmark = quiet
FORGET = np.arange(12)


@pytest.fixture(scope="module")
def data():
    """Rows of three classes, and unseen ones."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 6)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
    return X[:60], y[:60], X[60:], y[60:]


def linear(cls=NeuralNetClassifier, n_out=3, **params):
    """One layer and plain SGD: a step can be written down."""
    return cls(
        nn.Linear, module__in_features=6, module__out_features=n_out, lr=0.1, max_epochs=10,
        batch_size=64, train_split=None, verbose=0, **params,
    )  # fmt: skip


def one_step(unlearner, X, y, forget_loss, retain_loss):
    """The weights before the only step of a request, and after it as the formula says."""
    before = unlearner.estimator_.module_
    layer = nn.Linear(6, before.out_features)
    layer.load_state_dict(before.state_dict())
    X = torch.from_numpy(X)
    loss = retain_loss(layer(X[12:]), y[12:]) + unlearner.weight * forget_loss(layer(X[:12]))
    grads = torch.autograd.grad(loss, [layer.weight, layer.bias])
    return [p.detach() - 0.1 * g for p, g in zip(layer.parameters(), grads, strict=True)]


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_a_step_is_that_of_the_formula(data, weight):
    X, y, *_ = data
    oracles = [LogisticRegression(C=c).fit(X[12:], y[12:]) for c in (0.1, 10)]
    unlearner = OracleMatchingUnlearner(
        linear(criterion=nn.CrossEntropyLoss), oracle=oracles, temperature=0.5, weight=weight,
        max_epochs=1, schedule="constant", random_state=0,
    ).fit(X, y)  # fmt: skip
    p = np.mean([oracle.predict_proba(X[:12]) for oracle in oracles], axis=0) ** 2  # 1 / T
    p = torch.from_numpy(p / p.sum(axis=1, keepdims=True)).float()

    def forget_loss(out):
        return (p * (p.log() - torch.log_softmax(out, dim=1))).sum(dim=1).mean()

    wanted = one_step(
        unlearner, X, y, forget_loss, lambda out, y: cross_entropy(out, torch.from_numpy(y))
    )
    unlearner.unlearn(indices=FORGET)
    for ours, theirs in zip(unlearner.estimator_.module_.parameters(), wanted, strict=True):
        torch.testing.assert_close(ours.detach(), theirs)
    assert unlearner.deletions_[0]["oracle"] == {"models": 2, "epochs": None, "temperature": 0.5}


def test_a_regression_matches_values_by_squared_error(data):
    X, y, *_ = data
    y = (X @ np.arange(6) + y).astype(np.float32).reshape(-1, 1)
    oracle = LinearRegression().fit(X[12:], y[12:])
    unlearner = OracleMatchingUnlearner(
        linear(NeuralNetRegressor, 1), oracle=oracle, max_epochs=1, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    said = torch.from_numpy(oracle.predict(X[:12]))
    wanted = one_step(
        unlearner, X, y,
        lambda out: ((out - said) ** 2).mean(),
        lambda out, y: ((out - torch.from_numpy(y)) ** 2).mean(),
    )  # fmt: skip
    unlearner.unlearn(indices=FORGET)
    for ours, theirs in zip(unlearner.estimator_.module_.parameters(), wanted, strict=True):
        torch.testing.assert_close(ours.detach(), theirs)
    assert unlearner.deletions_[0]["oracle"]["temperature"] is None


def test_the_temperature_makes_the_oracle_as_sure_as_the_net_is_of_the_same_rows(data):
    X, y, X_val, y_val = data
    oracle = LogisticRegression(C=0.01).fit(X[12:], y[12:])  # unsure
    net = make_net(module__n_out=3)
    unlearner = OracleMatchingUnlearner(net, oracle=oracle, max_epochs=3, random_state=0).fit(X, y)
    blind = clone(unlearner).set_params(oracle=oracle).fit(X, y).unlearn(indices=FORGET)
    unlearner.unlearn(indices=FORGET, X_val=X_val, y_val=y_val)
    t = unlearner.deletions_[0]["oracle"]["temperature"]

    def entropy(p):
        return -(p * np.log(p)).sum(axis=1)

    p = oracle.predict_proba(X_val) ** (1 / t)
    ours = entropy(p / p.sum(axis=1, keepdims=True))
    # As the net is after the last epoch; 40 rows against 40 leave steps of 1/1600.
    assert abs(auc(ours, entropy(unlearner.predict_proba(X_val))) - 0.5) < 0.002
    assert t < 0.7
    # Without unseen rows it is between that of retained rows and 1.
    assert t / 2 < blind.deletions_[0]["oracle"]["temperature"] < 1


def test_a_class_that_is_gone_has_no_part_in_the_temperature(data):
    """The net is sure of it, and no oracle can be."""
    X, y, X_val, y_val = data
    oracle = LogisticRegression().fit(X[y < 2], y[y < 2])
    unlearner = OracleMatchingUnlearner(
        make_net(module__n_out=3), oracle=oracle, max_epochs=1, random_state=0
    ).fit(X, y)
    found = []
    for rows in (np.arange(len(y_val)), np.flatnonzero(y_val < 2)):
        one = clone(unlearner).set_params(oracle=oracle).fit(X, y)
        one.unlearn(indices=np.flatnonzero(y == 2), X_val=X_val[rows], y_val=y_val[rows])
        found.append(one.deletions_[0]["oracle"]["temperature"])
    assert found[0] == found[1]


def test_unseen_rows_of_a_class_that_is_gone_alone_are_as_none(data):
    X, y, X_val, y_val = data
    gone, given = np.flatnonzero(y == 2), np.flatnonzero(y_val == 2)
    found = []
    for unseen in ({}, {"X_val": X_val[given], "y_val": y_val[given]}):
        unlearner = OracleMatchingUnlearner(
            make_net(module__n_out=3), max_epochs=1, random_state=0
        ).fit(X, y)
        unlearner.unlearn(indices=gone, **unseen)
        found.append(unlearner.deletions_[0]["oracle"])
    assert found[0] == found[1]
    assert found[0]["temperature"] < 1


def test_the_temperature_follows_the_net(data):
    X, y, X_val, y_val = data
    net = make_net(module__n_out=3, max_epochs=1).fit(X, y)
    rows = Rows(X_val, y_val, np.arange(len(y_val)))
    said = np.log(LogisticRegression().fit(X[12:], y[12:]).predict_proba(X_val))
    followed, fixed = (
        MatchedTemperature(net, rows, said, np.arange(3), seen=seen) for seen in (False, True)
    )
    first, half = followed.value, fixed.value
    assert half == np.sqrt(min(1.0, first))
    with torch.no_grad():  # the net grows surer
        for p in list(net.module_.parameters())[-2:]:
            p.mul_(10)
    for temperature in (followed, fixed):
        temperature.on_epoch_end(net)
    assert followed.value < 0.5 * first
    assert fixed.value == half


def test_the_temperature_is_found_between_its_bounds():
    logits = np.random.default_rng(0).normal(size=(200, 3)) * 3

    def entropies_at(t):
        return entropies(logits / t, np.arange(3))

    for t in (0.3, 1.0, 4.0):
        assert np.isclose(match_sureness(entropies_at, entropies_at(t)), t, rtol=0.03)
    assert match_sureness(entropies_at, np.full(10, -1.0)) == 0.02
    assert match_sureness(entropies_at, np.full(10, 2.0)) == 50.0
    # Of rows with several labels it is the mean of theirs.
    assert np.allclose(entropies(np.zeros((2, 5)), Labels(5)), np.log(2))


def test_it_moves_toward_the_retrained_net_by_loss_and_entropy():
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    X, y = (X[:1000] / 16).astype(np.float32), y[:1000]
    wrong = rng.random(len(y)) < 0.1
    y = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
    net = make_net(module__hidden=256, max_epochs=60)
    unlearner = OracleMatchingUnlearner(net, random_state=0).fit(X[:400], y[:400])
    retrained = RetrainUnlearner(net, random_state=1).fit(X[100:400], y[100:400])

    def aucs(model):
        said = [np.log(np.maximum(model.predict_proba(x), 1e-30)) for x in (X[:100], X[400:])]
        targets = y[:100], y[400:]
        return [
            auc(*(membership_scores(s, t, score) for s, t in zip(said, targets)))
            for score in ("loss", "entropy")
        ]

    def apart(model):
        p, q = (np.sqrt(m.predict_proba(X[:100])) for m in (model, retrained))
        return np.linalg.norm(p - q, axis=1).mean()

    goal, before, far = aucs(retrained), aucs(unlearner), apart(unlearner)
    unlearner.unlearn(indices=np.arange(100), X_val=X[400:], y_val=y[400:])
    after = aucs(unlearner)
    assert abs(after[0] - goal[0]) < 0.6 * abs(before[0] - goal[0])
    for ours, first, theirs in zip(after, before, goal, strict=True):
        assert abs(ours - theirs) < abs(first - theirs)
    assert apart(unlearner) < far


class Certain:
    """No estimator, but it answers."""

    def __init__(self, X, y):
        self.answers = {row.tobytes(): np.eye(3)[label] for row, label in zip(X, y)}

    def predict_proba(self, X):
        return np.array([self.answers[row.tobytes()] for row in X])


def test_what_a_model_says_is_learnt_whatever_it_is(data):
    X, y, *_ = data
    other = (y + 1) % 3
    unlearner = OracleMatchingUnlearner(
        make_net(module__n_out=3), oracle=Certain(X, other), temperature=1.0, max_epochs=40,
        random_state=0,
    ).fit(X, y)  # fmt: skip
    unlearner.unlearn(indices=FORGET)
    assert (unlearner.predict(X[:12]) == other[:12]).mean() > 0.9
    assert (unlearner.predict(X[12:]) == y[12:]).mean() > 0.6  # what is taught contradicts them


def test_a_class_that_no_oracle_knows_is_forgotten(data):
    X, y, *_ = data
    oracle = LogisticRegression().fit(X[y < 2], y[y < 2])
    unlearner = OracleMatchingUnlearner(
        make_net(module__n_out=3), oracle=oracle, max_epochs=20, random_state=0
    ).fit(X, y)
    unlearner.unlearn(indices=np.flatnonzero(y == 2))
    assert unlearner.deletions_[0]["classes_forgotten"] == [2]
    assert not (unlearner.predict(X) == 2).any()


def test_a_fitted_one_is_pickled_and_saved_with_its_oracles(data, tmp_path):
    X, y, *_ = data
    oracle = LogisticRegression().fit(X[12:], y[12:])
    unlearner = OracleMatchingUnlearner(make_net(module__n_out=3), oracle=oracle, random_state=0)
    unlearner.fit(X, y).unlearn(indices=FORGET)
    copied = pickle.loads(pickle.dumps(unlearner))
    assert np.array_equal(copied.predict_proba(X), unlearner.predict_proba(X))
    unlearner.save(tmp_path / "net.safetensors")
    json.dumps(unlearner.certificate())


def test_oracles_of_ones_own(data):
    X, y, *_ = data
    names = np.array(["a", "b", "c"])[y]
    given = LogisticRegression().fit(X[12:], names[12:])
    unlearner = OracleMatchingUnlearner(
        linear(criterion=nn.CrossEntropyLoss), oracle=FrozenEstimator(given), random_state=0
    )
    assert not unlearner._make_promises().trains_from_scratch
    assert OracleMatchingUnlearner(linear())._make_promises().trains_from_scratch
    copied = clone(unlearner).fit(X, names)  # as a search does
    assert copied.unlearn(indices=FORGET).deletions_[0]["oracle"]["models"] == 1
    net = RetrainUnlearner(linear(criterion=nn.CrossEntropyLoss), random_state=0)
    net.fit(X[12:], names[12:])
    for oracle in (net, net.estimator_, Certain(X, y)):
        other = clone(unlearner).set_params(oracle=[oracle, given]).fit(X, names)
        assert other.unlearn(indices=FORGET).deletions_[0]["oracle"]["models"] == 2


def test_bad_oracles_are_refused_and_nothing_changes(data):
    X, y, *_ = data
    unlearner = OracleMatchingUnlearner(linear(criterion=nn.CrossEntropyLoss), random_state=0)
    unlearner.fit(X, y)
    other = LogisticRegression().fit(X, y + 5)
    five = linear(criterion=nn.CrossEntropyLoss, n_out=2).fit(X, y.clip(max=1))
    for oracle, error, words in [
        (LogisticRegression(), TypeError, "not fitted"),
        (linear(), TypeError, "not fitted"),
        (3, TypeError, "predict_proba"),
        (other, ValueError, "same task"),
        (five, ValueError, "same task"),
        ([], ValueError, "empty"),
    ]:
        with pytest.raises(error, match=words):
            unlearner.set_params(oracle=oracle).unlearn(indices=FORGET)
    assert unlearner.deletions_ == []
    with pytest.raises(ValueError, match="temperature"):
        OracleMatchingUnlearner(linear(), temperature=0).fit(X, y)
