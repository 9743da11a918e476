"""Optimizers, schedulers and loaders as they are read off a training loop."""

import functools

import numpy as np
import pytest
import torch
from skorch.callbacks import LRScheduler
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from skunlearn import FineTuneUnlearner, RetrainUnlearner, from_torch
from skunlearn._torch.from_torch.from_scheduler import read_scheduler
from skunlearn.shadow import ShadowModels
from tests.small import quiet

ROWS = TensorDataset(
    torch.randn(40, 5, generator=torch.Generator().manual_seed(0)), torch.arange(40) % 2
)


def model():
    """Two layers with names."""
    return nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 2))


def bring(module, optimizer, **more):
    how = {"batch_size": 10, "max_epochs": 4, "criterion": nn.CrossEntropyLoss(), "factory": model}
    return from_torch(module, optimizer=optimizer, **(how | more)).estimator


# ------------------------------------------------------------------ optimizers

OPTIMIZERS = {
    "SGD": {"lr": 0.2, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-3},
    "Adam": {"lr": 0.02, "betas": (0.8, 0.99), "amsgrad": True},
    "AdamW": {"weight_decay": 0.1},
    "NAdam": {"lr": 0.003, "decoupled_weight_decay": True},
    "RAdam": {},
    "Adamax": {"eps": 1e-6},
    "Adagrad": {"lr_decay": 0.1},
    "Adadelta": {"rho": 0.8},
    "RMSprop": {"alpha": 0.9, "centered": True},
    "Rprop": {"etas": (0.4, 1.1)},
    "ASGD": {"lambd": 1e-3},
    "LBFGS": {"lr": 0.5, "history_size": 7, "line_search_fn": "strong_wolfe"},
}


def settings(optimizer, names):
    """Names and options of all groups."""
    return [
        ([names[id(p)] for p in group["params"]], {k: v for k, v in group.items() if k != "params"})
        for group in optimizer.param_groups
    ]


def names_of(module):
    return {id(p): name for name, p in module.named_parameters()}


def assert_alike(net, module, optimizer):
    for other in (net, net.__class__(**net.get_params(deep=False)).initialize()):
        ours = settings(other.optimizer_, names_of(other.module_))
        theirs = settings(optimizer, names_of(module))
        assert ours == theirs
        assert type(other.optimizer_) is type(optimizer)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_options_of_an_optimizer(name):
    module = model()
    optimizer = getattr(torch.optim, name)(module.parameters(), **OPTIMIZERS[name])
    net = bring(module, optimizer)
    assert net.optimizer is type(optimizer)  # nothing between skorch and torch
    assert_alike(net, module, optimizer)


@quiet
def test_groups_of_an_optimizer():
    module = model()
    weights, biases = ([p for n, p in module.named_parameters() if n.endswith(s)] for s in "ts")
    groups = [
        {"params": [*weights[1:], *weights[:1]], "lr": 0.3},
        {"params": biases, "weight_decay": 0.0, "momentum": 0.5},
    ]
    optimizer = torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=0.01)
    net = bring(module, optimizer)
    assert_alike(net, module, optimizer)
    assert net.lr == 0.1
    unlearner = FineTuneUnlearner(net, lr=0.05, random_state=0).fit(ROWS).unlearn(indices=[1])
    one, two = unlearner.estimator_.optimizer_.param_groups
    assert (one["lr"], two["momentum"]) == (0.3, 0.5)


@quiet
def test_caches_and_shadow_models_take_groups(tmp_path):
    module = model()
    groups = [{"params": module[0].parameters(), "lr": 0.2}, {"params": module[2].parameters()}]
    net = bring(module, torch.optim.SGD(groups, lr=0.1))
    X, y = (tensor.numpy() for tensor in ROWS.tensors)
    one, two = (
        RetrainUnlearner(net, memory=str(tmp_path), random_state=0).fit(X, y) for _ in range(2)
    )
    np.testing.assert_array_equal(one.predict_proba(X), two.predict_proba(X))
    shadows = ShadowModels(net, n_models=4, random_state=0).fit(X, y)
    assert np.isfinite(shadows.attack(one, range(10), range(10, 20), method="lira").auc)


def test_one_group_with_options_of_its_own():
    module = model()
    optimizer = torch.optim.SGD([{"params": list(module.parameters()), "momentum": 0.7}], lr=0.1)
    assert_alike(bring(module, optimizer), module, optimizer)


@pytest.mark.parametrize(
    "optimizer",
    [
        functools.partial(torch.optim.SGD, lr=0.3, momentum=0.8),
        lambda parameters: torch.optim.SGD(parameters, lr=0.3, momentum=0.8),
    ],
)
def test_what_makes_an_optimizer(optimizer):
    module = model()
    assert_alike(bring(module, optimizer), module, optimizer(module.parameters()))


def test_a_class_of_optimizers_has_the_rate_of_torch():
    assert bring(model(), torch.optim.AdamW).lr == 1e-3
    assert bring(model(), torch.optim.AdamW, lr=0.5).lr == 0.5
    assert bring(model(), torch.optim.AdamW, optimizer__eps=1e-4).optimizer_.defaults["eps"] == 1e-4


def test_a_rate_that_somebody_lowered():
    module = model()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    optimizer.param_groups[0]["lr"] = 0.001
    with pytest.raises(ValueError, match=r"made with a rate of 0\.1, which is 0\.001 now"):
        bring(module, optimizer)
    assert bring(module, optimizer, lr=0.1).optimizer_.param_groups[0]["lr"] == 0.1


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda m: torch.optim.SGD(model().parameters(), lr=0.1), "4 parameters that are not"),
        (lambda m: torch.optim.SGD(m[0].parameters(), lr=0.1), "does not train 2.weight, 2.bias"),
    ],
)
def test_optimizers_of_something_else(make, words):
    module = model()
    with pytest.raises(ValueError, match=words):
        bring(module, make(module))


def test_rates_of_groups_leave_no_room_for_another():
    module = model()
    groups = [{"params": module[0].parameters(), "lr": 0.2}, {"params": module[2].parameters()}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    with pytest.raises(ValueError, match=r"rates of their own \(\[0\.1, 0\.2\]\)"):
        bring(module, optimizer, lr=0.3)


# ------------------------------------------------------------------ schedulers


def twice(epoch):
    return 1 / (1 + epoch)


def warm(optimizer):
    parts = [
        lr_scheduler.LinearLR(optimizer, 0.1, total_iters=2),
        lr_scheduler.CosineAnnealingLR(optimizer, 6),
    ]
    return lr_scheduler.SequentialLR(optimizer, parts, milestones=[2])


SCHEDULERS = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, 2, gamma=0.3),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, [2, 2, 5], gamma=0.5),
    "ConstantLR": lambda o: lr_scheduler.ConstantLR(o, 0.2, total_iters=3),
    "LinearLR": lambda o: lr_scheduler.LinearLR(o, 0.2, 0.9, total_iters=3),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, 0.8),
    "PolynomialLR": lambda o: lr_scheduler.PolynomialLR(o, 7, power=2.0),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, 8, eta_min=1e-3),
    "WarmRestarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, T_mult=2),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, twice),
    "LambdaLRs": lambda o: lr_scheduler.LambdaLR(o, [twice, lambda epoch: 0.5]),
    "MultiplicativeLR": lambda o: lr_scheduler.MultiplicativeLR(o, lambda epoch: 0.9),
    "CyclicLR": lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.3, step_size_up=3, step_size_down=2),
    "exp_range": lambda o: lr_scheduler.CyclicLR(
        o, 0.01, 0.3, 3, mode="exp_range", gamma=0.9, cycle_momentum=False
    ),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, 0.5, total_steps=9, div_factor=10),
    "three phases": lambda o: lr_scheduler.OneCycleLR(
        o, [0.5, 0.4], total_steps=9, anneal_strategy="linear", three_phase=True, pct_start=0.25
    ),
    "SequentialLR": warm,
    "ChainedScheduler": lambda o: lr_scheduler.ChainedScheduler(
        [lr_scheduler.ExponentialLR(o, 0.9), lr_scheduler.StepLR(o, 2)]
    ),
}


def two_groups():
    groups = [{"params": [nn.Parameter(torch.ones(1))]}, {"params": [nn.Parameter(torch.ones(1))]}]
    groups[1]["lr"] = 0.1
    return torch.optim.SGD(groups, lr=0.2, momentum=0.9)


def rates(scheduler, optimizer, n=8):
    """What the groups' rates and momenta are in each of `n` steps."""
    found = []
    for _ in range(n):
        found.append([(group["lr"], group["momentum"]) for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return found


@quiet  # of old versions of torch, about a SequentialLR of their own
@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_that_was_used_begins_anew(name):
    optimizer = two_groups()
    scheduler = SCHEDULERS[name](optimizer)
    wanted = rates(scheduler, optimizer)
    callback = read_scheduler(scheduler, max_epochs=8)
    assert callback.step_every == "epoch"
    other = two_groups()
    again = callback.initialize().policy_(other, **({"last_epoch": -1} | callback.kwargs))
    np.testing.assert_allclose(rates(again, other), wanted, rtol=1e-6)


def test_plateaus():
    optimizer = two_groups()
    scheduler = lr_scheduler.ReduceLROnPlateau(
        optimizer, "max", factor=0.3, patience=1, min_lr=[0.01, 0.02], cooldown=2
    )
    callback = read_scheduler(scheduler, max_epochs=8)
    again = callback.initialize().policy_(two_groups(), **callback.kwargs)
    skipped = ("optimizer", "_last_lr")
    kept = [{k: v for k, v in vars(s).items() if k not in skipped} for s in (scheduler, again)]
    assert kept[0] == kept[1]


@pytest.mark.parametrize("every", ["epoch", "batch"])
def test_when_a_scheduler_steps(every):
    optimizer = two_groups()
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    rates(scheduler, optimizer, 4 if every == "epoch" else 16)
    assert read_scheduler(scheduler, max_epochs=4).step_every == every
    assert read_scheduler(scheduler, max_epochs=4, step_every="epoch").step_every == "epoch"


@quiet
@pytest.mark.parametrize(
    "scheduler, every",
    [
        (functools.partial(lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=16), "batch"),
        (functools.partial(lr_scheduler.StepLR, step_size=2), "epoch"),
        (warm, "epoch"),
        (LRScheduler("StepLR", step_size=2, step_every="batch"), "batch"),
    ],
)
def test_what_makes_a_scheduler(scheduler, every):
    net = bring(model(), torch.optim.SGD, lr=0.1, optimizer__momentum=0.9, scheduler=scheduler)
    (callback,) = net.callbacks
    assert callback.step_every == every
    net = RetrainUnlearner(net, random_state=0).fit(ROWS).estimator_
    steps = [row["event_lr"] for row in net.history] if every == "epoch" else None
    assert steps is None or len(set(steps)) > 1


@quiet
def test_the_retrained_net_follows_the_schedule():
    module = model()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    scheduler = lr_scheduler.OneCycleLR(optimizer, 0.1, epochs=4, steps_per_epoch=4)
    wanted = [rate for ((rate, _),) in rates(scheduler, optimizer, 15)]
    net = bring(module, optimizer, scheduler=scheduler)
    assert net.lr == 0.1  # the peak, which requests go on with
    found = RetrainUnlearner(net, random_state=0).fit(ROWS).estimator_.history
    found = [batch["event_lr"] for epoch in found for batch in epoch["batches"]]
    np.testing.assert_allclose(found[:15], wanted, rtol=1e-6)


class Odd(lr_scheduler.LRScheduler):
    """Keeps no argument under its name."""

    def __init__(self, optimizer, share, last_epoch=-1):
        self.held = share
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [rate * self.held for rate in self.base_lrs]


def test_schedulers_that_cannot_be_read():
    with pytest.raises(ValueError, match=r"Odd does not keep its share. Pass a function"):
        read_scheduler(Odd(two_groups(), 0.5), max_epochs=3)
    with pytest.raises(TypeError, match="scheduler must be one of"):
        read_scheduler(3, max_epochs=3)
    with pytest.raises(ValueError, match="step_every"):
        read_scheduler(warm, max_epochs=3, step_every="step")


# ------------------------------------------------------------------ loaders


def pairs(items):
    """Batches as a collate function of one's own makes them."""
    X, y = zip(*items)
    return torch.stack(X) + 0.0, torch.stack(y)


def read(loader, **more):
    module = model()
    how = {"optimizer": torch.optim.SGD(module.parameters(), lr=0.1), "max_epochs": 2}
    how |= {"criterion": nn.CrossEntropyLoss(), "factory": model}
    return from_torch(module, loader, **(how | more)).estimator


def test_a_plain_loader_leaves_whole_batches_to_the_net():
    net = read(DataLoader(ROWS, 10, shuffle=True))
    own = net.get_params_for("iterator_train"), net.get_params_for("iterator_valid")
    assert own == ({"shuffle": True}, {})
    assert read(DataLoader(ROWS, 10)).get_params_for("iterator_train") == {"shuffle": False}
    assert net.batch_size == 10


@quiet
def test_options_of_a_loader():
    loader = DataLoader(
        ROWS, 12, shuffle=True, num_workers=1, collate_fn=pairs, drop_last=True, prefetch_factor=3
    )
    net = read(loader)
    both = {"num_workers": 1, "collate_fn": pairs, "prefetch_factor": 3}
    assert net.get_params_for("iterator_train") == both | {"shuffle": True, "drop_last": True}
    assert net.get_params_for("iterator_valid") == both
    unlearner = RetrainUnlearner(net, random_state=0).fit(ROWS).unlearn(indices=[3])
    sizes = [b["train_batch_size"] for b in unlearner.estimator_.history[0]["batches"]]
    assert sizes == [12, 12, 12]


def test_what_is_said_goes_before_what_is_read():
    loader = DataLoader(ROWS, 12, shuffle=True, num_workers=2, generator=torch.Generator())
    net = read(loader, batch_size=5, iterator_train__num_workers=0, iterator_train__shuffle=False)
    assert net.batch_size == 5
    assert net.get_params_for("iterator_train") == {"num_workers": 0, "shuffle": False}


class Stream(IterableDataset):
    """Rows without a number."""

    def __iter__(self):
        return iter(ROWS)


WEIGHTED = WeightedRandomSampler(torch.ones(40), 40)


@pytest.mark.parametrize(
    "loader, error, words",
    [
        (ROWS, TypeError, "got the data set TensorDataset. Pass batch_size= instead"),
        ([ROWS], TypeError, "must be a torch DataLoader, got list"),
        (DataLoader(Stream(), 4), TypeError, "Stream, an IterableDataset"),
        (DataLoader(ROWS, None), ValueError, "batch_size=None"),
        (DataLoader(ROWS, 4, sampler=WEIGHTED), ValueError, "made for a fixed set of rows"),
        (DataLoader(ROWS, 4, sampler=SubsetRandomSampler([1, 2])), ValueError, "of Subset"),
        (DataLoader(ROWS, 4, sampler=RandomSampler(ROWS, num_samples=9)), ValueError, "fixed set"),
        (
            DataLoader(ROWS, batch_sampler=BatchSampler(WEIGHTED, 4, False)),
            ValueError,
            "batch_sampler",
        ),
    ],
)
def test_loaders_that_do_not_fit_other_rows(loader, error, words):
    with pytest.raises(error, match=words):
        read(loader)


@quiet
def test_a_sampler_is_made_anew_or_left_out():
    loader = DataLoader(ROWS, 4, sampler=WEIGHTED)
    assert read(loader, iterator_train__shuffle=True).get_params_for("iterator_train")["shuffle"]

    def balanced(dataset, batch_size, **options):
        sampler = WeightedRandomSampler(torch.ones(len(dataset)), len(dataset))
        return DataLoader(dataset, batch_size, sampler=sampler, **options)

    net = read(loader, iterator_train=balanced)
    unlearner = RetrainUnlearner(net, random_state=0).fit(ROWS).unlearn(indices=[3])
    assert unlearner.deletions_[0]["rows"] == 1


@quiet
def test_a_subset_is_all_that_was_seen():
    seen = Subset(ROWS, range(0, 40, 2))
    net = read(DataLoader(seen, 5, shuffle=True))
    unlearner = RetrainUnlearner(net, random_state=0).fit(seen)
    assert unlearner.unlearn(indices=[3]).estimator_.history[0]["batches"][-1]["train_batch_size"]
    sizes = [b["train_batch_size"] for b in unlearner.estimator_.history[0]["batches"]]
    assert sum(sizes) == 19
