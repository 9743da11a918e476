"""The form of training rows in JSON's types, and empty containers made of it."""

import numpy as np
import torch

from skunlearn._rows.containers import is_mapping, to_numpy
from skunlearn._rows.frames import is_frame, is_polars, read_schema


def form_of(X):
    """Kind, shape of a row, dtype and column names of `X`, for comparison."""
    if is_mapping(X):
        return {key: form_of(X[key]) for key in sorted(X)}
    if is_frame(X) and len(X.shape) == 2:
        return "frame", read_schema(X)
    return type(X).__name__, tuple(X.shape[1:]), str(X.dtype)


def describe(like):
    """The form of an empty container of rows; None where there is none."""
    if like is None:
        return None
    if is_mapping(like):
        return {key: describe(value) for key, value in like.items()}
    if is_frame(like):
        return [_POLARS if is_polars(like) else _PANDAS, _schema(like)]
    if isinstance(like, torch.Tensor):
        like = to_numpy(like)  # bfloat16 as float32, which is how its rows were hashed
    return [str(np.dtype(like.dtype)), list(like.shape[1:])]


def empty(described):
    """The container that `describe` was given."""
    if described is None:
        return None
    if isinstance(described, dict):
        return {key: empty(value) for key, value in described.items()}
    dtype, shape = described
    if dtype == _POLARS:
        return _empty_polars(shape)
    if dtype == _PANDAS:
        return _empty_pandas(shape)
    return np.empty((0, *shape), dtype=dtype)


_PANDAS, _POLARS = "pandas", "polars"


def _schema(like):
    if is_polars(like):
        return like.head(0).serialize(format="json")
    if like.ndim == 1:
        return {"name": _name(like.name), "dtype": _dtype(like.dtype)}
    return [[_name(name), _dtype(dtype)] for name, dtype in like.dtypes.items()]


def _name(name):
    name = name.item() if isinstance(name, np.generic) else name
    if isinstance(name, str | int | float | None):
        return name
    raise TypeError(f"save writes columns whose names are text or numbers, got {name!r}.")


def _dtype(dtype):
    import pandas as pd

    if isinstance(dtype, pd.CategoricalDtype):
        values = pd.Series(dtype.categories)
        return {
            "categories": [_name(value) for value in values.tolist()],
            "of": _dtype(values.dtype),
            "ordered": bool(dtype.ordered),
        }
    if pd.api.types.pandas_dtype(str(dtype)) != dtype:
        raise TypeError(f"save cannot write that a column is of dtype {dtype!r}.")
    return str(dtype)


def _pandas_dtype(described):
    import pandas as pd

    if not isinstance(described, dict):
        return described
    values = pd.Index(described["categories"], dtype=described["of"])
    return pd.CategoricalDtype(values, ordered=described["ordered"])


def _empty_pandas(schema):
    import pandas as pd

    if isinstance(schema, dict):
        return pd.Series([], name=schema["name"], dtype=_pandas_dtype(schema["dtype"]))
    columns = [pd.Series([], dtype=_pandas_dtype(dtype)) for _, dtype in schema]
    if not columns:
        return pd.DataFrame()
    frame = pd.concat(columns, axis=1)
    frame.columns = [name for name, _ in schema]
    return frame


def _empty_polars(schema):
    import io

    import polars

    return polars.DataFrame.deserialize(io.StringIO(schema), format="json")
