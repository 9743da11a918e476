"""Which weights a fine-tuning ends with: those of the best epoch, or their mean."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import (
    CoUnUnlearner,
    FineTuneUnlearner,
    ProximalUnlearner,
)
from skunlearn._unlearning import removal
from skunlearn.callbacks import HeldOutStopping, MeanWeights
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import make_net

# What the methods say about toy data is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_early_stopping_restores_the_best_epoch(unrelated, monkeypatch):
    X, y = unrelated
    states = []

    plain = HeldOutStopping.on_epoch_end

    def spy(self, net, **kwargs):
        try:
            plain(self, net, **kwargs)
        finally:
            states.append((net.history[-1, "held_out_loss"], parameters(net)))

    monkeypatch.setattr(HeldOutStopping, "on_epoch_end", spy)
    unlearner = FineTuneUnlearner(
        make_net(module__n_out=3, max_epochs=40),
        early_stopping=True,
        n_iter_no_change=3,
        validation_fraction=0.2,
        max_epochs=60,
        lr=0.3,
        schedule="constant",
        random_state=0,
    ).fit(X, y)
    unlearner.unlearn(indices=np.arange(9))
    losses = [loss for loss, _ in states]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 60  # stopped three epochs after the best
    assert same_parameters(parameters(unlearner.estimator_), states[best][1])
    assert not same_parameters(parameters(unlearner.estimator_), states[-1][1])


def test_rows_held_out_are_stratified_and_not_trained_on(unrelated):
    X, y = unrelated
    unlearner = FineTuneUnlearner(
        make_net(module__n_out=3, max_epochs=1), early_stopping=True, validation_fraction=0.25
    ).fit(X, y)
    rows = unlearner._record.view(np.arange(80))
    train, held_out = unlearner._hold_out(rows)
    assert not set(train.index) & set(held_out.index)
    assert sorted([*train.index, *held_out.index]) == list(range(80))
    for label in range(3):
        n = np.sum(y == label)
        assert np.sum(held_out.y == label) == round(0.25 * n)


class Normalised(nn.Sequential):
    def __init__(self):
        super().__init__(nn.BatchNorm1d(6), nn.Linear(6, 3))


@pytest.mark.parametrize("cls", [FineTuneUnlearner, ProximalUnlearner, CoUnUnlearner])
def test_average_weights_ends_with_the_mean_over_all_batches(unrelated, cls, monkeypatch):
    X, y = unrelated
    states = []
    plain = MeanWeights.on_batch_end

    def spy(self, net, training=False, **kwargs):
        states.append(parameters(net))
        plain(self, net, training=training, **kwargs)

    monkeypatch.setattr(MeanWeights, "on_batch_end", spy)
    params = {"max_epochs": 3, "lr": 0.3, "random_state": 0}
    net = make_net(module__n_out=3, max_epochs=5)
    averaged = cls(net, average_weights=True, **params).fit(X, y).unlearn(indices=np.arange(9))
    last = cls(net, **params).fit(X, y).unlearn(indices=np.arange(9))
    assert len(states) == 6  # two batches an epoch
    for key, mean in parameters(averaged.estimator_).items():
        assert np.allclose(np.mean([state[key] for state in states], axis=0), mean, atol=1e-6)
    # It changes what is kept, and nothing on the way.
    assert same_parameters(states[-1], parameters(last.estimator_))
    assert not same_parameters(parameters(averaged.estimator_), states[-1])


def test_average_weights_covers_batch_normalisation(unrelated, monkeypatch):
    X, y = unrelated
    # At the end of a request they would be taken anew.
    monkeypatch.setattr(removal, "renew_statistics", lambda net, rows, seed: None)
    net = NeuralNetClassifier(
        Normalised, criterion=torch.nn.CrossEntropyLoss, train_split=None, batch_size=200
    )
    norms = [
        FineTuneUnlearner(net, average_weights=average, max_epochs=2, random_state=0)
        .fit(X, y)
        .unlearn(indices=np.arange(9))
        .estimator_.module_[0]
        for average in (True, False)
    ]
    assert norms[0].num_batches_tracked == norms[1].num_batches_tracked > 0
    assert not torch.equal(norms[0].running_mean, norms[1].running_mean)


def test_average_weights_and_early_stopping_exclude_each_other(unrelated):
    with pytest.raises(ValueError, match="use one"):
        FineTuneUnlearner(make_net(), average_weights=True, early_stopping=True).fit(*unrelated)
