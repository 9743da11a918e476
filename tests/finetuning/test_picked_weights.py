"""Methods that pick weights of a net: those that what it says hangs on, each of them once."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn.exceptions import UnlearningError
from skunlearn.utils import all_unlearners
from tests.small import quiet
from tests.winners import flat

pytestmark = quiet
METHODS = ["CFW", "CT", "KDE", "MSG", "NoT", "PRMQ", "RNI"]


class Odd(nn.Module):
    """Layers whose outputs are dropped at both ends, an empty one, one used twice, frozen ones."""

    def __init__(self, spare=True, frozen=(), tied=False):
        super().__init__()
        self.early, self.unused = nn.Conv2d(1, 2, 3), nn.Parameter(torch.ones(3))
        self.empty, self.norm = nn.Linear(5, 0), nn.GroupNorm(2, 4)
        self.conv, self.again = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.third = nn.Conv2d(4, 4, 3, padding=1)
        self.out, self.aux = nn.Linear(64, 3), nn.Linear(64, 3)
        self.spare = spare
        if tied:
            self.third.weight = self.again.weight
        for name in frozen:
            self.get_submodule(name).requires_grad_(False)

    def forward(self, X):
        X = X.reshape(-1, 1, 4, 4)
        if self.spare:
            self.early(X)
            self.empty(X.new_zeros(len(X), 5))
        X = torch.relu(self.again(torch.relu(self.norm(self.conv(X)))))
        X = torch.relu(self.third(X)).flatten(1)
        said = self.out(X)
        if self.spare:
            self.aux(X)
        return said


def fitted(name, seed=0, **params):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 60)
    X = (np.eye(3, 16)[y] + rng.normal(size=(60, 16))).astype(np.float32)
    module = {f"module__{k}": v for k, v in params.items() if k in ("spare", "frozen", "tied")}
    own = {k: v for k, v in params.items() if f"module__{k}" not in module}
    net = NeuralNetClassifier(
        Odd, criterion=nn.CrossEntropyLoss, lr=0.05, max_epochs=5, train_split=None, verbose=0,
        **module,
    )  # fmt: skip
    return all_unlearners()[f"{name}Unlearner"](net, random_state=seed, **own).fit(X, y)


@pytest.mark.parametrize("name", METHODS)
def test_what_reaches_no_answer_is_left_alone(name):
    """Whatever the seed; RNI would pick it, and train nothing that the loss knows of."""
    for seed in range(6 if name == "RNI" else 1):
        more = {"share": 0.01} if name == "RNI" else {}
        unlearner = fitted(name, seed, max_epochs=9, **more)
        before, after = flat(unlearner), flat(unlearner.unlearn(indices=[0, 1]))
        for key in ("early.weight", "early.bias", "unused", "aux.weight", "aux.bias"):
            assert np.array_equal(before[key], after[key]), key
        assert not np.allclose(before["out.weight"], after["out.weight"], atol=1e-3)


@pytest.mark.parametrize("name", ["CFk", "EUk"])
def test_the_last_layers_are_those_that_answer(name):
    """The head that runs last, and that nobody asks, was trained alone, and nothing forgotten."""
    unlearner = fitted(name, k=1)
    before, after = flat(unlearner), flat(unlearner.unlearn(indices=[0, 1]))
    assert not np.array_equal(before["out.weight"], after["out.weight"])
    for key in ("aux.weight", "third.weight"):
        assert np.array_equal(before[key], after[key]), key


@pytest.mark.parametrize("name", METHODS)
def test_a_net_of_which_only_a_norm_and_such_learn_is_refused(name):
    everything = ("conv", "again", "third", "out")
    with pytest.raises(UnlearningError, match="learn"):
        fitted(name, frozen=everything).unlearn(indices=[0])


@pytest.mark.parametrize("name", METHODS)
def test_frozen_layers_stay_bitwise(name):
    unlearner = fitted(name, frozen=("conv", "third"))
    before, after = flat(unlearner), flat(unlearner.unlearn(indices=[0, 1]))
    for key in ("conv.weight", "conv.bias", "third.weight", "third.bias"):
        assert np.array_equal(before[key], after[key]), key


def test_a_kernel_that_two_layers_share_is_transposed_once():
    unlearner = fitted("CT", tied=True, lr=1e-12)
    before, after = flat(unlearner), flat(unlearner.unlearn(indices=[0]))
    for key in ("conv.weight", "again.weight"):
        np.testing.assert_allclose(after[key], np.swapaxes(before[key], -1, -2), atol=1e-6)


def test_a_weight_that_two_layers_share_is_drawn_anew_once():
    unlearner = fitted("MSG", tied=True, spare=False, share=0.3, lr=1e-12)
    before, after = flat(unlearner), flat(unlearner.unlearn(indices=[0]))
    moved = ~np.isclose(before["again.weight"], after["again.weight"], atol=1e-6)
    assert moved.sum() == pytest.approx(0.3 * moved.size, abs=1)
