"""Parameters of an estimator as text, the same in every process, to notice that one was changed."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch

# What shapes no model: where and how it is trained, and what is kept or said of it.
_INCIDENTAL = {"device", "memory", "n_jobs", "store_data", "verbose", "verbose_feature_names_out"}


def write_parameters(estimator):
    """Text of each parameter of an estimator, at any depth; of objects that are none their class.

    Parameters
    ----------
    estimator : estimator

    Returns
    -------
    texts : dict of str to str, by the parameters' names
    """
    return {
        name: _write(value)
        for name, value in sorted(estimator.get_params(deep=True).items())
        if name.rpartition("__")[2] not in _INCIDENTAL
    }


def _write(value):
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return repr(value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray) and value.dtype != object:
        held = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16).hexdigest()
        return f"array {value.dtype} {value.shape} {held}"
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} [{', '.join(map(_write, value))}]"
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} [{', '.join(sorted(map(_write, value)))}]"
    if isinstance(value, Mapping):
        entries = sorted((_write(key), _write(held)) for key, held in value.items())
        return f"{type(value).__name__} {entries}"
    if isinstance(value, np.ufunc):  # which has no module before numpy 2.1
        return f"numpy.{value.__name__}"
    if hasattr(value, "__qualname__"):  # a class or function
        return f"{value.__module__}.{value.__qualname__}"
    return f"a {type(value).__module__}.{type(value).__qualname__}"  # has parameters of its own
