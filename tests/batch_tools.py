"""Nets, rows and methods with which training batches are tested."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn.influence import InverseCurvature
from skunlearn.utils import all_unlearners
from tests.turns import in_turns

# A quarter in the quick tests, and the other ones.
some_methods, other_methods, third_quarter, last_quarter = (
    pytest.mark.parametrize("name", in_turns(sorted(all_unlearners(nets=True)), turn))
    for turn in range(4)
)


def task(n=300):
    """Random rows of twelve floats in three classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 12)).astype(np.float32), rng.integers(0, 3, n)


class Plain(nn.Module):
    """A convolution, so that every method has something to work on."""

    def __init__(self, normed=False, n_out=3):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm1d(48) if normed else nn.Identity()
        self.out = nn.Linear(48, n_out)

    def forward(self, X):
        X = torch.relu(self.conv(X.float().reshape(-1, 1, 3, 4)).flatten(1))
        return self.out(self.norm(X))


def net(cls=NeuralNetClassifier, module=Plain, **params):
    """A classifier net for `task`."""
    given = {
        "criterion": nn.CrossEntropyLoss, "lr": 0.05, "max_epochs": 2, "batch_size": 32,
        "train_split": None,
    }  # fmt: skip
    return cls(module, **(given | params))


def unlearner(name, estimator, **params):
    """A method by its name, quick."""
    cls = all_unlearners()[name]
    known = cls(estimator).get_params(deep=False)
    inverse = InverseCurvature(curvature_rows=20, max_steps=5)
    quick = {"importance_rows": 20, "inverse": inverse, "noisy_steps": 1, "random_state": 0}
    return cls(estimator, **{k: v for k, v in (quick | params).items() if k in known})
