"""Digits that a small net learns by heart, for tests of AutoUnlearner."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn.metrics import auc, membership_scores

# Small nets that know random labels by heart lose them with the others.
damaged = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")
SCORES = ("loss", "margin", "confidence", "entropy", "modified_entropy")


class MLP(nn.Module):
    def __init__(self, n_out=10, n_in=64, hidden=512, norm=False):
        super().__init__()
        self.first = nn.Linear(n_in, hidden)
        self.norm = nn.BatchNorm1d(hidden) if norm else nn.Identity()
        self.last = nn.Linear(hidden, n_out)

    def forward(self, X):
        return self.last(torch.relu(self.norm(self.first(X))))


def net(cls=NeuralNetClassifier, **changed):
    params = {
        "module": MLP, "optimizer__momentum": 0.9, "lr": 0.1, "max_epochs": 60, "batch_size": 64,
        "iterator_train__shuffle": True, "train_split": None, "verbose": 0,
    }  # fmt: skip
    if cls is NeuralNetClassifier:
        params["criterion"] = nn.CrossEntropyLoss
    return cls(**(params | changed))


def unsure(**changed):
    """More steps on `small` than a training that is done anew, and labels not known by heart."""
    return net(max_epochs=20, batch_size=8, lr=0.005, **changed)


def digits(seed=0):
    """A fifth of the labels is wrong, in unseen rows too; 100 of 1000 rows are to go."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(X))
    X, y = (X[order] / 16).astype(np.float32), y[order]
    wrong = rng.random(len(y)) < 0.2
    y = np.where(wrong, (y + rng.integers(1, 10, len(y))) % 10, y)
    return X[:1000], y[:1000], X[1000:], y[1000:], rng.choice(1000, 100, replace=False)


def small(n=120):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(2 * n, 64)).astype(np.float32)
    y = rng.integers(0, 3, 2 * n)
    return X[:n], y[:n], X[n:], y[n:]


def sides(unlearner, X, y, X_unseen, y_unseen):
    """AUC by every score."""
    with np.errstate(divide="ignore"):
        ours, theirs = (
            np.maximum(np.log(unlearner.predict_proba(rows)), -80) for rows in (X, X_unseen)
        )
    return {
        score: auc(membership_scores(ours, y, score), membership_scores(theirs, y_unseen, score))
        for score in SCORES
    }


def started(unlearner, state):
    vars(unlearner).update(state)
    return unlearner
