"""Data frames of pandas and polars as containers of rows."""

import sys

import numpy as np


def is_frame(X):
    """Whether `X` is a frame of polars, or a frame or series of pandas or its like."""
    return hasattr(X, "iloc") or is_polars(X)


def is_polars(X):
    """Whether `X` is a data frame of polars."""
    polars = sys.modules.get("polars")
    return polars is not None and isinstance(X, polars.DataFrame)


def is_plain_frame(X):
    """Whether `X` is a frame of pandas with numbers, times, categories and text in its columns.

    Text is a column of that dtype, or one of objects that are all text: others that are equal may
    be told apart by their classes (1 and True, say), or be told apart by nothing.
    """
    plain = hasattr(X, "iloc") and len(X.shape) == 2
    return plain and all(_is_plain(column) for _, column in X.items())


def _is_plain(column):
    from pandas import StringDtype
    from pandas.api.types import infer_dtype

    if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biufmM":
        return column.dtype.itemsize <= 8
    if hasattr(column, "cat") or isinstance(column.dtype, StringDtype):
        return True
    return column.dtype == object and infer_dtype(column, skipna=False) == "string"


def number_values(column):
    """Of a column of pandas' other than numbers: which of its values each cell holds, and these.

    Returns
    -------
    codes : ndarray of int of shape (n,), with -1 where a value is missing
    values : list of object
    """
    from pandas import factorize

    if hasattr(column, "cat"):  # of a hundred thousand categories a few rows hold a few
        codes, values = factorize(column.array)
        return codes, values.tolist()
    cells = column.to_numpy(dtype=object)
    try:
        codes, values = factorize(cells)
    except TypeError:  # a list that was put there later
        return np.arange(len(cells)), cells.tolist()
    return codes, values.tolist()


def take_rows(X, rows):
    """Rows of a frame at integer positions, or a slice."""
    return X[rows] if is_polars(X) else X.iloc[rows]


def select_columns(X, names):
    """The columns called `names` of a frame that has others too; their order must be the same.

    Where one is missing, or the order is another, and of what is no frame, `X` is returned.
    """
    if not is_frame(X) or len(X.shape) != 2 or X.shape[1] <= len(names):
        return X
    known = set(names)
    kept = [name for name in X.columns if name in known]
    return X[kept] if kept == list(names) else X


def join_rows(a, b):
    """The rows of two frames, one after the other."""
    if is_polars(a):
        import polars

        return polars.concat([a, b])
    import pandas as pd

    return pd.concat([a, b])


def view_frame(X):
    """The rows and columns that `X` has now, whatever columns it is given or loses later.

    The values are not copied, so that values changed in place may show.
    """
    return X.clone() if is_polars(X) else X.copy(deep=False)


def read_schema(X):
    """Name and dtype of each column, as text."""
    dtypes = X.schema.items() if is_polars(X) else X.dtypes.items()
    return [(str(name), str(dtype)) for name, dtype in dtypes]


def share_values(a, b):
    """Whether two frames hold a column in the same memory."""
    if is_polars(a) != is_polars(b) or len(a.shape) != len(b.shape) or len(a) != len(b):
        return False
    held = ([x for x in map(_view_values, _list_columns(X)) if x is not None] for X in (a, b))
    return any(np.may_share_memory(x, y) for x, y in zip(*held))


def _list_columns(X):
    if is_polars(X):
        return X.get_columns()
    return [X] if X.ndim == 1 else [X.iloc[:, i] for i in range(X.shape[1])]


def _view_values(column):
    """The values as an array that shares their memory, None where there is none."""
    if isinstance(getattr(column, "values", None), np.ndarray):  # pandas'
        return column.values
    try:
        return column.to_numpy(allow_copy=False)
    except (RuntimeError, TypeError, ValueError):
        return None


def to_array(X):
    """The values of a frame as an array whose rows do not depend on each other."""
    if not is_polars(X):
        return X.to_numpy()
    # Its own to_numpy makes other numbers of a column where a value is missing in another row.
    rows = np.empty(X.shape, dtype=object)
    for i, column in enumerate(X.get_columns()):
        values = column.to_list()
        if column.dtype.is_float():  # -0.0 becomes 0.0
            values = [value if value is None else value + 0.0 for value in values]
        rows[:, i] = np.fromiter(values, dtype=object, count=len(values))
    return rows


def part_by_missing(X):
    """Positions of rows of pandas' with a missing value and of those without, to be written apart.

    Of whole numbers and booleans that may be missing pandas makes other ones where a value is
    missing in another row. None where it does not matter.
    """
    dtypes = [X.dtype] if len(X.shape) == 1 else X.dtypes
    if not any(hasattr(dtype, "na_value") and dtype.kind in "biu" for dtype in dtypes):
        return None
    missing = X.isna().to_numpy(dtype=bool).reshape(len(X), -1).any(axis=1)
    return [np.flatnonzero(side) for side in (missing, ~missing) if side.any()]


def align_frame(X, like, name):
    """A request's frame in the dtypes of the training rows; see `containers.align`."""
    columns = list(like.columns) if len(like.shape) == 2 else None
    kind = "polars data frame" if is_polars(like) else "data frame"
    same = is_frame(X) and is_polars(X) == is_polars(like) and len(X.shape) == len(like.shape)
    if not same or (columns is not None and list(X.columns) != columns):
        series = columns is not None and is_frame(X) and len(X.shape) == 1
        hint = " A single row is one too when it is taken with a list: X.iloc[[3]]."
        raise ValueError(
            f"{name} must be a {kind} with the training data's columns.{hint if series else ''}"
        )
    if is_polars(like):
        cast = X.cast(dict(like.schema), strict=False)
        held = [_find_kept_by_polars(X[c], cast[c]) for c in columns]
    else:
        known = _drop_unknown_words(X, like, columns)
        cast = known.astype(like.dtype if columns is None else like.dtypes)
        held = [] if columns is None else [_find_kept(X[c], cast[c]) for c in columns]
    return cast, np.all([np.ones(len(X), bool), *held], axis=0)


def _drop_unknown_words(X, like, columns):
    """`X` with no value that is none of a column's categories, which a cast would not take."""
    if columns is None:
        categories = getattr(like.dtype, "categories", None)
        return X if categories is None else X.where(X.isin(categories))
    X = X.copy(deep=False)
    for name in columns:
        categories = getattr(like[name].dtype, "categories", None)
        if categories is not None:
            X[name] = X[name].where(X[name].isin(categories))
    return X


def _find_kept(column, cast):
    """Where a column of another dtype holds what the given one does."""
    if cast.dtype.kind in "mM" and column.dtype.kind == cast.dtype.kind:  # of another unit
        return ((cast == column) | (cast.isna() & column.isna())).to_numpy(dtype=bool)
    if cast.dtype.kind in "biu":
        missing = [part.isna().to_numpy(dtype=bool) for part in (column, cast)]
        held, at = missing[0] & missing[1], ~(missing[0] | missing[1])
        held[at] = (cast[at] == column[at]).to_numpy(dtype=bool)
        return held
    return (cast.isna() == column.isna()).to_numpy()  # a category that there is not becomes NaN


def _find_kept_by_polars(column, cast):
    held = (cast.is_null() == column.is_null()).to_numpy()
    if cast.dtype.is_float():  # rounding to a narrower float is what a model does too
        return held
    back = cast.cast(column.dtype, strict=False)
    return held & (back == column).fill_null(True).to_numpy()
