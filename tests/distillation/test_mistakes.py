"""Pseudo-labels: rows that oracles name wrongly are taught the class that these name."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import OracleMatchingUnlearner
from skunlearn.exceptions import UnlearningError
from tests.instances import make_net, make_regressor_net
from tests.small import quiet

pytestmark = quiet
FORGET = np.arange(12)


@pytest.fixture(scope="module")
def data():
    """Rows of three classes, and unseen ones."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(220, 6)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
    return X[:60], y[:60], X[60:], y[60:]


def test_a_step_on_mistakes_is_that_of_the_formula(data):
    """Rows that the oracle names wrongly are taught its class; the others count, and teach not."""
    X, y, *_ = data
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=6, module__out_features=3, lr=0.1, max_epochs=10,
        batch_size=64, train_split=None, verbose=0, criterion=nn.CrossEntropyLoss,
    )  # fmt: skip
    oracle = LogisticRegression(C=0.02).fit(X[12:], y[12:])
    named = oracle.predict(X[:12])
    wrong = named != y[:12]
    assert 0 < wrong.sum() < 12
    unlearner = OracleMatchingUnlearner(
        net, oracle=oracle, target="mistakes", weight=1.5, max_epochs=1, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    layer = nn.Linear(6, 3)
    layer.load_state_dict(unlearner.estimator_.module_.state_dict())
    unlearner.unlearn(indices=FORGET)
    loss = nn.functional.cross_entropy(layer(torch.from_numpy(X[12:])), torch.from_numpy(y[12:]))
    of_mistakes = nn.functional.cross_entropy(
        layer(torch.from_numpy(X[:12][wrong])), torch.from_numpy(named[wrong]), reduction="sum"
    )
    grads = torch.autograd.grad(loss + 1.5 * of_mistakes / 12, [layer.weight, layer.bias])
    for p, old, g in zip(
        unlearner.estimator_.module_.parameters(), layer.parameters(), grads, strict=True
    ):
        torch.testing.assert_close(p.detach(), old.detach() - 0.1 * g, rtol=1e-4, atol=1e-6)
    assert unlearner.deletions_[0]["oracle"]["mistakes"] == wrong.sum()
    assert unlearner._make_promises().reads_forget_labels


def test_mistakes_are_of_trained_oracles_and_of_classes(data):
    X, y, X_val, y_val = data
    unlearner = OracleMatchingUnlearner(
        make_net(module__n_out=3), target="mistakes", random_state=0
    ).fit(X, y)
    assert "oracle_share" in unlearner.search_space()
    assert unlearner._make_promises().trains_from_scratch
    rows = np.flatnonzero(y == 2)  # of a whole class no oracle names one rightly
    unlearner.unlearn(indices=rows, X_val=X_val, y_val=y_val)
    done = unlearner.deletions_[0]["oracle"]
    assert done.get("mistakes", len(rows)) == len(rows)
    values = OracleMatchingUnlearner(make_regressor_net(), target="mistakes", random_state=0)
    values.fit(X, X[:, :1])
    with pytest.raises(UnlearningError, match="one class per row"):
        values.unlearn(indices=FORGET)
