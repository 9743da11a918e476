"""Queues that an earlier version has written: brought up to date, and rescued."""

import os
import shutil
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from skunlearn.production import DeletionQueue, DeletionWorker, _versions
from skunlearn.production._inspection import Inspection
from tests.production.workers import started
from tests.production_task import IDS, make_unlearner, rows
from tests.small import quiet

pytestmark = quiet
NEW = np.arange(4, dtype=np.float32).reshape(1, 4) / 8


def make_old(folder):
    """A queue as the format before knew it."""
    queue = DeletionQueue(folder)
    queue.submit("a", ids=["user-7"])
    with closing(sqlite3.connect(os.path.join(folder, "queue.sqlite"))) as db, db:
        sql = "SELECT sql FROM sqlite_master WHERE name = 'requests_keep'"
        trigger = db.execute(sql).fetchone()[0]
        db.execute("DROP TRIGGER requests_keep")
        db.execute("ALTER TABLE requests DROP COLUMN new_digest")
        db.execute("ALTER TABLE requests DROP COLUMN new_values")
        db.execute("UPDATE meta SET value = '2' WHERE key = 'format'")
        old = [line for line in trigger.splitlines() if "new_" not in line]
        db.execute("\n".join(old))


def test_a_queue_of_the_format_before_is_brought_up_to_date(tmp_path):
    make_old(tmp_path / "queue")
    queue = DeletionQueue(tmp_path / "queue")
    assert queue.status("a")["what"] == "deletion"
    queue.submit_correction("b", NEW, ids=["user-4"])
    worker = started(queue, "refit")
    assert worker.run_once(flush=True)["audit"]["corrected"] == 1
    with (
        closing(sqlite3.connect(os.path.join(queue.folder, "queue.sqlite"))) as db,
        pytest.raises(sqlite3.IntegrityError, match="never changed"),
    ):
        db.execute("UPDATE requests SET new_digest = 'x'")
    assert DeletionQueue(tmp_path / "queue").counts()["applied"] == 2


def test_a_queue_of_the_format_before_can_be_rescued(tmp_path):
    make_old(tmp_path / "queue")
    shutil.copytree(tmp_path / "queue", tmp_path / "copy")
    Inspection(tmp_path / "copy").rescue(tmp_path / "rescued")
    queue = DeletionQueue(tmp_path / "rescued")
    assert [entry["request_id"] for entry in queue.log()] == ["a"]


def begin(queue, y):
    """A worker on the small task with these labels."""
    X, _, X_test, y_test = rows()
    return DeletionWorker(queue, make_unlearner("refit"), X_test, y_test).start(X, y, ids=IDS)


def as_column(y):
    return y.reshape(-1, 1)


@pytest.mark.parametrize("first, later", [(np.asarray, as_column), (as_column, np.asarray)])
def test_labels_in_a_column_are_those_of_a_vector(tmp_path, first, later):
    y = rows()[1]
    queue = DeletionQueue(tmp_path)
    begin(queue, first(y))
    queue.submit("a", ids=["user-7"])
    begin(queue, first(y)).run_once(flush=True)
    assert begin(queue, later(y)).version == 1
    with pytest.raises(ValueError, match="not the rows"):
        begin(queue, later(1 - y))


def test_a_column_is_known_as_release_0_2_0_wrote_it(tmp_path, monkeypatch):
    y = rows()[1]
    queue = DeletionQueue(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(_versions, "_values", lambda y: np.asarray(y).tolist())
        begin(queue, as_column(y))
    queue.submit_correction("a", ids=["user-4"], y_new=[1 - y[4]])
    queue.submit("b", ids=["user-7"])
    begin(queue, as_column(y)).run_once(flush=True)
    y[4] = 1 - y[4]
    for labels in (y, as_column(y)):
        assert begin(queue, labels).version == 1
