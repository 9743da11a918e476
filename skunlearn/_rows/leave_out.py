"""A data set without one of its transforms."""

import types

import joblib
import numpy as np
import torch

_DEPTH = 8  # of attributes of attributes
_LONG = 64  # longer lists hold rows, not transforms
_SKIPPED = (str, bytes, int, float, complex, np.ndarray, torch.Tensor, type, types.ModuleType)
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)


class Unchanged(torch.nn.Module):
    """The transform that does nothing."""

    def forward(self, *inputs):
        """What it is given."""
        return inputs[0] if len(inputs) == 1 else inputs


def leave_out(holder, transform):
    """A copy of a data set in which `transform` does nothing, or None where it is not found.

    It is looked for among the attributes of `holder`, and theirs; a copy of it that scikit-learn
    has made of the data set's parameters counts as the transform itself. Rows are not copied.
    """
    new = _without(holder, _Wanted(transform), _DEPTH, set())
    return None if new is holder else new


class _Wanted:
    def __init__(self, transform):
        self.transform, self._hash = transform, None

    def is_it(self, value):
        """Whether `value` is the transform, or a copy of it."""
        if value is self.transform:
            return True
        if type(value) is not type(self.transform) or isinstance(value, _FUNCTIONS):
            return False
        try:
            self._hash = self._hash or joblib.hash(self.transform)
            return joblib.hash(value) == self._hash
        except Exception:  # whatever pickle raises
            return False


def _without(value, wanted, depth, path):
    """`value` with the wanted transform replaced, or the very same object."""
    if wanted.is_it(value):
        return Unchanged()
    if depth == 0 or value is None or isinstance(value, _SKIPPED + _FUNCTIONS) or id(value) in path:
        return value
    path = path | {id(value)}
    if type(value) in (list, tuple) and len(value) <= _LONG:
        parts = [_without(part, wanted, depth - 1, path) for part in value]
        return type(value)(parts) if _differ(parts, value) else value
    if type(value) is dict and len(value) <= _LONG:
        parts = {key: _without(part, wanted, depth - 1, path) for key, part in value.items()}
        return parts if _differ(parts.values(), value.values()) else value
    try:
        held = vars(value)
    except TypeError:
        return value
    parts = {key: _without(part, wanted, depth - 1, path) for key, part in held.items()}
    if not _differ(parts.values(), held.values()):
        return value
    new = object.__new__(type(value))
    vars(new).update(parts)
    return new


def _differ(new, old):
    return any(a is not b for a, b in zip(new, old))
