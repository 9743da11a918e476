"""CFW: the first layer drowned in noise, and trained back."""

from functools import partial

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skunlearn import CFWUnlearner, FineTuneUnlearner
from skunlearn.exceptions import UnlearningError
from skunlearn.finetuning import cfw
from skunlearn.finetuning.cfw import drown
from tests.heart import check_nearer
from tests.small import quiet
from tests.winners import flat, rows, two

pytestmark = quiet


def test_the_first_layer_alone_is_drowned_and_keeps_its_length():
    X, y = rows()
    unlearner = CFWUnlearner(two(), late_noise=0, lr=1e-12, random_state=0).fit(X, y)
    before = flat(unlearner)
    after = flat(unlearner.unlearn(X[:9], y[:9]))
    for name in before:
        if name != "first.weight":
            np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    old, new = before["first.weight"], after["first.weight"]
    assert np.linalg.norm(new) == pytest.approx(np.linalg.norm(old), rel=1e-5)
    assert abs(np.corrcoef(old.ravel(), new.ravel())[0, 1]) < 0.5  # of 32 weights


@pytest.mark.parametrize("noise", [0.0, 0.3, 1.0, 10.0])
def test_what_is_left_of_the_weights_is_as_the_formula_says(noise):
    torch.manual_seed(0)
    old = torch.randn(300, 400) * 0.05
    new = old.clone()
    drown(new, noise)
    assert float(new.norm() / old.norm()) == pytest.approx(1, rel=1e-5)
    left = float((new * old).sum() / (old * old).sum())
    assert left == pytest.approx(1 / np.sqrt(1 + noise**2), abs=0.01)
    torch.manual_seed(0)
    torch.randn(300, 400)
    by_hand = old + noise * old.square().mean().sqrt() * torch.randn(300, 400)
    torch.testing.assert_close(new, by_hand * old.norm() / by_hand.norm(), rtol=1e-4, atol=1e-7)


def test_weights_of_nothing_stay():
    weight = torch.zeros(3, 2)
    drown(weight, 10.0)
    assert torch.equal(weight, torch.zeros(3, 2))


@pytest.mark.parametrize("epochs, late", [(1, []), (2, [0]), (5, [0])])
def test_noise_comes_once_more_before_the_last_pass(epochs, late, monkeypatch):
    X, y = rows()
    drawn, left = [], []

    class Watch(Callback):
        def on_epoch_end(self, net, **kwargs):
            left.append(len(drawn))

    unlearner = CFWUnlearner(
        two(callbacks=[("watch", Watch())]), late_noise=0.5, max_epochs=epochs, random_state=0
    ).fit(X, y)
    monkeypatch.setattr(cfw, "drown", lambda weight, noise: drawn.append(noise))
    left.clear()
    unlearner.unlearn(indices=[0, 1])
    assert drawn == [10.0, *(0.5 for _ in late)]
    assert left == [1] * (epochs - 1) + [1 + len(late)]


def test_without_noise_it_is_fine_tuning():
    X, y = rows()
    plain, bare = (
        method(two(), max_epochs=3, lr=0.1, random_state=0, **params)
        .fit(X, y)
        .unlearn(indices=[0, 1])
        for method, params in (
            (FineTuneUnlearner, {}),
            (CFWUnlearner, {"noise": 0, "late_noise": 0}),
        )
    )
    for name, value in flat(plain).items():
        np.testing.assert_allclose(flat(bare)[name], value, rtol=1e-6)


def test_rows_known_by_heart_are_let_go_of():
    check_nearer(partial(CFWUnlearner, random_state=0), way=0.7, moved=None)


def test_frozen_layers_are_passed_over_and_said():
    X, y = rows()
    unlearner = CFWUnlearner(two(module__frozen=("first",)), random_state=0).fit(X, y)
    before = flat(unlearner)
    after = flat(unlearner.unlearn(indices=[0]))
    assert np.array_equal(before["first.weight"], after["first.weight"])
    assert abs(np.corrcoef(before["out.weight"].ravel(), after["out.weight"].ravel())[0, 1]) < 0.9
    unlearner = CFWUnlearner(two(module__frozen=("first", "out")), random_state=0).fit(X, y)
    with pytest.raises(UnlearningError, match="none learns"):
        unlearner.unlearn(indices=[0])


def test_channels_last_and_batch_norm():
    """A kernel in another layout is drowned in its place."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.out = nn.Linear(16, 3)
            self.to(memory_format=torch.channels_last)

        def forward(self, X):
            return self.out(torch.relu(self.norm(self.conv(X))).flatten(1))

    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    X = (rng.normal(size=(60, 3, 4, 4)) + y[:, None, None, None]).astype(np.float32)
    net = NeuralNetClassifier(
        Net, criterion=nn.CrossEntropyLoss, lr=0.05, max_epochs=10, train_split=None, verbose=0
    )
    unlearner = CFWUnlearner(net, random_state=0).fit(X, y)
    user, said = unlearner.estimator_, unlearner.predict_proba(X)
    unlearner.unlearn(indices=[0, 1])
    kernel = unlearner.estimator_.module_.conv.weight
    assert kernel.is_contiguous(memory_format=torch.channels_last)
    assert np.array_equal(user.predict_proba(X), said)  # the net before is as it was


def test_a_net_of_one_layer():
    X, y = rows()
    net = two().set_params(module=partial(nn.Linear, 4, 3))
    assert CFWUnlearner(net, random_state=0).fit(X, y).unlearn(indices=[0]).deletions_
