"""Rows as JSON's types, and back: every value as it was, and no code is run to read them."""

import base64
import datetime
import decimal
import io

import numpy as np
from scipy import sparse

from skunlearn._rows.containers import is_mapping, n_rows, row_digests, take, to_numpy
from skunlearn._rows.frames import is_frame, is_polars
from skunlearn._rows.row_forms import describe, empty, form_of

_KINDS = "biufcmMSU"  # of arrays that numpy's own files hold
_READ = {
    "datetime": datetime.datetime.fromisoformat,
    "date": datetime.date.fromisoformat,
    "time": datetime.time.fromisoformat,
    "Decimal": decimal.Decimal,
    "bytes": base64.b64decode,
}


def write_rows(X, name="X"):
    """Rows of any container as JSON's types; TypeError for values that do not come back equal.

    Parameters
    ----------
    X : array, tensor, sparse matrix, data frame or mapping of these, of n rows
    name : str, default="X"
        Of the rows, for errors.

    Returns
    -------
    written : dict or str, for `read_rows`
    """
    if is_mapping(X):
        if not all(isinstance(key, str) for key in X):
            raise TypeError(f"{name} in a file must have keys that are text, got {[*X]}.")
        return {"entries": {key: write_rows(X[key], f"{name}[{key!r}]") for key in sorted(X)}}
    if is_frame(X):
        return _write_frame(X, name)
    if sparse.issparse(X):
        X = X.tocsr()
        parts = {part: _write_array(getattr(X, part)) for part in ("data", "indices", "indptr")}
        return {"sparse": parts, "shape": list(X.shape)}
    X = to_numpy(X)
    if X.dtype.kind in _KINDS:
        return _write_array(X)
    written = {"shape": list(X.shape), "values": None}
    return _check(X, lambda: written | {"values": _write_values(X.ravel().tolist())}, name)


def read_rows(written):
    """The rows that `write_rows` was given, in a container of that kind."""
    if isinstance(written, str):
        return np.load(io.BytesIO(base64.b64decode(written)), allow_pickle=False)
    if "entries" in written:
        return {key: read_rows(entry) for key, entry in written["entries"].items()}
    if "sparse" in written:
        parts = (read_rows(written["sparse"][part]) for part in ("data", "indices", "indptr"))
        return sparse.csr_matrix(tuple(parts), shape=written["shape"])
    if "columns" in written:
        return _read_frame(written)
    values = np.empty(len(written["values"]), dtype=object)
    values[:] = _read_values(written["values"])
    return values.reshape(written["shape"])


def _write_array(array):
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array).reshape(np.shape(array)), allow_pickle=False)
    return base64.b64encode(file.getvalue()).decode()


# ---------------------------------------------------------------------- frames


def _write_frame(X, name):
    def write(X):
        columns = [_write_values(values) for values in _columns(X)]
        return {"frame": describe(take(X, slice(0, 0))), "n": n_rows(X), "columns": columns}

    if not is_polars(X):
        X = X.reset_index(drop=True)
    if len(X.shape) == 1:
        return _check(X, lambda: write(X), name)
    for i, column in enumerate(X.columns):
        part = X[[column]] if is_polars(X) else X.iloc[:, [i]]
        _check(part, lambda part=part: write(part), f"column {column!r} of {name}")
    return write(X)


def _columns(X):
    """The values of each column, of times in polars the numbers that they are held as."""
    if is_polars(X):
        for column in X.get_columns():
            yield (column.to_physical() if column.dtype.is_temporal() else column).to_list()
    elif X.ndim == 1:
        yield X.tolist()
    else:
        for i in range(X.shape[1]):
            yield X.iloc[:, i].tolist()


def _read_frame(written):
    like, columns = empty(written["frame"]), map(_read_values, written["columns"])
    if is_polars(like):
        import polars

        columns = zip(like.get_columns(), columns, strict=True)
        return polars.DataFrame([_read_polars(of, values) for of, values in columns])
    import pandas as pd

    dtypes = [like.dtype] if like.ndim == 1 else like.dtypes
    columns = [
        pd.Series(values, dtype=object).astype(dtype)
        for values, dtype in zip(columns, dtypes, strict=True)
    ]
    if like.ndim == 1:
        return columns[0].rename(like.name)
    if not columns:
        return pd.DataFrame(index=range(written["n"]))
    frame = pd.concat(columns, axis=1)
    frame.columns = like.columns
    return frame


def _read_polars(like, values):
    import polars

    if like.dtype.is_temporal():
        held = polars.Series(like.name, values, dtype=like.to_physical().dtype)
        return held.cast(like.dtype)
    return polars.Series(like.name, values, dtype=like.dtype)


def _check(X, write, name):
    """What `write()` gives, once it was read and is the same rows by their digests."""
    try:
        written = write()
        back = read_rows(written)
        same = form_of(back) == form_of(X) and np.array_equal(row_digests(back), row_digests(X))
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise TypeError(f"{name} holds values that a file does not give back: {error}") from error
    if not same:
        raise TypeError(
            f"{name} holds values that a file does not give back as they were. Use plain numbers, "
            "text, bytes, dates, times or categories, and one time zone for a column."
        )
    return written


# ---------------------------------------------------------------------- values


def _write_values(values):
    return [_write_value(value) for value in values]


def _read_values(written):
    return [_read_value(value) for value in written]


def _write_value(value):
    """A value in JSON's types; what JSON does not know is a dict of its kind and its text."""
    kind = type(value).__name__
    if value is None or type(value) in (str, bool, int, float):
        return value
    if type(value) is list:
        return {"list": _write_values(value)}
    if type(value) is dict and all(isinstance(key, str) for key in value):
        return {"dict": {key: _write_value(each) for key, each in value.items()}}
    if type(value) is bytes:
        return {kind: base64.b64encode(value).decode()}
    if type(value) is decimal.Decimal:
        return {kind: str(value)}
    if type(value) in (datetime.datetime, datetime.date, datetime.time):
        return {kind: value.isoformat()}
    if kind in ("NAType", "NaTType"):
        return {kind: None}
    if kind == "Timestamp":
        return {kind: [value.isoformat(), value.unit]}
    if kind == "Timedelta":
        return {kind: [int(value.asm8.astype(np.int64)), value.unit]}
    if kind == "Period":
        return {kind: [str(value), value.freqstr]}
    raise TypeError(f"{value!r} ({kind}) is no plain number, text, date, time or bytes.")


def _read_value(written):
    if not isinstance(written, dict):
        return written
    ((kind, held),) = written.items()
    if kind == "list":
        return _read_values(held)
    if kind == "dict":
        return {key: _read_value(each) for key, each in held.items()}
    if kind in _READ:
        return _READ[kind](held)
    import pandas as pd

    if kind == "Timestamp":
        return pd.Timestamp(held[0]).as_unit(held[1])
    if kind == "Timedelta":
        return pd.Timedelta(np.timedelta64(*held))
    return {"NAType": pd.NA, "NaTType": pd.NaT}[kind] if held is None else pd.Period(*held)
