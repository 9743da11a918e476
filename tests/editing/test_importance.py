"""What methods that edit weights by their importance compute."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from torch import nn

from skunlearn import FisherForgettingUnlearner, SSDUnlearner
from skunlearn.editing.ssd import dampen
from tests.method_nets import FORGET, linear, weight

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_dampening_is_its_formula():
    p = [nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]))]
    ours, everyone = [torch.tensor([1.0, 50.0, 10.0, 0.0])], [torch.tensor([1.0, 1.0, 1.0, 0.0])]
    dampen(p, ours, everyone, alpha=10.0, strength=5.0)
    # Only the second exceeds 10 times; it is multiplied by 5 · 1 / 50.
    assert torch.allclose(p[0], torch.tensor([1.0, 0.2, 3.0, 4.0]))


def test_importance_does_not_depend_on_the_batch_size(data):
    X, y = data
    rows = np.flatnonzero(y == 1)
    results = []
    for size in (4, 60):
        unlearner = SSDUnlearner(linear(batch_size=20), random_state=0).fit(X, y)
        unlearner.estimator_.set_params(batch_size=size)
        results.append(weight(unlearner.unlearn(indices=rows)))
    assert np.array_equal(*results)


def test_importance_is_the_mean_of_squares(data):
    X, y = data
    rows = np.flatnonzero(y == 1)
    unlearner = SSDUnlearner(linear(), alpha=1.2, random_state=0).fit(X, y)
    W = weight(unlearner)

    def importance(index):
        p = softmax(X[index] @ W.T, axis=1) - np.eye(3)[y[index]]
        return ((p[:, :, None] * X[index][:, None, :]) ** 2).mean(axis=0)

    f, d = importance(rows), importance(np.arange(60))
    expected = np.where(f > 1.2 * d, W * np.minimum(d / f, 1), W)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(expected, rel=1e-4)
    assert not np.array_equal(expected, W)


@pytest.mark.parametrize("limit, reached", [(1e6, False), (0.05, True)])
def test_fisher_noise_is_its_formula(data, monkeypatch, limit, reached):
    """Of variance α · mean F / F · mean W², F of the retained rows; here with draws of one."""
    X, y = data
    unlearner = FisherForgettingUnlearner(linear(), alpha=0.01, limit=limit, random_state=0)
    W = weight(unlearner.fit(X, y))
    kept = np.setdiff1d(np.arange(60), FORGET)
    errors = softmax(X[kept] @ W.T, axis=1) - np.eye(3)[y[kept]]
    fisher = ((errors[:, :, None] * X[kept][:, None, :]) ** 2).mean(axis=0)
    spread = np.sqrt(0.01 * fisher.mean() / fisher)
    assert (spread > limit).any() == reached
    monkeypatch.setattr(torch, "randn_like", torch.ones_like)
    expected = W + np.sqrt((W**2).mean()) * np.minimum(spread, limit)
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(expected, rel=1e-4)


def test_fisher_noise_is_larger_where_the_rows_hold_less(data):
    X, y = data
    X = X * np.array([1, 1, 1, 0.01], dtype=np.float32)  # the last input hardly matters
    moved = []
    for seed in range(5):
        unlearner = FisherForgettingUnlearner(linear(), alpha=1e-4, random_state=seed).fit(X, y)
        W = weight(unlearner)
        moved.append(np.abs(weight(unlearner.unlearn(indices=FORGET)) - W).mean(axis=0))
    moved = np.mean(moved, axis=0)
    assert moved[3] > 3 * moved[:3].max()
    limit = FisherForgettingUnlearner(linear(), alpha=1e9, limit=0.1, random_state=0).fit(X, y)
    W = weight(limit)
    spread = (weight(limit.unlearn(indices=FORGET)) - W).std()
    assert spread == pytest.approx(0.1 * np.sqrt((W**2).mean()), rel=0.5)
