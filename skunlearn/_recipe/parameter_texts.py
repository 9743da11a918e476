"""Parameters of an estimator as text, the same in every process, to notice that one was changed."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch

from skunlearn._rows.checking import warn

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


def write_recipe(estimator):
    """As `write_parameters`, with the class of the estimator, which another may share all with."""
    return {"": _write(type(estimator))} | write_parameters(estimator)


def warn_if_set_since(before, estimator, unlearner, parts):
    """Whether the recipe of members was set anew since they were trained, which is told.

    Parameters
    ----------
    before : dict of str to str, or None
        What `write_recipe` gave then; None where nobody has asked.
    estimator : estimator
        The recipe as it is now.
    unlearner : estimator
        Whose members they are.
    parts : str
        What it calls them.
    """
    now = write_recipe(estimator)
    before = now if before is None else before
    names = sorted(name for name in before | now if before.get(name) != now.get(name))
    if names:
        warn(
            f"The recipe was set anew since the {parts} were trained "
            f"({', '.join(f'estimator__{name}'.rstrip('_') for name in names[:5])}"
            f"{', ...' if len(names) > 5 else ''}). {type(unlearner).__name__} trains all of them "
            f"again: some {parts} by the recipe of before and some by the new one are the model of "
            "neither. Set it back for a request that trains no more than it must.",
            UserWarning,
        )
    return bool(names)


def list_built_otherwise(net, recipe):
    """Names of the modules' parameters that a recipe has otherwise than the net that it has built.

    Parameters
    ----------
    net : initialised skorch net
    recipe : skorch net of the same modules
    """
    ours, theirs = write_parameters(net), write_parameters(recipe)
    return [
        name
        for name in sorted(ours | theirs)
        if name.partition("__")[0] in net._modules and ours.get(name) != theirs.get(name)
    ]


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
