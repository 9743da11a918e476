"""NaN and infinity in rows, and where they stand."""

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import assert_all_finite

from skunlearn._rows.containers import is_mapping
from skunlearn._rows.frames import is_frame, to_array
from skunlearn._rows.mapped import Reading

_PIECE = 2**24  # bytes of memory-mapped rows checked at a time


def check_finite(values, name, *, allow_nan=False, names=None):
    """Raise ValueError where a container of rows holds infinity, or NaN unless `allow_nan`.

    The error says where; `names` are those of the columns.
    """
    if is_mapping(values):
        for key, value in values.items():
            check_finite(value, f"{name}[{key!r}]", allow_nan=allow_nan)
    elif isinstance(values, torch.Tensor):
        if values.layout is not torch.strided:
            raise TypeError(
                f"{name} is a tensor of layout {values.layout}. Pass {name}.to_dense(), or a "
                "scipy.sparse matrix."
            )
        wrong = torch.isinf if allow_nan else lambda values: ~torch.isfinite(values)
        if values.is_floating_point() and wrong(values).any():
            _refuse_values(values.detach().float().cpu().numpy(), name, allow_nan)
    elif is_frame(values):
        names = list(values.columns) if len(values.shape) == 2 else None
        _check_array(to_array(values), name, allow_nan, names)
    else:
        _check_array(
            values if sparse.issparse(values) else np.asarray(values), name, allow_nan, names
        )


def _check_array(values, name, allow_nan, names):
    start = 0
    with np.errstate(invalid="ignore"):  # ∞ − ∞ in scikit-learn's sum
        for part in _pieces(values):
            try:
                assert_all_finite(part, allow_nan=allow_nan, input_name=name)
            except ValueError:
                _refuse_values(part, name, allow_nan, names, start)
            start += part.shape[0] if part.ndim else 0


def _refuse_values(values, name, allow_nan, names=None, start=0):
    """Raise the ValueError that says where NaN or infinity stands; `start` is the first row."""
    if sparse.issparse(values):
        coo = values.tocoo()
        held, where = coo.data, np.column_stack([coo.row, coo.col])
        where = where[_is_wrong(held, allow_nan)]
        where = where[np.lexsort(where.T[::-1])]
        held = np.asarray(values[[where[0, 0]], :].toarray())[0, where[0, 1]]
    else:
        where = np.argwhere(_is_wrong(np.atleast_1d(values), allow_nan))
        held = np.atleast_1d(values)[tuple(where[0])]
    row, *inside = where[0].tolist()
    place = f"row {row + start}"
    if len(inside) == 1:
        place += f", column {inside[0]}" + ("" if names is None else f" ({names[inside[0]]!r})")
    elif inside:
        place += f", at {tuple(inside)}"
    if held is None or held != held:
        what = "NaN"
        advice = (
            "A net learns nothing from NaN: fill it in (sklearn.impute), or leave these rows out. "
            "One that takes NaN says so by scikit-learn's tag: its class defines "
            "__sklearn_tags__, which sets input_tags.allow_nan of super's to True."
        )
    else:
        what = f"infinity or a value too large for {values.dtype!r}"
        advice = "Leave these rows out, or clip their values."
    n = len(np.unique(where[:, 0]))
    raise ValueError(
        f"Input {name} contains {what}: {n} row{'s' if n > 1 else ''} of {values.shape[0]} hold"
        f"{'' if n > 1 else 's'} such a value, the first at {place}. {advice}"
    )


def _is_wrong(values, allow_nan):
    if values.dtype.kind == "O":
        return np.frompyfunc(lambda v: v is None or v != v, 1, 1)(values).astype(bool)
    return np.isinf(values) if allow_nan else ~np.isfinite(values)


def _pieces(values):
    """The whole, or rows of what lies on disk some at a time."""
    reading = Reading(values)
    if not reading or not len(values):
        yield values
        return
    row_bytes = max(1, values[:1].nbytes)
    step = max(1, _PIECE // row_bytes)
    for i in range(0, len(values), step):
        yield values[i : i + step]
        reading.done(step * row_bytes)
