"""Noise with a proof for any net: what ε is, what is hidden, what is refused and printed."""

import copy
import json
import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skunlearn import NoisyFineTuneUnlearner, RetrainUnlearner
from skunlearn._torch import pieces
from skunlearn.certified._iteration import ClippedGradients
from skunlearn.certified._noise import shorten
from skunlearn.exceptions import UnlearningError
from tests.instances import MLP, NormNet, make_net, make_regressor_net

# Noise that hides rows destroys small models; that it says so is a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")

FORGET = np.arange(10)


def task(n=120):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 6)).astype(np.float32)
    return X, (X[:, 0] > 0).astype(int)


def small_net(**kwargs):
    return make_net(max_epochs=4, module__hidden=8, module__n_out=2, **kwargs)


def make(net=None, **kwargs):
    return NoisyFineTuneUnlearner(net or small_net(), **({"random_state": 0} | kwargs))


# ---------------------------------------------------------------------- what is proved


def worst_pair(plan, sigma):
    """Means and spread of two runs that start and are driven apart as far as the clips allow."""
    low, high, variance = -plan.start, plan.start, 0.0
    keep = 1 - plan.rate * plan.decay
    for _ in range(plan.steps):
        low, high = keep * low - plan.rate * plan.gradient, keep * high + plan.rate * plan.gradient
        variance = keep**2 * variance + sigma**2
    return low, high, math.sqrt(variance)


@pytest.mark.parametrize("decay", [0.0, 0.5])
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_epsilon_is_that_of_the_two_runs_that_are_farthest_apart(steps, decay):
    """δ at the ε that is stated, by integrating max(p − e^ε q, 0) of two simulated runs."""
    plan = ClippedGradients(start=0.3, gradient=0.2, rate=0.1, decay=decay, steps=steps)
    delta = 1e-3
    sigma = plan.sigma(1.5, delta)
    epsilon = plan.epsilon(sigma, delta)
    assert epsilon == pytest.approx(1.5, rel=1e-6)
    low, high, spread = worst_pair(plan, sigma)

    def beyond(x):
        ours = norm.pdf(x, high, spread)
        return max(ours - math.exp(epsilon) * norm.pdf(x, low, spread), 0.0)

    # Only to the right of the point where the two are e^ε apart is anything left.
    edge = (low + high) / 2 + epsilon * spread**2 / (high - low)
    found, _ = quad(beyond, edge, edge + 20 * spread, epsabs=1e-12)
    assert found <= delta
    assert found == pytest.approx(delta, rel=5e-3)  # nothing is given away either


def test_less_noise_than_in_the_papers_formula_and_of_its_form():
    epsilon, delta = 1.0, 1e-5
    for steps in (5, 50, 500):
        plan = ClippedGradients(start=1.0, gradient=1.0, rate=0.02, decay=0.0, steps=steps)
        moved = plan.start + plan.rate * plan.gradient * steps
        paper = math.sqrt(9 * math.log(1 / delta) / epsilon**2 * moved**2 / steps)
        ratio = plan.sigma(epsilon, delta) / paper
        assert 0.6 < ratio < 1
    # The least noise in all is that of T = C₀/(γC₁).
    total = [ClippedGradients(1.0, 1.0, 0.02, 0.0, steps).spread() for steps in (40, 50, 60)]
    assert total[1] == min(total)


# ---------------------------------------------------------------------- what the steps do


def test_steps_are_those_of_the_formula(monkeypatch):
    """Clip, step, shrink, noise: written out for one linear layer and full batches."""
    X, y = task(60)
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=6, module__out_features=2, criterion=nn.CrossEntropyLoss,
        lr=0.1, max_epochs=3, batch_size=1000, train_split=None, verbose=0,
    )  # fmt: skip
    kwargs = {"weight_norm": 0.5, "gradient_norm": 0.05, "noisy_steps": 3, "weight_decay": 0.2}
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

    def length(parts):
        return math.sqrt(sum(float((part**2).sum()) for part in parts))

    W = [w * min(1, 0.5 / length(W)) for w in W]
    for step in range(3):
        P = torch.softmax(A @ W[0].T + W[1], dim=1) - nn.functional.one_hot(t, 2)
        g = [P.T @ A / len(A), P.mean(0)]
        g = [part * min(1, 0.05 / length(g)) for part in g]
        noise = drawn[2 * step : 2 * step + 2]
        W = [w - 0.1 * (d + 0.2 * w) + sigma * z for w, d, z in zip(W, g, noise, strict=True)]
    for p, w in zip(unlearner.estimator_.module_.parameters(), W, strict=True):
        assert torch.allclose(p.double(), w, atol=1e-5)


def test_noise_is_of_the_operating_system_unless_seeded():
    X, y = task()

    def weights(state):
        unlearner = make(random_state=state).fit(X, y)
        unlearner._change(seed=0)
        return unlearner.unlearn(indices=FORGET).estimator_.module_.out.weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(None), weights(None))
    entry = make().fit(X, y).unlearn(indices=FORGET).deletions_[0]
    assert entry["seed"] is None
    assert entry["parameters"]["random_state"] is None


class Counter(Callback):
    """Counts the batches of every training that asks it."""

    called = 0

    def on_batch_begin(self, net, **kwargs):
        Counter.called += 1


class Carrier(Callback):
    """Keeps the weights of the first training, to put them back."""

    def on_train_end(self, net, **kwargs):
        Carrier.kept = {key: v.clone() for key, v in net.module_.state_dict().items()}


def test_no_callback_of_the_users_sees_the_noisy_steps():
    X, y = task()
    unlearner = make(small_net(callbacks=[Counter()]), max_epochs=1).fit(X, y)
    Counter.called = 0
    steps = unlearner.unlearn(indices=FORGET).deletions_[0]["proved"]["steps"]
    per_epoch = 2  # of 110 rows, and as many in the retraining beside it
    assert steps > 2
    assert Counter.called == per_epoch * (
        1 + unlearner.deletions_[0]["proved"]["retraining"]["epochs"]
    )


def test_a_callback_that_holds_weights_is_refused():
    X, y = task()
    unlearner = make(small_net(callbacks=[Carrier()]), max_epochs=1).fit(X, y)
    with pytest.raises(TypeError, match=r"Carrier\.kept"):
        unlearner.unlearn(indices=FORGET)
    assert unlearner.deletions_ == []


def test_running_statistics_carry_nothing_past_the_noise():
    """The result is the same whatever they were: a step depends on weights and batch alone."""
    X, y = task()
    net = small_net().set_params(module=NormNet)
    trained = RetrainUnlearner(net, random_state=0).fit(X, y).estimator_

    def weights(shift):
        moved = copy.deepcopy(trained)
        moved.module_.norm.running_mean += shift
        unlearner = make(FrozenEstimator(moved), max_epochs=1).fit(X, y)
        return unlearner.unlearn(indices=FORGET).estimator_.module_.state_dict()

    given, other = weights(0.0), weights(100.0)
    assert all(torch.equal(given[key], other[key]) for key in given)


# ---------------------------------------------------------------------- what is told


def test_certificate_prints_a_retraining_beside_epsilon():
    X, y = task()
    unlearner = make(max_epochs=2).fit(X, y)
    assert unlearner.privacy_spent().epsilon == 0
    unlearner.unlearn(indices=FORGET)
    text = unlearner.certificate()
    content = json.loads(text)
    proved = content["proved"]
    assert content["guarantee"] == "(epsilon, delta)"
    assert 0 < proved["epsilon"] <= 1.0000001
    # 10 steps of 2 batches an epoch are 5 epochs, and 2 after them.
    assert proved["steps"] == 10
    beside = proved["retraining"]
    assert beside["epochs"] == 7
    floor = RetrainUnlearner(small_net(), max_epochs=7, random_state=0).fit(X, y)
    floor.unlearn(indices=FORGET)
    assert beside["score"] == pytest.approx(np.mean(floor.predict(X[10:]) == y[10:]))
    assert beside["score_of_this_model"] == pytest.approx(
        np.mean(unlearner.predict(X[10:]) == y[10:])
    )
    words = content["guarantee_in_words"]["text"]
    assert f"{beside['score']:.3f}" in words
    assert "7" in words


def test_every_request_is_covered_by_itself_at_the_epsilon_of_its_time():
    X, y = task()
    unlearner = make().fit(X, y).unlearn(indices=[0])
    assert unlearner.privacy_spent().epsilon == pytest.approx(1)
    unlearner.set_params(epsilon=8.0)
    assert unlearner.privacy_spent().epsilon == pytest.approx(1)  # of the model that there is
    unlearner.unlearn(indices=[1])
    assert unlearner.privacy_spent().epsilon == pytest.approx(8)
    first, second = (entry["proved"]["sigma"] for entry in unlearner.deletions_)
    assert second < first


def test_little_noise_keeps_what_the_net_knows():
    """Where ε is vast the method is fine-tuning: so it is the noise that costs the accuracy."""
    X, y = task()
    known = {"weight_norm": 100.0, "gradient_norm": 1.0, "noisy_steps": 2, "max_epochs": 1}
    unlearner = make(epsilon=1e8, **known).fit(X, y)
    before = unlearner.score(X, y)
    assert unlearner.unlearn(indices=FORGET).score(X, y) > before - 0.05


def test_regression_nets_are_taken():
    X, y = task()
    y = X[:, 0]
    unlearner = make(make_regressor_net(max_epochs=2)).fit(X, y).unlearn(indices=FORGET)
    assert unlearner.privacy_spent().epsilon == pytest.approx(1)


# ---------------------------------------------------------------------- what is refused


class Frozen(MLP):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.out.bias.requires_grad_(False)


class OwnStep(NeuralNetClassifier):
    def train_step(self, batch, **kwargs):
        return super().train_step(batch, **kwargs)


class OneBatch(torch.utils.data.DataLoader):
    """Says that it has all batches, and gives the first."""

    def __iter__(self):
        yield next(super().__iter__())


class Buffered(MLP):
    """Counts its rows in a buffer."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, X):
        if self.training:
            self.seen += len(X)
        return super().forward(X)


def buffer_net():
    return small_net().set_params(module=Buffered)


def frozen_net():
    return small_net().set_params(module=Frozen)


def own_net():
    return OwnStep(MLP, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=1, verbose=0)


def half_net():
    return small_net().set_params(module=HalfNet)


class HalfNet(MLP):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.to(torch.bfloat16)


@pytest.mark.parametrize(
    ("net", "says"),
    [
        (buffer_net, "buffers seen are not"),
        (frozen_net, "out.bias is frozen"),
        (own_net, "OwnStep"),
        (half_net, "32 or 64 bits"),
    ],
)
def test_what_would_escape_the_noise_is_refused(net, says):
    X, y = task()
    unlearner = make(net()).fit(X, y)
    with pytest.raises(TypeError, match=says):
        unlearner.unlearn(indices=FORGET)
    assert unlearner.deletions_ == []


def test_decay_beyond_a_step_and_too_few_batches_are_refused():
    X, y = task()
    unlearner = make(weight_decay=10.0).fit(X, y)
    with pytest.raises(ValueError, match="must be below 1"):
        unlearner.unlearn(indices=FORGET)
    unlearner = make(small_net(iterator_train=OneBatch)).fit(X, y)
    with pytest.raises(UnlearningError, match="gave no more than 6 of the 10"):
        unlearner.unlearn(indices=FORGET)
    assert unlearner.deletions_ == []


@pytest.mark.parametrize("piece", [3, 1000])
def test_vectors_of_several_pieces_are_clipped_as_one(piece, monkeypatch):
    monkeypatch.setattr(pieces, "_NUMBERS", piece)
    given = [torch.full((2, 4), 2.0), torch.full((8,), -2.0)]
    shorten(given, 9.0)  # longer than it is
    assert all(bool((t.abs() == 2).all()) for t in given)
    shorten(given, 4.0)
    assert [t.unique().tolist() for t in given] == [[1.0], [-1.0]]
