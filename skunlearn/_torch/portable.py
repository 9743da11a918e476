"""Nets as tensors in a file, the way back, and what of a net such a file cannot hold."""

import contextlib
import itertools
import math
import types
from collections import deque

import numpy as np
import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from skunlearn._rows.seeding import seeded
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.batches.net_rows import make_reader
from skunlearn._torch.parts.net_state import OWN, parts, set_weights, weights

_HOOKS = sorted(n for n in OWN if n.endswith("_hooks") and ("forward" in n or "backward" in n))
_DEEP = 4  # levels of attributes of attributes that are compared
_CONTAINERS = (list, tuple, set, dict, deque)
_LOOKED = 6  # entries of a container that are looked at
_ROUNDED = 0.01  # of the largest answer, that other processors may round off in single precision
_ROUNDED_SHORT = 0.1  # and in numbers of 16 bits


def name_frozen(net):
    """Names of the parameters that do not learn."""
    return [
        f"{name}.{key}"
        for name, part in parts(net)
        for key, p in part.named_parameters()
        if not p.requires_grad
    ]


def rebuild(recipe, seed, tensors, fixed, *, verbose=0, classes=None):
    """A net of the parameters of `recipe`, in the state of `weights` and `name_frozen`.

    Raises RuntimeError when they are of a net that was made otherwise.
    """
    with seeded(seed):
        net = skorch_nets.fresh_net(recipe, verbose=verbose)
    adopt(net, tensors, fixed)
    return skorch_nets.name_columns(net, classes)


def adopt(net, tensors, fixed):
    """Give a net the state of `weights` and `name_frozen`."""
    set_weights(net, tensors)
    for name, part in parts(net):
        for key, p in part.named_parameters():
            p.requires_grad_(f"{name}.{key}" not in fixed)


def name_lost(net, recipe, seed, rows):
    """Names of what `rebuild` would not give back: layers, hooks and settings made later.

    A setting counts when the rebuilt net says something else about `rows`, in evaluation or in
    training mode, or when that cannot be found out.

    Parameters
    ----------
    net : initialised net
    recipe : net of the same parameters
    seed : int
    rows : Rows, or None

    Returns
    -------
    names : list of str
    """
    with seeded(seed):
        other = skorch_nets.fresh_net(recipe, verbose=0)
    try:
        adopt(other, weights(net), name_frozen(net))
    except RuntimeError:
        return _layers(net, other) or ["layers"]
    if rows is not None:
        rows = rows.take(np.arange(min(8, len(rows))))
        with seeded(seed):
            inference.outputs(other, rows)  # gives lazy modules their shapes
    changed = _layers(net, other)
    if changed:
        return changed
    changed = compare_settings(net, other)
    return changed if changed and not _agree(net, other, rows, seed) else []


def answer(net, rows):
    """What a net says of rows, a tensor; None where that is no mark of the net.

    As of nets that draw, of numbers that are not finite, and of rows that it cannot read.
    """
    try:
        net = skorch_nets.copy_net(net)  # reading leaves traces in some
        said, again = (_says(net, rows, False, seed).detach().cpu() for seed in (0, 1))
    except Exception:  # it wants rows of another kind
        return None
    marks = said.is_floating_point() and bool(said.isfinite().all()) and torch.equal(said, again)
    return said.contiguous() if marks and said.numel() else None


def answers_otherwise(net, rows, said):
    """Whether a net says something else of rows than `answer` has: more than rounding makes of it.

    False where nobody can say.
    """
    now = answer(net, rows)
    if now is None:
        return False
    if now.shape != said.shape:
        return True
    short = any(p.element_size() < 4 for _, part in parts(net) for p in part.parameters())
    most = said.double().abs().max() * (_ROUNDED_SHORT if short else _ROUNDED)
    return bool((now.double() - said.double()).abs().max() > most)


def find_written(net, estimator, seed, rows):
    """Names of what training has written to modules beside weights: rows, or what became of them.

    There is nothing where `may_hold_rows` says so.

    A memory bank say, in a plain attribute or in the buffers of a criterion. What a net has that is
    built anew by the same seed was not written. Nor is what every batch replaces, the attention
    over the last one say, where there are `rows`: both nets read a few of these first, so that
    `net` holds no other any more.

    Parameters
    ----------
    net : initialised net
    estimator : net of the same parameters
        Where it is a FrozenEstimator the seed is not known: what differs in numbers alone is then
        left out.
    seed : int
    rows : Rows
        That may be held; there may be none.

    Returns
    -------
    names : list of str
    """
    recipe, found = skorch_nets.unwrap(estimator), []
    with seeded(seed):
        other = skorch_nets.fresh_net(recipe, verbose=0)
        if len(rows):
            _read_alike(net, other, rows.take(np.arange(min(8, len(rows)))))
    for ours, theirs in _pairs(net, other):
        for path in sorted(ours.keys() & theirs.keys()):
            sides = [_find_kept(module) for module in (ours[path], theirs[path])]
            if path.startswith("criterion"):
                for side, module in zip(sides, (ours[path], theirs[path]), strict=True):
                    side.update(module.named_buffers(recurse=False))
            for name, value in sides[0].items():
                like = sides[1].get(name)
                grown = like is None or _measure(value) != _measure(like)
                if grown or (recipe is estimator and not _same(value, like, _DEEP)):
                    found.append(f"{path}.{name}")
    return found


@torch.no_grad()
def _read_alike(net, other, rows):
    """Have two nets read the same batch with the same weights, as they do to predict."""
    # Neither is there for what a user's code raises; what differs then is named.
    with contextlib.suppress(Exception):
        x, y = make_reader(net, rows).batch(np.arange(len(rows)))
        for side in (other, net):  # the first call gives lazy modules their shapes
            side._set_training(False)
            side.infer(x)
        held = [b for name, part in parts(other) if name != "module" for b in part.buffers()]
        begun = [buffer.clone() for buffer in held]
        adopt(other, weights(net), name_frozen(net))
        for buffer, value in zip(held, begun, strict=True):  # those of criteria are looked at
            buffer.copy_(value)
        for side in (net, other):
            side.get_loss(side.infer(x), y, X=x, training=False)


def _find_kept(module):
    """Attributes of a module that hold numbers, or contain what does."""
    return {key: value for key, value in _attributes(module).items() if _holds_numbers(value)}


def _holds_numbers(value, deep=True):
    if isinstance(value, torch.Tensor | np.ndarray):
        return not isinstance(value, nn.Parameter) and math.prod(value.shape) > 1
    if not deep or not isinstance(value, _CONTAINERS):
        return False
    first = itertools.islice(value, _LOOKED)
    inner = itertools.islice(value.values(), _LOOKED) if isinstance(value, dict) else ()
    kinds = (isinstance(x, bytes) or _holds_numbers(x, deep=False) for x in (*first, *inner))
    return any(kinds)


def _measure(value):
    return len(value) if isinstance(value, _CONTAINERS) else tuple(value.shape)


def _layers(net, other):
    """Modules, parameters, buffers and hooks by which two nets differ."""
    found = []
    for ours, theirs in _pairs(net, other):
        for path in sorted(ours.keys() | theirs.keys()):
            if path not in ours or path not in theirs:
                kind = _kind(ours.get(path) or theirs.get(path))
                found.append(
                    f"{path} ({kind}, {'not ' if path in ours else ''}in a net built anew)"
                )
            elif _kind(ours[path]) != _kind(theirs[path]):
                found.append(
                    f"{path} ({_kind(ours[path])}, {_kind(theirs[path])} in a net built anew)"
                )
            elif _tensors(ours[path]) != _tensors(theirs[path]):
                found.append(f"{path} (parameters or buffers with other names, shapes or hooks)")
            elif _hooks(ours[path]) != _hooks(theirs[path]):
                found.append(f"{path} (hooks)")
    return found


def compare_settings(net, other):
    """Names of the attributes of modules by which two nets of the same layers differ."""
    found = []
    for ours, theirs in _pairs(net, other):
        for path in sorted(ours.keys() & theirs.keys()):
            if _is_unshaped(ours[path]) or _is_unshaped(theirs[path]):
                continue
            a, b = (_attributes(module) for module in (ours[path], theirs[path]))
            for name in sorted(a.keys() | b.keys()):
                if name not in a or name not in b or not _same(a[name], b[name], _DEEP):
                    found.append(f"{path}.{name}")
    return found


def _pairs(net, other):
    theirs = dict(parts(other))
    for name, part in parts(net):
        yield [
            {
                f"{name}.{path}".rstrip("."): module
                for path, module in side.named_modules(remove_duplicate=False)
            }
            for side in (part, theirs.get(name, nn.Identity()))
        ]


def _kind(module):
    lazy = isinstance(module, LazyModuleMixin) and module.cls_to_become
    return (lazy or type(module)).__name__


def _is_unshaped(module):
    return any(is_lazy(p) for p in module.parameters(recurse=False))


def _tensors(module):
    held = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
    return {
        name: None if is_lazy(tensor) else (tensor.shape, len(tensor._backward_hooks or ()))
        for name, tensor in held
    }


def _hooks(module):
    if isinstance(module, LazyModuleMixin):
        return {}
    tables = {name: list(getattr(module, name).values()) for name in _HOOKS}
    return {
        name: [getattr(hook, "__qualname__", type(hook).__qualname__) for hook in hooks]
        for name, hooks in tables.items()
    }


def _attributes(module):
    held = {key: value for key, value in vars(module).items() if key not in OWN}
    if type(module).get_extra_state is not nn.Module.get_extra_state:
        held["get_extra_state()"] = module.get_extra_state()
    return held


def _same(a, b, depth):
    """Whether two values are equal, as far as that can be told."""
    if isinstance(a, nn.Parameter) and isinstance(b, nn.Parameter):
        return True  # which a file holds
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        a, b = a.detach(), b.detach()
        return a.shape == b.shape and a.dtype == b.dtype and _are_equal(a, b)
    if isinstance(a, np.ndarray | np.generic) and isinstance(b, np.ndarray | np.generic):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if type(a).__qualname__ != type(b).__qualname__:
        return False
    if isinstance(a, _PLAIN):
        return a == b or (a != a and b != b)
    if isinstance(a, nn.Module) or not depth:
        return True
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key], depth - 1) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(_same(x, y, depth - 1) for x, y in zip(a, b))
    if isinstance(a, type | types.ModuleType | types.FunctionType | types.MethodType):
        return True
    return _same(getattr(a, "__dict__", {}), getattr(b, "__dict__", {}), depth - 1)


_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device)


def _are_equal(a, b):
    if a.device != b.device or a.is_sparse or a.is_quantized:
        return torch.equal(a.cpu(), b.cpu())
    both_nan = (a != a) & (b != b)
    return bool(((a == b) | both_nan).all())


def _agree(net, other, rows, seed):
    """Whether two nets say the same about `rows`, bit for bit, also while they train."""
    if rows is None or len(rows) < 2:
        return False
    ours, theirs = (
        skorch_nets.copy_net(side) for side in (net, other)
    )  # training mode leaves traces
    try:
        return all(
            torch.equal(*(_says(side, rows, training, seed) for side in (ours, theirs)))
            for training in (False, True)
        )
    except Exception:  # it wants rows of another kind
        return False


@torch.no_grad()
def _says(net, rows, training, seed):
    with seeded(seed):
        net._set_training(training)
        x, _ = make_reader(net, rows).batch(np.arange(len(rows)))
        return inference.infer(net, x)
