"""A batch that fails for a reason of its own: found, tried again, set aside; the queue goes on."""

import os
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn._rows.containers import name_digests
from skunlearn.exceptions import QueueStoppedError
from skunlearn.production import DeletionQueue, DeletionWorker, _journal
from skunlearn.production._sieve import sieve
from tests import production_task as task
from tests.production_task import IDS, make_unlearner, rows, state_of
from tests.small import quiet

pytestmark = quiet


@pytest.fixture
def queue(tmp_path):
    return DeletionQueue(tmp_path / "queue", batch_size=10)


def started(queue, kind="refit", **kwargs):
    X, y, X_test, y_test = rows()
    return DeletionWorker(queue, make_unlearner(kind), X_test, y_test, **kwargs).start(
        X, y, ids=IDS
    )


@pytest.fixture
def poison(monkeypatch):
    """Rows (by position at the first start) of which a batch always fails; a counter of tries."""
    bad, tries = set(), []
    plain = RetrainUnlearner._successor

    def successor(self, positions, *args, **kwargs):
        tries.append(len(positions))
        if bad & {int(p) for p in positions}:
            raise RuntimeError("a reason of its own")
        return plain(self, positions, *args, **kwargs)

    monkeypatch.setattr(RetrainUnlearner, "_successor", successor)
    return bad, tries


def test_a_poisoned_request_is_set_aside_and_fifty_others_applied(tmp_path, poison):
    """Submitted one by one, applied in batches of ten, with the poison among the first."""
    bad, tries = poison
    rng = np.random.default_rng(1)
    X = rng.normal(size=(120, 4)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    X_test, y_test = rows()[2:]
    queue = DeletionQueue(tmp_path, batch_size=10)
    worker = DeletionWorker(queue, make_unlearner("refit"), X_test, y_test).start(X, y)
    bad.add(3)
    for k in range(51):
        queue.submit(f"ticket-{k}", indices=[k])
        worker.run_once()
    while worker.run_once(flush=True) is not None:
        pass
    states = [entry["state"] for entry in queue.log()]
    assert states == ["delayed" if k == 3 else "applied" for k in range(51)]
    found = queue.status("ticket-3")
    assert (found["tries"], found["reason"]) == (3, "RuntimeError: a reason of its own")
    assert "retry()" in found["next"]
    assert found["finished"] is None
    assert queue.counts() == {
        "pending": 0,
        "running": 0,
        "delayed": 1,
        "applied": 50,
        "refused": 0,
        "overdue": 0,
    }
    gone = np.delete(np.arange(51), 3)
    never = make_unlearner("refit").fit(np.delete(X, gone, 0), np.delete(y, gone))
    for a, b in zip(state_of(worker.unlearner), state_of(never), strict=True):
        assert np.array_equal(a, b)
    # A search costs about 2 log2(10) attempts, and no later batch pays for it again.
    assert len(tries) < 6 + 2 * 4 + 8
    # When its reason is gone, somebody opens it again.
    bad.clear()
    assert [entry["state"] for entry in queue.retry()] == ["pending"]
    assert queue.status("ticket-3")["tries"] == 0
    worker.run_once(flush=True)
    assert queue.status("ticket-3")["state"] == "applied"
    with pytest.raises(ValueError, match="it is applied"):
        queue.retry("ticket-3")


def test_tries_are_spread_in_time(queue, poison, monkeypatch):
    bad, tries = poison
    bad.add(0)
    worker = started(queue)
    queue = worker.queue = DeletionQueue(queue.folder, batch_size=1, retry_after=100, max_tries=2)
    worker._store.queue = queue
    queue.submit("a", ids=["user-0"])
    assert worker.run_once()["state"] == "failed"
    assert queue.status("a")["state"] == "pending"
    assert "again" in queue.status("a")["next"]
    assert not queue.due()
    assert worker.run_once() is None
    later = _journal.now() + timedelta(seconds=101)
    monkeypatch.setattr(_journal, "now", lambda: later)
    assert queue.due()
    assert worker.run_once()["reason"] == "RuntimeError: a reason of its own"
    assert queue.status("a")["state"] == "delayed"
    assert not queue.due()
    assert worker.run_once(flush=True) is None
    assert len(tries) == 2


def test_what_fails_alone_may_go_through_with_others(queue, monkeypatch):
    """As with BatchNorm, where the number of rows that are left decides."""
    plain = RetrainUnlearner._successor

    def successor(self, positions, *args):
        if len(positions) % 2:
            raise ValueError("an odd number")
        return plain(self, positions, *args)

    monkeypatch.setattr(RetrainUnlearner, "_successor", successor)
    worker = started(queue)
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    queue.submit("b", ids=["user-1"])
    assert worker.run_once(flush=True)["audit"]["rows"] == 2
    assert {entry["state"] for entry in queue.log()} == {"applied"}


def test_a_batch_that_fails_whole_is_not_tried_for_ever(queue, poison):
    bad, _ = poison
    bad |= set(range(48))
    worker = started(queue)
    for k in range(10):
        queue.submit(f"{k}", indices=[k])
    runs = 0
    while worker.run_once(flush=True) is not None:
        runs += 1
    assert queue.counts()["delayed"] == 10
    assert runs <= 12
    assert worker.version == 0
    bad.clear()
    queue.submit("new", indices=[20])
    assert worker.run_once(flush=True)["state"] == "applied"


def test_sieve():
    """Whatever the culprits, the others go through together, and the cost is bounded."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        n = int(rng.integers(1, 40))
        requests = [{"number": k, "tries": int(rng.random() < 0.1)} for k in range(n)]
        bad = set(rng.choice(n, min(n, int(rng.integers(0, 3))), replace=False).tolist())
        calls = []

        def attempt(chosen, bad=bad, calls=calls):
            calls.append(len(chosen))
            numbers = [request["number"] for request in chosen]
            if bad & set(numbers):
                raise ValueError(f"{bad & set(numbers)}")
            return sorted(numbers)

        found = sieve(requests, attempt)
        assert set(found.failed) == bad
        assert (found.result or []) == [k for k in range(n) if k not in bad]
        assert len(found.accepted) == n - len(bad)
        assert not found.left
        known = sum(request["tries"] for request in requests)
        assert len(calls) <= 2 + known + 2 * len(bad) * (1 + np.ceil(np.log2(n)))


def test_reasons_of_the_machine_are_nobodys_fault(queue, monkeypatch):
    worker = started(queue)
    queue.submit("a", ids=["user-0"])

    def full(self, *args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(RetrainUnlearner, "_successor", full)
        for _ in range(20):
            with pytest.raises(OSError, match="No space left"):
                worker.run_once(flush=True)
    assert queue.status("a")["tries"] == 0
    assert worker.run_once()["state"] == "applied"  # the same batch, taken up again


def test_what_the_record_cannot_give_is_nobodys_fault(queue):
    worker = started(queue, "refit")
    queue.submit_correction("a", y_new=[1], ids=["user-0"])
    table = Path(queue.folder) / "rows.safetensors"
    table.rename(table.with_suffix(".away"))
    for _ in range(4):
        with pytest.raises(FileNotFoundError, match=r"rows.safetensors is gone\. Restore it"):
            worker.run_once(flush=True)
    assert queue.status("a")["tries"] == 0
    table.with_suffix(".away").rename(table)
    assert worker.run_once()["state"] == "applied"


def test_breaches_may_be_set_aside(queue, monkeypatch):
    """One request that ruins the model, among others that do not."""
    worker = started(queue, max_accuracy_drop=0.2, on_breach="set_aside")
    good = type(worker.unlearner)._successor

    def successor(self, positions, *args):
        new = good(self, positions, *args)
        if 5 in positions:
            new.estimator_.theta_ = -new.estimator_.theta_
        return new

    monkeypatch.setattr(RetrainUnlearner, "_successor", successor)
    for k in range(4, 8):
        queue.submit(f"{k}", indices=[k])
    assert worker.run_once(flush=True)["audit"]["rows"] == 3
    assert "after the last full training" in queue.status("5")["reason"]
    while worker.run_once(flush=True) is not None:
        pass
    assert queue.status("5")["state"] == "delayed"
    assert queue.stopped() is None


# ---------------------------------------------------------------------- a person's decisions


def test_refused_by_a_person(queue):
    worker = started(queue)
    queue.submit("a", ids=["user-0"])
    with pytest.raises(TypeError, match="reason"):
        queue.refuse("a", " ")
    found = queue.refuse("a", "the person withdrew it")
    assert (found["state"], found["reason"]) == ("refused", "the person withdrew it")
    assert found["finished"] is not None
    assert b"user-0" not in open(queue._journal.path, "rb").read()  # noqa: SIM115
    assert worker.run_once(flush=True) is None
    with pytest.raises(ValueError, match="done already: it was refused"):
        queue.refuse("a", "again")
    with pytest.raises(KeyError):
        queue.refuse("none", "no such")
    assert queue.submit("a", ids=["user-0"])["state"] == "refused"  # sent once more


def test_delayed_by_a_person(queue):
    worker = started(queue)
    status = queue.submit("a", ids=["user-0"], deadline=datetime(2030, 1, 1, tzinfo=UTC))
    assert status["deadline"] == "2030-01-01T00:00:00.000000+00:00"
    later = datetime(2030, 3, 1, 1, tzinfo=UTC)
    found = queue.delay("a", "a dispute about the identity", deadline=later)
    assert (found["state"], found["reason"]) == ("delayed", "a dispute about the identity")
    assert datetime.fromisoformat(found["deadline"]) == later
    assert worker.run_once(flush=True) is None
    queue.retry("a")
    assert worker.run_once(flush=True)["audit"]["rows"] == 1
    with pytest.raises(TypeError, match="time zone"):
        queue.submit("b", ids=["user-1"], deadline=datetime(2030, 1, 1))
    default = queue.submit("b", ids=["user-1"])
    spent = datetime.fromisoformat(default["deadline"]) - datetime.fromisoformat(
        default["received"]
    )
    assert spent == timedelta(days=30)


@pytest.mark.parametrize("decide", ["refuse", "delay"])
def test_decided_while_it_is_applied(queue, monkeypatch, decide):
    """The batch begins again without it; no version ever lacks its rows."""
    worker = started(queue)
    queue.submit("a", ids=["user-0"])
    queue.submit("b", ids=["user-1"])
    plain, calls = RetrainUnlearner._successor, []

    def successor(self, positions, *args):
        calls.append(positions.tolist())
        if len(calls) == 1:
            getattr(queue, decide)("a", "in the meantime")
        return plain(self, positions, *args)

    monkeypatch.setattr(RetrainUnlearner, "_successor", successor)
    batch = worker.run_once(flush=True)
    assert calls == [[0, 1], [1]]
    assert (batch["state"], batch["audit"]["requests"], batch["audit"]["rows"]) == ("applied", 1, 1)
    assert queue.status("a")["state"] == ("refused" if decide == "refuse" else "delayed")
    assert worker.unlearner._record.retained[0]


def test_refused_in_a_stopped_batch(queue, monkeypatch):
    worker = started(queue, "net", max_accuracy_drop=0.0)
    queue.submit("a", ids=["user-0"])
    queue.submit("b", ids=["user-1"])
    with monkeypatch.context() as patch:
        patch.setattr("skunlearn.production._checks.breach", lambda *args, **kwargs: "bad")
        with pytest.raises(QueueStoppedError):
            worker.run_once(flush=True)
    assert "release()" in queue.status("a")["next"]
    queue.refuse("a", "it ruins the model")
    queue.release()
    monkeypatch.setattr("skunlearn.production._checks.breach", lambda *args, **kwargs: None)
    assert worker.run_once(flush=True)["audit"]["rows"] == 1
    assert [entry["state"] for entry in queue.log()] == ["refused", "applied"]


# ---------------------------------------------------------------------- kills


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_request_that_kills_the_process_is_set_aside(tmp_path, monkeypatch):
    monkeypatch.setattr("skunlearn.production._applying.MOST_DEATHS", 2)
    queue = task.make_queue(tmp_path)
    for k in range(4):
        queue.submit(f"{k}", ids=[f"user-{k}"])
    lives = 0
    while task.end_of(live_with_a_killer, tmp_path) == -signal.SIGKILL:
        lives += 1
        assert lives < 20
    assert [entry["state"] for entry in queue.log()] == [
        "applied",
        "delayed",
        "applied",
        "applied",
    ]
    assert "ended without a word" in queue.status("1")["reason"]


def live_with_a_killer(folder):
    from skunlearn.production import _applying

    _applying.MOST_DEATHS = 2
    plain = RetrainUnlearner._successor

    def successor(self, positions, *args):
        if (self._record.ids[positions] == name_digests(["user-1"])).all(axis=1).any():
            os.kill(os.getpid(), signal.SIGKILL)
        return plain(self, positions, *args)

    RetrainUnlearner._successor = successor
    worker = task.make_worker(folder, "refit")
    while worker.run_once(flush=True) is not None:
        pass


# ---------------------------------------------------------------------- min_batch


def test_small_batches_wait_for_others(tmp_path, monkeypatch):
    queue = DeletionQueue(tmp_path, batch_size=10, min_batch=3, max_age=100, answer_within=1000)
    assert "min_batch=3" in repr(queue)
    worker, start = started(queue), _journal.now()
    queue.submit("a", ids=["user-0"])
    queue.submit("again", ids=["user-0"])
    queue.submit("unknown", ids=["nobody"])
    monkeypatch.setattr(_journal, "now", lambda: start + timedelta(seconds=200))
    # Three open requests, old enough; but only one row would go.
    assert not queue.due()  # the same names twice are one
    queue.submit("c", ids=["someone"])
    assert queue.due()
    batch = worker.run_once()
    assert (batch["audit"]["requests"], batch["audit"]["waiting"]) == (2, 2)
    assert "score" not in batch["audit"]
    states = {entry["request_id"]: entry["state"] for entry in queue.log()}
    assert states == {"a": "pending", "again": "pending", "unknown": "refused", "c": "refused"}
    assert worker.version == 0
    assert worker.run_once() is None
    queue.submit("d", ids=["user-1"])
    queue.submit("e", ids=["user-2"])
    monkeypatch.setattr(_journal, "now", lambda: start + timedelta(seconds=400))
    assert worker.run_once()["audit"]["rows"] == 3
    assert queue.counts()["applied"] == 4
    # A deadline waits for nobody.
    queue.submit("f", ids=["user-7"])
    monkeypatch.setattr(_journal, "now", lambda: start + timedelta(seconds=1200))
    assert worker.run_once() is None
    monkeypatch.setattr(_journal, "now", lambda: start + timedelta(seconds=1301))
    assert "below min_batch" in worker.run_once()["audit"]["note"]
    # Nor does somebody who says so.
    queue.submit("g", ids=["user-8"])
    assert "below min_batch" in worker.run_once(flush=True)["audit"]["note"]


def test_what_is_left_of_a_failing_batch_may_be_too_small(tmp_path, poison):
    bad, _ = poison
    bad.add(0)
    queue = DeletionQueue(tmp_path, batch_size=3, min_batch=3)
    worker = started(queue)
    for k in range(3):
        queue.submit(f"{k}", indices=[k])
    audit = worker.run_once()["audit"]
    assert (audit["waiting"], audit["failed"], audit["rows"]) == (2, 1, 0)
    assert worker.version == 0
    for name, value in (("min_batch", 4), ("min_batch", 0), ("max_tries", 0), ("max_age", np.inf)):
        with pytest.raises(ValueError, match=name):
            DeletionQueue(tmp_path, batch_size=3, **{name: value})


# ---------------------------------------------------------------------- BatchNorm


class NormNet(torch.nn.Sequential):
    """Fails on a batch of one row when it trains."""

    def __init__(self):
        super().__init__(torch.nn.Linear(12, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 3))


@pytest.mark.parametrize("n_requests", [40, pytest.param(200, marks=pytest.mark.long)])
def test_requests_one_by_one_on_a_net_with_batch_norm(n_requests, tmp_path):
    """The number of rows that are left passes through every residue of the batch size."""
    n = n_requests + 100
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n + 24, 12)).astype(np.float32)
    y = rng.integers(0, 3, n + 24)
    small = NeuralNetClassifier(
        NormNet,
        criterion=torch.nn.CrossEntropyLoss,
        max_epochs=1,
        batch_size=32,
        train_split=None,
        verbose=0,
    )
    unlearner = FineTuneUnlearner(small, max_epochs=1, random_state=0)
    queue = DeletionQueue(tmp_path, batch_size=1, retry_after=0)
    worker = DeletionWorker(queue, unlearner, X[n:], y[n:]).start(X[:n], y[:n])
    for k in range(n_requests):
        queue.submit(f"ticket-{k}", indices=[k])
        worker.run_once()
    while worker.run_once(flush=True) is not None:
        pass
    assert queue.counts()["applied"] == n_requests
    assert worker.unlearner._record.retained.sum() == 100
