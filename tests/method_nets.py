"""Nets whose layers are registered out of order, or whose gradients are in closed form."""

import numpy as np
import torch
from scipy.special import softmax
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn.utils._check_tools import parameters

FORGET = np.arange(12)


class Headed(nn.Module):
    """Two layers and a norm; the head is registered first."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)

    def forward(self, X):
        return self.head(torch.relu(self.norm(self.first(X))))


def headed(**kwargs):
    params = {
        "criterion": nn.CrossEntropyLoss, "lr": 0.05, "optimizer__momentum": 0.9,
        "optimizer__weight_decay": 0.01, "max_epochs": 10, "batch_size": 16,
        "iterator_train__shuffle": True, "train_split": None,
    }  # fmt: skip
    return NeuralNetClassifier(Headed, **(params | kwargs))


def linear(**kwargs):
    """Multinomial logistic regression; its gradients are in closed form."""
    params = {
        "module__in_features": 4, "module__out_features": 3, "module__bias": False,
        "criterion": nn.CrossEntropyLoss, "lr": 0.1, "max_epochs": 20, "batch_size": -1,
        "train_split": None,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, **(params | kwargs))


def weights_of(unlearner):
    return parameters(unlearner.estimator_)


def weight(unlearner):
    return unlearner.estimator_.module_.weight.detach().numpy().astype(np.float64)


def gradient(W, X, y):
    """Of the mean cross-entropy of a linear net."""
    return (softmax(X @ W.T, axis=1) - np.eye(3)[y]).T @ X / len(y)
