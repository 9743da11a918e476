"""Identifiers and groups are digested when they are first asked for, or their rows go."""

import pickle
from uuid import UUID

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn._rows import row_names
from skunlearn._rows.containers import name_digests
from skunlearn._rows.record import TrainingRecord
from skunlearn.exceptions import AlreadyForgottenError, UnknownRowsError
from tests.small import quiet

pytestmark = quiet
X, Y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
IDS = [f"person-{i}" for i in range(6)]
GROUPS = ["ward-a", "ward-b", "ward-a", "ward-b", "ward-b", "ward-b"]


@pytest.fixture
def digested(monkeypatch):
    """How many names were digested, each time."""
    plain, found = row_names.name_digests, []

    def name_digests(names):
        found.append(len(names))
        return plain(names)

    monkeypatch.setattr(row_names, "name_digests", name_digests)
    return found


def holds_names(record):
    held = [vars(table)["_names"] for table in (record._ids, record._groups)]
    return any(names is not None for names in held)


def test_fit_digests_no_names_and_a_request_those_that_it_forgets(digested):
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0)
    unlearner.fit(X, Y, ids=IDS, groups=GROUPS)
    assert digested == []
    assert holds_names(unlearner._record)
    unlearner.unlearn(indices=[0])
    assert digested == [1, 1]
    unlearner.unlearn(ids=["person-1"]).unlearn(groups=["ward-a"])
    assert max(digested) == 1
    record = unlearner._record
    assert record.retained.tolist() == [False, False, False, True, True, True]
    assert vars(record._ids)["_names"] == [None] * 3 + IDS[3:]
    assert vars(record._groups)["_names"] == [None] * 3 + GROUPS[3:]
    assert np.array_equal(record.ids, name_digests(IDS))
    assert np.array_equal(record.groups, name_digests(GROUPS))
    assert not holds_names(record)


def test_a_pipeline_digests_every_name_once(digested):
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0)
    pipeline = UnlearningPipeline([("s", StandardScaler()), ("u", unlearner)])
    pipeline.fit(X, Y, ids=IDS, groups=GROUPS)
    assert digested == []
    pipeline.unlearn(indices=[0]).unlearn(ids=["person-1"]).unlearn(groups=["ward-a"])
    assert not holds_names(pipeline._record)
    record = pipeline._record
    assert record.retained.tolist() == [False, False, False, True, True, True]
    assert np.array_equal(record.ids, name_digests(IDS))


def test_names_are_found_before_their_digests_are_made(digested):
    """As they are found by digests: other forms of them, those that are gone, unknown ones."""
    numbers = [7, 4, 2**70, -1, -2, 0]
    plain = TrainingRecord(X, Y, ids=IDS, groups=numbers)
    asked = TrainingRecord(X, Y, ids=IDS, groups=numbers)
    _ = asked.ids, asked.groups
    assert holds_names(plain)
    assert not holds_names(asked)
    plain, asked = (record.without(np.array([1, 3])) for record in (plain, asked))
    digested.clear()
    for named in (
        {"ids": ["person-5", "person-0"]}, {"groups": [2**70, -2]}, {"groups": [0]},
        {"groups": np.array([7, 0])},
    ):  # fmt: skip
        assert np.array_equal(plain.find(**named), asked.find(**named))
    assert max(digested) <= 3  # never the whole table
    for named in ({"ids": ["person-1"]}, {"groups": [4]}, {"groups": [4, 7, -1]}):
        for record in (plain, asked):
            with pytest.raises(AlreadyForgottenError):
                record.find(**named)
    assert plain.find(groups=[7.0, np.int64(-2)]).tolist() == [0, 4]
    for record in (plain, asked):
        for named in ({"ids": ["person-9"]}, {"groups": ["7"]}, {"groups": [7.5]}):
            with pytest.raises(UnknownRowsError):
                record.find(**named)


def test_a_pickle_and_a_file_hold_no_names(digested, tmp_path):
    unlearner = RetrainUnlearner(LogisticRegression(), random_state=0)
    unlearner.fit(X, Y, ids=IDS, groups=GROUPS)
    data = pickle.dumps(unlearner)
    assert b"person-3" not in data
    assert b"ward-a" not in data
    assert pickle.loads(data).unlearn(ids=["person-3"])._record.retained.sum() == 5
    other = TrainingRecord(X, Y, ids=IDS, groups=GROUPS)
    assert set(other.tables()) >= {"ids", "groups"}
    assert not holds_names(other)


def test_names_given_as_a_list_may_change_later():
    names = list(IDS)
    record = TrainingRecord(X, Y, ids=names, groups=np.arange(6) // 2)
    names.reverse()
    assert record.find(ids=["person-0"]).tolist() == [0]
    assert record.find(groups=[2]).tolist() == [4, 5]


@pytest.mark.parametrize(
    "ids",
    [
        ["a", "b", "c", "a", "d", "e"],
        [1, 2, 3, 4, 5, 1],
        [1, 2, 3, 4, 5, 1.0],
        [True, 2, 3, 4, 5, 1],
        [UUID(int=10), str(UUID(int=10)).upper(), 1, 2, 3, 4],
        [str(UUID(int=10)), str(UUID(int=10)).upper(), "1", "2", "3", "4"],
    ],
)
def test_repeated_ids_are_refused_by_fit(ids):
    with pytest.raises(ValueError, match=r"ids must be unique, but 1 repeat"):
        TrainingRecord(X, Y, ids=ids)
