"""Label smoothing and the penalty on confidence, beside closed forms."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, log_softmax

from skunlearn import (
    ProximalUnlearner,
)
from skunlearn._torch.batches.training_batch import Batch
from skunlearn._torch.loop.task_loss import TaskLoss
from skunlearn.finetuning._smoothing import soften_loss
from tests.finetuning.nets import fitted
from tests.instances import make_binary_net, make_net, make_regressor_net

# What the methods say about toy data is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize("kind", ["label_smoothing", "confidence"])
def test_softening_terms(unrelated, kind):
    X, y = unrelated
    unlearner, net, _ = fitted(make_net(module__n_out=3, max_epochs=1), X, y)
    out = net.infer(torch.from_numpy(X)).detach()
    target = torch.from_numpy(y)
    plain = net.get_loss(out, target, training=True)
    batch = Batch(torch.from_numpy(X), target)
    batch.whole, batch.task = out, TaskLoss(net)
    loss = soften_loss(net, kind, 0.2, unlearner.classes_)(batch)
    assert torch.equal(net.get_loss(out, target, training=False), plain)
    if kind == "label_smoothing":
        expected = cross_entropy(out, target, label_smoothing=0.2)
    else:
        log_p = log_softmax(out, dim=1)
        entropy = -(log_p.exp() * log_p).sum(dim=1).mean()
        expected = plain - 0.2 * entropy
    torch.testing.assert_close(loss, expected)
    assert abs(loss - plain) > 1e-3
    assert "get_loss" not in vars(net)


def test_softening_keeps_predictions_less_certain(unrelated):
    X, y = unrelated
    net = make_net(module__n_out=3, max_epochs=40)
    certainty = {}
    for kind in (None, "label_smoothing", "confidence"):
        unlearner = ProximalUnlearner(
            net, penalty=0, softening=kind, softening_strength=0.5, max_epochs=20, random_state=0
        ).fit(X, y)
        p = unlearner.unlearn(indices=np.arange(9)).predict_proba(X[9:])
        certainty[kind] = p.max(axis=1).mean()
    assert certainty["label_smoothing"] < certainty[None] - 0.02
    assert certainty["confidence"] < certainty[None] - 0.02


def test_softening_of_binary_nets_and_regressors(unrelated):
    X, y = unrelated
    binary = ProximalUnlearner(make_binary_net(), softening="label_smoothing").fit(X, y % 2)
    binary.unlearn(indices=[0])
    regressor = ProximalUnlearner(make_regressor_net(), softening="confidence").fit(X, y * 1.0)
    with pytest.raises(ValueError, match="regression"):
        regressor.unlearn(indices=[0])


def test_smoothing_cannot_be_stronger_than_one():
    net = make_net()
    with pytest.raises(ValueError, match="softening_strength"):
        ProximalUnlearner(net, softening="label_smoothing", softening_strength=1.5).fit(
            np.eye(4), [0, 1, 0, 1]
        )
