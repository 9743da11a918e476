"""The neighbouring class of boundary shrink."""

import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn.relabelling.boundary import neighbouring_class


def test_rows_of_which_a_net_is_sure_are_moved_too():
    """Where p(y|x) is 1 in float32, −log p has no gradient, and the row stayed where it was."""
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=1, module__out_features=3, criterion=nn.CrossEntropyLoss
    ).initialize()
    with torch.no_grad():
        net.module_.weight.copy_(torch.tensor([[0.0], [1.0], [100.0]]))
        net.module_.bias.copy_(torch.tensor([200.0, -60.0, -150.0]))
    x = torch.tensor([[0.0], [10.0]])
    assert net.module_(x)[0].softmax(0)[0] == 1
    # A step of one leads past the second class, which is next at 0, to the third.
    assert neighbouring_class(net, x, torch.tensor([0, 2]), 0.1, 3).tolist()[0] == 2
