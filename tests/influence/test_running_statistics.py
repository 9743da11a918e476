"""Steps by inverse curvature of nets whose running statistics are taken anew after a request."""

import copy

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn
from torch.func import functional_call, hessian, jacrev

from skunlearn import InfluenceUnlearner, PUMAUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.loop.norms import renew_statistics
from skunlearn.influence import InverseCurvature

GONE = [0, 1, 2]


class Conv(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(),
            nn.Conv2d(3, 3, 3, stride=2), nn.BatchNorm2d(3), nn.ReLU(),
            nn.Flatten(), nn.Linear(12, 3),
        )  # fmt: skip


@pytest.fixture
def trained():
    """A net whose statistics are still half those of no row, after five batches."""
    rng = np.random.default_rng(0)
    X = rng.normal(2, 2, size=(40, 1, 8, 8)).astype(np.float32)
    y = rng.integers(0, 3, 40)
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        Conv, criterion=nn.CrossEntropyLoss, lr=0.1, max_epochs=5, batch_size=40,
        train_split=None, verbose=0,
    )  # fmt: skip
    return net.fit(X, y), X, y


def renewed(net, X, y):
    """A copy with the statistics that a request leaves behind."""
    net = copy.deepcopy(net)
    renew_statistics(net, Rows(X[3:], y[3:], np.arange(37)), 0)
    return net


def forget(method, net, X, y, solver="exact"):
    inverse = InverseCurvature(solver=solver, damping=1.0)
    unlearner = method(FrozenEstimator(net), inverse=inverse, step=1.0, random_state=0)
    return unlearner.fit(X, y).unlearn(indices=GONE).estimator_


def flat(net):
    return torch.cat([p.detach().reshape(-1) for p in net.module_.parameters()])


def losses(net, X, y):
    logits = net.module_.eval()(torch.as_tensor(X)).detach()
    return nn.functional.cross_entropy(logits, torch.as_tensor(y), reduction="none")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("method", [InfluenceUnlearner, PUMAUnlearner])
def test_the_step_is_that_of_the_net_with_the_statistics_that_it_ends_with(trained, method):
    net, X, y = trained
    steps = [flat(forget(method, start, X, y)) - flat(net) for start in (net, renewed(net, X, y))]
    assert steps[0].norm() > 0.01
    np.testing.assert_allclose(*steps, atol=1e-3 * float(steps[0].abs().max()))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_forget_rows_lose_by_the_step_what_an_independent_solve_says(trained):
    net, X, y = trained
    start = renewed(net, X, y)
    shapes = {name: p.shape for name, p in start.module_.named_parameters()}
    theta, x, t = flat(start), torch.as_tensor(X), torch.as_tensor(y)

    def logits(theta, x):
        parts = theta.split([shape.numel() for shape in shapes.values()])
        named = {n: v.view(s) for v, (n, s) in zip(parts, shapes.items(), strict=True)}
        return functional_call(start.module_.eval(), named, (x,))

    J, out = jacrev(logits)(theta, x[3:]).flatten(0, 1), logits(theta, x[3:])
    H = hessian(lambda o: nn.functional.cross_entropy(o, t[3:]))(out).reshape(len(J), len(J))
    G = J.T @ H @ J
    G += torch.eye(len(G)) * G.trace() / min(G.shape[0], len(J))  # a damping of 1
    slope = jacrev(lambda v: nn.functional.cross_entropy(logits(v, x[:3]), t[:3]))(theta)
    exact = torch.linalg.solve(G, slope) * 3 / 37
    cosines = {}
    for solver in ("exact", "kfac", "ekfac"):
        after = forget(InfluenceUnlearner, net, X, y, solver)
        step = flat(after) - theta
        cosines[solver] = float(torch.cosine_similarity(step, exact, dim=0))
        # By as much, to first order, as by the exact step; its damping is that of an estimate.
        assert float(slope @ step) == pytest.approx(float(slope @ exact), rel=0.35)
        # Beside the same weights with these statistics, which lower losses of all rows alike.
        before = losses(start, X, y)
        risen = losses(after, X, y) - before
        assert risen[:3].mean() > 0.3
        assert risen[3:].mean() < 0.1
    assert cosines["exact"] > 0.99
    assert min(cosines.values()) > 0.7
