"""The diagonal of the Fisher information, by which ProximalUnlearner weighs."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skunlearn import (
    ProximalUnlearner,
)
from skunlearn._torch import skorch_nets
from skunlearn._torch.gradients.fisher import diagonal_fisher
from skunlearn.exceptions import UnlearningError
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.finetuning.nets import convolutional, fitted
from tests.instances import make_net

# What the methods say about toy data is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Logistic(nn.Module):
    def __init__(self, n_in=6, n_out=3):
        super().__init__()
        self.w = nn.Linear(n_in, n_out)

    def forward(self, X):
        return self.w(X)


def test_fisher_is_the_per_row_closed_form(unrelated):
    X, y = unrelated
    net = NeuralNetClassifier(Logistic, criterion=nn.CrossEntropyLoss, lr=0.1, train_split=None)
    unlearner, net, rows = fitted(net, X, y)
    weight = net.module_.w.weight
    fisher = diagonal_fisher(net, rows, [weight], unlearner.classes_)[weight].numpy()
    score = np.eye(3)[y] - unlearner.predict_proba(X)  # ∂ log p(y|x) / ∂ logits
    per_row = np.einsum("ni,nj->nij", score, X)
    expected = (per_row**2).mean(axis=0)
    np.testing.assert_allclose(fisher, expected / expected.mean(), rtol=1e-4)
    of_the_mean = per_row.mean(axis=0) ** 2
    assert not np.allclose(fisher, of_the_mean / of_the_mean.mean(), rtol=0.1)
    # Much smaller, too: without the scaling the two would differ in size.
    assert of_the_mean.mean() < 0.1 * expected.mean()


@pytest.mark.parametrize("kind", ["NLLLoss", "BCEWithLogitsLoss", "BCELoss"])
def test_fisher_of_other_criteria(unrelated, kind):
    X, y = unrelated
    y = y % 2
    if kind == "NLLLoss":

        class Probabilities(Logistic):
            def forward(self, X):
                return torch.softmax(super().forward(X), dim=1)

        net = NeuralNetClassifier(Probabilities, module__n_out=2, train_split=None)
    elif kind == "BCEWithLogitsLoss":
        net = NeuralNetBinaryClassifier(Logistic, module__n_out=1, train_split=None)
    else:

        class Probability(Logistic):
            def forward(self, X):
                return torch.sigmoid(super().forward(X))

        net = NeuralNetBinaryClassifier(
            Probability, module__n_out=1, criterion=nn.BCELoss, train_split=None
        )
    unlearner, net, rows = fitted(net, X, y)
    weight = net.module_.w.weight
    fisher = diagonal_fisher(net, rows, [weight], unlearner.classes_)[weight].numpy()
    p = unlearner.predict_proba(X)
    score = (np.eye(2)[y] - p) if len(weight) == 2 else (y - p[:, 1])[:, None]
    expected = (np.einsum("ni,nj->nij", score, X) ** 2).mean(axis=0)
    np.testing.assert_allclose(fisher, expected / expected.mean(), rtol=1e-3)


def test_fisher_leaves_batch_norm_and_dropout_alone(unrelated):
    X, y = unrelated
    unlearner, net, rows = fitted(convolutional(), X, y)
    before = parameters(net)
    params = [net.module_.body.weight]
    one = diagonal_fisher(net, rows, params, unlearner.classes_)
    assert same_parameters(parameters(net), before)
    # In training mode BatchNorm would normalise a batch of one row by itself.
    net.module_.eval()
    log_p = torch.log_softmax(net.module_(torch.from_numpy(X[:5])), dim=1)[range(5), y[:5]]
    grads = [torch.autograd.grad(value, params, retain_graph=True)[0] for value in log_p]
    expected = sum(grad**2 for grad in grads)
    few = diagonal_fisher(net, rows.take(np.arange(5)), params, unlearner.classes_)[params[0]]
    torch.testing.assert_close(few, expected / expected.mean(), rtol=1e-3, atol=1e-5)
    assert not torch.equal(one[params[0]], few)


def test_fisher_needs_a_likelihood(unrelated):
    X, y = unrelated
    net = make_net(module__n_out=3, max_epochs=2, criterion=nn.MultiMarginLoss)
    unlearner = ProximalUnlearner(net, norm="fisher").fit(X, y)
    with pytest.raises(UnlearningError, match="MultiMarginLoss"):
        unlearner.unlearn(indices=[0])
    unlearner.set_params(norm="l2").unlearn(indices=[0])


def test_fisher_over_a_torch_dataset(unrelated):
    X, y = unrelated
    params = {"norm": "fisher", "max_epochs": 2, "random_state": 0}
    plain = ProximalUnlearner(convolutional(), **params).fit(X, y)
    unrelated = torch.utils.data.TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    whole = ProximalUnlearner(convolutional(), **params).fit(unrelated)
    fishers = []
    for unlearner in (plain, whole):
        net = skorch_nets.copy_net(plain.estimator_)
        rows = unlearner._record.view(np.arange(80))
        p = net.module_.body.weight
        fishers.append(diagonal_fisher(net, rows, [p], plain.classes_)[p])
    assert torch.equal(*fishers)
    whole.unlearn(indices=[0, 1])
