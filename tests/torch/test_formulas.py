"""Matrices that a formula gives are told from learnt ones."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, load_iris
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch import nn

from skunlearn._recipe.from_scratch import name_trained
from skunlearn._torch.formulas import is_formula
from tests.carriers import net


def _positions(n, width):
    angles = torch.outer(torch.arange(float(n)), 1e4 ** (-torch.arange(0, width, 2) / width))
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _grid(side, width):
    one = _positions(side, width // 2)
    both = [one[None].expand(side, -1, -1), one[:, None].expand(-1, side, -1)]
    return torch.cat([torch.zeros(1, width), torch.cat(both, dim=2).reshape(-1, width)])


def _diagonal(kernel, channels=5):
    weight = torch.zeros(channels, channels, *kernel.shape)
    weight[range(channels), range(channels)] = kernel
    return weight


RAMP = torch.tensor([0.25, 0.75, 0.75, 0.25])
SOBEL = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]])
FORMULAS = {
    "positions": lambda: _positions(12, 16)[None],
    "many positions": lambda: _positions(2000, 64),
    "grid": lambda: _grid(14, 64)[None],
    "cosine transform": lambda: torch.cos(
        torch.outer(torch.arange(24.0), torch.arange(24.0) + 0.5) * math.pi / 24
    ),
    "rates of a state space": lambda: torch.arange(1.0, 17.0).log().repeat(2048, 1),
    "centres": lambda: torch.linspace(0, 5, 50),
    "bilinear": lambda: _diagonal(torch.outer(RAMP, RAMP)),
    "edges of each channel": lambda: SOBEL.repeat(16, 1, 1, 1),
    "hierarchy": lambda: torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.5, 0.5, 1.0]]),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formulas(name):
    weight = FORMULAS[name]()
    assert is_formula(weight)
    drawn = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    assert not is_formula(weight + 0.05 * drawn)


def _spectra(n=40, places=300):
    peaks, t = np.random.default_rng(0).random((2, n, 1)), np.linspace(0, 1, places)
    return torch.as_tensor(np.exp(-(((t - peaks) / 0.2) ** 2)).sum(axis=0))


def test_rows_and_weights_are_none():
    for load in (load_digits, load_iris):
        X, y = load(return_X_y=True)
        assert not is_formula(torch.as_tensor(X[:60]))
        assert not is_formula(torch.as_tensor(LinearDiscriminantAnalysis().fit(X, y).coef_))
    assert not is_formula(_spectra())
    assert not is_formula(_spectra()[0])
    assert not is_formula(1 + 1e-4 * torch.randn(64))  # scales of a normalization


class Placed(nn.Module):
    """Adds positions that do not learn, as vision transformers do."""

    def __init__(self, learnt=False):
        super().__init__()
        places = torch.randn(12, 16, generator=torch.Generator().manual_seed(0))
        places = places if learnt else _positions(12, 16)
        self.one, self.two = nn.Linear(1, 16), nn.Linear(16, 3)
        self.places = nn.Parameter(places, requires_grad=False)

    def forward(self, X):
        return self.two((self.one(X[..., None]) + self.places).tanh().mean(dim=1))


def test_nets_that_begin_with_a_formula_begin_with_nothing_learnt():
    assert name_trained(net(Placed)) == []
    assert "module.places" in name_trained(net(Placed, module__learnt=True))[0]
