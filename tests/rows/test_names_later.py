"""Identifiers and groups are digested when they are first asked for, and are then gone."""

import pickle
from uuid import UUID

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn._rows import row_names
from skunlearn._rows.record import TrainingRecord
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


@pytest.mark.parametrize(
    "wrap", [lambda u: u, lambda u: UnlearningPipeline([("s", StandardScaler()), ("u", u)])]
)
def test_fit_digests_no_names_and_a_request_leaves_none(digested, wrap):
    unlearner = wrap(RetrainUnlearner(LogisticRegression(), random_state=0))
    unlearner.fit(X, Y, ids=IDS, groups=GROUPS)
    assert digested == []
    assert holds_names(unlearner._record)
    unlearner.unlearn(indices=[0])
    assert digested == [6, 6]
    assert not holds_names(unlearner._record)
    unlearner.unlearn(ids=["person-1"]).unlearn(groups=["ward-a"])
    assert digested == [6, 6]
    assert unlearner._record.retained.tolist() == [False, False, False, True, True, True]


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
