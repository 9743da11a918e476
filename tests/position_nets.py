"""Nets with a class for each position of a row: of the next word of a text, of a pixel."""

import numpy as np
import torch
from skorch import NeuralNet
from torch import nn

WORDS, PADDED, LENGTH = 12, 0, 8


class NextWord(nn.Module):
    def __init__(self, width=24):
        super().__init__()
        self.words = nn.Embedding(WORDS, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, WORDS)

    def forward(self, X):
        return self.out(self.gru(self.words(X))[0]).movedim(-1, 1)


class Pixels(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.last = nn.Conv2d(width, 3, 1)

    def forward(self, X):
        return self.last(self.norm(self.first(X)).relu())


def texts(n, seed):
    """Each word has a likely successor; texts end early, and padding does not count."""
    chain = np.random.default_rng(7).permutation(np.arange(1, WORDS))
    rng = np.random.default_rng(seed)
    words = np.zeros((n, LENGTH + 1), int)
    words[:, 0] = rng.integers(1, WORDS, n)
    for t in range(LENGTH):
        any_word = rng.integers(1, WORDS, n)
        words[:, t + 1] = np.where(rng.random(n) < 0.6, chain[words[:, t] - 1], any_word)
    X, y = words[:, :-1].copy(), words[:, 1:].copy()
    X[np.arange(LENGTH) >= rng.integers(LENGTH - 2, LENGTH + 1, n)[:, None]] = PADDED
    y[X == PADDED] = PADDED
    return X, y


def images(n, seed, size=6):
    """Of three classes of pixels, by themselves and by that above, some of them wrong."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 1, size, size)).astype(np.float32)
    y = np.digitize(X[:, 0] + np.roll(X[:, 0], 1, 1), [-0.7, 0.7])
    wrong = rng.random(y.shape) < 0.15
    y[wrong] = rng.integers(0, 3, wrong.sum())
    return X, y


def _recipe(module, epochs, **params):
    return NeuralNet(
        module,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=0.01,
        max_epochs=epochs,
        batch_size=32,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        **params,
    )


def next_word(epochs=40, **params):
    return _recipe(NextWord, epochs, criterion__ignore_index=PADDED, **params)


def pixels(epochs=10, **params):
    return _recipe(Pixels, epochs, **params)
