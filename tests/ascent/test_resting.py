"""The ascent rests while the rows that stay are losing by it."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import NegGradPlusUnlearner
from skunlearn.ascent._resting import Rest
from skunlearn.datasets import load_digits_images


def digits_mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")
@pytest.mark.parametrize("seed", [0, 1])
def test_a_fierce_ascent_leaves_the_net_more_accurate(monkeypatch, seed):
    X, y = load_digits_images(return_X_y=True)
    net = NeuralNetClassifier(
        digits_mlp, criterion=nn.CrossEntropyLoss, lr=0.1, max_epochs=15, batch_size=64,
        optimizer__momentum=0.9, iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip
    stay, gone = (1000 + np.flatnonzero(found) for found in (y[1000:] != 3, y[1000:] == 3))
    accuracy = []
    for _ in ("resting", "never"):
        unlearner = NegGradPlusUnlearner(net, beta=0.1, bound=100.0, random_state=seed)
        unlearner.fit(X[:1000], y[:1000]).unlearn(indices=np.flatnonzero(y[:1000] == 3))
        assert unlearner.score(X[gone], y[gone]) == 0
        accuracy.append(unlearner.score(X[stay], y[stay]))
        monkeypatch.setattr(Rest, "share", lambda self, loss: 1.0)
    assert accuracy[0] > accuracy[1] + 0.05


@pytest.mark.parametrize("batch_size", [32, 256, 1000])
def test_it_rests_above_a_fifth_of_the_way_to_chance_and_goes_on_below(batch_size):
    for first, above, below in [(0.0, 0.5, 0.3), (1.0, 1.3, 1.1), (2.5, 2.6, 2.5)]:
        rest, losses = Rest(2.0, batch_size), [first] * 8 + [above] * 60 + [below] * 60
        shares = [float(rest.share(torch.tensor(loss))) for loss in losses]
        assert shares[:8] == [1.0] * 8
        assert shares[67] == 0.0
        assert shares[-1] == 1.0


def test_a_net_that_is_still_learning_is_no_reason_to_rest():
    rest = Rest(2.3, 64)  # which has a little of the way left
    losses = torch.as_tensor(np.random.default_rng(0).uniform(1.6, 1.8, 60))
    assert all(rest.share(loss) == 1 for loss in losses)


def test_fewer_rows_than_a_batch_are_a_batch_where_the_last_is_dropped():
    X, y = load_digits_images(return_X_y=True)
    net = NeuralNetClassifier(
        digits_mlp, criterion=nn.CrossEntropyLoss, max_epochs=1, batch_size=16,
        iterator_train__drop_last=True, train_split=None, verbose=0,
    )  # fmt: skip
    unlearner = NegGradPlusUnlearner(net, random_state=0).fit(X[:20], y[:20])
    measured = unlearner.unlearn(indices=range(10)).deletions_[0]["measured"]
    assert measured["forget_after"]["loss"] != measured["forget_before"]["loss"]
