"""Deleted, cut and changed files, full disks, zeroed pages, two workers in one process."""

import contextlib
import os
import sqlite3
import threading
import time
from datetime import timedelta
from pathlib import Path

import pytest

from skunlearn import FineTuneUnlearner
from skunlearn.production import DeletionQueue, DeletionWorker, _journal
from skunlearn.production.__main__ import main
from skunlearn.production._lease import timed_lease
from tests.production_task import IDS, make_unlearner, rows, state_of
from tests.small import quiet

pytestmark = quiet


@pytest.fixture
def queue(tmp_path):
    return DeletionQueue(tmp_path / "queue", batch_size=2)


def started(queue, kind="net", **kwargs):
    X, y, X_test, y_test = rows()
    return DeletionWorker(queue, make_unlearner(kind), X_test, y_test, **kwargs).start(
        X, y, ids=IDS
    )


# ---------------------------------------------------------------------- version files


@pytest.mark.parametrize("kind", ["net", "refit"])
@pytest.mark.parametrize("name", ["models/00000000.safetensors", "rows.safetensors"])
def test_files_that_are_gone_or_changed_are_named_with_the_way_out(queue, kind, name):
    started(queue, kind)
    path = os.path.join(queue.folder, *name.split("/"))
    good = Path(path).read_bytes()
    way_out = r"Restore it from a backup of this version\."
    flipped = good[:-1] + bytes([good[-1] ^ 1])
    for content, error in ((None, FileNotFoundError), (good[:-1], ValueError), (flipped, None)):
        if content is None:
            os.unlink(path)
        else:
            Path(path).write_bytes(content)
        reads = [lambda: started(queue, kind)]
        if kind == "net" and "models" in name:
            reads.append(lambda: queue.load(make_unlearner("net")))
        for read in reads:
            with pytest.raises(error or ValueError, match=way_out) as caught:
                read()
            assert path in str(caught.value)
    Path(path).write_bytes(good)
    started(queue, kind)


# ---------------------------------------------------------------------- a full disk


def test_a_full_disk_is_named(queue, monkeypatch):
    """SQLite rolls back by itself then; the second ROLLBACK hid the reason."""
    queue.submit("a", ids=["user-0"])
    plain = sqlite3.connect

    def full(*args, **kwargs):
        db = plain(*args, **kwargs)
        db.execute(f"PRAGMA max_page_count = {db.execute('PRAGMA page_count').fetchone()[0]}")
        return db

    with monkeypatch.context() as patch:
        patch.setattr(_journal.sqlite3, "connect", full)
        with pytest.raises(sqlite3.OperationalError, match="disk is full"):
            queue.submit("b", ids=[f"user-{k}" for k in range(5000)])
    assert [entry["request_id"] for entry in queue.log()] == ["a"]
    assert queue.submit("b", ids=["user-1"])["state"] == "pending"


def test_a_disk_that_is_full_when_a_version_is_written(queue, monkeypatch):
    worker = started(queue)
    queue.submit("a", ids=["user-0"])

    def full(path, data, guard):
        raise OSError(28, "No space left on device", path)

    with monkeypatch.context() as patch:
        patch.setattr("skunlearn.production._objects.write_whole", full)
        for _ in range(4):
            with pytest.raises(OSError, match="No space left"):
                worker.run_once(flush=True)
    assert worker.version == 0
    assert worker.run_once()["audit"]["rows"] == 1
    assert queue.status("a")["tries"] == 0


def test_a_lease_from_before_the_clock_was_set_back_ends(queue, monkeypatch):
    start, journal = _journal.now(), queue._journal
    with journal.transaction() as db:
        expires = _journal.stamp(start + timedelta(seconds=60))
        values = {"expires": expires}
        db.run("INSERT INTO lease (name, token, expires) VALUES ('worker', 7, :expires)", values)
    for back, free in ((0, False), (3600, False), (90000, True)):
        now = start - timedelta(seconds=back)
        monkeypatch.setattr(_journal, "now", lambda now=now: now)
        with timed_lease(journal, 60.0, wait=False) as lease:
            assert (lease is not None) == free


# ---------------------------------------------------------------------- submit_many


def test_many_requests_wait_for_the_disk_once(queue, monkeypatch):
    commits = []
    plain = sqlite3.connect

    def counted(*args, **kwargs):
        db = plain(*args, **kwargs)
        db.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)
        return db

    monkeypatch.setattr(_journal.sqlite3, "connect", counted)
    statuses = queue.submit_many({"request_id": f"{k}", "ids": [k]} for k in range(100))
    assert len(commits) == 1
    assert [status["request_id"] for status in statuses] == [f"{k}" for k in range(100)]
    assert queue.submit_many([]) == []
    for bad, error in (
        ({"request_id": "x", "ids": []}, ValueError),
        ({"request_id": "x", "ids": [1], "groups": [1]}, TypeError),
        ({"request_id": "x", "rows": [1]}, TypeError),
        ({"ids": [1]}, TypeError),
        ("x", TypeError),
        ({"request_id": "7", "ids": [8]}, ValueError),
    ):
        with pytest.raises(error):
            queue.submit_many([{"request_id": "new", "ids": ["new"]}, bad])
    assert len(queue.log()) == 100
    again = {"request_id": "twice", "groups": ["a"]}
    assert len(queue.submit_many([again, again])) == 2
    assert len(queue.log()) == 101


# ---------------------------------------------------------------------- two workers


def test_two_workers_of_one_process_do_not_run_side_by_side(queue, monkeypatch, tmp_path):
    """Nor by another path to the folder, nor after somebody has read every file in it."""
    link = tmp_path / "link"
    link.symlink_to(queue.folder)
    queue.submit_many({"request_id": f"{k}", "ids": [f"user-{k}"]} for k in range(6))
    workers = [started(queue), started(DeletionQueue(link, batch_size=2))]
    plain, running, most = FineTuneUnlearner._unlearn, [], []

    def unlearn(self, *args):
        running.append(self)
        most.append(len(running))
        for path in Path(queue.folder).rglob("*"):
            if path.is_file():
                path.read_bytes()  # closing a file gives up POSIX locks of the process
        time.sleep(0.2)
        plain(self, *args)
        running.remove(self)

    monkeypatch.setattr(FineTuneUnlearner, "_unlearn", unlearn)
    stop = threading.Event()
    threads = [threading.Thread(target=w.run, args=(stop,), kwargs={"poll": 0.01}) for w in workers]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 60
    while queue.counts()["applied"] < 6:
        assert time.monotonic() < end
        time.sleep(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 3
    for worker in workers:
        worker.run_once()
    a, b = (state_of(worker.unlearner) for worker in workers)
    assert all((x == y).all() for x, y in zip(a, b, strict=True))


def test_a_worker_without_its_lock_publishes_nothing(queue, monkeypatch):
    """Where a file system's locks do not hold, the token still does."""
    slow, fast = started(queue), started(queue)
    queue.submit("a", ids=["user-0"])
    plain, calls = FineTuneUnlearner._unlearn, []

    def unlearn(self, *args):
        calls.append(self)
        if len(calls) == 1:
            monkeypatch.setattr("skunlearn.production._lease._lock", lambda db: True)
            fast.run_once(flush=True)
        plain(self, *args)

    monkeypatch.setattr(FineTuneUnlearner, "_unlearn", unlearn)
    with pytest.warns(RuntimeWarning, match="Another worker has taken over"):
        assert slow.run_once(flush=True) is None
    assert [batch["state"] for batch in queue.batches()] == ["applied"]
    assert slow.run_once(flush=True) is None
    assert slow.version == 1


# ---------------------------------------------------------------------- zeroed pages


def zero_page(path, page):
    size = 4096
    with open(path, "r+b") as file:
        file.seek(page * size)
        file.write(bytes(size))


class _Told(Exception):
    pass


def read_log(queue):
    """A page that is damaged may be one that is not read."""
    try:
        queue.log()
    except sqlite3.DatabaseError as error:
        if "python -m skunlearn.production check" in str(error):
            raise _Told from error
        raise


def check(capsys, *arguments):
    code = main(["check", *map(str, arguments)])
    return code, capsys.readouterr().out


def test_a_sound_queue(queue, capsys, tmp_path):
    started(queue)
    queue.submit("a", ids=["user-0"])
    code, out = check(capsys, queue.folder)
    assert code == 0
    assert "requests: 1 can be read, 1 of them open" in out
    assert out.count("sound") == 4  # the record, the salt, the rows and the model
    code, out = check(capsys, tmp_path / "nothing")
    assert code == 1
    assert "is not there" in out


def test_faults_are_found(queue, capsys):
    started(queue)
    model = Path(queue.folder, "models", "00000000.safetensors")
    good = model.read_bytes()
    model.write_bytes(good[:-1])
    code, out = check(capsys, queue.folder)
    assert code == 1
    assert "models/00000000.safetensors: not the file that was written" in out
    model.unlink()
    code, out = check(capsys, queue.folder)
    assert code == 1
    assert "00000000.safetensors: no such file or directory. Restore it from a backup" in out
    model.write_bytes(good)
    salt = Path(queue.folder, "salt")
    salt.write_bytes(bytes(32))
    assert check(capsys, queue.folder)[0] == 1
    salt.unlink()
    assert "salt is gone" in check(capsys, queue.folder)[1]


def test_every_zeroed_page_is_noticed_and_what_can_be_saved_is_said(queue, capsys, tmp_path):
    worker = started(queue, "refit")
    queue.submit_many(
        {"request_id": f"ticket-{k}", "ids": [f"user-{k}"], "deadline": None} for k in range(4)
    )
    worker.run_once()
    queue.submit_many({"request_id": f"later-{k}", "groups": [f"{k}" * 300]} for k in range(60))
    whole = Path(queue._journal.path).read_bytes()
    pages = len(whole) // 4096
    assert pages > 10
    rescued = 0
    for page in range(pages):
        Path(queue._journal.path).write_bytes(whole)
        zero_page(queue._journal.path, page)
        code, out = check(capsys, queue.folder)
        assert code == 1, page
        assert "--rescue" in out
        with contextlib.suppress(_Told):
            read_log(queue)
        target = tmp_path / f"rescued-{page}"
        code, out = check(capsys, queue.folder, "--rescue", target)
        if "What can be read is in" not in out:
            continue
        new = DeletionQueue(target, batch_size=2)
        found = {entry["request_id"] for entry in new.log()}
        if len(found) == 64:
            rescued += 1
            started(new, "refit").run_once()
    assert rescued >= 3
    Path(queue._journal.path).write_bytes(whole)
    assert check(capsys, queue.folder)[0] == 0
    code = main(["check", queue.folder, "--rescue", queue.folder])
    assert code == 1
