"""Requests from files of identifiers, as tools for data lakes write them."""

import os

import numpy as np
import pandas as pd

_TYPES = (None, "str", "int")


def read_requests(path, column, *, request_id, request_column, dtype):
    """The names of each request in a file, by the request's id and in the file's order."""
    if (request_id is None) == (request_column is None):
        raise TypeError("Say which request the rows belong to: request_id= or request_column=.")
    if dtype not in _TYPES:
        raise ValueError(f"dtype must be one of {_TYPES}, got {dtype!r}.")
    columns = [column] if request_column is None else [request_column, column]
    frame = _read(os.fspath(path), columns)
    for name in columns:
        empty = np.flatnonzero(frame[name].isna())
        if len(empty):
            raise ValueError(
                f"{path}: {len(empty)} rows have no {name!r}, the first is row {empty[0]} (from 0)."
            )
    if not len(frame):
        raise ValueError(f"{path} holds no rows.")
    names = _convert(frame[column], dtype, path)
    keys = [request_id] * len(names) if request_column is None else frame[request_column].tolist()
    found = {}
    for key, name in zip(keys, names):
        found.setdefault(key if isinstance(key, str) else str(key), {})[name] = None
    return {key: list(group) for key, group in found.items()}  # a name that came twice is one


def _read(path, columns):
    lower = path.lower()
    try:
        if lower.endswith((".parquet", ".pq")):
            try:
                return pd.read_parquet(path, columns=columns, engine="pyarrow")
            except ImportError as error:
                raise ImportError(
                    "Parquet files need pyarrow: pip install 'skunlearn[parquet]'."
                ) from error
        if ".csv" in os.path.basename(lower):
            # As text: a number that is parsed has lost its leading zeros.
            frame = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
            missing = [name for name in columns if name not in frame.columns]
            if missing:
                raise ValueError(f"its columns are {list(frame.columns)}")
            return frame[columns]
    except (ValueError, KeyError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"{path} cannot be read for the columns {columns}: {error}") from error
    raise ValueError(f"{path} is neither .parquet nor .csv.")


def _convert(values, dtype, path):
    if dtype is None:
        return [v.item() if isinstance(v, np.generic) else v for v in values.tolist()]
    if dtype == "str":
        return [value if isinstance(value, str) else str(value) for value in values.tolist()]
    result = []
    for row, value in enumerate(values.tolist()):
        try:
            number = int(value)
        except (TypeError, ValueError):
            number = None
        if number is None or (not isinstance(value, str) and number != value):
            raise ValueError(f"{path}: row {row} (from 0) is no integer: {value!r}.")
        result.append(number)
    return result
