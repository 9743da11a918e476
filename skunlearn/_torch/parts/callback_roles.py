"""Callbacks of a user's net: copies of them, and which belong to the start of a training."""

import copy
import functools

from sklearn.base import clone
from skorch.callbacks import (
    Checkpoint,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    TrainEndCheckpoint,
)

_ONCE = (
    # They write or read weights on disk under the user's file names: an unlearning must neither
    # overwrite the original's checkpoint nor load it back.
    *(Checkpoint, TrainEndCheckpoint, LoadInitState),
    # They make the weights to start from.
    *(Initializer, InputShapeSetter),
)


def acts_once(callback):
    """Whether a callback shapes the one training from scratch, and no request after it.

    A ParamMapper (Freezer, Unfreezer) whose epoch is a number has had its effect, which the net's
    copy holds.
    """
    return isinstance(callback, _ONCE) or (
        isinstance(callback, ParamMapper) and _is_number(callback.at)
    )


def _is_number(at):
    own = isinstance(at, functools.partial) and getattr(at.func, "__func__", None)
    return isinstance(at, int) or own is ParamMapper._epoch_at  # as ``initialize`` leaves it


def sets_rates(callback):
    """Whether a callback sets the learning rate."""
    return isinstance(callback, LRScheduler) or getattr(callback, "sets_learning_rate", False)


def copy_callbacks(given):
    """The parameter `callbacks` of a net, or one callback, with copies of all instances."""
    if isinstance(given, tuple):
        return tuple(map(copy_callbacks, given))
    if isinstance(given, list):
        return list(map(copy_callbacks, given))
    return given if given is None or isinstance(given, str | type) else _copied(given)


def _copied(callback):
    """A clone, or a copy that shares what cannot be copied (a lock, an open writer)."""
    try:
        return clone(callback)
    except Exception:  # from deepcopy, or a constructor that does not take all attributes
        pass
    try:
        new = copy.copy(callback)
    except Exception:
        return callback
    for name, value in vars(callback).items():
        try:
            vars(new)[name] = copy.deepcopy(value)
        except Exception:
            vars(new)[name] = value
    return new
