"""skorch nets: copying them with their callbacks, cloning, looking inside."""

import copy
import functools
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet
from skorch.callbacks import (
    Callback,
    Checkpoint,
    Initializer,
    InputShapeSetter,
    LoadInitState,
    LRScheduler,
    ParamMapper,
    TrainEndCheckpoint,
)
from skorch.helper import predefined_split

from skunlearn._rows.seeding import seeded
from skunlearn._torch.parts.copying import deep_copy
from skunlearn._torch.parts.net_kinds import is_plain
from skunlearn._torch.parts.net_state import (
    find_unsized,
    holds,
    named_tensors,
    parts,
    plain,
    single,
    uncompiled,
)

_ONCE = (
    # They write or read weights on disk under the user's file names: an unlearning must neither
    # overwrite the original's checkpoint nor load it back.
    *(Checkpoint, TrainEndCheckpoint, LoadInitState),
    # They make the weights to start from.
    *(Initializer, InputShapeSetter),
)

# What a net reads rows with, and what it shares with other processes.
_SHARED = ("iterator_", "dataset", "train_split", "accelerator")


def is_net(estimator):
    """Whether `estimator` is a skorch net."""
    return isinstance(estimator, NeuralNet)


def fresh_net(net, *, verbose, **params):
    """An initialised net with new weights, optimizer, callbacks and history; `net` is untouched.

    The caller seeds torch.
    """
    new = clone_net(net)
    if not is_predefined(new):
        params["train_split"] = None
    new.set_params(verbose=int(verbose), warm_start=False, **params)
    return new.initialize()


def is_predefined(net):
    """Whether a net's train_split is skorch's predefined_split, of validation rows of their own."""
    split = getattr(net, "train_split", None)
    return isinstance(split, functools.partial) and split.func is _PREDEFINED


_PREDEFINED = predefined_split(None).func


def own_split(net):
    """The net's train_split where it takes validation rows from those it is given, or None."""
    split = net.train_split
    return None if split is None or is_predefined(net) else split


def restore_split(model, recipe):
    """Give a trained net the train_split of its recipe, for trainings to come."""
    if is_net(model) and is_net(recipe) and own_split(recipe) is not None:
        model.train_split = recipe.train_split
    return model


def build(net, seed):
    """A net as a training begins with it, on the CPU, to look at: its weights are new."""
    new = clone_net(net).set_params(
        verbose=0, compile=False, warm_start=False, device=None if net.device is None else "cpu"
    )
    with seeded(seed):
        if not hasattr(new, "accelerator"):
            return new.initialize()
        # No process is to wait for the others.
        new._initialize_virtual_params()
        new._initialize_module()
        new._initialize_criterion()
    return new


def look_inside(net, seed):
    """A net that shows which layers a training begins with: `net` itself where it has some."""
    return stand_in(net) if net.initialized_ else build(net, seed)


def clone_any(estimator):
    """scikit-learn's ``clone``, but for a net's callbacks that cannot be copied."""
    if is_net(estimator):
        return clone_net(estimator)
    try:
        return clone(estimator)
    except TypeError as error:
        raise TypeError(
            f"{type(estimator).__name__} cannot be cloned: {error}. Where a callback of a net "
            "inside it holds a lock or an open writer, give the class of that a __deepcopy__ that "
            "returns self."
        ) from error


def clone_net(net):
    """Clone a net, sharing of its callbacks what cannot be copied: see `copy_callbacks`."""
    found = {key: value for key, value in vars(net).items() if _holds_callbacks(key, value)}
    new = clone(lookalike(net, **dict.fromkeys(found)))
    vars(new).update({key: copy_callbacks(value) for key, value in found.items()})
    return new


def copy_net(net, *, verbose=0, keep_schedule=True, around=False, **settings):
    """A copy of an initialised net with new optimizer, callbacks and history.

    Modules and criteria are copied themselves, with whatever was changed on them after they were
    built. Callbacks are left out that act at the start of a training or on its files, and with
    ``keep_schedule=False`` those that set the learning rate. ``around=True`` makes the copy around
    the parameters of the net, which are not copied.
    """
    held, shared = {}, {}
    for key, value in vars(net).items():
        if key.startswith(_SHARED):
            shared[key] = value
        elif _holds_callbacks(key, value):
            shared[key] = copy_callbacks(value)
        elif key not in ("callbacks_", "history_", "virtual_params_"):
            held[key] = value
    for name in net._optimizers:
        held.pop(name + "_", None)
    for name in (*net._modules, *net._criteria):
        part = held[name + "_"]
        held[name + "_"] = plain(part) if net.compile else single(part)
    new = object.__new__(type(net))
    stay = {id(net): new}
    if around:
        stay |= {id(p): p for _, part in parts(net) for p in part.parameters()}
    vars(new).update(deep_copy(held, stay), **shared)
    if not is_predefined(net):
        settings["train_split"] = None
    vars(new).update(settings, warm_start=False, verbose=0)
    _initialize_rest(new)
    new.verbose = int(verbose)
    # The parameter `callbacks` keeps them: it is the recipe, for a later retraining say.
    new.callbacks_ = [
        (name, callback) for name, callback in new.callbacks_ if _is_kept(callback, keep_schedule)
    ]
    return new


def copy_to_ask(net, old=None):
    """A copy of a net as it is now, to be asked and never trained.

    Where `old`, a net that nobody writes to, has the same weights, it is made around those, and
    takes hardly any memory.
    """
    same = old is not None and old is not net and holds(old, named_tensors(net))
    return copy_net(old, around=True) if same else copy_net(net)


def _holds_callbacks(key, value):
    return key == "callbacks" or (key.startswith("callbacks__") and isinstance(value, Callback))


def _initialize_rest(net):
    """What ``net.initialize()`` does when it has its modules and criteria already."""
    net._initialize_virtual_params()
    net._initialize_callbacks()
    for kind, names in (("module", net._modules), ("criterion", net._criteria)):
        with net._current_init_context(kind):
            for name in names:
                part = getattr(net, name + "_")
                if isinstance(part, torch.nn.Module):
                    setattr(net, name + "_", net.torch_compile(part, name=name))
    net._initialize_optimizer()
    net.history_ = None
    net._initialize_history()
    if hasattr(net, "_initialize_accelerator"):
        net._wrapped_with_accelerator = False
        net._initialize_accelerator()


def _is_kept(callback, keep_schedule):
    """Whether a copy keeps a callback: not one that shapes the training from scratch alone.

    A ParamMapper (Freezer, Unfreezer) whose epoch is a number has had its effect, which the net's
    copy holds.
    """
    acts_once = isinstance(callback, _ONCE) or (
        isinstance(callback, ParamMapper) and _is_number(callback.at)
    )
    sets_rates = isinstance(callback, LRScheduler) or getattr(callback, "sets_learning_rate", False)
    return not acts_once and (keep_schedule or not sets_rates)


def has_schedule(recipe):
    """Whether callbacks of a net set the learning rate, so that its own is the highest of many."""
    given = recipe.callbacks if isinstance(recipe.callbacks, list | tuple) else []
    named = [entry[1] if isinstance(entry, tuple) else entry for entry in given]
    kinds = [entry if isinstance(entry, type) else type(entry) for entry in named]
    return any(
        issubclass(kind, LRScheduler) or getattr(kind, "sets_learning_rate", False)
        for kind in kinds
    )


def _is_number(at):
    own = isinstance(at, functools.partial) and getattr(at.func, "__func__", None)
    return isinstance(at, int) or own is ParamMapper._epoch_at  # as ``initialize`` leaves it


def copy_callbacks(given):
    """The parameter `callbacks` of a net, or one callback, with copies of all instances."""
    if isinstance(given, tuple):
        return tuple(map(copy_callbacks, given))
    if isinstance(given, list):
        return list(map(copy_callbacks, given))
    return given if given is None or isinstance(given, str | type) else _copy_callback(given)


def _copy_callback(callback):
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


def has_callback(net, kind):
    """Whether the net was given a callback of this class, initialised or not."""
    if not net.callbacks or isinstance(net.callbacks, str):
        return False
    given = [cb[1] if isinstance(cb, tuple | list) else cb for cb in net.callbacks]
    return any(issubclass(cb if isinstance(cb, type) else type(cb), kind) for cb in given)


def drop_last_steps(model):
    """Drop what a net's last steps left behind: gradients and the optimizer's state.

    They are sums over rows, of forget rows too, and twice the net's memory.
    """
    if not is_net(model):
        return model
    for p in dict(model.get_all_learnable_params()).values():
        p.grad = None
    for name in model._optimizers:
        getattr(model, name + "_").state.clear()
    return model


def lookalike(net, **changed):
    """A net that shares everything with `net` but the attributes `changed`, which `net` keeps."""
    other = object.__new__(type(net))
    vars(other).update(vars(net), **changed)
    return other


@contextmanager
def overridden(net, **changed):
    """Let `net` have these attributes of its own inside the block; afterwards those of before."""
    before = dict(vars(net))
    vars(net).update(changed)
    try:
        yield
    finally:
        for name in changed:
            if name in before:
                vars(net)[name] = before[name]
            else:
                vars(net).pop(name, None)


def stand_in(net):
    """`net`, or where lazy layers have no weights yet one with copies of its modules.

    So that a first look at its outputs draws no weights of the net that was given.
    """
    if not find_unsized(net):
        return net
    names = [f"{name}_" for name in (*net._modules, *net._criteria)]
    return lookalike(net, **deep_copy({name: plain(getattr(net, name)) for name in names}, {}))


def make_eager(net):
    """`net` without torch.compile, sharing its weights: hooks on layers are called for sure."""
    names = [f"{name}_" for name in (*net._modules, *net._criteria)]
    return lookalike(net, **{name: uncompiled(getattr(net, name)) for name in names})


def plain_module(net):
    """The net's module as the user wrote it: names of its parts have no prefix."""
    return plain(net.module_)


def name_columns(net, classes):
    """Give a classifier net of which skorch has inferred no classes those of its columns.

    Callbacks that score validation rows ask for them.
    """
    named = getattr(net, "classes", None) is not None and len(net.classes)
    if classes is None or is_plain(net) or named or hasattr(net, "classes_inferred_"):
        return net
    net.classes_inferred_ = np.arange(len(classes))
    return net


def unwrap(estimator):
    """The estimator inside a FrozenEstimator, or `estimator` itself."""
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
