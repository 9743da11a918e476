"""A learning rate scheduler as it stands as skorch's callback: class and arguments."""

import functools
import inspect

from skorch.callbacks import Callback, LRScheduler
from torch.optim import lr_scheduler

_BY_BATCH = (lr_scheduler.OneCycleLR, lr_scheduler.CyclicLR)
_OF_OTHERS = (lr_scheduler.SequentialLR, lr_scheduler.ChainedScheduler)
_STEPS = ("epoch", "batch")


class Composed:
    """Builds a scheduler that is made of others.

    Parameters
    ----------
    policy : SequentialLR or ChainedScheduler
    parts : list of (callable, dict)
        What makes each of the others of an optimizer, and its arguments.
    options : dict
    """

    def __init__(self, policy, parts, options):
        self.policy, self.parts, self.options = policy, parts, options

    def __call__(self, optimizer, last_epoch=-1):
        """The scheduler; a training begins with it."""
        parts = [make(optimizer, **options) for make, options in self.parts]
        return self.policy(*self._lead(optimizer), parts, **self.options)

    def _lead(self, optimizer):
        return [optimizer] if self.policy is lr_scheduler.SequentialLR else []


def read_scheduler(scheduler, *, max_epochs, step_every=None):
    """skorch's callback that does what `scheduler` did.

    Parameters
    ----------
    scheduler : scheduler of torch, callable that makes one of an optimizer, or LRScheduler
    max_epochs : int
    step_every : {"epoch", "batch"} or None
        When it steps. None: with batches where it has stepped more often than there were epochs.

    Returns
    -------
    callback : LRScheduler
    """
    if step_every not in (None, *_STEPS):
        raise ValueError(f"step_every must be 'epoch', 'batch' or None, got {step_every!r}.")
    if isinstance(scheduler, Callback):
        return scheduler
    if isinstance(scheduler, lr_scheduler.LRScheduler | lr_scheduler.ReduceLROnPlateau):
        policy, options = _read(scheduler)
        if step_every is None:
            step_every = _STEPS[_steps(scheduler) > max_epochs or _begins_by_batch(scheduler)]
    elif isinstance(scheduler, functools.partial):
        policy, options = scheduler.func, dict(scheduler.keywords)
        if scheduler.args:
            raise TypeError("scheduler=partial(...) takes arguments by name.")
    elif callable(scheduler):
        policy, options = scheduler, {}
        if not isinstance(scheduler, type):
            policy = FirstEpoch(scheduler)
    else:
        raise TypeError(
            "scheduler must be one of torch.optim.lr_scheduler, a function of an optimizer that "
            f"makes one, or skorch's LRScheduler, got {type(scheduler).__name__}."
        )
    if step_every is None:
        step_every = "batch" if policy in _BY_BATCH else "epoch"
    return LRScheduler(policy, step_every=step_every, **options)


class FirstEpoch:
    """A function of an optimizer as a policy of skorch, which also gives the last epoch.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function):
        self.function = function

    def __call__(self, optimizer, last_epoch=-1):
        """The scheduler; a training begins with it."""
        return self.function(optimizer)


def _begins_by_batch(scheduler):
    return isinstance(scheduler, _BY_BATCH) and _steps(scheduler) == 0


def _steps(scheduler):
    """How often it has stepped."""
    if isinstance(scheduler, lr_scheduler.ChainedScheduler):
        scheduler = scheduler._schedulers[0]
    return scheduler.last_epoch


def _read(scheduler):
    """What makes such a scheduler of an optimizer, and its arguments."""
    kind = type(scheduler)
    if kind in _OF_OTHERS:
        parts = [_read(part) for part in scheduler._schedulers]
        options = {"milestones": list(scheduler._milestones)} if kind is _OF_OTHERS[0] else {}
        return Composed(kind, parts, options), {}
    reader = _READERS.get(kind)
    options = _attributes(scheduler) if reader is None else reader(scheduler)
    return kind, {name: _one(value) for name, value in options.items()}


def _attributes(scheduler, *without):
    """Arguments that the scheduler keeps under their names."""
    kind = type(scheduler)
    skipped = {"optimizer", "last_epoch", "verbose", *without}
    options = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in skipped or parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if not hasattr(scheduler, name):
            raise ValueError(
                f"{kind.__name__} does not keep its {name}. Pass a function of the optimizer that "
                f"makes it: scheduler=lambda optimizer: {kind.__name__}(optimizer, ...)."
            )
        options[name] = getattr(scheduler, name)
    return options


def _one(values):
    """A single value where every parameter group has the same."""
    if isinstance(values, list) and values and all(value == values[0] for value in values):
        return values[0]
    return values


def _lambdas(scheduler):
    return {"lr_lambda": scheduler.lr_lambdas}


def _multi_step(scheduler):
    # A Counter; as a list of different numbers it stays one.
    return {"milestones": tuple(sorted(scheduler.milestones.elements())), "gamma": scheduler.gamma}


def _plateau(scheduler):
    return _attributes(scheduler, "min_lr") | {"min_lr": scheduler.min_lrs}


def _cyclic(scheduler):
    up = round(scheduler.total_size * scheduler.step_ratio)
    options = {
        "base_lr": scheduler.base_lrs,
        "max_lr": scheduler.max_lrs,
        "step_size_up": up,
        "step_size_down": round(scheduler.total_size) - up,
        "scale_fn": scheduler._scale_fn_custom,
        **{name: getattr(scheduler, name) for name in ("mode", "gamma", "scale_mode")},
    }
    return options | _momentum(scheduler)


def _one_cycle(scheduler):
    groups = scheduler.optimizer.param_groups
    phases, total = scheduler._schedule_phases, scheduler.total_steps
    options = {
        "max_lr": [group["max_lr"] for group in groups],
        "total_steps": total,
        "pct_start": (phases[0]["end_step"] + 1) / total,
        "anneal_strategy": scheduler._anneal_func_type,
        "div_factor": groups[0]["max_lr"] / groups[0]["initial_lr"],
        "final_div_factor": groups[0]["initial_lr"] / groups[0]["min_lr"],
        "three_phase": len(phases) == 3,
    }
    return options | _momentum(scheduler)


def _momentum(scheduler):
    options = {"cycle_momentum": scheduler.cycle_momentum}
    if scheduler.cycle_momentum:
        groups = scheduler.optimizer.param_groups
        for name in ("base_momentum", "max_momentum"):
            options[name] = [group[name] for group in groups]
    return options


_READERS = {
    lr_scheduler.LambdaLR: _lambdas,
    lr_scheduler.MultiplicativeLR: _lambdas,
    lr_scheduler.MultiStepLR: _multi_step,
    lr_scheduler.ReduceLROnPlateau: _plateau,
    lr_scheduler.CyclicLR: _cyclic,
    lr_scheduler.OneCycleLR: _one_cycle,
}
