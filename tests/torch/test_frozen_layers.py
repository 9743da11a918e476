"""Methods that change layers before they train: only those that learn."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Freezer
from torch import nn

from skunlearn import (
    BoundaryUnlearner,
    CFkUnlearner,
    CTUnlearner,
    EUkUnlearner,
    MSGUnlearner,
    NoTUnlearner,
)
from skunlearn.exceptions import UnlearningError
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import Snapshot, parameters
from tests.instances import ConvNet, make_net
from tests.small import FORGET, quiet

pytestmark = quiet


class Deep(nn.Module):
    """Two convolutions and two linear layers; the first of each may be frozen."""

    def __init__(self, frozen=()):
        super().__init__()
        self.lift, self.first = nn.Linear(4, 16), nn.Conv2d(1, 2, 3, padding=1)
        self.second, self.out = nn.Conv2d(2, 2, 3, padding=1), nn.Linear(32, 3)
        for name in frozen:
            self.get_submodule(name).requires_grad_(False)

    def forward(self, X):
        X = self.first(torch.relu(self.lift(X)).reshape(-1, 1, 4, 4))
        return self.out(torch.relu(self.second(torch.relu(X))).flatten(1))


def frozen_in_the_module(*names):
    return make_net(module__frozen=names, max_epochs=2, batch_size=16).set_params(module=Deep)


def frozen_by_a_callback(*names):
    freezer = Freezer([f"{name}.*" for name in names])
    net = make_net(callbacks=[("freeze", freezer)], max_epochs=2, batch_size=16)
    return net.set_params(module=Deep)


def frozen_by_a_rate_of_zero(*names):
    groups = [(f"{name}.*", {"lr": 0.0}) for name in names]
    net = make_net(optimizer__param_groups=groups, max_epochs=2, batch_size=16)
    return net.set_params(module=Deep)


ways = pytest.mark.parametrize(
    "freeze", [frozen_in_the_module, frozen_by_a_callback, frozen_by_a_rate_of_zero]
)


def request(cls, net, data, **params):
    """Weights before and after a request with hardly any training."""
    X, y = data
    unlearner = cls(net, lr=1e-9, max_epochs=1, random_state=0, **params).fit(X, y)
    before = parameters(unlearner.estimator_)
    return before, parameters(unlearner.unlearn(indices=FORGET).estimator_), unlearner


@ways
@pytest.mark.parametrize("frozen, negated", [((), "lift"), (("lift", "first"), "second")])
def test_not_negates_the_first_layer_that_learns(data, freeze, frozen, negated):
    before, after, _ = request(NoTUnlearner, freeze(*frozen), data)
    for name in ("lift", "first", "second", "out"):
        sign = -1 if name == negated else 1
        key = f"module.{name}.weight"
        np.testing.assert_allclose(after[key], sign * before[key], atol=1e-5)


@ways
def test_ct_and_msg_leave_frozen_kernels(data, freeze):
    for cls in (CTUnlearner, MSGUnlearner):
        before, after, _ = request(cls, freeze("first"), data)
        assert np.array_equal(before["module.first.weight"], after["module.first.weight"])
        assert not np.allclose(before["module.second.weight"], after["module.second.weight"])


@ways
@pytest.mark.parametrize(
    "cls, frozen, message",
    [
        (
            NoTUnlearner,
            ("lift", "first", "second", "out"),
            "(4 are|the net is) frozen",
        ),
        (NoTUnlearner, ("lift", "first", "second"), "of 4 such layers 3 are frozen"),
        (MSGUnlearner, ("lift", "first", "second", "out"), "none learns|net is frozen"),
        (CTUnlearner, ("first", "second"), "convolutions that learn"),
        (EUkUnlearner, ("out",), "Linear among the layers to initialise again is frozen"),
        (CFkUnlearner, ("out",), "the last 1 layers, which are frozen"),
    ],
)
def test_layers_that_could_not_be_trained_back_are_refused(data, freeze, cls, frozen, message):
    X, y = data
    trained = make_net(max_epochs=1).set_params(module=Deep).fit(X, y)
    if freeze is frozen_by_a_rate_of_zero:
        trained.set_params(optimizer__param_groups=[(f"{n}.*", {"lr": 0.0}) for n in frozen])
        vars(trained)["optimizer__param_groups"] = [(f"{n}.*", {"lr": 0.0}) for n in frozen]
    else:
        for name in frozen:
            trained.module_.get_submodule(name).requires_grad_(False)
    unlearner = cls(FrozenEstimator(trained), max_epochs=1, random_state=0).fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(UnlearningError, match=message):
        unlearner.unlearn(indices=FORGET)
    state.check("a refusal")


TRAIN_AFRESH = ("AmnesiacUnlearner", "RetrainUnlearner", "RewindUnlearner", "ShardedUnlearner")


@pytest.mark.parametrize(
    "cls", [cls for name, cls in all_unlearners(nets=True).items() if name not in TRAIN_AFRESH]
)
def test_a_net_of_which_nothing_learns_is_refused_by_every_method(data, cls):
    X, y = data
    trained = make_net(max_epochs=1, module__n_out=3)
    if cls is CTUnlearner:  # which refuses nets without convolutions before that
        trained.set_params(module=ConvNet)
    trained.fit(X, y)
    trained.module_.requires_grad_(False)
    unlearner = cls(FrozenEstimator(trained), random_state=0).fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(UnlearningError, match="Every weight of the net is frozen"):
        unlearner.unlearn(indices=FORGET)
    state.check("a refusal")


def test_msg_refuses_where_no_weight_of_a_layer_learns(data):
    X, y = data
    trained = make_net(max_epochs=1, module__n_out=3).fit(X, y)
    for name, p in trained.module_.named_parameters():
        p.requires_grad_("weight" not in name)
    unlearner = MSGUnlearner(FrozenEstimator(trained), random_state=0).fit(X, y)
    with pytest.raises(UnlearningError, match=r"MSGUnlearner.*none learns"):
        unlearner.unlearn(indices=FORGET)


def test_a_frozen_head_is_not_trained_by_its_widened_copy(data):
    X, y = data
    X, y = X.copy(), np.where(y == 2, 1, y)
    X[:6] += 4
    y[:6] = 2
    net = frozen_in_the_module("out").set_params(max_epochs=30)
    unlearner = BoundaryUnlearner(net, kind="expand", lr=0.1, random_state=0).fit(X, y)
    assert unlearner.score(X[:6], y[:6]) == 1
    before = parameters(unlearner.estimator_)
    after = parameters(unlearner.unlearn(indices=FORGET).estimator_)
    assert np.array_equal(before["module.out.weight"], after["module.out.weight"])
    assert not np.array_equal(before["module.lift.weight"], after["module.lift.weight"])
