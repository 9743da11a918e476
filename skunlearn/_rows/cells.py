"""Values inside of a row that are no plain numbers, as text and bytes to be hashed."""

import dataclasses
import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse

from skunlearn._rows.frames import is_frame, is_polars, to_array

_PLAIN = frozenset((bool, int, str, bytes, type(None)))
_OR_FLOATS = _PLAIN | {float}


def write_cell(value):
    """Text that stands for a value: equal values have equal texts, others do not.

    It is Python's ``repr`` of plain values and of what holds them. That of an array shows a few of
    its numbers, and not all of their digits; the text of one holds a digest of the whole. Objects
    of other classes stand for what their ``repr`` says.
    """
    kind = type(value)
    if kind is list:
        if _OR_FLOATS.issuperset(map(type, value)):
            text = repr(value)
            if "-0.0," not in text and not text.endswith("-0.0]"):
                return text  # most rows
        return f"[{', '.join(map(write_cell, value))}]"
    if kind in _PLAIN:
        return repr(value)
    if isinstance(value, float):
        return repr(value + 0.0)  # -0.0 becomes 0.0
    if isinstance(value, np.str_ | np.bytes_):  # those of a list that was made of an array's
        return repr(value.item())
    if isinstance(value, np.ma.MaskedArray):
        return f"masked({_write_array(value.filled(0))}, {_write_array(np.ma.getmaskarray(value))})"
    if isinstance(value, np.ndarray):
        return f"array({_write_array(value)})"
    if isinstance(value, torch.Tensor):
        return f"{value.dtype}({_write_tensor(value)})"
    if sparse.issparse(value):
        return f"sparse({_write_sparse(value)})"
    if is_frame(value):
        return f"frame({_write_frame(value)})"
    if kind is tuple:
        inner = ", ".join(map(write_cell, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if kind is dict:
        return f"{{{', '.join(map(_write_pair, value.items()))}}}"
    return _write_other(value)


def _write_other(value):
    name = type(value).__qualname__
    if isinstance(value, set | frozenset) and value:  # in the order of no process
        inner = f"{{{', '.join(sorted(map(write_cell, value)))}}}"
        return inner if type(value) is set else f"{name}({inner})"
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return f"{name}({_write_fields(zip(value._fields, value))})"
    if isinstance(value, list | tuple):
        return f"{name}({', '.join(map(write_cell, value))})"
    if isinstance(value, Mapping):
        return f"{name}({', '.join(map(_write_pair, value.items()))})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        compared = [field.name for field in dataclasses.fields(value) if field.compare]
        return f"{name}({_write_fields((field, getattr(value, field)) for field in compared)})"
    return repr(value)


def _write_fields(pairs):
    return ", ".join(f"{name}={write_cell(value)}" for name, value in pairs)


def _write_pair(pair):
    return f"{write_cell(pair[0])}: {write_cell(pair[1])}"


def _write_array(array):
    kind, dtype = array.dtype.kind, array.dtype.newbyteorder("=")
    if kind not in "biufcmMSU":
        return f"{dtype}, {array.shape}, {write_cell(array.tolist())}"
    if kind in "fc":  # -0.0 becomes 0.0, and 0 / 0 has other bits than NaN
        array = np.where(np.isnan(array), np.asarray(np.nan, array.dtype), array + 0.0)
    data = np.asarray(array, dtype=dtype).tobytes()
    digest = hashlib.blake2b(data, digest_size=16).hexdigest()
    return f"{dtype.str}, {array.shape}, {digest}"


def _write_sparse(matrix):
    """Of what is not zero, however many columns there are."""
    found = matrix.tocoo(copy=True)
    found.sum_duplicates()
    found.eliminate_zeros()
    places = np.array([found.row, found.col], dtype=np.int64)
    order = np.lexsort(places)
    return f"{found.shape}, {_write_array(places[:, order])}, {_write_array(found.data[order])}"


def _write_tensor(tensor):
    if tensor.is_nested:
        return write_cell(list(tensor.unbind()))
    if tensor.is_quantized:
        tensor = tensor.dequantize()
    tensor = tensor.detach().cpu().resolve_conj().resolve_neg()
    tensor = tensor.to_dense() if tensor.layout is not torch.strided else tensor
    if tensor.is_floating_point() and tensor.itemsize == 1:
        tensor = tensor.float()  # numpy has none of eight bits
    return _write_array((tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy())


def _write_frame(frame):
    index = [] if is_polars(frame) else frame.index.tolist()
    columns = list(frame.columns) if len(frame.shape) == 2 else frame.name
    return f"{write_cell(columns)}, {write_cell(index)}, {_write_array(to_array(frame))}"
