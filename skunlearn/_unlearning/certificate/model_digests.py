"""A digest of a model's weights, whatever kind of model it is."""

import json
from collections.abc import Mapping
from itertools import starmap

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator

from skunlearn._files.digests import array_line, digest_of_lines, tensor_line, torch_line
from skunlearn._torch import skorch_nets
from skunlearn._torch.parts.net_state import named_tensors

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_DRAWS = (np.random.RandomState, np.random.Generator, np.random.BitGenerator, torch.Generator)


def model_digest(model):
    """Digest of what a model has learnt.

    Returns
    -------
    described : dict
        "algorithm", "digest" and "of": in words, what it is a digest of.
    """
    if skorch_nets.is_net(model):
        of = "parameters and buffers of the net, by name"
        lines = starmap(torch_line, named_tensors(model).items())
        return {"algorithm": "sha256", "digest": digest_of_lines(lines), "of": of}
    lines = list(_write_lines(model, "", ()))
    if isinstance(model, list):
        of = "what the models have learnt, by position and name of the attribute"
    else:
        of = f"what {type(model).__name__} has learnt: all attributes but its parameters, by name"
    return {"algorithm": "sha256", "digest": digest_of_lines(lines), "of": of}


def _write_lines(value, name, around):
    """Lines of all arrays and plain values that can be reached; `around` are those it is in."""
    if isinstance(value, _PLAIN) or (isinstance(value, np.generic) and value.dtype.kind == "O"):
        yield tensor_line(name, type(value).__name__, (), repr(value).encode())
        return
    if isinstance(value, _DRAWS):  # predictions draw from them
        return
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        yield tensor_line(name, "code", (), f"{value.__module__}.{value.__qualname__}".encode())
        return
    if any(value is other for other in around):
        return
    around = (*around, value)
    if isinstance(value, torch.Tensor):
        yield torch_line(name, value)
    elif isinstance(value, np.ndarray | np.generic):
        yield from _write_array_lines(np.asarray(value), name, around)
    elif skorch_nets.is_net(value):
        for key, tensor in named_tensors(value).items():
            yield torch_line(f"{name}.{key}", tensor)
    elif isinstance(value, torch.nn.Module):
        for key, tensor in value.state_dict().items():
            if isinstance(tensor, torch.Tensor):
                yield torch_line(f"{name}.{key}", tensor)
    else:
        for key, part in _list_parts(value):
            yield from _write_lines(part, f"{name}.{key}" if name else str(key), around)


def _write_array_lines(array, name, around):
    if array.dtype.names:  # nodes of trees: bytes between the fields mean nothing
        for field in array.dtype.names:
            yield from _write_array_lines(array[field], f"{name}.{field}", around)
    elif array.dtype.kind == "O":
        for i, item in enumerate(array.ravel()):
            yield from _write_lines(item, f"{name}.{i}", around)
    else:
        yield array_line(name, array)


def _list_parts(value):
    """What an object holds, by name."""
    if isinstance(value, Mapping):
        return [(_name_key(key), part) for key, part in value.items()]
    if isinstance(value, list | tuple):
        return list(enumerate(value))
    if isinstance(value, set | frozenset):
        return list(enumerate(sorted(value, key=repr)))
    if sparse.issparse(value):
        value = value.tocsr()
        names = ("shape", "data", "indices", "indptr")
        return [(name, getattr(value, name)) for name in names]
    if isinstance(value, BaseEstimator):
        given = value.get_params(deep=False)
        learnt = [(key, part) for key, part in vars(value).items() if key not in given]
        # Pipelines, feature unions and frozen estimators keep fitted ones in their parameters.
        return learnt + [
            (k, part) for key in given for k, part in _list_estimators(given[key], key)
        ]
    if hasattr(value, "get_arrays"):  # of neighbours: the rest of its state counts questions
        return [(str(i), np.asarray(part)) for i, part in enumerate(value.get_arrays())]
    if hasattr(value, "_digested"):  # whose state is made for pickle, at some cost
        return _list_parts(value._digested())
    try:
        state = value.__getstate__()
    except Exception:  # of extension types that no pickle takes either
        return []
    if state is None:
        return []
    return _list_parts(state) if isinstance(state, Mapping | list | tuple) else [("state", state)]


def _list_estimators(value, name):
    """Estimators in a parameter, by name; all else in it was chosen and not learnt."""
    if isinstance(value, BaseEstimator):
        yield name, value
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from _list_estimators(part, f"{name}.{i}")


def _name_key(key):
    return key if isinstance(key, str) else json.dumps(repr(key))
