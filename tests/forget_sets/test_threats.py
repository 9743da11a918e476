"""Malicious requests do what they are for, and the guard undoes them."""

import copy
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from skunlearn import CertifiedRemovalUnlearner, RetrainUnlearner, ShardedUnlearner
from skunlearn.evaluation import over_unlearning
from skunlearn.exceptions import AccuracyDropError, PrivacyBudgetWarning
from skunlearn.forget_sets import costly_forget_set, damaging_forget_set
from tests.instances import make_net


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = X / 16
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0).fit(X[:600], y[:600])
    return unlearner, X[:600], y[:600], X[600:], y[600:]


# ------------------------------------------------------------------ the malicious requester


def test_scores_are_dot_products_of_gradients(data):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=3)
    unlearner = RetrainUnlearner(net, random_state=0).fit(X[:40], y[:40])
    request = damaging_forget_set(unlearner, X[40:], y[40:], size=39)
    module = unlearner.estimator_.module_
    head = [module.out.weight, module.out.bias]

    def gradient(rows):
        loss = torch.nn.functional.cross_entropy(
            module(torch.as_tensor(X[rows])), torch.as_tensor(y[rows])
        )
        return torch.cat([g.ravel() for g in torch.autograd.grad(loss, head)]).numpy()

    goal = gradient(np.arange(40, 60))
    expected = np.array([gradient([i]) @ goal for i in range(40)])
    assert np.allclose(request.details["scores"], expected[request.indices], rtol=1e-4, atol=1e-7)
    assert np.setdiff1d(np.arange(40), request.indices).tolist() == [expected.argmin()]


def test_it_hurts_the_targets_more_than_chance_and_the_guard_undoes_it(digits):
    unlearner, _, y, X_test, y_test = digits
    target = X_test[y_test == 8], y_test[y_test == 8]
    request = damaging_forget_set(unlearner, *target, size=30)
    assert len(request) == 30
    assert (y[request.indices] == 8).all()
    drawn = np.random.default_rng(0).choice(np.flatnonzero(y == 8), 30, replace=False)
    before = unlearner.score(*target)
    after = [
        copy.deepcopy(unlearner).unlearn(indices=rows).score(*target)
        for rows in (request.indices, drawn)
    ]
    assert before - after[0] > (before - after[1]) + 0.02
    guarded = copy.deepcopy(unlearner)
    with pytest.raises(AccuracyDropError):
        guarded.unlearn(
            indices=request.indices, max_accuracy_drop=0.02, X_val=target[0], y_val=target[1]
        )
    assert guarded.score(*target) == before


def test_only_the_adversarys_own_rows(digits):
    unlearner, _, _, X_test, y_test = digits
    own = np.arange(600) % 3 == 0
    request = damaging_forget_set(unlearner, X_test[:50], y_test[:50], size=0.25, candidates=own)
    assert len(request) == 50
    assert own[request.indices].all()
    one = X_test[y_test == 3][:5], y_test[y_test == 3][:5]
    # Rows that are gone are not named again.
    first = damaging_forget_set(unlearner, *one, size=9)
    later = copy.deepcopy(unlearner).unlearn(indices=first.indices)
    assert not (damaging_forget_set(later, *one, size=9).mask & first.mask).any()


def test_bad_targets(digits):
    unlearner, X, _, X_test, y_test = digits
    with pytest.raises(TypeError, match="unlearner"):
        damaging_forget_set(unlearner.estimator_, X_test, y_test)
    regression = RetrainUnlearner(LinearRegression()).fit(X, X[:, 20])
    with pytest.raises(TypeError, match="classifiers"):
        damaging_forget_set(regression, X_test, X_test[:, 20])
    words = RetrainUnlearner(LinearSVC()).fit(X, y=X[:, 20] > 0.5)
    with pytest.raises(TypeError, match="boolean mask"):
        damaging_forget_set(words, X_test, X_test[:, 20] > 0.5, candidates=[1, 2])


# ------------------------------------------------------------------ over-unlearning


def test_the_figures_by_hand():
    X = np.arange(10.0)[:, None]
    y = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
    truth = GaussianNB().fit(X, y)
    assert (truth.predict(X) == y).all()
    shifted = GaussianNB().fit(X, np.array([1, 1, 0, 0, 0, 1, 1, 1, 1, 1]))
    shifted.theta_, shifted.var_ = truth.theta_.copy(), truth.var_.copy()
    shifted.theta_ -= 3.0  # takes rows near the boundary for the other class
    wrong = shifted.predict(X) != y
    assert 0 < wrong.sum() < 5
    found = over_unlearning(
        {"retrained": truth, "mine": shifted}, X, y, X_forget=[[3.2]], y_forget=[0], near=0.4
    )
    near = [1, 2, 3, 4]
    mine = found.loc["mine"]
    assert mine["accuracy"] == pytest.approx(1 - wrong.mean())
    assert mine["damage"] == mine["broken"] == pytest.approx(wrong.mean())
    assert mine["near damage"] == mine["near broken"] == pytest.approx(wrong[near].mean())
    shares = [wrong[y == c].mean() for c in (0, 1)]
    assert mine["worst class"] == int(np.argmax(shares))
    assert mine["worst class damage"] == pytest.approx(max(shares))
    assert found.loc["retrained", "damage"] == found.loc["retrained", "broken"] == 0
    # Seen from the other side, what is gained is no damage, and nothing is broken.
    back = over_unlearning(
        {"retrained": shifted, "mine": truth}, X, y, X_forget=[[5.5]], y_forget=[1]
    ).loc["mine"]
    assert back["damage"] == pytest.approx(-wrong.mean())
    assert back["broken"] == 0


def test_neighbours_of_nets_are_found_by_the_embedding(data):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=2, verbose=0).fit(X, y)
    models = {"retrained": net, "mine": make_net(module__n_out=3, verbose=0).fit(X, y)}
    found = over_unlearning(models, X[5:], y[5:], X_forget=X[:5], y_forget=y[:5], near=1.0)
    assert found.loc["mine", "damage"] == found.loc["mine", "near damage"]
    assert found.loc["mine", "damage"] == pytest.approx(
        net.score(X[5:], y[5:]) - models["mine"].score(X[5:], y[5:])
    )
    with pytest.raises(ValueError, match="to compare with"):
        over_unlearning({"mine": net}, X, y, X_forget=X[:5], y_forget=y[:5])
    with pytest.raises(ValueError, match="near"):
        over_unlearning(models, X, y, X_forget=X[:5], y_forget=y[:5], near=0.0)


# ------------------------------------------------------------------ slow-down


@pytest.mark.parametrize("n_slices", [1, 3])
def test_a_row_in_every_shard_costs_a_whole_training(n_slices):
    X, y = make_classification(200, random_state=0)
    X = X.astype(np.float32)
    model = make_net(module__n_out=2, max_epochs=4) if n_slices > 1 else DecisionTreeClassifier()
    unlearner = ShardedUnlearner(model, n_shards=5, n_slices=n_slices, random_state=0).fit(X, y)
    request = costly_forget_set(unlearner, size=5)
    assert request.details["shards"].tolist() == [0, 1, 2, 3, 4]
    assert request.details["slices"].tolist() == [0] * 5
    cost = {}
    for name, rows in (
        ("costly", request.indices),
        ("any", np.random.default_rng(0).choice(200, 5, replace=False)),
    ):
        again = ShardedUnlearner(model, n_shards=5, n_slices=n_slices, random_state=0).fit(X, y)
        cost[name] = again.unlearn(indices=rows).deletions_[0]["share_retrained"]
    assert cost["costly"] > 0.9  # all of it, but for the rows that are gone
    assert cost["any"] < cost["costly"]
    # With fewer rows than shards, the largest shards come first.
    two = costly_forget_set(unlearner, size=2)
    sizes = np.bincount(unlearner._places[0])
    chosen = np.sort(sizes[two.details["shards"]])[::-1]
    assert chosen.tolist() == np.sort(sizes)[::-1][:2].tolist()


def test_rows_with_large_gradients_spend_the_budget_first():
    X, y = make_classification(400, 5, n_informative=5, n_redundant=0, random_state=0)
    X = X / np.linalg.norm(X, axis=1).max()
    recipe = LogisticRegression(C=0.1)

    def requests_until_retrained(choose):
        unlearner = CertifiedRemovalUnlearner(recipe, sigma=0.3, random_state=0).fit(X, y)
        for n in range(1, 100):
            row = choose(unlearner)
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always", PrivacyBudgetWarning)
                unlearner.unlearn(indices=row)
            if seen:
                return n
        return 100

    rng = np.random.default_rng(0)
    chosen = requests_until_retrained(lambda u: costly_forget_set(u, size=1).indices)
    drawn = requests_until_retrained(lambda u: rng.choice(np.flatnonzero(u._record.retained), 1))
    assert chosen < 0.7 * drawn < 70


def test_methods_whose_cost_does_not_depend_on_the_rows(digits):
    with pytest.raises(TypeError, match="does not depend"):
        costly_forget_set(digits[0])
    X, y = make_classification(60, random_state=0)
    sharded = ShardedUnlearner(DecisionTreeClassifier(), random_state=0).fit(X, y)
    own = np.arange(60) < 10
    assert own[costly_forget_set(sharded, size=4, candidates=own).indices].all()


def test_results_are_frames(digits):
    unlearner, *_, X_test, y_test = digits
    found = over_unlearning(
        {"retrained": unlearner}, X_test, y_test, X_forget=X_test[:3], y_forget=y_test[:3]
    )
    assert isinstance(found, pd.DataFrame)
    assert found.index.name == "model"
