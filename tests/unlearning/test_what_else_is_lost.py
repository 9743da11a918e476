"""Methods that may lose what was known by heart are told of what else they lose."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from skunlearn import AutoUnlearner, ShrinkPerturbUnlearner
from skunlearn.exceptions import ModelDamagedWarning

WRONG = 0.3  # share of the labels


def module():
    return nn.Sequential(
        nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3)
    )


def forget(wrong, max_epochs):
    """Accuracy lost on retained rows, and on unseen ones, and the warnings of damage."""
    data = load_wine()
    X, X_test, y, y_test = train_test_split(
        scale(data.data).astype(np.float32), data.target, test_size=0.3, random_state=0
    )
    rng = np.random.default_rng(0)
    drawn = rng.random(len(y)) < wrong
    y = np.where(drawn, rng.integers(0, 3, len(y)), y)
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, lr=0.05, optimizer__momentum=0.9, max_epochs=40,
        batch_size=32, iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip
    unlearner = ShrinkPerturbUnlearner(net, max_epochs=max_epochs, random_state=0).fit(X, y)
    sides = (X[6:], y[6:]), (X_test, y_test)
    before = [unlearner.score(*side) for side in sides]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        unlearner.unlearn(indices=range(6))
    lost = [b - unlearner.score(*side) for b, side in zip(before, sides, strict=True)]
    return *lost, [w for w in caught if issubclass(w.category, ModelDamagedWarning)]


def test_accuracy_that_no_wrong_label_explains_is_told_of():
    retained, unseen, said = forget(wrong=0.0, max_epochs=1)
    assert 0.1 < retained < 0.4  # less than the method may lose of what is known by heart
    assert unseen > 0.1
    assert len(said) == 1


@pytest.mark.parametrize("max_epochs", [None, 12])
def test_wrong_labels_known_by_heart_are_no_accuracy_to_keep(max_epochs):
    retained, unseen, said = forget(WRONG, max_epochs)
    assert 0.1 < retained < 0.4
    assert unseen < 0.05
    assert not said


class Words(nn.Module):
    def __init__(self, n_words=40, n_classes=4):
        super().__init__()
        self.words, self.out = nn.EmbeddingBag(n_words, 64), nn.Linear(64, n_classes)
        self.hidden = nn.Linear(64, 64)

    def forward(self, X):
        return self.out(torch.relu(self.hidden(self.words(X))))


def sentences(n, rng):
    """Rows of words, of which each class has some of its own; their numbers mean nothing."""
    y = rng.integers(0, 4, n)
    own = np.random.default_rng(0).permutation(40).reshape(4, 10)
    liked = own[y][np.arange(n)[:, None], rng.integers(0, 10, (n, 12))]
    words = np.where(rng.random((n, 12)) < 0.35, liked, rng.integers(0, 40, (n, 12)))
    return words, np.where(rng.random(n) < 0.2, rng.integers(0, 4, n), y)


def labels(n, rng):
    """Rows with six labels each, a sixth of which is wrong."""
    X = rng.normal(size=(n, 20)).astype(np.float32)
    y = X[:, :6] + X[:, 6:12] > 0
    return X, (y ^ (rng.random(y.shape) < 0.16)).astype(np.float32)


def for_labels():
    return nn.Sequential(nn.Linear(20, 128), nn.ReLU(), nn.Linear(128, 6))


def net_for(data):
    given = {
        "max_epochs": 60, "batch_size": 32, "optimizer": torch.optim.Adam, "lr": 3e-3,
        "iterator_train__shuffle": True, "train_split": None, "verbose": 0,
    }  # fmt: skip
    if data is sentences:
        return NeuralNetClassifier(Words, criterion=nn.CrossEntropyLoss, **given)
    return NeuralNet(for_labels, criterion=nn.BCEWithLogitsLoss, **given)


@pytest.mark.parametrize("data", [sentences, labels])
def test_of_rows_whose_neighbours_say_nothing_noise_is_no_accuracy_to_keep(data):
    """Neighbours among numbers of words agree by chance, and one wrong label of six is enough."""
    X, y = data(700, np.random.default_rng(1))
    unlearner = AutoUnlearner(net_for(data), random_state=0).fit(X[:400], y[:400])

    def find_right():
        said = unlearner.predict_proba(X)
        named = said.argmax(axis=1) == y if data is sentences else ((said > 0.5) == y).all(axis=1)
        return np.array([named[20:400].mean(), named[400:].mean()])

    before = find_right()
    unlearner.unlearn(indices=np.arange(20))  # no warning, which would be an error
    lost = before - find_right()
    assert lost[0] > (0.1 if data is sentences else 0.4)
    assert lost[1] < 0.02
