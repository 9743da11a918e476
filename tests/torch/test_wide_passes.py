"""Passes without gradients take more rows at a time than small training batches have."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn._rows.views import Rows
from skunlearn._torch import inference


class Counting(nn.Sequential):
    """Notes the sizes of its batches."""

    def __init__(self, norm=nn.Identity, n_in=6):
        super().__init__(nn.Linear(n_in, 8), norm(8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3))
        self.sizes = []

    def forward(self, X):
        self.sizes.append(len(X))
        return super().forward(X.float())


class Batchwise(nn.BatchNorm1d):
    def __init__(self, n):
        super().__init__(n, track_running_stats=False)


class Unswitched(nn.BatchNorm1d):
    """Stays in training, whatever it is told."""

    def train(self, mode=True):
        return super().train(True)


def sizes(module=Counting, n=100, dtype=np.float32, **params):
    net = NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, **({"batch_size": 8} | params)
    ).initialize()
    width = net.module_[0].in_features
    X = np.random.default_rng(0).normal(size=(n, width)).astype(dtype)
    rows = Rows(X, np.zeros(n, dtype=np.int64), np.arange(n))
    torch.manual_seed(0)
    said = inference.outputs(net, rows)
    with torch.no_grad():
        alone = torch.cat([net.module_(torch.as_tensor(X[i : i + 8])) for i in range(0, n, 8)])
    np.testing.assert_allclose(said.numpy(), alone.numpy(), rtol=1e-5, atol=1e-6)
    return net.module_.sizes[: -len(range(0, n, 8))]


def test_small_batches_are_widened():
    assert sizes() == [100]
    assert sizes(n=300) == [128, 128, 44]  # sixteen of its own
    assert sizes(n=600, batch_size=64) == [256, 256, 88]
    assert sizes(module__norm=nn.BatchNorm1d) == [100]


def test_rows_of_many_bytes_are_fewer():
    assert sizes(module__n_in=4096) == [16] * 6 + [4]


@pytest.mark.parametrize(
    "params",
    [
        {"iterator_valid__batch_size": 8},
        {"dtype": np.int64},  # an embedding may make them large
        {"module__norm": Batchwise},
        {"module__norm": Unswitched},
    ],
)
def test_batches_that_are_chosen_or_matter_stay(params):
    assert sizes(**params) == [8] * 12 + [4]


def test_large_and_whole_batches_stay():
    assert sizes(n=600, batch_size=500) == [500, 100]
    assert sizes(batch_size=-1) == [100]


def test_what_was_compiled_keeps_its_size(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda module, **how: Compiled(module))
    assert sizes(compile=True) == [8] * 12 + [4]


class Compiled(nn.Module):
    """In the place of what `torch.compile` returns."""

    def __init__(self, module):
        super().__init__()
        self._orig_mod = module

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._orig_mod, name)

    def __getitem__(self, i):
        return self._orig_mod[i]

    def forward(self, X):
        return self._orig_mod(X)
