"""verification_attack: AUC over pairs, of what the last layer is given."""

import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances, roc_auc_score
from sklearn.naive_bayes import GaussianNB

from skunlearn import FineTuneUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.embedding import embedding
from skunlearn.evaluation import verification_attack
from skunlearn.utils._check_tools import generators
from tests.instances import make_net, make_regressor_net


@pytest.fixture(scope="module")
def case():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 6)).astype(np.float32)
    y = rng.integers(0, 3, 90)
    return make_net(module__n_out=3, max_epochs=3, verbose=0).fit(X, y), X, y


def hidden(net, X):
    with torch.no_grad():
        return torch.relu(net.module_.hidden(torch.as_tensor(X))).numpy()


def test_the_embedding_is_what_the_last_layer_is_given(case):
    net, X, y = case
    rows = Rows(X, y, np.arange(5, 25))
    assert np.allclose(embedding(net, rows), hidden(net, X[5:25]), atol=1e-6)
    assert not net.module_.out._forward_pre_hooks


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_against_scikit_learn_over_all_pairs(case, metric):
    net, X, _ = case
    identity = np.array(list("aabbbc"))
    found = verification_attack({"net": net}, X[:6], identity, X[6:40], metric=metric)
    ours, theirs = hidden(net, X[:6]), hidden(net, X[6:40])
    own = pairwise_distances(ours, metric=metric)
    near = [own[i, j] for i in range(6) for j in range(i) if identity[i] == identity[j]]
    far = pairwise_distances(ours, theirs, metric=metric).ravel()
    labels = np.repeat([1, 0], [len(near), len(far)])
    assert found.loc["net", "pairs"] == len(near) == 4
    assert found.loc["net", "AUC"] == pytest.approx(
        roc_auc_score(labels, -np.concatenate([near, far])), abs=2e-3
    )
    assert "difference" not in found


def test_models_of_both_kinds_beside_the_retrained_one(case):
    net, X, y = case
    state = generators()
    unlearner = FineTuneUnlearner(make_net(module__n_out=3, max_epochs=2), random_state=0).fit(X, y)
    found = verification_attack(
        {"retrained": net, "mine": unlearner}, X[:5], [1, 1, 2, 2, 2], X[9:30]
    )
    assert generators() == state
    assert found.loc["retrained", "difference"] == 0
    assert found.loc["mine", "difference"] == found["AUC"]["mine"] - found["AUC"]["retrained"] != 0


def test_bad_requests(case):
    net, X, _ = case
    with pytest.raises(ValueError, match="no pair"):
        verification_attack({"net": net}, X[:3], [1, 2, 3], X[3:])
    with pytest.raises(ValueError, match="identity 2"):
        verification_attack({"net": net}, X[:3], [1, 2], X[3:])
    bayes = GaussianNB().fit(X, X[:, 0] > 0)
    with pytest.raises(TypeError, match="no skorch net"):
        verification_attack({"nb": bayes}, X[:2], [1, 1], X[3:])
    regressor = make_regressor_net(max_epochs=1, verbose=0).fit(X, X[:, :1])
    assert 0 <= verification_attack({"r": regressor}, X[:2], [1, 1], X[3:]).loc["r", "AUC"] <= 1
