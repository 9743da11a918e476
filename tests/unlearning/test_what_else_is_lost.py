"""Methods that may lose what was known by heart are told of what else they lose."""

import warnings

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import ShrinkPerturbUnlearner
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
