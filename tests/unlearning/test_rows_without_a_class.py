"""What is said of requests to nets whose rows have several labels, or numbers."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_friedman1
from skorch import NeuralNet, NeuralNetRegressor
from torch import nn

from skunlearn import FineTuneUnlearner
from skunlearn._torch.skorch_nets import copy_net
from skunlearn.exceptions import NotForgottenWarning
from tests.varied_nets import Given, VariedMLP, scaled

HOW = {
    "optimizer__momentum": 0.9,
    "batch_size": 32,
    "iterator_train__shuffle": True,
    "train_split": None,
    "verbose": 0,
}


class Times(VariedMLP):
    """Outputs in another unit."""

    def __init__(self, by=1.0):
        super().__init__(10, 1, 128)
        self.by = by

    def forward(self, X):
        return self.by * super().forward(X)


class Over(nn.MSELoss):
    """In the first unit, so that the training is the same."""

    def __init__(self, by=1.0):
        super().__init__()
        self.by = by

    def forward(self, ours, theirs):
        return super().forward(ours / self.by, theirs / self.by)


def said(unlearner, forget, **unseen):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        unlearner.unlearn(indices=forget, **unseen)
    return [str(w.message) for w in caught if issubclass(w.category, NotForgottenWarning)]


@pytest.mark.parametrize("by", [0.01, 1.0, 100.0])
def test_the_unit_of_targets_makes_no_difference(by):
    """The function hardly changes, by a fifth of a per cent of the loss, whatever the weights."""
    X, y = make_friedman1(300, 10, noise=3, random_state=0)
    y = by * ((y - y.mean()) / y.std()).astype(np.float32)[:, None]
    recipe = NeuralNetRegressor(
        Times, criterion=Over, module__by=by, criterion__by=by, lr=0.03, max_epochs=60, **HOW
    )
    one = Given(recipe, random_state=0).fit(scaled(X), y)
    new = copy_net(one.estimator_)
    error = (one.predict(scaled(X)[:30]) - y[:30]) / by
    first, *_, last = new.module_.children()
    with torch.no_grad():
        first.weight *= 1.5
        first.bias *= 1.5
        last.weight /= 1.5
        up = -error.mean() + np.sqrt(error.mean() ** 2 + 0.002 * np.square(error).mean())
        last.bias += float(up)
    one.given = new
    (text,) = said(one, range(30))
    losses = [one.deletions_[0]["measured"][f"forget_{key}"]["loss"] for key in ("before", "after")]
    assert losses[1] / losses[0] == pytest.approx(1.002, abs=5e-4)
    assert "did not raise the loss" in text


def test_labels_that_are_known_of_unseen_rows_as_well_are_no_memory():
    """The loss of the forget rows is as it was, though the weights have moved."""
    X = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    y = (X[:, :4] > 0).astype(np.float32)
    recipe = NeuralNet(
        VariedMLP, criterion=nn.BCEWithLogitsLoss, module__n_in=8, module__n_out=4, lr=0.1,
        module__width=32, max_epochs=40, **HOW,
    )  # fmt: skip
    one = FineTuneUnlearner(recipe, lr=0.01, random_state=0).fit(X[:1500], y[:1500])
    assert said(one, range(150), X_val=X[1500:], y_val=y[1500:]) == []
    losses = [one.deletions_[0]["measured"][f"forget_{key}"]["loss"] for key in ("before", "after")]
    assert losses[1] <= losses[0] < 0.05
