"""Learning rates, batch sizes and schedules act on what is in force, whoever set it."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, LRScheduler, WarmRestartLR
from torch.optim import lr_scheduler, swa_utils
from torch.utils.data import DataLoader

from skunlearn import (
    BoundaryUnlearner,
    FineTuneUnlearner,
    GradientAscentUnlearner,
    L1SparseUnlearner,
    ProximalUnlearner,
    RandomLabelUnlearner,
    SalUnUnlearner,
    SCRUBUnlearner,
    UNSIRUnlearner,
)
from skunlearn._torch.loop.learning_rates import (
    batch_size,
    main_rate,
    rates,
    recipe_rate,
    scale_rates,
)
from skunlearn._torch.skorch_nets import copy_net
from skunlearn.callbacks import LinearDecay
from skunlearn.evaluation import relearn_time
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import parameters
from tests.small import FORGET, net, quiet

pytestmark = quiet
TRAINS = {
    name: cls
    for name, cls in all_unlearners(nets=True).items()
    if issubclass(cls, NetUnlearner) and "lr" in cls(net()).get_params()
}
# They change weights before they train.
EDITS = ("CTUnlearner", "EUkUnlearner", "MSGUnlearner", "NoTUnlearner", "NoisyFineTuneUnlearner")
SHRINK = ("AutoUnlearner", "ShrinkPerturbUnlearner")
GROUPS = [("hidden.*", {"lr": 0.02}), ("out.bias", {"lr": 0.4})]


class TwoRates(NeuralNetClassifier):
    """Makes its optimizer itself, with rates that no parameter knows."""

    def initialize_optimizer(self):
        hidden, out = self.module_.hidden.parameters(), self.module_.out.parameters()
        self.optimizer_ = torch.optim.SGD(
            [{"params": list(hidden), "lr": 0.03}, {"params": list(out), "lr": 0.3}], lr=0.1
        )
        return self


def two_rates(**kwargs):
    params = net(**kwargs).get_params(deep=False)
    own = {k: v for k, v in params.items() if not k.startswith(("_", "optimizer"))}
    return TwoRates(**own)


RECIPES = {  # and the rate that `lr=` stands for
    "lr": (net(lr=0.05), 0.05),
    "optimizer__lr": (net(lr=0.01, optimizer__lr=0.2), 0.2),
    "groups": (net(lr=0.1, optimizer__param_groups=GROUPS), 0.1),
    "groups and optimizer__lr": (
        net(lr=0.01, optimizer__lr=0.1, optimizer__param_groups=GROUPS),
        0.1,
    ),
    "groups for all": (net(lr=0.01, optimizer__param_groups=[*GROUPS, ("*", {"lr": 0.2})]), 0.4),
    "own optimizer": (two_rates(lr=0.01), 0.3),
}
recipes = pytest.mark.parametrize("recipe", RECIPES)


class Rates(Callback):
    """Notes rates and batch sizes as the steps are taken."""

    seen, sizes = [], []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        Rates.seen.append(rates(net))

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            Rates.sizes.append(len(batch[1]))


def watched(model, callbacks=()):
    return model.set_params(callbacks=[*callbacks, ("rates", Rates())])


def request(cls, model, X, y, **params):
    """The rates and batch sizes of a request, one entry a step."""
    unlearner = cls(watched(model), random_state=0, **params).fit(X, y)
    Rates.seen.clear()
    Rates.sizes.clear()
    unlearner.unlearn(indices=FORGET)
    return np.array(Rates.seen), list(Rates.sizes), unlearner


def fresh(recipe):
    model, main = RECIPES[recipe]
    own = rates(type(model)(**_params(model)).initialize())
    return type(model)(**_params(model)), main, np.array(own)


def _params(model):
    return {k: v for k, v in model.get_params(deep=False).items() if not k.startswith("_")}


# ------------------------------------------------------------------ rates


@recipes
def test_the_rate_that_lr_stands_for(recipe):
    model, main, own = fresh(recipe)
    assert recipe_rate(model) == main
    assert main_rate(type(model)(**_params(model)).initialize()) == main
    assert main in own
    low, high = FineTuneUnlearner(model).search_space("grid", n_points=2)["lr"]
    assert (low, high) == pytest.approx((main / 10, main * 3), rel=1e-2)
    low, high = GradientAscentUnlearner(model).search_space("grid", n_points=2)["lr"]
    assert (low, high) == pytest.approx((0.03 * main / 10, 0.03 * main * 15), rel=1e-2)


@recipes
def test_lr_scales_every_group(data, recipe):
    X, y = data
    model, main, own = fresh(recipe)
    seen, _, unlearner = request(FineTuneUnlearner, model, X, y, lr=2 * main, schedule="constant")
    np.testing.assert_allclose(seen, np.broadcast_to(2 * own, seen.shape))
    # The next request starts from the net's own rates, and so does who trains on.
    np.testing.assert_allclose(rates(unlearner.estimator_), own)
    unlearner.set_params(lr=None)
    Rates.seen.clear()
    unlearner.unlearn(indices=[20])
    np.testing.assert_allclose(Rates.seen, np.broadcast_to(own, (len(Rates.seen), len(own))))


@pytest.mark.parametrize("recipe", ["optimizer__lr", "groups", "own optimizer"])
@pytest.mark.parametrize(
    "name", [n for n in TRAINS if n not in (*EDITS, *SHRINK, "AmnesiacUnlearner")]
)
def test_a_rate_of_nothing_moves_nothing(data, recipe, name):
    X, y = data
    model, *_ = fresh(recipe)
    options = [{}]
    if issubclass(TRAINS[name], RandomLabelUnlearner):
        options = [{"order": "mixed"}, {"order": "sequential"}]
    elif name == "L1SparseUnlearner":
        options = [{"gamma": 1e-4}]  # the default makes up for the rate
    for params in options:
        unlearner = TRAINS[name](model, lr=1e-12, max_epochs=2, random_state=0, **params)
        before = parameters(unlearner.fit(X, y).estimator_)
        after = parameters(unlearner.unlearn(indices=FORGET).estimator_)
        assert max(np.abs(before[key] - after[key]).max() for key in before) < 1e-6


@recipes
def test_the_share_of_methods_that_take_small_steps(data, recipe):
    X, y = data
    model, _, own = fresh(recipe)
    for kind in ("shrink", "expand"):
        seen, *_ = request(BoundaryUnlearner, model, X, y, schedule="constant", kind=kind)
        np.testing.assert_allclose(seen, np.broadcast_to(0.03 * own, seen.shape))


@recipes
@pytest.mark.parametrize("cls", [SCRUBUnlearner, UNSIRUnlearner, RandomLabelUnlearner])
def test_methods_of_several_phases(data, recipe, cls):
    X, y = data
    model, main, own = fresh(recipe)
    order = {"order": "sequential"} if cls is RandomLabelUnlearner else {}
    seen, *_ = request(cls, model, X, y, lr=main / 2, max_epochs=4, **order)
    shares = seen / own
    np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :1], shares.shape))
    assert np.unique(shares.round(6)).tolist() == [0.125, 0.25, 0.375, 0.5]
    assert (np.diff(shares[:, 0]) <= 1e-12).all()


def test_penalties_adapt_to_the_rates_in_force(data):
    """λ times the mean distance of a step, over the weights, times the steps, is a quarter."""
    X, y = data
    model, _, own = fresh("groups")
    unlearner = ProximalUnlearner(model, max_epochs=3, schedule="constant").fit(X, y)
    new = copy_net(unlearner.estimator_)
    unlearner._set_recipe(new)
    sizes = [sum(p.numel() for p in g["params"]) for g in new.optimizer_.param_groups]
    mean = np.average(own, weights=sizes) / (1 - 0.9)
    retain = unlearner._record.view(np.arange(60))
    assert unlearner._adapted(new, retain) == pytest.approx(0.25 / (mean * 3 * 4))
    gamma = [
        L1SparseUnlearner(model, lr=rate).fit(X, y)._adapted(scaled, retain, params)
        for rate in (None, 0.2)
        for scaled in [copy_net(unlearner.estimator_)]
        for params in [list(scaled.module_.parameters())]
        for _ in [scale_rates(scaled, 1.0 if rate is None else rate / 0.1)]
    ]
    assert gamma[1] == pytest.approx(gamma[0] / 2)


def test_searches_see_other_rates(data):
    """Three candidates no longer end with one and the same model."""
    X, y = data
    model, *_ = fresh("optimizer__lr")
    ends = [
        parameters(
            FineTuneUnlearner(model, lr=lr, random_state=0)
            .fit(X, y)
            .unlearn(indices=FORGET)
            .estimator_
        )["module.out.weight"]
        for lr in (0.01, 0.1, 0.3)
    ]
    assert not np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[1], ends[2])


def test_attacks_that_train_use_the_rates_in_force(data):
    X, y = data
    model, *_ = fresh("optimizer__lr")
    unlearner = FineTuneUnlearner(watched(model), random_state=0).fit(X, y)
    models = {"original": unlearner.estimator_}
    models["other"] = unlearner.unlearn(indices=FORGET).estimator_
    models["other"].module_.out.weight.data.mul_(-1)
    Rates.seen.clear()
    relearn_time(models, X[FORGET], y[FORGET], lr=[0.5], max_epochs=1)
    np.testing.assert_allclose(Rates.seen, 0.1)


class NoRate(torch.optim.SGD):
    """Has rates of zero."""

    def __init__(self, params, lr):
        super().__init__(params, lr=0.0)


def test_a_rate_that_nothing_uses_is_an_error(data):
    X, y = data
    model = net(max_epochs=1)
    model.set_params(optimizer=NoRate)
    del model.optimizer__momentum
    unlearner = FineTuneUnlearner(model, lr=0.1).fit(X, y)
    with pytest.raises(ValueError, match="lr= would have no effect: NoRate has no learning rate"):
        unlearner.unlearn(indices=FORGET)


def test_rates_in_tensors_stay_tensors():
    model = net(optimizer=torch.optim.Adam, module__n_out=3, lr=torch.tensor(0.01))
    del model.optimizer__momentum
    model.set_params(optimizer__capturable=False).initialize()
    scale_rates(model, 2.0)
    rate = model.optimizer_.param_groups[0]["lr"]
    assert isinstance(rate, torch.Tensor)
    assert rate.item() == pytest.approx(0.02)


# ------------------------------------------------------------------ batches


@pytest.mark.parametrize("given", [{}, {"iterator_train__batch_size": 10}])
def test_batch_size_is_that_in_force(data, given):
    X, y = data
    model = net(batch_size=16, **given)
    _, sizes, unlearner = request(FineTuneUnlearner, model, X, y, batch_size=27, max_epochs=1)
    assert sizes == [27, 27]
    own = given.get("iterator_train__batch_size", 16)
    assert batch_size(unlearner.estimator_) == own
    unlearner.set_params(batch_size=None)
    Rates.sizes.clear()
    unlearner.unlearn(indices=[20])
    assert Rates.sizes[0] == own


@pytest.mark.parametrize("given", [{}, {"iterator_train__batch_size": 10}])
def test_batch_sizes_of_phases(data, given):
    X, y = data
    model = net(batch_size=16, **given)
    own = given.get("iterator_train__batch_size", 16)
    params = {"max_epochs": 1, "forget_batch_size": 4}
    _, sizes, unlearner = request(SCRUBUnlearner, model, X, y, **params)
    assert sizes[:2] == [4, 2]
    assert sizes[2] == own
    assert batch_size(unlearner.estimator_) == own


def test_iterators_of_the_users_own_get_it_too(data):
    X, y = data

    class Mine(DataLoader):
        pass

    model = net(batch_size=16, iterator_train=Mine, iterator_train__batch_size=10)
    _, sizes, _ = request(FineTuneUnlearner, model, X, y, batch_size=27, max_epochs=1)
    assert sizes == [27, 27]


# ------------------------------------------------------------------ schedules


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


def scheduled(policy, **kwargs):
    kind, params = POLICIES[policy]
    if policy == "ChainedScheduler":
        kwargs["event_name"] = None
    return [("rate", LRScheduler(kind, **params, **kwargs))]


@policies
@pytest.mark.parametrize(
    "method, every", [*((name, "epoch") for name in PHASED), ("random", "batch")]
)
def test_every_policy_of_torch_in_every_phased_method(data, policy, every, method):
    X, y = data
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
