"""Checks that need no model: masks, weights, requests, values of rows; and how to warn."""

import contextlib
import contextvars
import sys
import warnings
from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import assert_all_finite

from skunlearn._rows.containers import is_dataset, is_mapping, read_in_parts
from skunlearn._rows.frames import is_frame, to_array
from skunlearn._rows.mapped import Reading

_HEARD = contextvars.ContextVar("heard", default=((), []))  # categories, and what was said
_PIECE = 2**24  # bytes of memory-mapped rows checked at a time
_NOT_HERE = (
    " Where a cross-validation has handed out the rows, none of this fold's training part is "
    "marked: split by skunlearn.model_selection.ForgetSplit, which leaves marked rows in every "
    "training part, or shuffle the folds."
)


def check_weights(sample_weight, n):
    """Check sample weights and return them as a float64 array of shape (n,)."""
    if isinstance(sample_weight, torch.Tensor):
        sample_weight = sample_weight.detach().cpu().numpy()
    weights = np.array(sample_weight, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight must have one entry per row of X: expected shape ({n},), got "
            f"{weights.shape}."
        )
    assert_all_finite(weights, input_name="sample_weight")
    if (weights < 0).any():
        raise ValueError(
            f"sample_weight must not be negative, but {(weights < 0).sum()} of {n} are."
        )
    if not weights.any():
        raise ValueError("sample_weight is zero for every row; nothing would be learnt.")
    return weights


def check_forget_mask(forget, n):
    """Check that `forget` is a boolean mask over the rows and return it as an ndarray."""
    mask = check_mask(forget, n, "forget", _NOT_HERE)
    if mask.all():
        raise ValueError("forget marks every row; nothing would be left to train on.")
    return mask


def check_mask(mask, n, name, hint=""):
    """Check that `mask` is boolean, has one entry per row and marks a row; return an ndarray.

    `hint` is said where it marks none.
    """
    given, mask = mask, np.asarray(mask)
    if mask.dtype != bool:
        refuse_forget_set(given, name, f"{name}=forget_set.mask")
        raise TypeError(
            f"{name} must be a boolean mask with one entry per row of X, got dtype {mask.dtype}. "
            "Index arrays are refused: cross-validation hands out other rows in every fold. "
            f"Use mask = numpy.zeros({n}, dtype=bool); mask[indices] = True."
        )
    if mask.shape != (n,):
        raise ValueError(
            f"{name} must have one entry per row of X: expected shape ({n},), got {mask.shape}."
        )
    if not mask.any():
        raise ValueError(f"{name} marks no row; leave it out.{hint}")
    return mask


def refuse_other_order(X, **given):
    """Raise where a series and the frame `X` have the same index in another order.

    Whether it goes by position or by the index nobody can say, and one of them hits other rows.
    """
    for name, values in given.items():
        ours, theirs = getattr(X, "index", None), getattr(values, "index", None)
        if not (hasattr(X, "iloc") and hasattr(values, "iloc")) or len(ours) != len(theirs):
            continue
        if (
            not ours.equals(theirs)
            and ours.is_unique
            and ours.sort_values().equals(theirs.sort_values())
        ):
            raise ValueError(
                f"{name} is a series with the index of X in another order. Pass "
                f"{name}.loc[X.index] where it goes by the index, {name}.to_numpy() where it goes "
                "by position."
            )


def are_positions(values):
    """Whether the labels of a frame's or a series' index are positions, if it has an index."""
    index = values.index if hasattr(values, "iloc") else None
    return index is None or np.array_equal(np.asarray(index), np.arange(len(index)))


def refuse_labels(indices, numbered):
    """Raise where `indices` are a pandas Index, whose labels are no positions, or may be none.

    `numbered` says whether the labels of the rows of ``fit`` are positions; None: nobody knows.
    """
    if numbered or not hasattr(indices, "get_indexer"):
        return
    raise TypeError(
        "indices is an Index of pandas, of labels, and those of the rows of fit "
        f"{'may be' if numbered is None else 'are'} others than their positions, as after a split "
        "or a filter: other rows would be forgotten. Pass X.index.get_indexer(indices), of the X "
        "that fit was given, or indices.to_numpy() where these are positions."
    )


def check_single_request(unknown, **named):
    """Exactly one way of naming rows must be used; `unknown` are other arguments by name."""
    if unknown:
        raise TypeError(
            f"unlearn takes no {', '.join(f'{name}=' for name in unknown)}. Name rows by their "
            "positions in fit as indices=, or as X_forget, ids= or groups=. A mask over the rows "
            "becomes indices=numpy.flatnonzero(mask), and a class numpy.flatnonzero(y == label)."
        )
    given = [name for name, value in named.items() if value is not None]
    if len(given) != 1:
        raise TypeError(
            "Name the rows to forget in exactly one way, as X_forget, ids=, indices= or "
            f"groups=; got {', '.join(given) if given else 'none of them'}."
        )


def refuse_forget_set(given, name, instead):
    """Refuse a whole `ForgetSet`, or any like it, where a part of it is meant."""
    if hasattr(given, "indices") and hasattr(given, "mask") and hasattr(given, "description"):
        raise TypeError(f"{name} takes no {type(given).__name__}; pass {instead}.")


def refuse_positions(X, like, name):
    """Refuse positions or a mask where rows like those of `like` are meant."""
    if is_dataset(X) or is_mapping(X) or sparse.issparse(X) or hasattr(X, "columns"):
        return
    try:
        given = np.asarray(sorted(X) if isinstance(X, set | frozenset) else X)
    except (TypeError, ValueError):  # ragged, say; another check's business
        return
    rows_of_their_own = not is_mapping(like) and len(like.shape) == 1
    if rows_of_their_own and getattr(like, "dtype", given.dtype).kind in "biufc":
        return
    if given.ndim > 1 or given.dtype.kind not in "biu":
        if given.ndim == 0:
            refuse_forget_set(X, name, "indices=forget_set.indices")
        return
    if given.dtype == bool:
        what, instead = "a boolean mask", "indices=numpy.flatnonzero(mask)"
    else:
        what, instead = f"{'a number' if given.ndim == 0 else 'numbers'}", f"indices={_some(given)}"
    row = not is_mapping(like) and given.dtype != bool and given.shape == tuple(like.shape[1:])
    raise TypeError(
        f"{name} takes the rows themselves, got {what} of shape {given.shape}. To name rows by "
        f"their positions in fit, pass {instead}; by their identifiers, ids=."
        + (" A single row needs a leading axis: X[None]." if row else "")
    )


def check_models(models):
    """Refuse what is no dict of models by name."""
    if not isinstance(models, Mapping):
        raise TypeError(
            f"models must be a dict of models by name, got {type(models).__name__}. Pass "
            "{'unlearned': model}, with the others to compare it with."
        )


def _some(numbers):
    shown = np.atleast_1d(numbers)[:4].tolist()
    return str(shown)[:-1] + (", ...]" if numbers.size > 4 else "]")


def check_finite(values, name, *, allow_nan=False, names=None):
    """Raise ValueError where a container of rows holds infinity, or NaN unless `allow_nan`.

    The error says where; `names` are those of the columns.
    """
    if getattr(values, "ndim", 0 if np.isscalar(values) else 1) == 0:
        return  # no row at all, which whoever looks at shapes says
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
    elif not isinstance(values, np.ndarray) and is_frame(values):
        names = list(values.columns) if len(values.shape) == 2 else None
        _check_array(to_array(values), name, allow_nan, names)
    else:
        _check_array(
            values if sparse.issparse(values) else np.asarray(values), name, allow_nan, names
        )


def _check_array(values, name, allow_nan, names):
    start, parts = 0, [values]
    if getattr(values, "nbytes", 0) > _PIECE and Reading(values):
        parts = read_in_parts(values, values[:1].nbytes, _PIECE)
    with np.errstate(invalid="ignore"):  # ∞ − ∞ in scikit-learn's sum
        for part in parts:
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


@contextlib.contextmanager
def hear_warnings(*categories):
    """Yield a list of what `warn` says in this thread meanwhile, which is said all the same."""
    token = _HEARD.set((categories, heard := []))
    try:
        yield heard
    finally:
        _HEARD.reset(token)


def warn(message, category):
    """Warn in the name of the code that called into this package."""
    categories, heard = _HEARD.get()
    if issubclass(category, categories):
        heard.append(message)
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("skunlearn."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
