"""Schedules of the net and of the unlearner, over every phase of a method."""

from inspect import signature

import numpy as np
import pytest
from skorch.callbacks import Callback, LRScheduler, WarmRestartLR
from torch.optim import lr_scheduler, swa_utils

from skunlearn import (
    FineTuneUnlearner,
    GradientAscentUnlearner,
    RandomLabelUnlearner,
    SalUnUnlearner,
    SCRUBUnlearner,
    UNSIRUnlearner,
)
from skunlearn.callbacks import LinearDecay
from skunlearn.utils import all_unlearners
from tests.instances import ConvNet
from tests.small import FORGET, net, quiet
from tests.torch.rates import Rates, fresh
from tests.turns import crossed_in_turns, in_turns

pytestmark = quiet


def sequential(optimizer, last_epoch=-1):
    parts = [
        lr_scheduler.LinearLR(optimizer, 0.5, total_iters=1),
        lr_scheduler.ExponentialLR(optimizer, 0.5),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[1], last_epoch=last_epoch)


def chained(optimizer, last_epoch=-1):
    parts = [
        lr_scheduler.ConstantLR(optimizer, 0.5, total_iters=1),
        lr_scheduler.ExponentialLR(optimizer, 0.5),
    ]
    return lr_scheduler.ChainedScheduler(parts)


POLICIES = {
    "StepLR": (lr_scheduler.StepLR, {"step_size": 1, "gamma": 0.5}),
    "MultiStepLR": (lr_scheduler.MultiStepLR, {"milestones": [1, 2], "gamma": 0.5}),
    "ConstantLR": (lr_scheduler.ConstantLR, {"factor": 0.5, "total_iters": 2}),
    "LinearLR": (lr_scheduler.LinearLR, {"start_factor": 0.5, "total_iters": 3}),
    "ExponentialLR": (lr_scheduler.ExponentialLR, {"gamma": 0.5}),
    "PolynomialLR": (lr_scheduler.PolynomialLR, {"total_iters": 4}),
    "CosineAnnealingLR": (lr_scheduler.CosineAnnealingLR, {"T_max": 5}),
    "CosineAnnealingWarmRestarts": (lr_scheduler.CosineAnnealingWarmRestarts, {"T_0": 2}),
    "LambdaLR": (lr_scheduler.LambdaLR, {"lr_lambda": lambda epoch: 0.5**epoch}),
    "MultiplicativeLR": (lr_scheduler.MultiplicativeLR, {"lr_lambda": lambda epoch: 0.5}),
    "ReduceLROnPlateau": (lr_scheduler.ReduceLROnPlateau, {"patience": 0, "threshold": 1e9}),
    "CyclicLR": (lr_scheduler.CyclicLR, {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2}),
    "OneCycleLR": (lr_scheduler.OneCycleLR, {"max_lr": 0.1, "total_steps": 60}),
    "SequentialLR": (sequential, {}),
    "ChainedScheduler": (chained, {}),
    "SWALR": (swa_utils.SWALR, {"swa_lr": 0.01, "anneal_epochs": 3}),
    "WarmRestartLR": (WarmRestartLR, {"max_lr": 0.1, "base_period": 3}),
}
FIXED = ("CyclicLR", "OneCycleLR", "WarmRestartLR")
policies = pytest.mark.parametrize("policy", POLICIES)
PHASED = {
    "scrub": (SCRUBUnlearner, {}),
    "unsir": (UNSIRUnlearner, {}),
    "random": (RandomLabelUnlearner, {"order": "sequential"}),
    "salun": (SalUnUnlearner, {"order": "sequential"}),
}

METHODS = {
    name: cls
    for name, cls in all_unlearners(nets=True).items()
    if "schedule" in signature(cls).parameters
}
OWN_TESTS = ("FineTuneUnlearner", "RandomLabelUnlearner", "SalUnUnlearner", "SCRUBUnlearner")


def scheduled(policy, **kwargs):
    kind, params = POLICIES[policy]
    if policy == "ChainedScheduler":
        kwargs["event_name"] = None
    return [("rate", LRScheduler(kind, **params, **kwargs))]


@pytest.mark.parametrize(
    "policy, method_and_unit",
    crossed_in_turns(POLICIES, [*((name, "epoch") for name in PHASED), ("random", "batch")]),
)
def test_every_policy_of_torch_in_every_phased_method(data, policy, method_and_unit):
    (X, y), (method, every) = data, method_and_unit
    cls, params = PHASED[method]
    model = net(callbacks=[*scheduled(policy, step_every=every), ("rates", Rates())])
    unlearner = cls(model, schedule="net", max_epochs=3, random_state=0, **params).fit(X, y)
    for row in (0, 1):  # the second request begins the schedule again
        Rates.seen.clear()
        unlearner.unlearn(indices=[10 * row + i for i in range(6)])
        seen = np.array(Rates.seen)[:, 0]
        if row == 0:
            first = seen
    np.testing.assert_allclose(seen[:3], first[:3])  # 54 and 48 rows make four batches and three
    names = [name for name, _ in unlearner.estimator_.callbacks_]
    assert names.count("rate") == 1
    if every == "epoch" and policy not in ("ReduceLROnPlateau",):
        assert len(np.unique(seen.round(9))) <= 3  # it is an epoch's rate in all of its phases


@pytest.mark.parametrize("name", in_turns([name for name in METHODS if name not in OWN_TESTS], 2))
def test_every_method_trains_under_the_nets_schedule(data, name):
    """Also one that trains more than once, or passes through the rows before it does."""
    X, y = data
    model = net(callbacks=[*scheduled("StepLR"), ("rates", Rates())])
    if name == "CTUnlearner":
        model.set_params(module=ConvNet)
    unlearner = METHODS[name](model, schedule="net", max_epochs=2, random_state=0).fit(X, y)
    Rates.seen.clear()
    unlearner.unlearn(indices=FORGET)
    assert unlearner.deletions_
    seen = np.array(Rates.seen)[:, 0]
    assert np.isclose(seen, seen[0] / 2).any()  # in a second epoch


@pytest.mark.parametrize("policy", [name for name in POLICIES if name != "ReduceLROnPlateau"])
def test_phases_see_the_schedule_that_a_plain_training_sees(data, policy):
    """One epoch of a method of several phases is one epoch of the schedule."""
    X, y = data
    found = []
    for cls, params in ((FineTuneUnlearner, {}), PHASED["random"]):
        model = net(callbacks=[*scheduled(policy), ("rates", Rates())])
        unlearner = cls(model, schedule="net", max_epochs=3, random_state=0, **params).fit(X, y)
        Rates.seen.clear()
        unlearner.unlearn(indices=FORGET)
        per_epoch = len(Rates.seen) // 3
        found.append(np.array(Rates.seen)[::per_epoch, 0])
    np.testing.assert_allclose(found[0], found[1])


def test_no_momentum_passes_from_one_phase_to_the_next(data):
    X, y = data

    class Momentum(Callback):
        starts = []

        def on_train_begin(self, net, **kwargs):
            Momentum.starts.append(len(net.optimizer_.state))

    model = net(callbacks=[*scheduled("StepLR"), ("momentum", Momentum())])
    unlearner = SCRUBUnlearner(model, schedule="net", max_epochs=3, random_state=0).fit(X, y)
    Momentum.starts.clear()
    unlearner.unlearn(indices=FORGET)
    assert Momentum.starts == [0] * 5  # two epochs of two phases, and one of one


def test_a_decay_of_skunlearns_own_runs_over_all_phases(data):
    X, y = data
    model = net(lr=0.1, callbacks=[("decay", LinearDecay()), ("rates", Rates())])
    unlearner = UNSIRUnlearner(model, lr=0.1, schedule="net", max_epochs=4, random_state=0).fit(
        X, y
    )
    Rates.seen.clear()
    unlearner.unlearn(indices=FORGET)
    assert np.unique(np.round(Rates.seen, 6)).tolist() == [0.025, 0.05, 0.075, 0.1]


@policies
def test_rates_of_an_unlearner_under_the_nets_schedule(data, policy):
    """They scale it, or it is said that they cannot."""
    X, y = data
    seen = []
    for params in ({"lr": 0.1}, {"lr": 0.05}):
        model = net(lr=0.1, callbacks=[*scheduled(policy), ("rates", Rates())])
        unlearner = FineTuneUnlearner(model, schedule="net", random_state=0, **params).fit(X, y)
        Rates.seen.clear()
        if policy in FIXED and params["lr"] != 0.1:
            with pytest.raises(ValueError, match=f"to {policy}, which sets rates of its own"):
                unlearner.unlearn(indices=FORGET)
            return
        unlearner.unlearn(indices=FORGET)
        seen.append(Rates.seen[0][0])
    assert seen[1] == pytest.approx(seen[0] / 2)


@pytest.mark.parametrize("policy", FIXED)
@pytest.mark.parametrize("every", ["epoch", "batch"])
@pytest.mark.parametrize("cls", [GradientAscentUnlearner, UNSIRUnlearner])
def test_small_steps_are_not_lost_to_a_fixed_schedule(data, policy, every, cls, monkeypatch):
    X, y = data
    monkeypatch.setattr("skunlearn.ascent._bound._FEW", -1.0)  # so that no run ends sooner
    seen = []
    for share in (1.0, cls._lr_share):
        monkeypatch.setattr(cls, "_lr_share", share)
        model = net(callbacks=[*scheduled(policy, step_every=every), ("rates", Rates())])
        unlearner = cls(model, schedule="net", max_epochs=3, random_state=0).fit(X, y)
        Rates.seen.clear()
        unlearner.unlearn(indices=np.arange(20))
        seen.append(np.array(Rates.seen))
        assert not any(name == "skunlearn_share" for name, _ in unlearner.estimator_.callbacks_)
    assert cls._lr_share < 1
    np.testing.assert_allclose(seen[1], cls._lr_share * seen[0])
    assert len(np.unique(seen[0])) > 1


def test_several_groups_under_a_schedule_with_one_function_each(data):
    X, y = data
    functions = [lambda epoch: 0.5**epoch, lambda epoch: 1.0, lambda epoch: 0.9**epoch]
    scheduler = LRScheduler("LambdaLR", lr_lambda=functions)
    model, _, own = fresh("groups")
    model.set_params(callbacks=[("rate", scheduler), ("rates", Rates())])
    params = {"schedule": "net", "lr": 0.05, "max_epochs": 2, "order": "sequential"}
    unlearner = RandomLabelUnlearner(model, random_state=0, **params).fit(X, y)
    Rates.seen.clear()
    unlearner.unlearn(indices=FORGET)
    seen = np.array(Rates.seen) / (own / 2)
    np.testing.assert_allclose(seen[0], 1)
    np.testing.assert_allclose(seen[-1], [0.5, 1.0, 0.9])


def test_the_loss_follows_no_schedule_that_was_dropped(data):
    X, y = data
    for schedule in ("linear", "constant"):
        model = net(lr=0.1, callbacks=[*scheduled("StepLR"), ("rates", Rates())])
        unlearner = SCRUBUnlearner(model, lr=0.1, schedule=schedule, max_epochs=2, random_state=0)
        unlearner.fit(X, y)
        Rates.seen.clear()
        unlearner.unlearn(indices=FORGET)
        expected = [0.05, 0.1] if schedule == "linear" else [0.1]
        assert np.unique(np.round(Rates.seen, 9)).tolist() == expected
