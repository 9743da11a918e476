"""Signs by which trained state is known."""

import functools
import itertools
import os
import sys
import types
from collections.abc import Mapping
from importlib.metadata import distributions
from numbers import Number
from pathlib import Path

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted
from skorch import NeuralNet

from skunlearn._recipe.leaves import is_stateless
from skunlearn._rows.frames import is_frame

# Names by which a callback's code reads weights.
LOADING = {"load_params", "load_state_dict", "load_checkpoint", "load_file"}
LONG = 1000  # numbers in a row, or characters without a space between them, that nobody typed
_FEW = 3  # tensors beside each other that are rows, labels and weights of rows
_MANY = 8  # rows from which they are a table


def is_users_own(obj):
    """Whether a class or function is part of no installed package, scikit-learn say."""
    return not _is_library(getattr(obj, "__module__", None) or "")


@functools.cache
def _is_library(name):
    root = name.partition(".")[0]
    if root in ("skunlearn", "builtins") or root in sys.stdlib_module_names - {"__main__"}:
        return True
    while not getattr(sys.modules.get(name), "__file__", None):  # parts of compiled modules
        name = name.rpartition(".")[0]
        if not name:
            return False
    file = Path(sys.modules[name].__file__)
    if not {"site-packages", "dist-packages"}.isdisjoint(file.parts):
        return True
    # Packages may lie elsewhere (``pip install --target``), and the user's own code beside them.
    return any(_is_recorded(file, Path(entry)) for entry in sys.path if file.is_relative_to(entry))


def _is_recorded(file, folder):
    line = f"\n{file.relative_to(folder).as_posix()},"
    records = (found.read_text("RECORD") for found in distributions(path=[str(folder)]))
    return any(line in f"\n{record}" for record in records)


def is_fitted(estimator):
    """Whether an estimator has learnt something."""
    if isinstance(estimator, NeuralNet):
        return estimator.initialized_
    try:
        check_is_fitted(estimator)
    except (NotFittedError, TypeError, AttributeError):
        return False
    return not is_stateless(estimator)


def clones_fitted(estimator):
    """Whether clones of a fitted estimator are fitted, as those of FrozenEstimator are."""
    own = getattr(type(estimator), "__sklearn_clone__", None)
    usual = own is None or own is BaseEstimator.__sklearn_clone__
    return not usual and is_fitted(estimator) and is_fitted(clone(estimator))


def is_state_dict(mapping):
    """Whether a mapping holds the weights of a module, by its look."""
    tensors = [value for value in mapping.values() if isinstance(value, torch.Tensor)]
    if not tensors or len(tensors) < len(mapping):
        return False
    ends = ("weight", "bias", "running_mean", "running_var")
    named = all(str(key).endswith(ends) for key in mapping) and any(t.ndim > 1 for t in tensors)
    return named or hasattr(mapping, "_metadata")


def is_list_of_weights(items):
    """Whether a list holds those of a module's layers, by its look."""
    if not isinstance(items, list | tuple) or len(items) <= _FEW:
        return False
    if not all(isinstance(item, torch.Tensor) and item.is_floating_point() for item in items):
        return False
    if len({item.ndim for item in items}) > 1:
        return True
    # Layers differ in what comes in and in what goes out; rows of several lengths in one of these.
    return all(len({item.shape[cut] for item in items}) > 1 for cut in (slice(1), slice(1, None)))


def reads_elsewhere(checkpoint):
    """Whether a Checkpoint's files lie where an earlier training may have left them."""
    files = [value for key, value in vars(checkpoint).items() if key.startswith("f_")]
    return any(
        os.path.isabs(checkpoint.fn_prefix + file) if isinstance(file, str) else file is not None
        for file in files
    )


def is_blob(value):
    """Whether a text looks like something packed: a model, say; not an alphabet."""
    if not isinstance(value, str | bytes | bytearray) or len(value) < LONG:
        return False
    if isinstance(value, bytes | bytearray):
        return True
    return not any(map(str.isspace, value)) and len(set(value)) < len(value)


def is_grid(numbers):
    """Whether numbers in a row are evenly spaced, or their logarithms: settings to be tried."""
    try:
        numbers = np.asarray(numbers, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    if numbers.ndim != 1 or len(numbers) < _MANY or not np.isfinite(numbers).all():
        return False
    kinds = [numbers, np.log(numbers)] if (numbers > 0).all() else [numbers]
    return any(_are_even(kind) for kind in kinds)


def _are_even(numbers):
    steps = np.diff(numbers)
    # float32 rounds in the size of the numbers, not of the steps.
    return np.ptp(steps) <= 1e-3 * abs(steps.mean()) + 5e-7 * np.abs(numbers).max()


def is_table(value):
    """Whether a container of numbers looks like rows: what a model that looks rows up is made of.

    Settings are short, or lists of single numbers.
    """
    if is_frame(value):
        return len(value.shape) == 2 and len(value) >= _MANY and value.shape[1] > 1
    if not isinstance(value, Mapping | list | tuple) or len(value) < _MANY:
        return False
    some = list(itertools.islice(value, _MANY))
    if not isinstance(value, Mapping):
        numbers = all(isinstance(item, float | np.floating) for item in some)
        return all(map(_is_row, some)) or (numbers and len(value) >= LONG and not is_grid(value))
    arrays = [item for item in itertools.islice(value.values(), _MANY) if _is_array(item)]
    rows = bytes | float | np.floating  # or the first number of each
    return len(arrays) == _MANY or all(isinstance(key, rows) or _is_row(key) for key in some)


def _is_array(value):
    if isinstance(value, torch.Tensor):
        return value.ndim == 1 and len(value) > 1 and value.is_floating_point()
    return (
        isinstance(value, np.ndarray)
        and value.ndim == 1
        and value.dtype.kind == "f"
        and value.size > 1
    )


def _is_row(value):
    if isinstance(value, list | tuple) and len(value) > 1:
        numbers = [isinstance(number, Number) for number in value]
        return all(numbers) and any(isinstance(number, float | np.floating) for number in value)
    return _is_array(value)


def loads_weights(cls):
    """Whether the code of a callback's class names a function that loads weights."""
    for own in filter(is_users_own, cls.__mro__):
        for name, value in vars(own).items():
            # What is put back at the end was learnt in between.
            function = isinstance(value, types.FunctionType) and name != "on_train_end"
            if function and LOADING & set(value.__code__.co_names):
                return True
    return False
