"""DeletionWorker: which models it lets go out."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB
from torch.utils.data import TensorDataset

from skunlearn import AutoUnlearner, FineTuneUnlearner, RetrainUnlearner
from skunlearn.exceptions import NotForgottenWarning, QueueStoppedError
from skunlearn.production import DeletionWorker
from tests.instances import make_net
from tests.production.workers import same, started
from tests.production_task import rows, state_of
from tests.small import quiet

pytestmark = quiet


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


@pytest.mark.parametrize("kind, as_dataset", [("net", False), ("net", True), ("refit", False)])
def test_a_class_that_is_gone_on_purpose_is_no_drop(queue, kind, as_dataset):
    """Every deletion of a whole class stopped the worker, and a training from scratch as well."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    tests = (X[1000:], y[1000:])
    if as_dataset:
        tests = (TensorDataset(*map(torch.from_numpy, tests)),)

    def start():
        estimator = RetrainUnlearner(GaussianNB(), random_state=0)
        if kind == "net":
            net = make_net(module__n_out=10, module__hidden=32, max_epochs=15, lr=0.1)
            estimator = AutoUnlearner(net, random_state=0)
        worker = DeletionWorker(queue, estimator, *tests, max_accuracy_drop=0.06)
        return worker.start(X[:1000], y[:1000])

    worker = start()
    for digit in (3, 7):
        queue.submit(f"{digit}", indices=np.flatnonzero(y[:1000] == digit))
        assert worker.run_once(flush=True)["state"] == "applied"
        worker = start()
    hits = worker.unlearner.predict(X[1000:]) == y[1000:]
    assert hits.mean() < hits[~np.isin(y[1000:], [3, 7])].mean() - 0.1
    assert queue.batches()[-1]["audit"]["score"] == hits[~np.isin(y[1000:], [3, 7])].mean()


def test_the_audit_holds_what_the_method_warned_of(queue):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(200, 8)).astype(np.float32), rng.integers(0, 2, 200)
    net = make_net(module__n_out=2, module__hidden=256, max_epochs=60, lr=0.2)
    nothing = FineTuneUnlearner(net, lr=1e-9, max_epochs=1, random_state=0)
    worker = DeletionWorker(queue, nothing, X[150:], y[150:]).start(X[:150], y[:150])
    queue.submit("a", indices=range(40))
    with pytest.warns(NotForgottenWarning) as said:
        audit = worker.run_once(flush=True)["audit"]
    said = [str(w.message) for w in said if issubclass(w.category, NotForgottenWarning)]
    assert audit["warnings"] == said
    queue.submit("b", indices=range(40, 60))
    worker.retrain_every = 1
    assert "warnings" not in worker.run_once(flush=True)["audit"]


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


@pytest.mark.parametrize("retrain", [False, True])
def test_nothing_to_release(queue, retrain):
    worker = started(queue)
    with pytest.raises(ValueError, match=r"No batch is stopped.*retrain_every=1"):
        queue.release(retrain=retrain)
    queue.submit("a", ids=["user-0"])
    assert not worker.run_once(flush=True)["audit"]["retrained"]  # no wish was left behind


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
