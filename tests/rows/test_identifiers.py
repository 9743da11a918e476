"""Identifiers compare as Python compares them, wherever they are named."""

import datetime as dt
import uuid
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.tree import DecisionTreeClassifier

from skunlearn import RetrainUnlearner
from skunlearn._rows.identifiers import identifier_text
from skunlearn.exceptions import UnknownRowsError
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.production._names import as_list, read, write

BERLIN = dt.timezone(dt.timedelta(hours=1))
UUIDS = [uuid.UUID(int=i + 2**100) for i in range(60)]
DAYS = [dt.date(2024, 1, 1) + dt.timedelta(days=i) for i in range(60)]

# What fit was given, and what a request calls row 4.
IDS = {
    "floats for ints": (range(60), 4.0),
    "ints for floats": (np.arange(60) / 1.0, 4),
    "text of numpy": ([str(i) for i in range(60)], np.str_("4")),
    "decimals": (range(60), Decimal("4.0")),
    "tuples of numpy integers": ([("site", i) for i in range(60)], ("site", np.int64(4))),
    "tuples of tensors": ([(i, i) for i in range(60)], (torch.tensor(4), np.float32(4))),
    "datetime64 for dates": (DAYS, np.datetime64("2024-01-05")),
    "dates for datetime64": (np.array(DAYS, dtype="datetime64[ns]"), DAYS[4]),
    "pandas' for dates": (DAYS, pd.Timestamp("2024-01-05")),
    "dates for pandas'": (pd.Series(pd.to_datetime(pd.Series(DAYS))), np.datetime64("2024-01-05")),
    "text for UUIDs": (UUIDS, str(UUIDS[4]).upper()),
    "UUIDs for text": ([str(u) for u in UUIDS], UUIDS[4]),
}


@pytest.mark.parametrize("kind", IDS)
@pytest.mark.parametrize("table", ["ids", "groups"])
def test_a_request_names_rows_in_another_form(data, kind, table):
    given, name = IDS[kind]
    unlearner = RetrainUnlearner(DecisionTreeClassifier()).fit(*data, **{table: given})
    assert np.flatnonzero(~unlearner.unlearn(**{table: [name]})._record.retained).tolist() == [4]


@pytest.mark.parametrize("kind", [kind for kind in IDS if kind != "decimals"])
def test_a_queue_holds_every_form(data, kind, tmp_path):
    given, name = IDS[kind]
    X, y = data
    queue = DeletionQueue(tmp_path, batch_size=1)
    assert queue.submit("a", ids=[name]) == queue.submit("a", ids=[list(given)[4]])
    worker = DeletionWorker(queue, RetrainUnlearner(DecisionTreeClassifier()), X[40:], y[40:])
    worker.start(X[:40], y[:40], ids=list(given)[:40]).run_once()
    assert queue.status("a")["state"] == "applied"
    assert np.flatnonzero(~worker.unlearner._record.retained).tolist() == [4]


def test_names_in_files_keep_their_meaning():
    aware = dt.datetime(2024, 1, 5, 1, tzinfo=BERLIN)
    names = [np.str_("4"), ("a", np.int64(4)), np.datetime64("2024-01-05"), UUIDS[4], aware, 0.5]
    names += [("a", DAYS[3], (UUIDS[0], b"x")), pd.Timestamp("2024-01-05 00:00:00.000000001")]
    again = read(write(as_list(names, "ids")))
    assert [*map(identifier_text, again)] == [*map(identifier_text, names)]


SAME = [
    (1, True, 1.0, 1 + 0j, np.bool_(True), np.longdouble(1), Fraction(1)),
    (0.5, Fraction(1, 2), np.float16(0.5), torch.tensor(0.5)),
    (Decimal("0.1"), Fraction(1, 10)),
    ("a", np.str_("a")),
    ((1, 2), (1.0, np.int8(2))),
    (frozenset([1, 2, 3]), frozenset([3.0, 2, True])),
    (dt.datetime(2024, 1, 1), dt.date(2024, 1, 1), np.datetime64("2024-01-01", "s")),
    (dt.datetime(2024, 1, 1, 1, tzinfo=BERLIN), pd.Timestamp("2024-01-01", tz="UTC")),
    (pd.Timestamp("2024-01-01 00:00:00.000000001"), np.datetime64("2024-01-01T00:00:00.000000001")),
    (dt.timedelta(days=1), np.timedelta64(24, "h"), pd.Timedelta("1D")),
    (pd.NaT, np.datetime64("NaT")),
    (float("nan"), np.float32("nan")),
    (float("inf"), Decimal("Infinity")),
]
OTHERS = [4, "4", b"4", 4.5, 0.1, ("4",), (4,), [4], "<time 0>", None, "None", 1j, "A"]
OTHERS += [dt.date(1970, 1, 1), dt.datetime(1970, 1, 1, tzinfo=dt.UTC), dt.timedelta(0)]


def test_equal_names_have_equal_texts_and_others_do_not():
    for names in SAME:
        assert len(set(map(identifier_text, names))) == 1, names
    apart = [*OTHERS, *(names[0] for names in SAME)]
    assert len(set(map(identifier_text, apart))) == len(apart)
    # Wherever Python itself holds two of them equal, their texts are.
    every = [name for names in SAME for name in names] + OTHERS
    for a in every:
        for b in every:
            try:
                same = bool(a == b)
            except (TypeError, ValueError):  # numpy's and a tuple, say
                continue
            if same:
                assert identifier_text(a) == identifier_text(b), (a, b)


def test_the_same_name_in_two_forms_is_no_two_names(data):
    with pytest.raises(ValueError, match=r"ids must be unique.*4"):
        RetrainUnlearner(DecisionTreeClassifier()).fit(*data, ids=[4, 4.0, *range(100, 158)])
    unlearner = RetrainUnlearner(DecisionTreeClassifier()).fit(*data, ids=range(60))
    with pytest.raises(ValueError, match="more than once"):
        unlearner.unlearn(ids=[4, 4.0])


UNKNOWN = {
    "text for ints": (range(60), "4", r"But 4 \(int\) is among the ids.*'4' \(str\)"),
    "ints for text": ([str(i) for i in range(60)], 4, r"But '4' \(str\) is among"),
    "floats for text": ([str(i) for i in range(60)], 4.0, r"But '4' \(str\) is among"),
    "spaces": ([f"u{i}" for i in range(60)], " u4", r"But 'u4' \(str\) is among"),
    "bytes": ([f"u{i}" for i in range(60)], b"u4", r"But 'u4' \(str\) is among"),
    "text for dates": (DAYS, "2024-01-05", r"\(datetime\) is among"),
    "nothing like it": ([f"u{i}" for i in range(60)], "nobody", "Pass ids as fit was given them"),
}


@pytest.mark.parametrize("kind", UNKNOWN)
def test_unknown_ids_get_advice_about_ids(data, kind):
    given, name, message = UNKNOWN[kind]
    unlearner = RetrainUnlearner(DecisionTreeClassifier()).fit(*data, ids=given)
    with pytest.raises(UnknownRowsError, match=f"1 of 1 ids were never seen.*{message}") as caught:
        unlearner.unlearn(ids=[name])
    assert not any(word in str(caught.value) for word in ("dtype", "scaling"))
    assert unlearner._record.retained.all()


def test_unknown_rows_get_advice_about_rows(data):
    unlearner = RetrainUnlearner(DecisionTreeClassifier()).fit(*data)
    with pytest.raises(UnknownRowsError, match="dtype, scaling and labels"):
        unlearner.unlearn(data[0][:2] + 1)
