"""DeletionWorker: batches of requests, tries and threads."""

import os
import sqlite3
import threading

import numpy as np
import pytest
from joblib import Memory
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from torch.utils.data import Dataset, Subset

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from skunlearn.exceptions import UnlearningError
from skunlearn.production import DeletionQueue, DeletionWorker, _resolving
from skunlearn.production._applying import Application
from tests.production.workers import same, started
from tests.production_task import IDS, make_unlearner, rows
from tests.small import net, quiet

pytestmark = quiet


@pytest.mark.parametrize("kind", ["net", "refit"])
def test_batches_of_requests(queue, kind):
    worker = started(queue, kind)
    method = type(worker.unlearner).__name__
    assert repr(worker) == f"DeletionWorker({queue!r}, {method}; version 0)"
    assert repr(DeletionWorker(queue, make_unlearner(kind), rows()[2])).endswith("; not started)")
    assert (worker.version, worker.run_once()) == (0, None)
    queue.submit("a", ids=["user-0", "user-1"])
    assert worker.run_once() is None  # not due
    queue.submit("b", indices=[5])
    queue.submit("c", ids=["user-7"])
    batch = worker.run_once()
    assert (batch["number"], batch["state"], worker.version) == (1, "applied", 1)
    assert (batch["audit"]["requests"], batch["audit"]["rows"]) == (2, 3)
    assert batch["audit"]["score"] == worker.unlearner.score(*rows()[2:])
    assert 0 <= batch["audit"]["AUC"] <= 1
    assert [queue.status(name)["state"] for name in "abc"] == ["applied", "applied", "pending"]
    assert worker.run_once() is None
    assert worker.run_once(flush=True)["audit"]["rows"] == 1
    X, y, _, _ = rows()
    plain = make_unlearner(kind).fit(X, y).unlearn(indices=[0, 1, 5]).unlearn(indices=[7])
    assert same(worker.unlearner, plain)
    assert os.listdir(os.path.join(queue.folder, "models")) == ["00000002.safetensors"]


@pytest.mark.parametrize("kind", ["net", "refit"])
def test_a_second_life(queue, kind):
    X, y, X_test, y_test = rows()
    first = started(queue, kind)
    queue.submit("a", ids=["user-0", "user-1"])
    first.run_once(flush=True)
    kept = np.random.default_rng(0).permutation(np.arange(2, len(X)))
    for order in (np.arange(len(X)), kept):  # all rows, or those that are left in any order
        worker = DeletionWorker(queue, make_unlearner(kind), X_test, y_test)
        worker.start(X[order], y[order].tolist(), ids=[IDS[i] for i in order])
        assert worker.version == 1
        assert same(worker.unlearner, first.unlearner)
    queue.submit("b", indices=[5])  # among the rows of the first start
    queue.submit("c", ids=["user-6"])
    queue.submit("d", indices=[0])  # forgotten already
    assert worker.run_once()["audit"]["rows"] == 2
    assert worker.run_once(flush=True)["audit"]["rows"] == 0
    assert worker.version == 2
    first.run_once()  # catches up, with nothing to do
    assert first.version == 2
    assert same(worker.unlearner, first.unlearner)
    assert queue.status("d")["state"] == "applied"


def test_rows_of_a_second_life_are_checked(queue):
    X, y, X_test, y_test = rows()
    started(queue)
    worker = DeletionWorker(queue, make_unlearner("net"), X_test, y_test)
    for given, ids, match in (
        ((X[1:], y[1:]), IDS[1:], "1 of 48 retained ones are missing"),
        ((X + 1, y), IDS, "48 were never among them"),
        ((X, 1 - y), IDS, "never among them"),
        ((X, y), IDS[::-1], "never among them"),
        ((X, y), IDS[1:], "rows"),
    ):
        with pytest.raises(ValueError, match=match):
            worker.start(*given, ids=ids)
    with pytest.raises(ValueError, match="another kind"):
        started(queue, "refit")
    with pytest.raises(ValueError, match="training rows"):
        DeletionWorker(queue, make_unlearner("net"), X, y).start(X, y, ids=IDS)
    with pytest.raises(ValueError, match="training rows"):
        DeletionWorker(DeletionQueue(queue.folder + "2"), worker._store.template, X, y).start(X, y)


def test_requests_that_cannot_be_fulfilled(queue):
    worker = started(queue, "refit")
    queue.submit("unknown", ids=["user-0", "nobody"])
    queue.submit("no groups", groups=["team"])
    assert worker.run_once()["audit"]["rows"] == 0
    assert queue.status("unknown")["state"] == "refused"
    assert queue.status("unknown")["reason"] == "1 of 2 ids were never seen by this model"
    assert queue.status("no groups")["reason"] == "the model was started without groups="
    queue.submit("outside", indices=[0, 48])
    queue.submit("good", ids=["user-0"])
    assert worker.run_once()["audit"]["rows"] == 1
    assert queue.status("outside")["state"] == "refused"
    queue.submit("again", ids=["user-0", "user-1"])  # one of them is gone already
    assert worker.run_once(flush=True)["audit"]["rows"] == 1
    queue.submit("all", indices=range(48))
    batch = worker.run_once(flush=True)
    assert (batch["state"], queue.status("all")["state"]) == ("failed", "pending")
    assert "every retained row" in queue.status("all")["reason"]


@pytest.mark.parametrize("kind", ["net", "refit"])
def test_names_that_are_forgotten_are_known_after_a_restart(queue, kind):
    def start():
        X, y, X_test, y_test = rows()
        worker = DeletionWorker(queue, make_unlearner(kind), X_test, y_test)
        return worker.start(X, y, ids=IDS, groups=[f"group-{i // 4}" for i in range(len(X))])

    worker = start()
    queue.submit("a", indices=[8, 9, 10, 11])
    worker.run_once(flush=True)
    worker = start()
    queue.submit("b", ids=["user-8", "user-20"])
    queue.submit("c", groups=["group-2"])
    queue.submit_correction("d", y_new=[1], ids=["user-9"])
    queue.submit("e", ids=["user-21", "nobody"])
    queue.submit("f", ids=["nobody", "user-8", "no one"])
    queue.submit("g", indices=[10**30, 1])
    while worker.run_once(flush=True) is not None:
        pass
    states = {entry["request_id"]: entry["state"] for entry in queue.log()}
    assert states == dict(zip("abc", 3 * ["applied"])) | dict(zip("defg", 4 * ["refused"]))
    assert "forgotten" in queue.status("d")["reason"]
    assert queue.status("e")["reason"].startswith("1 of 2 ids")
    assert queue.status("f")["reason"].startswith("2 of 3 ids")
    assert queue.status("g")["reason"].startswith("1 of 2 indices")
    if kind == "refit":
        X, y, _, _ = rows()
        kept = np.delete(np.arange(len(X)), [8, 9, 10, 11, 20])
        assert same(worker.unlearner, make_unlearner(kind).fit(X[kept], y[kept]))


def test_names_of_a_batch_are_looked_for_once(tmp_path, monkeypatch):
    queue, calls = DeletionQueue(tmp_path, batch_size=10), []
    worker = started(queue, "refit")
    plain = _resolving.match
    monkeypatch.setattr(_resolving, "match", lambda *a: calls.append(1) or plain(*a))
    queue.submit_many({"request_id": f"{i}", "ids": [f"user-{i}"]} for i in range(10))
    assert worker.run_once()["audit"]["rows"] == 10
    assert len(calls) == 1


def test_groups(queue):
    X, y, X_test, y_test = rows()
    worker = DeletionWorker(queue, make_unlearner("refit"), X_test, y_test)
    worker.start(X, y, groups=np.arange(48) // 4)
    queue.submit("a", groups=[2])
    queue.submit("b", groups=3)
    assert worker.run_once()["audit"]["rows"] == 8
    plain = make_unlearner("refit").fit(X, y).unlearn(indices=np.arange(8, 16))
    assert same(worker.unlearner, plain)


def test_equal_rows_are_kept_apart_by_their_ids(queue):
    X, y, X_test, y_test = rows()
    X, y = np.concatenate([X, X[:2]]), np.concatenate([y, y[:2]])
    ids = [*IDS, "twin-0", "twin-1"]
    for kind in ("net", "refit"):
        other = DeletionQueue(f"{queue.folder}-{kind}")
        first = DeletionWorker(other, make_unlearner(kind), X_test, y_test).start(X, y, ids=ids)
        other.submit("a", ids=["user-0"])
        first.run_once(flush=True)
        again = DeletionWorker(other, make_unlearner(kind), X_test, y_test)
        again.start(X[::-1], y[::-1], ids=ids[::-1])
        assert same(again.unlearner, first.unlearner)
        other.submit("b", ids=["twin-0"])
        assert again.run_once(flush=True)["audit"]["rows"] == 1


def test_a_thread_runs_it_and_ends(queue):
    worker, stop = started(queue, "refit"), threading.Event()
    queue.submit("a", ids=["user-0"])
    queue.submit("b", ids=["user-1"])
    thread = threading.Thread(target=worker.run, args=(stop,), kwargs={"poll": 0.01})
    thread.start()
    while queue.status("b")["state"] != "applied":
        assert thread.is_alive()
    stop.set()
    thread.join(60)
    assert not thread.is_alive()
    assert worker.version == 1


def test_caches_of_models_are_refused(queue, tmp_path):
    X, y, X_test, y_test = rows()
    unlearner = make_unlearner("net").set_params(memory=str(tmp_path / "cache"))
    steps = [("scale", StandardScaler()), ("model", make_unlearner("refit"))]
    pipeline = UnlearningPipeline(steps, memory=Memory(tmp_path / "cache", verbose=0))
    for cached in (unlearner, pipeline):
        with pytest.raises(ValueError, match="have seen what is to be forgotten"):
            DeletionWorker(queue, cached, X_test, y_test)
    pipeline.set_params(memory=Memory(None))
    DeletionWorker(queue, pipeline, X_test, y_test).start(X, y, ids=IDS)


def test_full_training_every_third_batch(queue):
    X, y, _, _ = rows()
    worker = started(queue, retrain_every=3)
    for i in range(4):
        queue.submit(f"{i}", ids=[f"user-{i}"])
        worker.run_once(flush=True)
        if i == 2:
            never = RetrainUnlearner(worker.unlearner.estimator, random_state=0)
            assert same(worker.unlearner, never.fit(X[3:], y[3:]))
    done = [batch["audit"]["retrained"] for batch in queue.batches()]
    assert done == [False, False, True, False]


def test_errors_count_as_tries_and_interrupts_do_not(queue, monkeypatch):
    worker = started(queue)
    before = worker.unlearner
    queue.submit("a", ids=["user-0"])

    def fail(self, net, retain, forget):
        raise failure("in the middle")

    with monkeypatch.context() as patch:
        patch.setattr(FineTuneUnlearner, "_unlearn", fail)
        failure = KeyboardInterrupt
        with pytest.raises(KeyboardInterrupt):
            worker.run_once(flush=True)
        assert queue.batches()[0]["state"] == "running"
        assert queue.due()
        failure = UnlearningError
        queue.submit("b", ids=["user-1"])
        assert worker.run_once()["reason"] == "UnlearningError: in the middle"
    assert worker.unlearner is before
    (batch,) = queue.batches()  # the interrupted batch was taken up, with the same requests
    assert (batch["state"], batch["audit"]["failed"]) == ("failed", 1)
    assert queue.status("a")["tries"] == 1
    assert queue.status("b")["tries"] == 0
    assert worker.run_once(flush=True)["audit"]["requests"] == 2


# ---------------------------------------------------------------------- other parameters


def restarted(queue, unlearner):
    return started(DeletionQueue(queue.folder, batch_size=2), unlearner=unlearner)


@pytest.mark.parametrize("kind", ["refit", "net", "pipeline"])
def test_other_parameters_of_an_exact_method_are_noticed(queue, kind):
    def make(changed=False):
        if kind == "refit":
            return RetrainUnlearner(GaussianNB(var_smoothing=0.1 if changed else 1e-9))
        if kind == "net":
            small = net(module__n_out=2, module__hidden=8 if changed else 4, max_epochs=1)
            return RetrainUnlearner(small, random_state=0)
        scale = StandardScaler(with_mean=not changed)
        return UnlearningPipeline([("scale", scale), ("model", RetrainUnlearner(GaussianNB()))])

    started(queue, unlearner=make())
    restarted(queue, make())  # as it was: no word
    changed = make(changed=True)
    if kind == "net":  # weights of another shape are no version of it
        changed = make().set_params(estimator__max_epochs=2, verbose=0)
    name = {"refit": "var_smoothing", "net": "max_epochs", "pipeline": "scale__with_mean"}[kind]
    with pytest.warns(UserWarning, match=rf"other parameters \(\w*{name}\).*Pass those of before"):
        worker = restarted(queue, changed)
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    restarted(queue, changed)  # the new version is theirs
    with pytest.warns(UserWarning, match="Version 1 was made with other parameters"):
        restarted(queue, make())


def test_parameters_of_an_approximate_method_are_free(queue):
    started(queue)
    small = make_unlearner("net").estimator
    restarted(queue, FineTuneUnlearner(small, max_epochs=2, random_state=0))


def test_a_queue_of_before_says_nothing_of_parameters(queue):
    started(queue, "refit")
    with queue._journal.transaction() as db:
        db.run("DELETE FROM meta WHERE key = 'parameters'")
    worker = restarted(queue, RetrainUnlearner(GaussianNB(var_smoothing=0.1)))
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    with pytest.warns(UserWarning, match="other parameters"):
        restarted(queue, RetrainUnlearner(GaussianNB()))


def test_names_of_a_queue_that_kept_none(queue):
    worker = started(queue, "refit")
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    table = worker._store.read_table()
    table.names = {}
    with queue._lease(60.0, wait=True) as lease:
        written = table.write(queue, lease, 1)
    with queue._journal.transaction() as db:
        db.set_meta("rows", written)
    worker = restarted(queue, make_unlearner("refit"))
    queue.submit("b", ids=["user-0", "user-1"])
    queue.submit("c", ids=["user-2"])
    assert worker.run_once(flush=True)["audit"]["rows"] == 1
    assert queue.status("b")["state"] == "refused"
    assert (
        "1 of 2 ids were never seen by this model, or are forgotten" in queue.status("b")["reason"]
    )
    assert "request of their own" in queue.status("b")["reason"]


class Items(Dataset):
    """Rows and labels of `rows`; items are known by their places."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i], int(self.y[i])


@pytest.mark.parametrize("kind", ["net", "refit", "items"])
def test_forgotten_rows_are_no_test_rows_after_a_restart(queue, kind):
    """Every figure would be as good as if nothing were left to find."""
    X, y, X_test, y_test = rows()
    given, tests = (X, y), {"X_test": X_test, "y_test": y_test}
    forgotten = {"X_test": X[:12], "y_test": y[:12]}
    if kind == "items":
        # A net whose version is the list of its rows.
        data = Items(np.concatenate([X, X_test]), np.concatenate([y, y_test]))
        given, tests = (Subset(data, range(48)),), {"X_test": Subset(data, range(48, 72))}
        forgotten = {"X_test": Subset(data, range(12))}

    def start(tests):
        unlearner = make_unlearner("net" if kind == "net" else "refit")
        if kind == "items":
            small = net(module__n_out=2, module__hidden=4, max_epochs=2)
            unlearner = ShardedUnlearner(small, n_shards=2, random_state=0)
        return DeletionWorker(queue, unlearner, **tests).start(*given, ids=IDS)

    worker = start(tests)
    queue.submit("a", indices=range(12))
    worker.run_once(flush=True)
    start(tests)
    with pytest.raises(ValueError, match="has forgotten, not unseen"):
        start(forgotten)


def test_what_a_correction_put_there_is_no_test_row_after_a_restart(queue):
    X, y, X_test, y_test = rows()
    X_new = X_test[:8] + 10
    queue.submit_correction("a", X_new, indices=range(8))
    started(queue, "refit").run_once(flush=True)
    queue.submit("b", indices=range(8))
    X[:8] = X_new

    def start(X_test, y_test):
        return DeletionWorker(queue, make_unlearner("refit"), X_test, y_test).start(X, y, ids=IDS)

    start(X_test, y_test).run_once(flush=True)
    start(X_test, y_test)
    for known in (X_new, rows()[0][:8]):
        with pytest.raises(ValueError, match="has forgotten, not unseen"):
            start(known, y[:8])


def test_a_queue_that_cannot_be_read_is_no_fault_of_a_request(queue, monkeypatch):
    worker = started(queue, "refit")
    queue.submit("a", ids=["user-1"])

    def attempt(*args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(type(queue._journal), "transaction", locked)
            return plain(*args, **kwargs)

    def locked(*args, **kwargs):
        raise sqlite3.OperationalError("database is locked")

    plain = Application._attempt
    monkeypatch.setattr(Application, "_attempt", attempt)
    assert worker.run_once(flush=True)["state"] == "applied"
    assert queue.status("a")["tries"] == 0
