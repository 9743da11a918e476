"""Rows of every container as text, and back: equal to the last bit, or refused in words."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from skunlearn._rows.containers import row_digests
from skunlearn._rows.written_rows import read_rows, write_rows

NIGHT = datetime.datetime(2021, 3, 28, 2, 30, 0, 7)
GAP = [1, None, 3]


def there_and_back(X):
    text = json.dumps(write_rows(X))
    assert text == json.dumps(write_rows(X))  # a request that is sent again is the same one
    back = read_rows(json.loads(text))
    assert np.array_equal(row_digests(back), row_digests(X))
    return back


def frame():
    return pd.DataFrame(
        {
            "word": ["Ü\0\U0001f377", None, ""],
            "object": pd.Series(["x", None, 3], dtype=object),
            "category": pd.Categorical(["u", None, "u"], ["u", "v", "w"], ordered=True),
            "number category": pd.Categorical([3, 1, 3]),
            "ns": pd.to_datetime(
                ["2021-05-05 01:02:03.123456789", None, "1700-01-01"], format="ISO8601"
            ),
            "zone": pd.to_datetime([NIGHT] * 3).tz_localize("UTC").tz_convert("Europe/Berlin"),
            "span": pd.to_timedelta([1, -2, None], unit="ns"),
            "period": pd.period_range("2020-01", periods=3, freq="M"),
            "date": [datetime.date(2020, 2, 29)] * 3,
            "time": [NIGHT, NIGHT.time(), decimal.Decimal("1.10")],
            "integers": pd.array(GAP, dtype="Int64"),
            "truth": pd.array([True, None, False], dtype="boolean"),
            "float": [np.nan, -0.0, 0.1 + 0.2],
            "narrow": np.array([np.inf, 1 / 3, -1], dtype=np.float32),
            "large": np.array([2**63, 1, 0], dtype=np.uint64),
            "bytes": [b"\xff\0", b"", b"a"],
            "lists": [[1, [2.5, None]], {"a": "b"}, []],
            5: [1, 2, 3],
        },
        index=[7, 7, 1],
    )


def test_pandas():
    X = frame()
    back = there_and_back(X)
    pd.testing.assert_frame_equal(back, X.reset_index(drop=True), check_exact=True)
    for column in (X["word"], X["category"], X[5]):  # text for a vectoriser is a series
        pd.testing.assert_series_equal(there_and_back(column), column.reset_index(drop=True))
    assert there_and_back(pd.DataFrame(index=range(4))).shape == (4, 0)
    doubled = frame()[["word", "float"]]
    doubled.columns = ["a", "a"]
    assert list(there_and_back(doubled).columns) == ["a", "a"]


def test_polars():
    polars = pytest.importorskip("polars")
    X = polars.DataFrame(
        {
            "word": ["Ü\0\U0001f377", None, ""],
            "category": polars.Series(["u", None, "u"], dtype=polars.Categorical),
            "enum": polars.Series(["u", None, "u"], dtype=polars.Enum(["u", "v"])),
            "date": [datetime.date(2020, 2, 29)] * 3,
            "time": [NIGHT.time(), None, NIGHT.time()],
            "span": [datetime.timedelta(1), None, datetime.timedelta(-1)],
            "ns": polars.Series([1, None, 2**60 + 1]).cast(polars.Datetime("ns", "Europe/Berlin")),
            "integer": GAP,
            "small": polars.Series(GAP, dtype=polars.UInt8),
            "float": [float("nan"), None, 0.1 + 0.2],
            "narrow": polars.Series([1 / 3, None, -0.0], dtype=polars.Float32),
            "decimal": [decimal.Decimal("1.10"), None, decimal.Decimal("2")],
            "bytes": [b"\xff\0", None, b""],
            "truth": [True, None, False],
            "lists": [["a"], None, []],
            "struct": [{"a": 1}, {"a": None}, {"a": 3}],
        }
    )
    back = there_and_back(X)
    assert back.schema == X.schema
    assert back.equals(X, null_equal=True)
    # Another order of words seen before gives the same text.
    first = json.dumps(write_rows(X))
    polars.Series(["z", "u"], dtype=polars.Categorical)
    assert json.dumps(write_rows(X)) == first


def test_arrays_and_their_like():
    rng = np.random.default_rng(0)
    for dtype in ("f2", "f4", "f8", "i1", "u8", "?", "c16", "<U3", "S2", "M8[ns]", "m8[D]"):
        X = (100 * rng.normal(size=(3, 2, 2))).astype("i8").astype(dtype)
        assert np.array_equal(back := there_and_back(X), X)
        assert back.dtype == X.dtype
        assert there_and_back(X[:, :, 0].T).shape == (2, 3)  # not in C's order
    X = np.array([["a", 1], [None, 2.5]], dtype=object)
    assert there_and_back(X).tolist() == X.tolist()
    assert np.array_equal(there_and_back(torch.ones(2, 3)), np.ones((2, 3), np.float32))
    X = sparse.random(5, 4, 0.3, "coo", random_state=rng)
    assert (there_and_back(X.tocsr()) != X.tocsr()).nnz == 0
    X = {"b": np.arange(3), "a": frame()[["word"]], "t": torch.zeros(3, 2)}
    assert sorted(there_and_back(X)) == ["a", "b", "t"]


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (np.array([[object()]]), r"rows holds values that a file does not give back"),
        (np.array([[np.float64(1)]], dtype=object), r"float64"),
        (pd.DataFrame({"a": [1], "b": [{1}]}), r"column 'b' of rows .*set"),
        (pd.DataFrame({"a": pd.IntervalIndex.from_breaks([0, 1])}), r"column 'a' .*Interval"),
        (pd.DataFrame({("a", "b"): [1]}), r"column \('a', 'b'\)"),
        ({1: np.zeros(3)}, r"rows in a file must have keys that are text, got \[1\]"),
    ],
)
def test_what_does_not_come_back_is_refused(X, match):
    with pytest.raises(TypeError, match=match):
        write_rows(X, "rows")


def test_a_zone_in_a_column_of_objects_is_refused():
    zoned = pd.Series([pd.Timestamp("2020-01-01", tz="Europe/Berlin")], dtype=object)
    with pytest.raises(TypeError, match="one time zone for a column"):
        write_rows(zoned.to_frame("when"), "rows")
