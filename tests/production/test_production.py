"""Files, versions and kinds of models in production."""

import os
import pickle
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from skunlearn import AmnesiacUnlearner, FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.verify import verify
from tests.instances import make_net, make_regressor_net
from tests.production.workers import same, started
from tests.production_task import IDS, make_unlearner, rows, state_of
from tests.small import quiet

pytestmark = quiet


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
    with pytest.raises(TypeError, match=r"not in files.*worker\.unlearner"):
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
    "unlearner, why",
    [
        (AmnesiacUnlearner(make_net()), "not part of the file"),
        (
            UnlearningPipeline(
                [("s", StandardScaler()), ("m", RetrainUnlearner(GaussianNB()))],
                refit_transformers=False,
            ),
            "steps are kept",
        ),
        (RetrainUnlearner(FrozenEstimator(GaussianNB())), "without FrozenEstimator it could"),
    ],
    ids=["recorded updates", "kept scaler", "trained elsewhere"],
)
def test_unlearners_that_could_not_go_on(queue, unlearner, why):
    with pytest.raises(TypeError, match=f"After a restart.*{why}"):
        DeletionWorker(queue, unlearner, *rows()[2:])


def test_a_worker_that_was_not_started_says_so(queue):
    worker = DeletionWorker(queue, make_unlearner("net"), *rows()[2:])
    queue.submit("a", ids=["user-0"])
    with pytest.raises(ValueError, match=r"call start\(X, y\) first"):
        worker.run_once(flush=True)


def version_of(queue):
    """The file of the newest version."""
    return os.path.join(queue.folder, "models", queue._newest()[1])


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
    # A model that is trained anew at each start goes on with the log of its version.
    assert not any("No entry of this log" in note for note in certificate["notes"])
    assert not any("its weights have been changed" in note for note in certificate["notes"])
    assert certificate["deletions"][-1]["batch"] == 1
    assert certificate["forgotten_rows"] == 3
    assert certificate.mentions(id=IDS[3])
    assert all(finding.ok for finding in verify(certificate, version_of(queue)))
