"""DeletionQueue: what is written down. DeletionWorker: batches, audits, stops, versions."""

import os
import pickle
import sqlite3
import sys
import threading
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib import Memory
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from skunlearn import (
    AmnesiacUnlearner,
    FineTuneUnlearner,
    RetrainUnlearner,
    UnlearningPipeline,
)
from skunlearn.exceptions import QueueStoppedError, UnlearningError
from skunlearn.production import DeletionQueue, DeletionWorker, _journal
from skunlearn.verify import verify
from tests.instances import make_net, make_regressor_net
from tests.production_task import IDS, make_unlearner, rows, state_of
from tests.small import quiet

pytestmark = quiet


@pytest.fixture
def queue(tmp_path):
    return DeletionQueue(tmp_path / "queue", batch_size=2)


def started(queue, kind="net", unlearner=None, **kwargs):
    X, y, X_test, y_test = rows()
    unlearner = make_unlearner(kind) if unlearner is None else unlearner
    return DeletionWorker(queue, unlearner, X_test, y_test, **kwargs).start(X, y, ids=IDS)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(state_of(a), state_of(b), strict=True))


def contents(folder):
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())


# ---------------------------------------------------------------------- the queue


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


# ---------------------------------------------------------------------- batches


@pytest.mark.parametrize("kind", ["net", "refit"])
def test_batches_of_requests(queue, kind):
    worker = started(queue, kind)
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


# ---------------------------------------------------------------------- stops


def wreck(self, net, retain, forget):
    """A method that destroys the model."""
    with torch.no_grad():
        net.module_.out.weight.zero_()
        net.module_.out.bias.copy_(torch.tensor([0.0, 1.0]))  # most rows are of the other class


def test_a_worse_model_is_rolled_back(queue, monkeypatch):
    worker = started(queue, max_accuracy_drop=0.2)
    before, weights = worker.unlearner, state_of(worker.unlearner)
    queue.submit("a", ids=["user-0"])
    queue.submit("b", ids=["user-1"])
    with monkeypatch.context() as patch:
        patch.setattr(FineTuneUnlearner, "_unlearn", wreck)
        with pytest.raises(QueueStoppedError, match="after the last full training"):
            worker.run_once()
    assert worker.unlearner is before
    assert all(np.array_equal(a, b) for a, b in zip(weights, state_of(before)))
    assert before.deletions_ == []
    assert queue.stopped()["audit"]["score"] < 0.5
    assert queue.status("a")["state"] == "running"
    for other in (worker, started(queue)):
        with pytest.raises(QueueStoppedError, match="release"):
            other.run_once()
    queue.release()
    assert queue.stopped() is None
    assert queue.status("a")["state"] == "pending"
    assert worker.run_once()["number"] == 2
    assert [batch["state"] for batch in queue.batches()] == ["released", "applied"]


def test_release_with_a_full_training(queue, monkeypatch):
    X, y, _, _ = rows()
    worker = started(queue, max_accuracy_drop=0.2)
    queue.submit("a", ids=["user-0"])
    monkeypatch.setattr(FineTuneUnlearner, "_unlearn", wreck)
    with pytest.raises(QueueStoppedError):
        worker.run_once(flush=True)
    queue.release(retrain=True)
    assert worker.run_once(flush=True)["audit"]["retrained"]
    never = RetrainUnlearner(worker.unlearner.estimator, random_state=0).fit(X[1:], y[1:])
    assert same(worker.unlearner, never)
    assert isinstance(worker.unlearner, FineTuneUnlearner)
    (entry,) = worker.unlearner.deletions_
    assert (entry["method"], entry["exact"]) == ("RetrainUnlearner", True)
    queue.submit("b", ids=["user-1"])  # the wish is fulfilled: this one is approximate again
    with pytest.raises(QueueStoppedError):
        worker.run_once(flush=True)


def test_on_breach_retrain(queue, monkeypatch):
    X, y, _, _ = rows()
    worker = started(queue, max_accuracy_drop=0.2, on_breach="retrain")
    queue.submit("a", ids=["user-0"])
    monkeypatch.setattr(FineTuneUnlearner, "_unlearn", wreck)
    audit = worker.run_once(flush=True)["audit"]
    assert audit["retrained"]
    assert "after the last full training" in audit["breach"]
    never = RetrainUnlearner(worker.unlearner.estimator, random_state=0).fit(X[1:], y[1:])
    assert same(worker.unlearner, never)
    # A training from scratch that is bad as well is rolled back.
    monkeypatch.setattr("skunlearn.production._checks.MIAScorer", None)
    queue.submit("b", ids=["user-1"])
    monkeypatch.setattr(RetrainUnlearner, "_attempt", lambda *args: wrecked(worker))
    assert worker.run_once(flush=True)["state"] == "failed"
    assert "NoneType" in queue.status("b")["reason"]


def wrecked(worker):
    net = pickle.loads(pickle.dumps(worker.unlearner)).estimator_
    wreck(None, net, None, None)
    return net


def test_rows_that_are_still_known_stop_the_worker(queue):
    """Random labels learnt by heart, and a method that changes nothing."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 8)).astype(np.float32)
    y = rng.integers(0, 2, 300)
    net = make_net(module__n_out=2, module__hidden=256, max_epochs=100, lr=0.2)
    nothing = FineTuneUnlearner(net, lr=1e-9, max_epochs=1, random_state=0)
    worker = DeletionWorker(queue, nothing, X[200:], y[200:], max_auc_distance=0.1)
    worker.start(X[:200], y[:200])
    queue.submit("a", indices=range(40))
    with pytest.raises(QueueStoppedError, match="tells the forgotten rows from unseen ones"):
        worker.run_once(flush=True)
    low, high = queue.stopped()["audit"]["AUC interval"]
    assert low > 0.6 or high < 0.4
    queue.release(retrain=True)
    assert worker.run_once(flush=True)["audit"]["retrained"]
    # Of two rows nothing can be said: the interval holds everything.
    queue.submit("b", indices=[50, 51])
    assert worker.run_once(flush=True)["state"] == "applied"


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


# ---------------------------------------------------------------------- versions


def test_files_from_elsewhere_run_no_code(queue, tmp_path):
    started(queue)
    path = os.path.join(queue.folder, "models", "00000000.safetensors")
    good = Path(path).read_bytes()
    for content in (pickle.dumps(Bomb(str(tmp_path / "ran"))), good[:-1], b""):
        with open(path, "wb") as file:
            file.write(content)
        with pytest.raises(ValueError, match="checksum differs"):
            started(queue)
    # Not even with a checksum that fits.
    from skunlearn._files.write_whole import checksum

    with open(path, "wb") as file:
        file.write(pickle.dumps(Bomb(str(tmp_path / "ran"))))
    db = sqlite3.connect(queue._journal.path)
    db.execute("UPDATE versions SET sha256 = ?", (checksum(path),))
    db.commit()
    db.close()
    with pytest.raises(Exception, match="eader"):
        started(queue)
    assert not (tmp_path / "ran").exists()


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_a_process_that_only_predicts(queue):
    X_test = rows()[2]
    template = make_unlearner("net")
    with pytest.raises(ValueError, match="no model yet"):
        queue.load(template)
    worker = started(queue)
    model, version = queue.load(template)
    assert version == 0
    assert not hasattr(template, "estimator_")
    assert not model._record.has_data
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    model, version = queue.load(template)
    assert version == 1
    assert np.array_equal(model.predict_proba(X_test), worker.unlearner.predict_proba(X_test))
    refit = DeletionQueue(queue.folder + "2")
    started(refit, "refit")
    with pytest.raises(TypeError, match="not in files"):
        refit.load(make_unlearner("refit"))


def test_a_version_that_is_replaced_while_it_is_read(queue, monkeypatch):
    worker, reader = started(queue), started(queue)
    queue.submit("a", ids=["user-0"])
    plain = DeletionQueue._newest
    calls = []

    def late(self):
        newest = plain(self)
        calls.append(newest)
        if len(calls) == 1:
            with monkeypatch.context() as patch:
                patch.setattr(DeletionQueue, "_newest", plain)
                reader.run_once(flush=True)
        return newest

    monkeypatch.setattr(DeletionQueue, "_newest", late)
    assert queue.load(make_unlearner("net"))[1] == 1
    calls.clear()
    os.unlink(os.path.join(queue.folder, "models", "00000001.safetensors"))
    monkeypatch.setattr(DeletionQueue, "_newest", plain)
    with pytest.raises(FileNotFoundError):
        queue.load(make_unlearner("net"))
    with pytest.raises(FileNotFoundError):
        worker.run_once()


def test_trained_unlearners_are_taken_as_they_are(queue):
    X, y, X_test, y_test = rows()
    fitted = make_unlearner("net").fit(X, y, ids=IDS).unlearn(indices=[3])
    weights = state_of(fitted)
    worker = started(queue, unlearner=fitted)
    assert same(worker.unlearner, fitted)
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    assert all(np.array_equal(a, b) for a, b in zip(weights, state_of(fitted)))
    assert len(fitted.deletions_) == 1  # the user's object is left alone
    assert len(worker.unlearner.deletions_) == 2
    again = started(queue)
    assert same(again.unlearner, worker.unlearner)
    assert np.flatnonzero(~again.unlearner._record.retained).tolist() == [0, 3]
    for wrong in (X[::-1], X[:-1]):
        fresh = DeletionQueue(f"{queue.folder}-{len(wrong)}")
        with pytest.raises(ValueError, match="not the rows that the unlearner was fitted on"):
            DeletionWorker(fresh, fitted, X_test, y_test).start(wrong, y[: len(wrong)])
    gone = make_unlearner("refit").fit(X, y).unlearn(indices=[3])
    with pytest.raises(ValueError, match="has forgotten rows already"):
        started(DeletionQueue(queue.folder + "3"), unlearner=gone)


def test_frozen_nets(queue):
    X, y, _, _ = rows()
    trained = make_unlearner("net").estimator.fit(X, y)
    unlearner = FineTuneUnlearner(FrozenEstimator(trained), max_epochs=1, random_state=0)
    worker = started(queue, unlearner=unlearner)
    assert worker._store.given is None
    assert not hasattr(worker._store.template.estimator, "module_")
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    assert worker.unlearner.estimator.estimator is worker.unlearner.estimator_
    assert same(started(queue, unlearner=unlearner).unlearner, worker.unlearner)


def test_datasets(queue):
    X, y, X_test, y_test = rows()
    data = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    worker = DeletionWorker(queue, make_unlearner("net"), X_test, y_test).start(data, ids=IDS)
    queue.submit("a", ids=["user-4"])
    queue.submit("b", indices=[7])
    assert worker.run_once()["audit"]["rows"] == 2
    again = DeletionWorker(queue, make_unlearner("net"), X_test, y_test).start(data, ids=IDS)
    assert same(again.unlearner, worker.unlearner)
    assert np.flatnonzero(~again.unlearner._record.retained).tolist() == [4, 7]


def test_pipelines(queue):
    X, y, X_test, _ = rows()
    model = RetrainUnlearner(LogisticRegression(), random_state=0)
    pipeline = UnlearningPipeline([("scale", StandardScaler()), ("model", model)])
    worker = started(queue, unlearner=pipeline)
    queue.submit("a", ids=["user-4"])
    queue.submit("b", indices=[7])
    assert worker.run_once()["audit"]["rows"] == 2
    kept = np.delete(np.arange(48), [4, 7])
    never = clone(pipeline).fit(X[kept], y[kept])
    again = started(queue, unlearner=pipeline)
    for done in (worker, again):
        assert np.array_equal(done.unlearner.predict_proba(X_test), never.predict_proba(X_test))
    queue.submit("c", indices=[8])
    again.run_once(flush=True)
    assert again.unlearner._record.retained.sum() == 45
    never = clone(pipeline).fit(np.delete(X, [4, 7, 8], 0), np.delete(y, [4, 7, 8]))
    assert np.array_equal(again.unlearner.predict_proba(X_test), never.predict_proba(X_test))


def test_regression(queue):
    X, _, X_test, _ = rows()
    y, y_test = X[:, 0] - X[:, 1], X_test[:, 0] - X_test[:, 1]
    unlearner = FineTuneUnlearner(make_regressor_net(max_epochs=5), random_state=0)
    worker = DeletionWorker(queue, unlearner, X_test, y_test, max_accuracy_drop=0.5).start(X, y)
    queue.submit("a", indices=[1, 2, 3])
    assert worker.run_once(flush=True)["audit"]["score"] <= 1
    exact = DeletionQueue(queue.folder + "2")
    linear = RetrainUnlearner(make_pipeline(StandardScaler(), LinearRegression()))
    DeletionWorker(exact, linear, X_test, y_test).start(X, y)


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
def test_an_attack_that_cannot_be_made_is_noted(queue):
    X, y, X_test, y_test = rows()
    y, y_test = y + 1, y_test + 1
    y[:3] = 0  # a class without unseen rows
    worker = DeletionWorker(queue, make_unlearner("refit"), X_test, y_test).start(X, y)
    queue.submit("a", indices=[0, 1, 2])
    audit = worker.run_once(flush=True)["audit"]
    assert audit["AUC"] is None
    assert "unseen row" in audit["note"]


@pytest.mark.parametrize(
    "unlearner",
    [
        AmnesiacUnlearner(make_net()),
        UnlearningPipeline([("s", StandardScaler()), ("m", FineTuneUnlearner(make_net()))]),
        UnlearningPipeline(
            [("s", StandardScaler()), ("m", RetrainUnlearner(GaussianNB()))],
            refit_transformers=False,
        ),
        RetrainUnlearner(FrozenEstimator(GaussianNB())),
    ],
    ids=["recorded updates", "approximate pipeline", "kept scaler", "trained elsewhere"],
)
def test_unlearners_that_could_not_go_on(queue, unlearner):
    with pytest.raises(TypeError, match="After a restart"):
        DeletionWorker(queue, unlearner, *rows()[2:])


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


# ---------------------------------------------------------------------- certificates


@pytest.mark.parametrize("kind", ["net", "refit"])
def test_certificates_of_requests(kind, queue):
    worker = started(queue, kind)
    queue.submit("gone", ids=[IDS[3]])
    queue.submit("both", ids=IDS[4:6])
    worker.run_once()
    queue.submit("known", ids=[IDS[3]])
    queue.submit("refused", ids=[IDS[7]])
    queue.submit("waiting", ids=[IDS[8]])
    queue.submit("later", ids=[IDS[9]])
    queue.refuse("refused", "not their own rows")
    queue.delay("later", "the person is asked which rows are meant")
    for name, state in (
        ("gone", "applied"),
        ("both", "applied"),
        ("refused", "refused"),
        ("waiting", "pending"),
        ("later", "delayed"),
        ("known", "pending"),
    ):
        certificate = queue.certificate(name, worker.unlearner)
        status, request = queue.status(name), certificate["request"]
        assert all(finding.ok for finding in verify(certificate))
        assert request["id"] == name
        assert request["state"] == state
        assert request["done"] == status["finished"]
        for key in ("received", "deadline", "reason", "next"):
            assert request[key] == status[key]
        assert IDS[3] not in certificate
        assert certificate["derived"][-1]["state"] == "deleted"
        letter = queue.certificate(name, worker.unlearner, format="letter")
        assert (request["reason"] or "") in letter
    certificate = queue.certificate("gone", worker.unlearner)
    assert certificate["request"]["version"] == 1
    assert certificate["deletions"][-1]["batch"] == 1
    assert certificate["batch"]["audit"]["rows"] == 3
    assert certificate["request"]["subject"] == queue.status("gone")["digests"][0]
    assert not any("No entry of this log" in note for note in certificate["notes"])
    assert certificate.mentions(id=IDS[3])
    with pytest.raises(KeyError):
        queue.certificate("nobody", worker.unlearner)
    again = started(queue, kind)
    certificate = queue.certificate("gone", again.unlearner)
    # A model that is trained anew at each start has no log of what came before.
    assert any("No entry of this log" in n for n in certificate["notes"]) == (kind == "refit")
