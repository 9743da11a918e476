"""The queue in PostgreSQL and its models in a store: several machines, leases, whole versions."""

import os
import signal
import sys
import threading
import time
import uuid
from datetime import datetime, timedelta

import fsspec
import numpy as np
import pytest

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.production import DeletionQueue, DeletionWorker, _lease, _schema
from skunlearn.production._lease import LeaseLostError, timed_lease
from tests import postgres_server
from tests import production_task as task
from tests.production import frames
from tests.production_task import IDS, make_unlearner, rows, state_of
from tests.small import quiet

REASON = postgres_server.reason_against()
pytestmark = [
    quiet,
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
]
KEY = b"a secret of the whole service, shared by its machines"


@pytest.fixture(scope="module")
def url():
    with postgres_server.server() as url:
        yield url


@pytest.fixture
def place(url):
    """Arguments of a new queue, as another machine would be given them."""
    name = f"q{uuid.uuid4().hex[:12]}"
    return {"database": url, "schema": name, "store": f"memory://{name}", "key": KEY}


def machine(place, **kwargs):
    return DeletionQueue(**place, **({"batch_size": 2} | kwargs))


def started(queue, kind="net", **kwargs):
    X, y, X_test, y_test = rows()
    return DeletionWorker(queue, make_unlearner(kind), X_test, y_test, **kwargs).start(
        X, y, ids=IDS
    )


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(state_of(a), state_of(b), strict=True))


def names(place):
    fs, root = fsspec.url_to_fs(place["store"])
    return sorted(path.rpartition("/")[2] for path in fs.find(root))


@pytest.mark.parametrize("kind", ["net", pytest.param("refit", marks=pytest.mark.long)])
def test_two_machines_take_turns(place, kind):
    one, two = started(machine(place), kind), started(machine(place), kind)
    assert one.version == two.version == 0
    client = machine(place)
    client.submit_many({"request_id": f"{k}", "ids": [f"user-{k}"]} for k in range(5))
    assert one.run_once()["number"] == 1
    assert two.run_once()["number"] == 2
    assert one.run_once() is None
    assert one.run_once(flush=True)["number"] == 3
    assert two.run_once() is None
    assert (one.version, two.version) == (3, 3)
    X, y, _, _ = rows()
    plain = make_unlearner(kind).fit(X, y)
    for gone in ([0, 1], [2, 3], [4]):
        plain.unlearn(indices=gone)
    assert same(one.unlearner, plain)
    assert same(two.unlearner, plain)
    assert {entry["state"] for entry in client.log()} == {"applied"}
    newest = client._newest()[1]
    assert names(place) == [newest, client._meta("rows")[0]]
    assert repr(client).startswith("DeletionQueue('postgresql+psycopg://tests@/postgres")


def test_a_predictor_elsewhere_needs_no_key_and_no_folder(place):
    worker = started(machine(place))
    predictor = DeletionQueue(**{**place, "key": None})
    model, version = predictor.load(make_unlearner("net"))
    assert (version, predictor.version()) == (0, 0)
    worker.queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    assert predictor.version() == 1
    model, version = predictor.load(make_unlearner("net"))
    X_test = rows()[2]
    assert np.array_equal(model.predict_proba(X_test), worker.unlearner.predict_proba(X_test))
    with pytest.raises(ValueError, match="pass key="):
        predictor.submit("b", ids=["user-1"])
    with pytest.raises(ValueError, match="The key is not that"):
        DeletionQueue(**{**place, "key": b"another secret, of enough bytes"})
    with pytest.raises(TypeError, match="key must be bytes"):
        DeletionQueue(**{**place, "key": b"short"})


def test_a_version_is_whole_or_an_error(place):
    queue = machine(place)
    started(queue)
    fs, root = fsspec.url_to_fs(place["store"])
    path = f"{root}/models/{queue._newest()[1]}"
    good = fs.cat_file(path)
    for content in (good[:-1], good[:-1] + bytes([good[-1] ^ 1]), b""):
        fs.pipe_file(path, content)
        with pytest.raises(ValueError, match=r"checksum differs\. Restore it from a backup"):
            queue.load(make_unlearner("net"))
    fs.rm_file(path)
    with pytest.raises(FileNotFoundError, match=r"is gone\. Restore it from a backup"):
        queue.load(make_unlearner("net"))
    fs.pipe_file(path, good)
    assert queue.load(make_unlearner("net"))[1] == 0


def test_submitting_twice_and_at_once(place):
    machine(place)
    states = []

    def submit():
        queue = machine(place)
        for k in range(20):
            states.append(queue.submit(f"{k}", ids=[k])["state"])

    threads = [threading.Thread(target=submit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states == ["pending"] * 80
    log = machine(place).log()
    assert sorted(int(entry["request_id"]) for entry in log) == list(range(20))
    with pytest.raises(ValueError, match="stands for another request"):
        machine(place).submit("3", ids=[4])
    with pytest.raises(ValueError, match="stands for another request"):
        machine(place).submit_many(
            [{"request_id": "new", "ids": [1]}, {"request_id": "3", "ids": [4]}]
        )
    assert len(machine(place).log()) == 20  # all or none


def test_queues_are_created_at_once(place):
    errors = []

    def create():
        try:
            machine(place)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_names_are_kept_and_erased(place, url):
    queue = machine(place)
    hard = ["Zoë", 'quo"te\n', b"\x00", -3, 2.5, ("clinic", (1, b"x")), "'; DROP TABLE requests"]
    queue.submit("a; DROP TABLE requests", ids=hard)
    with pytest.raises(TypeError, match="request_id"):
        queue.submit("nul\0", ids=[1])
    with timed_lease(queue._journal, 60, wait=False) as lease:
        _, found, _ = queue._open_batch(lease)
    from skunlearn.production._names import read

    assert read(found[0]["names"]) == hard
    queue.refuse("a; DROP TABLE requests", "a test")
    with queue._journal.transaction(reading=True) as db:
        assert db.rows("SELECT names FROM requests") == [{"names": None}]


def test_the_record_refuses_changes(place):
    import sqlalchemy

    queue = machine(place)
    worker = started(queue, "refit")
    queue.submit("a", ids=["user-1"])
    worker.run_once(flush=True)
    queue.submit("c", ids=["user-3"])
    for statement in (
        "DELETE FROM requests",
        "DELETE FROM batches",
        "DELETE FROM versions",
        "TRUNCATE requests CASCADE",
        "UPDATE requests SET digests = ''",
        "UPDATE requests SET names = 'other' WHERE request_id = 'c'",
        "UPDATE requests SET names = 'back' WHERE request_id = 'a'",
        "UPDATE requests SET outcome = 'refused' WHERE request_id = 'a'",
        "UPDATE requests SET outcome = 'applied' WHERE request_id = 'c'",
        "UPDATE batches SET audit = '{}'",
    ):
        with (
            pytest.raises(sqlalchemy.exc.IntegrityError),
            queue._journal.transaction() as db,
        ):
            db.run(statement)
    with (
        pytest.raises(sqlalchemy.exc.InternalError, match="read-only"),
        queue._journal.transaction(reading=True) as db,
    ):
        db.run("UPDATE requests SET digests = ''")


# ---------------------------------------------------------------------- leases


def test_a_lease_is_one_workers(place):
    journal = machine(place)._journal
    with timed_lease(journal, 60, wait=False) as first:
        with timed_lease(journal, 60, wait=False) as second:
            assert second is None
        with journal.transaction() as db:
            first.check(db)
    with timed_lease(journal, 0.6, wait=False) as third:  # the first one gave it back
        assert third.token > first.token
        time.sleep(1.0)  # it is renewed
        with timed_lease(journal, 60, wait=False) as none:
            assert none is None
        with journal.transaction() as db, pytest.raises(LeaseLostError):
            first.check(db)


def test_leases_go_by_the_databases_clock(place, monkeypatch):
    """A machine whose clock is a year ahead takes nothing from another, and loses nothing."""
    queue = machine(place)
    with timed_lease(queue._journal, 60, wait=False) as lease:
        from skunlearn.production import _journal

        wrong = _journal.now() + timedelta(days=365)
        monkeypatch.setattr(_journal, "now", lambda: wrong)
        with timed_lease(queue._journal, 60, wait=False) as second:
            assert second is None
        with queue._journal.transaction() as db:
            lease.check(db)
        received = datetime.fromisoformat(queue.submit("a", ids=[1])["received"])
        assert abs(received - wrong) > timedelta(days=300)


def test_a_worker_that_was_taken_for_dead_publishes_nothing(place, monkeypatch):
    """It slept through its lease in the middle of a batch, which another one then applied."""
    slow, fast = started(machine(place)), started(machine(place))
    slow.queue.submit("a", ids=["user-0"])
    plain, calls = FineTuneUnlearner._unlearn, []

    def unlearn(self, *args):
        calls.append(self)
        if len(calls) == 1:
            with slow.queue._journal.transaction() as db:  # time passes
                db.run("UPDATE lease SET expires = :then", {"then": _lease.stamp(db.now())})
            assert fast.run_once(flush=True)["state"] == "applied"
        return plain(self, *args)

    monkeypatch.setattr(FineTuneUnlearner, "_unlearn", unlearn)
    before = slow.unlearner
    with pytest.warns(RuntimeWarning, match="Another worker has taken over"):
        assert slow.run_once(flush=True) is None
    assert slow.unlearner is before
    assert len(calls) == 2
    assert [batch["state"] for batch in slow.queue.batches()] == ["applied"]
    assert slow.queue.counts()["applied"] == 1
    assert slow.run_once(flush=True) is None
    assert same(slow.unlearner, fast.unlearner)
    # What the late one had written is deleted by the next batch.
    slow.queue.submit("b", ids=["user-1"])
    slow.run_once(flush=True)
    assert names(place) == [slow.queue._newest()[1], slow.queue._meta("rows")[0]]


def test_a_late_worker_deletes_nothing_of_its_successor(place, monkeypatch):
    worker = started(machine(place))
    queue = worker.queue
    with timed_lease(queue._journal, 60, wait=False) as late:
        worker._store.versions.write(b"left by a kill", 1, late)
        with queue._journal.transaction() as db:
            db.run("UPDATE lease SET expires = :then", {"then": _lease.stamp(db.now())})
        with timed_lease(queue._journal, 60, wait=False) as new:
            name, _ = worker._store.versions.write(b"not yet in the record", 1, new)
            with pytest.raises(LeaseLostError):
                worker._store.sweep(late)
            assert len(names(place)) == 4
            # Not even when it looked before it fell asleep.
            monkeypatch.setattr(late, "check", lambda db: None)
            worker._store.sweep(late)
            assert name in names(place)
            assert len(names(place)) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_killed_machines_are_followed_by_others(url, tmp_path):
    """Lives that end by SIGKILL at some of their steps; the last one finds everything."""
    expected = task.live(tmp_path / "whole", "net").unlearner
    place = {
        "database": url,
        "schema": f"q{uuid.uuid4().hex[:12]}",
        "store": str(tmp_path / "store"),
        "key": KEY,
    }
    for name, when in [
        ("_versions.Versions.write", "after"),
        ("_batches.BatchMixin._set_version", "after"),
        ("_batches.BatchMixin._open_batch", "after"),
        ("_batches.BatchMixin._finish", "before"),
        ("_batches.BatchMixin._finish", "after"),
    ]:
        code = task.end_of(live_until_call, place, name, when)
        assert code == -signal.SIGKILL, (name, when)
    worker = live(place)
    queue = worker.queue
    assert [entry["request_id"] for entry in queue.log()] == list(task.REQUESTS)
    assert {entry["state"] for entry in queue.log()} == {"applied"}
    assert [batch["state"] for batch in queue.batches()] == ["applied"] * 4
    assert sum(batch["audit"]["rows"] for batch in queue.batches()) == 2 * len(task.REQUESTS)
    assert [entry["rows"] for entry in worker.unlearner.deletions_] == [4, 4, 4, 2]
    assert same(worker.unlearner, expected)
    assert os.listdir(tmp_path / "store" / "models") == [queue._newest()[1]]


def live(place):
    """As `tests.production_task.live`, on a machine that shares the queue with others."""
    queue = machine(place)
    queue.submit_many({"request_id": k, "ids": ids} for k, ids in task.REQUESTS.items())
    worker = started(queue, lease=1.0)
    while queue.counts()["applied"] < len(task.REQUESTS):
        worker.run_once(flush=True)
        time.sleep(0.05)
    return worker


def live_until_call(place, name, when):
    task.kill_at_call(name, when)
    live(place)


def test_what_cannot_be_a_place(place, tmp_path, monkeypatch):
    with pytest.raises(TypeError, match="Pass folder, or both database= and store="):
        DeletionQueue(database=place["database"])
    with pytest.raises(ValueError, match="is for PostgreSQL"):
        DeletionQueue(tmp_path, database="sqlite:///x.db")
    with pytest.raises(ValueError, match="plain name"):
        DeletionQueue(**{**place, "schema": "a; DROP SCHEMA public"})
    with pytest.raises(ValueError, match="store_options"):
        DeletionQueue(**{**place, "store": str(tmp_path)}, store_options={"anon": True})
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    with pytest.raises(ImportError, match=r"skunlearn\[postgresql\]"):
        machine(place)


@pytest.mark.long  # in a folder tests/production/test_production_tries.py asks it in every run
def test_poison_is_set_aside_there_too(place, monkeypatch):
    worker = started(machine(place, batch_size=10), "refit")
    plain = RetrainUnlearner._successor

    def successor(self, positions, *args):
        if 3 in positions:
            raise RuntimeError("a reason of its own")
        return plain(self, positions, *args)

    monkeypatch.setattr(RetrainUnlearner, "_successor", successor)
    worker.queue.submit_many({"request_id": f"{k}", "indices": [k]} for k in range(10))
    while worker.run_once(flush=True) is not None:
        pass
    assert worker.queue.counts()["applied"] == 9
    assert worker.queue.status("3")["state"] == "delayed"


def test_a_queue_of_the_format_before_is_brought_up_to_date(place):
    """By four machines at once; requests of before are kept, and stay unchangeable."""
    import sqlalchemy

    queue = machine(place)
    queue.submit("old", ids=["user-0"])
    with queue._journal.transaction() as db:
        db.run("DROP TRIGGER requests_keep ON requests")
        db.run("ALTER TABLE requests DROP COLUMN new_values, DROP COLUMN new_digest")
        lines = _schema._REQUEST_CHANGED.splitlines()
        old = "\n".join(line for line in lines if "new_" not in line)
        db.run(
            f"CREATE TRIGGER requests_keep BEFORE UPDATE ON requests FOR EACH ROW WHEN ({old}) "
            "EXECUTE FUNCTION skunlearn_refuse('kept')"
        )
        db.set_meta("format", 2)
    errors = []

    def open_again():
        try:
            machine(place)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=open_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    worker = started(queue, "refit")
    X = rows()[0]
    queue.submit_correction("new", X[:1] + 1, ids=["user-3"])
    for change in ("new_values = 'x'", "new_digest = 'x'", "digests = ''"):
        with (
            pytest.raises(sqlalchemy.exc.IntegrityError, match="never changed"),
            queue._journal.transaction() as db,
        ):
            db.run(f"UPDATE requests SET {change}")
    audit = worker.run_once(flush=True)["audit"]
    assert (audit["rows"], audit["corrected"]) == (1, 1)
    with queue._journal.transaction(reading=True) as db:
        held = db.rows("SELECT names, new_values, new_digest FROM requests ORDER BY number")
    assert [(row["names"], row["new_values"]) for row in held] == [(None, None)] * 2
    assert held[0]["new_digest"] is None
    assert len(held[1]["new_digest"]) == 32


@pytest.mark.parametrize("kind", [pytest.param("net", marks=pytest.mark.long), "refit"])
def test_machines_take_up_each_others_corrections(place, kind):
    """One that holds the old values says so; started with the new ones it goes on."""
    one, two = started(machine(place), kind), started(machine(place), kind)
    X, y, X_test, y_test = rows()
    one.queue.submit_correction("a", X[:1] + 1, ids=["user-3"])
    assert one.run_once(flush=True)["state"] == "applied"
    one.queue.submit("b", ids=["user-4"])
    with pytest.raises(ValueError, match="those that were corrected have their new values"):
        two.run_once(flush=True)
    X[3] = X[0] + 1
    two = DeletionWorker(machine(place), make_unlearner(kind), X_test, y_test)
    two.start(X, y, ids=IDS)
    assert two.run_once(flush=True)["audit"]["rows"] == 1
    assert one.run_once(flush=True) is None
    assert one.version == two.version == 2
    assert same(one.unlearner, two.unlearner)


@pytest.mark.long  # in a folder tests/production/test_corrections_of_frames.py asks it in every run
@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_corrections_of_tables(place, kind):
    frames.need(kind)
    make, (X_true, y_true) = frames.MAKE[kind], frames.new_values()[2:]
    X_true.loc[7, "grower"] += " \N{NULL}"  # which PostgreSQL holds in no text
    one = frames.started(machine(place), make, frames.make_unlearner())
    ids = [frames.NAMES[i] for i in (7, 3)]
    given = make(X_true.iloc[[7, 3]]), y_true[[7, 3]]
    machine(place).submit_correction("a", *given, ids=ids)
    machine(place).submit_correction("a", *given, ids=ids)  # once more: nothing happens
    assert one.run_once(flush=True)["audit"]["corrected"] == 2
    two = frames.started(machine(place), make, frames.make_unlearner(), X_true, y_true)
    fresh = frames.make_unlearner().fit(make(X_true[: frames.N]), y_true[: frames.N])
    for worker in (one, two):
        said = worker.unlearner.predict_proba(make(X_true))
        np.testing.assert_allclose(said, fresh.predict_proba(make(X_true)), atol=1e-12)
    with machine(place)._journal.transaction(reading=True) as db:
        row = db.row("SELECT names, new_values, new_digest FROM requests")
    assert (row["names"], row["new_values"], len(row["new_digest"])) == (None, None, 32)
