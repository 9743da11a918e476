"""Model clipping: what ε is, against a recursion and two runs in numbers, and what the steps do."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import NoisyFineTuneUnlearner
from skunlearn.certified._clipped_weights import ClippedWeights
from tests.certified.test_noisy_fine_tune import FORGET, make, task

# What the noise costs is told; see tests/unlearning/test_silent_misses.py.
pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")


def plan(steps, weights=0.3):
    return ClippedWeights(weights=weights, rate=0.1, decay=0.0, steps=steps)


def recursion(weights, sigma, steps, epsilon):
    """As the authors' accountant has it, with Q(x) the upper tail of a Gaussian."""
    delta, r = 1.0, 2 * weights / sigma
    for _ in range(steps):
        e = math.log(1 + (math.exp(epsilon) - 1) / delta)
        delta *= norm.sf(e / r - r / 2) - math.exp(e) * norm.sf(e / r + r / 2)
    return delta


@pytest.mark.parametrize("steps", [1, 3, 20])
@pytest.mark.parametrize("epsilon", [0.5, 2.0])
def test_delta_is_that_of_the_recursion_and_sigma_its_inverse(steps, epsilon):
    given, delta = plan(steps), 1e-4
    sigma = given.sigma(epsilon, delta)
    # A hair is added to lengths that a net clips in its own numbers.
    assert recursion(0.3 * (1 + 1e-4), sigma, steps, epsilon) == pytest.approx(delta, rel=1e-5)
    assert given.delta(sigma, epsilon) <= delta
    assert given.delta(sigma * 0.999, epsilon) > delta
    assert given.epsilon(sigma, delta) == pytest.approx(epsilon, rel=1e-6)
    assert given.epsilon(sigma, delta) >= epsilon * (1 - 1e-6)
    assert given.epsilon(1e6, delta) == 0.0


def test_one_step_is_the_gaussian_mechanism_and_more_steps_need_less_noise():
    sigmas = [plan(steps).sigma(1.0, 1e-5) for steps in (1, 2, 5, 10, 20, 50)]
    assert sigmas == sorted(sigmas, reverse=True)
    told = [7.46, 2.33, 1.06, 0.75, 0.59, 0.48]  # in the docstring
    assert np.array(sigmas) / 0.3 == pytest.approx(told, abs=0.006)
    # And in proportion to the norm.
    assert plan(5, 3.0).sigma(1.0, 1e-5) == pytest.approx(10 * plan(5).sigma(1.0, 1e-5), rel=1e-6)


@pytest.mark.parametrize("slope", [1.0, 5.0, -20.0])
def test_two_runs_in_numbers_are_no_further_apart_than_is_proved(slope):
    """In one dimension, from opposite ends: the densities of the weights after each step."""
    C, sigma, epsilon = 1.0, 0.9, 1.0
    grid = np.linspace(-7, 7, 1501)
    width = grid[1] - grid[0]
    kernel = norm.pdf(grid[:, None], np.clip(slope * grid, -C, C)[None, :], sigma) * width
    runs = [norm.pdf(grid, end, sigma) for end in (-C, C)]
    for steps in range(1, 5):
        found = np.maximum(runs[0] - math.exp(epsilon) * runs[1], 0).sum() * width
        proved = plan(steps, C).delta(sigma, epsilon)
        assert found <= proved + 1e-9
        if steps == 1:
            assert found == pytest.approx(proved, rel=1e-2)  # there nothing is given away
        runs = [kernel @ run for run in runs]


def test_steps_are_those_of_the_formula(monkeypatch):
    """Step, shrink, clip, noise: written out for one linear layer and full batches."""
    X, y = task(60)
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=6, module__out_features=2, criterion=nn.CrossEntropyLoss,
        lr=0.1, max_epochs=3, batch_size=1000, train_split=None, verbose=0,
    )  # fmt: skip
    kwargs = {"clipping": "weights", "weight_norm": 0.5, "noisy_steps": 3, "weight_decay": 0.2}
    unlearner = make(net, epsilon=50.0, **kwargs).fit(X, y)
    W = [p.detach().clone().double() for p in unlearner.estimator_.module_.parameters()]
    monkeypatch.setattr(NoisyFineTuneUnlearner, "_run", lambda self, net, rows: net)
    drawn, draw = [], torch.randn

    def recorded(*args, **kw):
        drawn.append(draw(*args, **kw))
        return drawn[-1]

    monkeypatch.setattr(torch, "randn", recorded)
    unlearner.unlearn(indices=FORGET)
    sigma = unlearner.deletions_[0]["proved"]["sigma"]
    A, t = torch.tensor(X[10:]).double(), torch.tensor(y[10:])
    for step in range(3):
        P = torch.softmax(A @ W[0].T + W[1], dim=1) - nn.functional.one_hot(t, 2)
        slopes = [P.T @ A / len(A), P.mean(0)]
        W = [w - 0.1 * (d + 0.2 * w) for w, d in zip(W, slopes, strict=True)]
        length = math.sqrt(sum(float((w**2).sum()) for w in W))
        noise = drawn[2 * step : 2 * step + 2]
        W = [w * min(1, 0.5 / length) + sigma * z for w, z in zip(W, noise, strict=True)]
    for p, w in zip(unlearner.estimator_.module_.parameters(), W, strict=True):
        assert torch.allclose(p.double(), w, atol=1e-5)


def test_the_certificate_says_what_is_clipped_and_what_retraining_gives():
    X, y = task()
    unlearner = make(clipping="weights", max_epochs=2).fit(X, y).unlearn(indices=FORGET)
    proved = json.loads(unlearner.certificate())["proved"]
    assert proved["epsilon"] == pytest.approx(1, rel=1e-6)
    assert proved["steps"] == 20
    assert "model clipping" in proved["assumes"]
    assert proved["sigma"] == pytest.approx(0.01 * 0.5918, rel=1e-3)
    # 20 steps of 2 batches an epoch are 10 epochs, and 2 after them.
    assert proved["retraining"]["epochs"] == 12
    assert (
        "gradient clipping"
        in make().fit(X, y).unlearn(indices=[0]).deletions_[0]["proved"]["assumes"]
    )
