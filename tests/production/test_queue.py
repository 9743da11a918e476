"""DeletionQueue: what is written down."""

import os
import sqlite3
import sys
from datetime import timedelta

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skunlearn.production import DeletionQueue, DeletionWorker, _journal
from tests.production.workers import contents, started
from tests.production_task import IDS, make_unlearner, rows
from tests.small import quiet

pytestmark = quiet


def test_submitting_twice_is_submitting_once(queue):
    first = queue.submit("a", ids=["user-1", ("clinic", 2)])
    again = queue.submit("a", ids=[("clinic", 2), "user-1"])
    assert first == again == queue.status("a")
    assert first["state"] == "pending"
    assert len(queue.log()) == 1
    with pytest.raises(ValueError, match="stands for another request"):
        queue.submit("a", ids=["user-2"])
    with pytest.raises(ValueError, match="stands for another request"):
        queue.submit("a", groups=["user-1", ("clinic", 2)])
    with pytest.raises(KeyError, match="no request 'b'"):
        queue.status("b")


def test_another_process_sees_the_same(queue):
    queue.submit("a", ids=["user-1"])
    other = DeletionQueue(queue.folder)
    assert other.log() == queue.log()
    assert other.submit("a", ids=["user-1"]) == queue.status("a")
    assert repr(other) == f"DeletionQueue({queue.folder!r}, batch_size=100, max_age=86400.0)"


def test_due_by_size_and_age(queue, monkeypatch):
    assert not queue.due()
    queue.submit("a", ids=[1])
    assert not queue.due()
    late = _journal.now() + timedelta(seconds=queue.max_age + 1)
    with monkeypatch.context() as patch:
        patch.setattr(_journal, "now", lambda: late)
        assert queue.due()
    queue.submit("b", ids=[2])
    assert queue.due()
    assert not DeletionQueue(queue.folder, batch_size=3).due()
    assert DeletionQueue(queue.folder, batch_size=3, max_age=0).due()


def test_a_deadline_before_max_age_is_met(queue, monkeypatch):
    start = _journal.now()
    queue.submit("a", ids=[1], deadline=start + timedelta(hours=2))
    assert not queue.due()  # others may still come
    monkeypatch.setattr(_journal, "now", lambda: start + timedelta(minutes=62))
    assert queue.due()
    queue.refuse("a", "withdrawn")
    assert not queue.due()
    queue.submit("b", ids=[2], deadline=start)  # passed already
    assert queue.due()


@pytest.mark.parametrize("back", [timedelta(days=400), timedelta(hours=1)])
def test_a_clock_that_is_set_back_delays_no_request_for_long(queue, monkeypatch, back):
    start = _journal.now()
    queue.submit("a", ids=[1])
    with queue._journal.transaction() as db:
        later = {"later": _journal.stamp(start + timedelta(seconds=60))}
        db.run("UPDATE requests SET tries = 1, not_before = :later", later)
    monkeypatch.setattr(_journal, "now", lambda: start - back)
    assert queue.due() == (back > timedelta(days=1))
    monkeypatch.setattr(
        _journal, "now", lambda: start - back + timedelta(days=1, hours=1, minutes=2)
    )
    assert queue.due()


@pytest.mark.parametrize(
    "names, error",
    [
        ({}, TypeError),
        ({"ids": [1], "groups": [1]}, TypeError),
        ({"ids": []}, ValueError),
        ({"ids": [1, 1]}, ValueError),
        ({"ids": [object()]}, TypeError),
        ({"ids": [float("nan")]}, TypeError),
        ({"ids": [[1]]}, TypeError),
        ({"indices": ["1"]}, TypeError),
        ({"indices": [True]}, TypeError),
    ],
)
def test_bad_requests_are_not_written(queue, names, error):
    with pytest.raises(error):
        queue.submit("a", **names)
    assert queue.log() == []


def test_names_come_back_as_they_were(queue):
    names = ["Zoë", 'quo"te\n', b"\x00", -3, 2.5, ("clinic", (1, b"x"))]
    queue.submit("a", ids=names)
    queue.submit("b", ids=np.arange(3))
    queue.submit("c", ids="user-1")
    with queue._lease(60, wait=False) as lease:
        _, requests, _ = queue._open_batch(lease)
    from skunlearn.production._names import read

    assert [read(row["names"]) for row in requests] == [names, [0, 1, 2]]
    with pytest.raises(ValueError, match="malformed"):
        read("__import__('os').getcwd()")  # a file from elsewhere runs nothing
    for bad in ("", None, 7):
        with pytest.raises(TypeError, match="request_id"):
            queue.submit(bad, ids=[1])


def test_the_record_refuses_changes(queue):
    worker = started(queue, "refit")
    queue.submit("a", ids=["user-1"])
    queue.submit("b", ids=["user-2"])
    worker.run_once()
    queue.submit("c", ids=["user-3"])
    db = sqlite3.connect(queue._journal.path)
    for statement in (
        "DELETE FROM requests",
        "DELETE FROM batches",
        "DELETE FROM versions",
        "UPDATE requests SET digests = ''",
        "UPDATE requests SET names = 'other' WHERE request_id = 'c'",
        "UPDATE requests SET names = 'back' WHERE request_id = 'a'",
        "UPDATE requests SET outcome = 'refused' WHERE request_id = 'a'",
        "UPDATE requests SET outcome = 'applied' WHERE request_id = 'c'",  # with its names there
        "UPDATE batches SET audit = '{}'",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            db.execute(statement)
    db.close()


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_only_the_owner_reads(queue):
    started(queue)
    for folder, _, files in os.walk(queue.folder):
        assert os.stat(folder).st_mode & 0o077 == 0
        for name in files:
            if name != "worker.lock":  # it is empty
                assert os.stat(os.path.join(folder, name)).st_mode & 0o077 == 0, name


def test_identifiers_are_there_until_they_are_done(queue, tmp_path):
    queue.submit("a", ids=["Ada Lovelace"])
    assert b"Ada Lovelace" in contents(tmp_path)
    ids = ["Ada Lovelace", *IDS[1:]]
    X, y, X_test, y_test = rows()
    worker = DeletionWorker(queue, make_unlearner("refit"), X_test, y_test).start(X, y, ids=ids)
    assert b"Ada Lovelace" in contents(tmp_path)
    worker.run_once(flush=True)
    assert b"Ada Lovelace" not in contents(tmp_path)
    # The digest is keyed: another folder's is another.
    other = DeletionQueue(tmp_path / "other")
    digests = other.submit("a", ids=["Ada Lovelace"])["digests"]
    assert digests != queue.status("a")["digests"]
    assert queue.submit("a", ids=["Ada Lovelace"])["state"] == "applied"
    os.unlink(os.path.join(queue.folder, "salt"))
    with pytest.raises(ValueError, match="salt is gone"):
        queue.__class__(queue.folder)._salt  # noqa: B018


def test_bad_parameters(queue, tmp_path):
    for unlearner in (GaussianNB(), make_pipeline(StandardScaler(), make_unlearner("refit"))):
        with pytest.raises(TypeError, match="needs an unlearner"):
            DeletionWorker(queue, unlearner, *rows()[2:])
    for name, value in (
        ("max_accuracy_drop", -1),
        ("max_accuracy_drop", 5),  # per cent, where a share of the rows is meant
        ("max_auc_distance", -0.1),
        ("retrain_every", 0),
        ("on_breach", "ignore"),
    ):
        with pytest.raises(ValueError, match=name):
            DeletionWorker(queue, make_unlearner("net"), *rows()[2:], **{name: value})
    for name, value in (("batch_size", 0), ("max_age", -1)):
        with pytest.raises(ValueError, match=name):
            DeletionQueue(tmp_path / "bad", **{name: value})
