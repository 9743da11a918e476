"""ProximalUnlearner: its fixed points, and which weights it holds back."""

import numpy as np
import pytest
import torch
from torch import nn

from skunlearn import FineTuneUnlearner, ProximalUnlearner, callbacks
from skunlearn._torch.net_layers import layers_in_order, list_penalised_parameters
from skunlearn.callbacks import ProximalStep
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.finetuning.nets import ALL, convolutional, line, ridge, w
from tests.instances import make_net
from tests.turns import crossed_in_turns

# What the methods say about toy data is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize(
    "momentum, norm, penalty",
    crossed_in_turns([0.0, 0.9], ["l2", "fisher"], [0.1, 3.0], every=3),
)
def test_fixed_point_is_the_penalised_minimiser(quadratic, momentum, norm, penalty):
    X, y = quadratic
    net = line(optimizer__momentum=momentum, lr=0.2 * (1 - momentum))
    unlearner = ProximalUnlearner(
        net, penalty=penalty, norm=norm, max_epochs=500, schedule="constant", random_state=0
    ).fit(X, y)
    anchor = w(unlearner)
    unlearner.unlearn(indices=np.arange(8))
    weights = np.ones(3)
    if norm == "fisher":  # of a Gaussian of unit variance: the squared score, row by row
        scores = (y[8:] - X[8:] @ anchor)[:, None] * X[8:]
        weights = (scores**2).mean(axis=0)
        weights /= weights.mean()
    target = np.float32(y[8:]).astype(float)  # regression targets are float32
    expected = ridge(X[8:], target, anchor, penalty, weights)
    np.testing.assert_allclose(w(unlearner), expected, rtol=1e-6)
    assert np.abs(expected - anchor).max() > 0.1  # or the test could not fail


@pytest.mark.parametrize("norm", ["l2", "fisher"])
@pytest.mark.parametrize("penalty", [1e6, 1e30, 1e38, 1e300])
def test_huge_penalty_stays_at_the_anchor(quadratic, norm, penalty):
    X, y = quadratic
    unlearner = ProximalUnlearner(line(max_epochs=50), penalty=penalty, norm=norm).fit(X, y)
    anchor = w(unlearner)
    unlearner.unlearn(indices=np.arange(8))
    np.testing.assert_allclose(w(unlearner), anchor, atol=1e-4)


@pytest.mark.parametrize("penalty", [3e38, 1e300])
def test_huge_fisher_penalty_is_stable_in_float32(penalty):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60)
    X[:, 2] = 0  # no Fisher information: 0 · ∞ must not arise
    unlearner = ProximalUnlearner(
        make_net(module__n_out=3, max_epochs=3), penalty=penalty, norm="fisher", random_state=0
    ).fit(X, y)
    before = parameters(unlearner.estimator_)
    after = parameters(unlearner.unlearn(indices=[1, 2]).estimator_)
    moved = [np.abs(after[key] - before[key]).max() for key in before]
    assert max(moved) < 0.1


def test_no_penalty_equals_fine_tuning_bitwise(unrelated):
    X, y = unrelated
    params = {"max_epochs": 3, "random_state": 0}
    fine = FineTuneUnlearner(convolutional(), **params).fit(X, y).unlearn(indices=np.arange(9))
    prox = ProximalUnlearner(convolutional(), penalty=0, **params).fit(X, y)
    prox.unlearn(indices=np.arange(9))
    assert same_parameters(parameters(fine.estimator_), parameters(prox.estimator_))
    other = ProximalUnlearner(convolutional(), penalty=0.1, **params).fit(X, y)
    other.unlearn(indices=np.arange(9))
    assert not same_parameters(parameters(fine.estimator_), parameters(other.estimator_))


@pytest.mark.parametrize("schedule", ["linear", "constant"])
@pytest.mark.parametrize("recipe", [{}, {"lr": 0.01}, {"max_epochs": 7}, {"batch_size": 5}])
def test_default_penalty_adapts_to_the_recipe(unrelated, monkeypatch, schedule, recipe):
    """λ times the sum of the rates is a quarter: the pull alone undoes 1 − exp(−0.25)."""
    X, y = unrelated
    penalties, rates = [], []
    plain = ProximalStep.on_batch_end

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            penalties.append(self.penalty)
            rates.append(net.optimizer_.param_groups[0]["lr"] / (1 - 0.9))
        plain(self, net, training=training, **kwargs)

    monkeypatch.setattr(ProximalStep, "on_batch_end", on_batch_end)
    net = make_net(module__n_out=3, max_epochs=30, batch_size=8).set_params(**recipe)
    ProximalUnlearner(net, schedule=schedule, random_state=0).fit(X, y).unlearn(indices=[0, 1])
    assert penalties[0] * sum(rates) == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize(
    "exclude, left_out",
    [
        ((), set()),
        ("head", {"head.weight", "head.bias"}),
        ("norm", {"norm.weight", "norm.bias"}),
        ("bias", {"head.bias", "body.bias", "norm.bias"}),
        ("body.*", {"body.weight", "body.bias"}),
        (["norm", "*.bias"], {"norm.weight", "norm.bias", "head.bias", "body.bias"}),
        ("*", ALL),
    ],
)
def test_exclude(unrelated, exclude, left_out):
    X, y = unrelated
    unlearner = ProximalUnlearner(convolutional(), random_state=0).fit(X, y)
    net, rows = unlearner.estimator_, unlearner._record.view(np.arange(80))
    names = {id(p): name for name, p in net.module_.named_parameters()}
    penalised = {names[id(p)] for p in list_penalised_parameters(net, rows, exclude)}
    assert penalised == ALL - left_out
    assert [type(m) for m in layers_in_order(net, rows)][-1] is nn.Linear
    assert layers_in_order(net, rows)[-1] is net.module_.head


def test_excluded_parameters_move_and_others_do_not(unrelated):
    X, y = unrelated
    unlearner = ProximalUnlearner(
        convolutional(), penalty=1e30, norm="l2", exclude="head", max_epochs=2, random_state=0
    ).fit(X, y)
    before = parameters(unlearner.estimator_)
    after = parameters(unlearner.unlearn(indices=[0, 1]).estimator_)
    assert np.allclose(after["module.body.weight"], before["module.body.weight"], atol=1e-5)
    assert not np.allclose(after["module.head.weight"], before["module.head.weight"], atol=1e-3)
    assert np.array_equal(after["module.frozen.weight"], before["module.frozen.weight"])


def test_excluding_everything_is_fine_tuning(unrelated):
    X, y = unrelated
    for norm in ("l2", "fisher"):
        unlearner = ProximalUnlearner(convolutional(), norm=norm, exclude="*", random_state=0)
        unlearner.fit(X, y).unlearn(indices=[0])
        fine = FineTuneUnlearner(convolutional(), random_state=0).fit(X, y).unlearn(indices=[0])
        assert same_parameters(parameters(fine.estimator_), parameters(unlearner.estimator_))


def test_unknown_pattern_is_an_error(unrelated):
    X, y = unrelated
    unlearner = ProximalUnlearner(convolutional(), exclude=["bias", "conv9.*"]).fit(X, y)
    with pytest.raises(ValueError, match=r"conv9.*head\.weight"):
        unlearner.unlearn(indices=[0])
    assert unlearner.deletions_ == []


def test_steps_by_importance_are_the_same_end_to_end(monkeypatch):
    """Bit for bit, with weights that do not matter at all, in layouts of any kind."""
    draw = torch.Generator().manual_seed(0)
    shapes = [(5, 4), (5,), (3, 2, 2, 2), ()]
    weights = [torch.rand(shape, generator=draw) ** 8 for shape in shapes]
    weights[0][1] = 0
    for turned in (False, True):
        if turned:
            weights[2] = weights[2].contiguous(memory_format=torch.channels_last)
        found = {}
        for small in (0, 2**18):
            monkeypatch.setattr(callbacks, "_SMALL", small)
            shares = callbacks._Shares(weights)
            assert (shares.flat is not None) == (small > 0 and not turned)
            found[small] = [[s.clone() for s in shares.at(pull)] for pull in (0.0, 1e-3, 1e30)]
        for ours, theirs in zip(*found.values(), strict=True):
            assert all(map(torch.equal, ours, theirs))
            assert not ours[0][1].any()
