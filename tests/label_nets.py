"""Nets that say several things of a row, or do not say by their class what they predict."""

import numpy as np
import torch
from skorch import NeuralNet

N, FORGET = 120, np.arange(20)


class Mlp(torch.nn.Module):
    """A hidden layer behind a convolution, for methods that look for one."""

    def __init__(self, n_outputs=4, flat=False, last=None):
        super().__init__()
        self.conv = torch.nn.Conv2d(1, 4, 3, padding=1)
        self.hidden = torch.nn.Linear(48, 32)
        self.out = torch.nn.Linear(32, n_outputs)
        self.flat, self.last = flat, last

    def forward(self, x):
        """Logits, or what `last` makes of them."""
        x = self.conv(x.view(len(x), 1, 3, 4)).relu().flatten(1)
        out = self.out(self.hidden(x).relu())
        out = out if self.last is None else getattr(torch, self.last)(out)
        return out[:, 0] if self.flat else out


def plain_net(criterion=torch.nn.BCEWithLogitsLoss, cls=NeuralNet, **params):
    """A plain NeuralNet for rows of twelve numbers."""
    recipe = {
        "module": Mlp,
        "criterion": criterion,
        "optimizer": torch.optim.Adam,
        "lr": 0.01,
        "max_epochs": 40,
        "batch_size": 32,
        "train_split": None,
        "iterator_train__shuffle": True,
        "verbose": 0,
    }
    return cls(**(recipe | params))


def labelled(n=N, seed=0, random=FORGET):
    """Rows with four labels each; those of the rows `random` are drawn, to be learnt by heart."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 12)).astype(np.float32)
    y = (X[:, :4] + X[:, 4:8] > 0).astype(int)
    y[random] = rng.integers(2, size=(len(y[random]), 4))
    return X, y


def valued(n=N, seed=0):
    """Rows with four targets each, half noise."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 12)).astype(np.float32)
    return X, (X[:, :4] + 0.5 * rng.normal(size=(n, 4))).astype(np.float32)
