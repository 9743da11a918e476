"""Nets and constructor parameters with which every estimator is tested."""

import torch
from sklearn.linear_model import LinearRegression, LogisticRegression
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skunlearn import FineTuneUnlearner, ProximalUnlearner, RetrainUnlearner


class MLP(nn.Module):
    """Lazily sized net: scikit-learn's checks feed it data of any width."""

    def __init__(self, hidden=32, n_out=10, dropout=0.0, squeeze=False):
        super().__init__()
        self.hidden = nn.LazyLinear(hidden)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(hidden, n_out)
        self.squeeze = squeeze

    def forward(self, X):
        X = X.reshape(len(X), -1).to(self.out.weight.dtype)
        out = self.out(self.dropout(torch.relu(self.hidden(X))))
        return out.squeeze(-1) if self.squeeze else out


def make_net(**kwargs):
    """A classifier net that learns small data in a moment."""
    params = {
        "criterion": nn.CrossEntropyLoss,
        "lr": 0.1,
        "optimizer__momentum": 0.9,
        "max_epochs": 30,
        "batch_size": 64,
        "iterator_train__shuffle": True,
        "train_split": None,
    }
    return NeuralNetClassifier(MLP, **(params | kwargs))


def make_binary_net(**kwargs):
    """A net with one output and BCEWithLogitsLoss."""
    params = {
        "module__n_out": 1,
        "module__squeeze": True,
        "lr": 0.1,
        "optimizer__momentum": 0.9,
        "max_epochs": 30,
        "batch_size": 64,
        "iterator_train__shuffle": True,
        "train_split": None,
    }
    return NeuralNetBinaryClassifier(MLP, **(params | kwargs))


def make_regressor_net(**kwargs):
    """A regression net."""
    params = {
        "module__n_out": 1,
        "optimizer": torch.optim.Adam,
        "lr": 0.03,
        "max_epochs": 60,
        "batch_size": 64,
        "iterator_train__shuffle": True,
        "train_split": None,
    }
    return NeuralNetRegressor(MLP, **(params | kwargs))


# One instance per method and kind of inner estimator; scikit-learn's checks run on each.
def all_instances():
    """Unlearners for scikit-learn's checks."""
    return [
        RetrainUnlearner(make_net(), random_state=0),
        FineTuneUnlearner(make_net(), random_state=0),
        ProximalUnlearner(make_net(), random_state=0),
        RetrainUnlearner(make_regressor_net(), random_state=0),
        FineTuneUnlearner(make_regressor_net(), random_state=0),
        ProximalUnlearner(make_regressor_net(), random_state=0),
        RetrainUnlearner(LogisticRegression(max_iter=500), random_state=0),
        RetrainUnlearner(LinearRegression(), random_state=0),
    ]


def binary_instances():
    """Unlearners of binary nets, for our own checks: scikit-learn's bring three classes too."""
    return [cls(make_binary_net(), random_state=0) for cls, _ in NET_METHODS.values()]


# Deep methods by name, each with a setting that forgets on the small tasks of the tests.
NET_METHODS = {
    "RetrainUnlearner": (RetrainUnlearner, {}),
    "FineTuneUnlearner": (FineTuneUnlearner, {"max_epochs": 10}),
    "ProximalUnlearner": (ProximalUnlearner, {"max_epochs": 10, "penalty": 0.001}),
}


class DictMLP(nn.Module):
    """Takes the entries of a dict as arguments."""

    def __init__(self, n_out=2):
        super().__init__()
        self.out = nn.LazyLinear(n_out)

    def forward(self, a, b):
        return self.out(torch.cat([a.float(), b.float().reshape(len(b), -1)], dim=1))


def make_dict_net(**kwargs):
    """A classifier net over ``{"a": (n, ·), "b": (n,)}``."""
    return make_net(**({"max_epochs": 2} | kwargs)).set_params(module=DictMLP)
