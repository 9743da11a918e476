"""Steps of methods that relabel, on linear nets: by numpy from what they drew."""

import numpy as np
import pytest
import torch
from scipy.special import softmax
from skorch.callbacks import Callback
from torch import nn

from skunlearn import BoundaryUnlearner, RandomLabelUnlearner, SalUnUnlearner, UNSIRUnlearner
from tests.method_nets import FORGET, gradient, linear, weight
from tests.small import quiet

pytestmark = quiet
KEPT = np.arange(12, 60)


class Look(Callback):
    """Notes the labels of every batch, and the weights before it."""

    seen = []

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        (W,) = (p.detach().numpy().astype(np.float64) for p in net.module_.parameters())
        y = np.empty(len(batch.y), dtype=int)
        if len(y) == 60:
            y[batch.rows.numpy()] = batch.y.numpy()
        Look.seen.append((y, W))


def salient(W, X, y, share):
    """The largest sizes of the gradient of the mean loss, of all weights together."""
    sizes = np.abs(gradient(W, X, y))
    return sizes >= np.sort(sizes, axis=None)[-round(share * sizes.size)]


@pytest.mark.parametrize("share", [None, 0.25, 0.5])
def test_random_labels_and_salun_are_their_formula(data, share):
    """Every row counts alike, whichever its label; SalUn moves the weights of its mask alone."""
    X, y = data
    net = linear(callbacks=[("look", Look())])
    given = {"lr": 0.5, "max_epochs": 3, "schedule": "constant", "random_state": 0}
    if share is None:
        unlearner = RandomLabelUnlearner(net, **given).fit(X, y)
    else:
        unlearner = SalUnUnlearner(net, share=share, **given).fit(X, y)
    W = start = weight(unlearner)
    mask = 1.0 if share is None else salient(W, X[FORGET], y[FORGET], share)
    Look.seen.clear()
    unlearner.unlearn(indices=FORGET)
    order = np.r_[KEPT, FORGET]
    assert len(Look.seen) == 3
    for labels, _ in Look.seen:
        W = W - 0.5 * mask * gradient(W, X[order], labels)
    assert weight(unlearner) == pytest.approx(W, abs=1e-6)
    assert np.abs(W - start).max() > 0.01
    if share is not None:
        assert (weight(unlearner) != start).sum() == round(share * 12)


def test_boundary_shrink_is_its_formula(data):
    """Down the loss of the classes across the boundary of the original, on forget rows alone."""
    X, y = data
    rows = np.flatnonzero(y == 1)
    unlearner = BoundaryUnlearner(
        linear(), step=0.3, bound=1e9, max_norm=1e9, lr=0.5, max_epochs=3, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    W = start = weight(unlearner)
    uphill = np.sign((softmax(X[rows] @ W.T, axis=1) - np.eye(3)[1]) @ W)
    said = (X[rows] + 0.3 * np.ptp(X[rows]) * uphill) @ W.T
    said[:, 1] = -np.inf
    for _ in range(3):
        W = W - 0.5 * gradient(W, X[rows], said.argmax(axis=1))
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(W, abs=1e-5)
    assert np.abs(W - start).max() > 0.01


class Last(nn.Sequential):
    """A linear layer inside of a module."""

    def __init__(self, **params):
        super().__init__(nn.Linear(**params))


@pytest.mark.parametrize("module", [Last, nn.Linear])
def test_boundary_expand_is_its_formula(data, module):
    """Forget rows are of a fourth class for as long as they are taught, and its weights go."""
    X, y = data
    rows = np.flatnonzero(y == 1)
    net = linear(callbacks=[("look", Look())]).set_params(module=module)
    unlearner = BoundaryUnlearner(
        net, kind="expand", bound=1e9, max_norm=1e9, lr=0.5, max_epochs=3, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    (p,) = unlearner.estimator_.module_.parameters()
    before = p.detach().numpy()
    Look.seen.clear()
    unlearner.unlearn(indices=rows)
    W = Look.seen[0][1]
    assert W.shape == (4, 4)
    assert np.array_equal(W[:3], before)
    for _ in range(3):
        W = W - 0.5 * (softmax(X[rows] @ W.T, axis=1) - np.eye(4)[3]).T @ X[rows] / len(rows)
    (p,) = unlearner.estimator_.module_.parameters()
    assert p.detach().numpy() == pytest.approx(W[:3], abs=1e-5)
    assert np.abs(p.detach().numpy() - before).max() > 0.01
    assert unlearner.predict_proba(X).shape == (60, 3)


def adam(x, slope, steps, rate=0.1):
    """Steps of Adam as its paper has them."""
    m = v = np.zeros_like(x)
    for t in range(1, steps + 1):
        g = slope(x)
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        x = x - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return x


def test_unsir_is_its_formula(data, monkeypatch):
    """Noise that maximises the loss of its class, an epoch on it and retained rows, and a repair.

    The gradient of the impairing epoch is clipped to one.
    """
    X, y = data
    rows = np.flatnonzero(y == 1)
    kept, drawn, draw = np.flatnonzero(y != 1), [], torch.randn
    unlearner = UNSIRUnlearner(
        linear(), noise_rows=5, noise_steps=7, noise_share=0.4, lr=0.5, max_epochs=2,
        schedule="constant", random_state=0,
    ).fit(X, y)  # fmt: skip
    W = start = weight(unlearner)
    monkeypatch.setattr(
        torch, "randn", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1].clone()
    )
    unlearner.unlearn(indices=rows)
    (noise,) = (d.numpy().astype(np.float64) for d in drawn)
    assert noise.shape == (5, 4)

    def slope(N):
        """Of −CE + 0.1 · mean N² by the noise."""
        errors = softmax(N @ start.T, axis=1) - np.eye(3)[1]
        return -errors @ start / 5 + 0.1 * 2 * N / N.size

    noise = adam(noise, slope, 7)
    spoilt = gradient(W, noise, np.ones(5, int))
    step = 0.6 * gradient(W, X[kept], y[kept]) + 0.4 * spoilt
    W = W - 0.5 * step / max(1, np.linalg.norm(step))
    W = W - 0.5 * gradient(W, X[kept], y[kept])
    assert weight(unlearner) == pytest.approx(W, abs=1e-4)
    assert np.abs(W - start).max() > 0.01
