"""Nets that several tests of fine-tuning train."""

import numpy as np
import torch
from skorch import NeuralNetRegressor
from torch import nn

from skunlearn import (
    FineTuneUnlearner,
)
from tests.instances import make_net


class Line(nn.Module):
    """y = X w, whose penalised least squares have a closed form."""

    def __init__(self, n_in=3, n_out=1):
        super().__init__()
        self.w = nn.Linear(n_in, n_out, bias=False)

    def forward(self, X):
        return self.w(X)


def line(**kwargs):
    params = {"lr": 0.2, "max_epochs": 100, "batch_size": -1, "train_split": None}
    # float64, so that the fixed point can be told from its neighbours.
    return NeuralNetRegressor(DoubleLine, **(params | kwargs))


class DoubleLine(Line):
    def __init__(self, n_in=3):
        super().__init__(n_in)
        self.double()


def ridge(X, y, anchor, penalty, weights):
    """Minimiser of mean (y - Xw)² + λ/2 Σ F (w - a)²."""
    hessian = 2 * X.T @ X / len(X) + penalty * np.diag(weights)
    return np.linalg.solve(hessian, 2 * X.T @ y / len(X) + penalty * weights * anchor)


def w(unlearner):
    return unlearner.estimator_.module_.w.weight.detach().numpy().ravel().copy()


class Convolutional(nn.Module):
    """The head is registered first; one normalisation layer, one unused layer."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 3)
        self.body = nn.Linear(6, 8)
        self.norm = nn.BatchNorm1d(8)
        self.frozen = nn.Linear(8, 8).requires_grad_(False)

    def forward(self, X):
        return self.head(self.frozen(torch.relu(self.norm(self.body(X)))))


def convolutional(**kwargs):
    return make_net(max_epochs=3, **kwargs).set_params(module=Convolutional)


ALL = {"head.weight", "head.bias", "body.weight", "body.bias", "norm.weight", "norm.bias"}


def fitted(net, X, y):
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y)
    return unlearner, unlearner.estimator_, unlearner._record.view(np.arange(len(X)))
