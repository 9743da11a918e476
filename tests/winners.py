"""A net of two layers and rows for it, for the winners of the challenge of 2023."""

import numpy as np
from skorch import NeuralNetClassifier
from torch import nn, relu


class Two(nn.Module):
    """Two linear layers with a norm in between, of which some may be frozen."""

    def __init__(self, frozen=(), n_out=3):
        super().__init__()
        self.first, self.norm = nn.Linear(4, 8), nn.LayerNorm(8)
        self.out = nn.Linear(8, n_out)
        for name in frozen:
            self.get_submodule(name).requires_grad_(False)

    def forward(self, X):
        return self.out(relu(self.norm(self.first(X))))


def two(**params):
    """A recipe around it."""
    params = {"criterion": nn.CrossEntropyLoss, "lr": 0.1, "max_epochs": 20} | params
    return NeuralNetClassifier(Two, train_split=None, verbose=0, **params)


def rows():
    """Three classes in four dimensions."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    return (np.eye(3, 4)[y] + rng.normal(size=(90, 4))).astype(np.float32), y


def flat(unlearner):
    """Parameters of a fitted unlearner's net by name, copies."""
    named = unlearner.estimator_.module_.named_parameters()
    return {name: p.detach().numpy().copy() for name, p in named}
