"""Corrections in a queue: old values forgotten and new ones learnt, beside deletions."""

import copy
import json
import os
import sqlite3
from contextlib import closing

import numpy as np
import pytest
import torch
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from skunlearn import FineTuneUnlearner, RetrainUnlearner, SalUnUnlearner, UnlearningPipeline
from skunlearn._files.digests import find_broken_link
from skunlearn.exceptions import AlreadyForgottenError
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.production._inspection import Inspection
from skunlearn.production._rectifying import write_values
from tests.production.workers import contents, same, started
from tests.production_task import IDS, make_unlearner, rows
from tests.small import net, quiet

pytestmark = quiet
NEW = np.arange(8, dtype=np.float32).reshape(2, 4) / 8


def corrected(X, y):
    """Rows 3 and 7 have other values, and row 3 another label."""
    X, y = X.copy(), y.copy()
    X[[7, 3]], y[3] = NEW, 1 - y[3]
    return X, y


def submit(queue, name="a"):
    y = rows()[1]
    queue.submit_correction(f"{name}1", NEW, ids=["user-7", "user-3"])
    queue.submit_correction(f"{name}2", y_new=[1 - y[3]], ids=["user-3"])


@pytest.mark.parametrize("kind", ["net", "refit"])
def test_a_correction_is_that_of_the_unlearner(queue, kind):
    worker = started(queue, kind)
    submit(queue)
    assert queue.status("a1")["what"] == "correction"
    audit = worker.run_once()["audit"]
    assert (audit["requests"], audit["rows"], audit["corrected"]) == (2, 0, 2)
    assert audit["score"] == worker.unlearner.score(*rows()[2:])
    X, y, _, _ = rows()
    X_true, y_true = corrected(X, y)
    plain = make_unlearner(kind).fit(X, y, ids=IDS)
    plain.correct(indices=[3, 7], X_new=X_true[[3, 7]], y_new=y_true[[3, 7]])
    assert same(worker.unlearner, plain)
    assert worker.unlearner.deletions_[0]["batch"] == 1
    assert worker.unlearner.deletions_[0]["corrected"] == 2
    if kind == "refit":
        assert same(worker.unlearner, make_unlearner(kind).fit(X_true, y_true))
    # By its name a row is forgotten with its new values.
    queue.submit("b", ids=["user-3"])
    assert worker.run_once(flush=True)["audit"]["rows"] == 1
    assert same(worker.unlearner, plain.unlearn(indices=[3]))


@pytest.mark.parametrize("kind", ["net", "refit"])
def test_a_second_life_takes_the_corrected_rows(queue, kind):
    X, y, X_test, y_test = rows()
    first = started(queue, kind)
    queue.submit("gone", ids=["user-0"])
    first.run_once(flush=True)
    submit(queue)
    first.run_once()
    X_true, y_true = corrected(X, y)
    second = DeletionWorker(queue, make_unlearner(kind), X_test, y_test)
    with pytest.raises(ValueError, match="those that were corrected have their new values"):
        second.start(X, y, ids=IDS)
    order = np.random.default_rng(0).permutation(np.arange(1, len(X)))
    second.start(X_true[order], y_true[order], ids=[IDS[i] for i in order])
    assert second.version == 2
    assert same(second.unlearner, first.unlearner)
    # And once more from there, by position at the first start.
    queue.submit_correction("more", NEW[:1] + 1, indices=[9])
    second.run_once(flush=True)
    assert queue.status("more")["state"] == "applied"
    X_true[9] = NEW[0] + 1
    third = DeletionWorker(queue, make_unlearner(kind), X_test, y_test)
    third.start(X_true, y_true, ids=IDS)
    assert same(third.unlearner, second.unlearner)
    names = sorted(os.listdir(os.path.join(queue.folder, "models")))
    assert names == ["00000003.safetensors", "rows00000003.safetensors"]
    assert not os.path.exists(os.path.join(queue.folder, "rows.safetensors"))
    assert Inspection(queue.folder).sound


def test_deletions_win_and_the_later_of_two_corrections(tmp_path):
    queue = DeletionQueue(tmp_path / "queue", batch_size=10)
    X, y, _, _ = rows()
    worker = started(queue, "refit")
    queue.submit_correction("values", NEW, ids=["user-7", "user-3"])
    queue.submit_correction("again", NEW[:1] + 5, indices=[7])
    queue.submit_correction("label", y_new=[1 - y[7]], ids=["user-7"])
    queue.submit_correction("moot", NEW[:1], ids=["user-5"])
    queue.submit("deletion", ids=["user-3", "user-5"])
    queue.submit_correction("after", NEW[:1], ids=["user-3"])
    audit = worker.run_once(flush=True)["audit"]
    assert (audit["rows"], audit["corrected"]) == (2, 1)
    X, y = X.copy(), y.copy()
    X[7], y[7] = NEW[0] + 5, 1 - y[7]
    left = np.delete(np.arange(len(X)), [3, 5])
    assert same(worker.unlearner, make_unlearner("refit").fit(X[left], y[left]))
    states = {entry["request_id"]: (entry["state"], entry["reason"]) for entry in queue.log()}
    assert states["values"] == states["again"] == states["label"] == ("applied", None)
    for name in ("moot", "after"):
        assert states[name][0] == "refused"
        assert "nothing to correct" in states[name][1]
    assert [entry.get("batch") for entry in worker.unlearner.deletions_] == [1, 1]
    assert worker.unlearner.certificate() is not None


@pytest.mark.parametrize("kind", ["net", "refit", "cannot", "pipeline"])
def test_deletions_and_corrections_of_a_batch_are_one_training(tmp_path, kind, monkeypatch):
    X, y, _, _ = rows()
    small = net(module__n_out=2, module__hidden=4, max_epochs=2)
    model = RetrainUnlearner(GaussianNB(), random_state=0)
    unlearner = {
        "cannot": SalUnUnlearner(small, max_epochs=1, random_state=0),
        "pipeline": UnlearningPipeline([("scale", StandardScaler()), ("model", model)]),
    }.get(kind) or make_unlearner(kind)
    queue = DeletionQueue(tmp_path / "queue", batch_size=10)
    worker = started(queue, unlearner=unlearner)
    queue.submit_correction("a", NEW, ids=["user-7", "user-3"])
    queue.submit("b", ids=["user-5", "user-9"])
    cls = FineTuneUnlearner if kind == "net" else RetrainUnlearner
    calls = count_calls(cls, "_attempt", monkeypatch)
    audit = worker.run_once(flush=True)["audit"]
    assert (audit["rows"], audit["corrected"], len(calls)) == (2, 2, 1)
    assert audit["AUC"] is not None  # of the rows that went, not of those that were corrected
    assert audit["retrained"] == (kind == "cannot")
    X_true = X.copy()
    X_true[[7, 3]] = NEW
    left = np.delete(np.arange(len(X)), [5, 9])
    if kind == "refit":
        assert same(worker.unlearner, make_unlearner(kind).fit(X_true[left], y[left]))
    elif kind == "cannot":
        plain = RetrainUnlearner(small, random_state=0).fit(X, y)
        plain.correct(indices=[3, 7], X_new=X_true[[3, 7]]).unlearn(indices=[5, 9])
        assert worker.unlearner.predict_proba(X) == pytest.approx(plain.predict_proba(X), abs=0.2)
    elif kind == "pipeline":
        plain = UnlearningPipeline([("scale", StandardScaler()), ("model", model)])
        plain.fit(X_true[left], y[left])
        np.testing.assert_allclose(
            worker.unlearner.predict_proba(X), plain.predict_proba(X), rtol=1e-5
        )
    log = worker.unlearner.deletions_
    assert [entry["batch"] for entry in log] == [1, 1]
    assert [entry.get("corrected") for entry in log] == [2, None]
    assert [entry.get("made_with") for entry in log] == [None, 1]
    assert log[0]["weights"] == log[1]["weights"]
    assert find_broken_link(log) is None
    certificate = worker.unlearner.certificate()
    assert certificate["forgotten_rows"] == 2
    # By their names, and gone from whatever the worker holds.
    with pytest.raises(AlreadyForgottenError):
        copy.copy(worker.unlearner).unlearn(indices=[5])
    assert worker.unlearner._record.read(np.arange(len(left)))[0].shape[0] == len(left)
    again = DeletionWorker(queue, unlearner, *rows()[2:]).start(X_true, y, ids=IDS)
    assert again.version == 1
    queue.submit("c", ids=["user-7"])
    assert again.run_once(flush=True)["audit"]["rows"] == 1


def count_calls(cls, name, monkeypatch):
    plain, calls = getattr(cls, name), []

    def call(self, *args):
        calls.append(args)
        return plain(self, *args)

    monkeypatch.setattr(cls, name, call)
    return calls


def test_an_old_correction_does_not_undo_a_newer_one(queue):
    worker = started(queue, "refit")
    queue.submit_correction("old", NEW[:1], ids=["user-7"])
    queue.delay("old", "asked back")
    queue.submit_correction("new", NEW[:1] + 1, ids=["user-7"])
    worker.run_once(flush=True)
    queue.retry("old")
    before = worker.unlearner
    worker.run_once(flush=True)
    assert queue.status("old")["state"] == "refused"
    assert "a later correction" in queue.status("old")["reason"]
    assert worker.unlearner is before


def test_what_came_late_is_known_whatever_named_the_rows(queue):
    X, y, X_test, y_test = rows()
    worker = started(queue, "refit")
    queue.submit_correction("old", NEW, ids=["user-7", "user-9"])
    queue.submit_correction("old label", y_new=[1 - y[7]], indices=[7])
    for name in ("old", "old label"):
        queue.delay(name, "asked back")
    queue.submit_correction("new", NEW[:1] + 1, indices=[7])
    worker.run_once(flush=True)
    X, y = X.copy(), y.copy()
    X[7] = NEW[0] + 1
    for life in range(2):
        if life:
            worker = DeletionWorker(queue, make_unlearner("refit"), X_test, y_test)
            worker.start(X, y, ids=IDS)
        # A newer row does not make its older label moot; and "old" has another row.
        name = ("old", "old label")[life]
        queue.retry(name)
        worker.run_once(flush=True)
        if life:
            y[7] = 1 - y[7]
        else:
            X[9] = NEW[1]
        assert queue.status(name)["state"] == "applied"
        assert same(worker.unlearner, make_unlearner("refit").fit(X, y))


def test_labels_of_the_rows_that_are_left_do_not_cut_new_ones(queue):
    X, y, X_test, y_test = rows()
    words = np.array(["no", "yes indeed"])
    y, y_test = words[y], words[y_test]
    small = net(module__n_out=2, module__hidden=4, max_epochs=2)

    def start(chosen, y):
        unlearner = FineTuneUnlearner(small, max_epochs=1, random_state=0)
        worker = DeletionWorker(queue, unlearner, X_test, y_test, max_accuracy_drop=1.0)
        return worker.start(X[chosen], y, ids=[IDS[i] for i in chosen])

    worker, everything = None, np.arange(len(X))
    worker = start(everything, y)
    queue.submit("gone", indices=np.flatnonzero(y == words[1]).tolist())
    worker.run_once(flush=True)
    left = np.flatnonzero(y == words[0])
    worker = start(left, np.array(y[left].tolist()))
    queue.submit_correction("a", y_new=[words[1]], indices=[int(left[0])])
    assert worker.run_once(flush=True)["state"] == "applied"
    y[left[0]] = words[1]
    assert start(left, y[left]).version == 2


def test_values_that_the_rows_cannot_hold_are_not_learnt(queue):
    X, y, X_test, y_test = rows()
    X, X_test = (np.round(10 * part).astype(np.int64) for part in (X, X_test))
    worker = DeletionWorker(queue, make_unlearner("refit"), X_test, y_test)
    worker.start(X, y, ids=IDS)
    queue.submit_correction("a", NEW[:1] + 0.25, ids=["user-7"])
    before = worker.unlearner
    assert worker.run_once(flush=True)["state"] == "failed"
    assert "hold values that int64" in queue.status("a")["reason"]
    assert worker.unlearner is before


@pytest.mark.parametrize("full", [False, True])
def test_methods_that_cannot_learn_are_stood_in_for(queue, full):
    X, y, _, _ = rows()
    small = net(module__n_out=2, module__hidden=4, max_epochs=2)
    unlearner = SalUnUnlearner(small, max_epochs=1, random_state=0)
    worker = started(queue, unlearner=unlearner, retrain_every=1 if full else None)
    queue.submit_correction("a", NEW, ids=["user-7", "user-3"])
    audit = worker.run_once(flush=True)["audit"]
    assert audit["retrained"]
    X_true, _ = corrected(X, y)
    plain = RetrainUnlearner(small, random_state=0).fit(X, y)
    plain.correct(indices=[3, 7], X_new=X_true[[3, 7]])
    assert same(worker.unlearner, plain)
    queue.submit("b", ids=["user-1"])
    worker.run_once(flush=True)
    assert isinstance(worker.unlearner, SalUnUnlearner)


def test_pipelines(queue):
    X, y, X_test, y_test = rows()

    def make():
        model = RetrainUnlearner(GaussianNB(), random_state=0)
        return UnlearningPipeline([("scale", StandardScaler()), ("model", model)])

    worker = started(queue, unlearner=make())
    submit(queue)
    worker.run_once()
    X_true, y_true = corrected(X, y)
    expected = make().fit(X_true, y_true)
    np.testing.assert_allclose(
        worker.unlearner.predict_proba(X_test), expected.predict_proba(X_test), rtol=1e-5
    )
    again = DeletionWorker(queue, make(), X_test, y_test).start(X_true, y_true, ids=IDS)
    assert again.version == 1


def test_min_batch_counts_corrections(tmp_path):
    queue = DeletionQueue(tmp_path / "queue", batch_size=2, min_batch=2)
    worker = started(queue, "refit")
    queue.submit_correction("a", NEW[:1], ids=["user-7"])
    assert not queue.due()
    queue.submit("b", ids=["user-1"])
    assert worker.run_once()["audit"]["requests"] == 2


# ---------------------------------------------------------------------- what is written down


def test_values_are_overwritten_once_they_are_learnt(queue, tmp_path):
    secret = np.array([[1234.5, 6789.25, 1.5, 2.5]])
    worker = started(queue, "refit")
    queue.submit_correction("a", secret, ids=["user-7"])
    queue.submit_correction("b", secret, ids=["user-8"])
    text = json.loads(write_values(secret, None, 1))["X_new"][-40:].encode()
    assert text in contents(tmp_path)  # so that below it is searched for in the form it had
    queue.refuse("b", "not theirs")
    worker.run_once(flush=True)
    with closing(sqlite3.connect(os.path.join(queue.folder, "queue.sqlite"))) as db:
        held = db.execute("SELECT names, new_values, new_digest FROM requests").fetchall()
    assert [row[:2] for row in held] == [(None, None)] * 2
    assert all(len(row[2]) == 32 for row in held)
    folder = contents(tmp_path)
    assert not any(text[i : i + 12] in folder for i in range(len(text) - 12))
    for value in (secret, secret.astype(np.float32)):
        assert value[0, :2].tobytes() not in folder
    assert b"user-7" not in folder


def test_a_request_is_known_by_its_values_too(queue):
    queue.submit_correction("a", NEW[:1], ids=["user-7"])
    queue.submit_correction("a", NEW[:1], ids=["user-7"])  # once more: nothing happens
    assert len(queue.log()) == 1
    with pytest.raises(ValueError, match="stands for another request"):
        queue.submit_correction("a", NEW[:1] + 1, ids=["user-7"])
    with pytest.raises(ValueError, match="stands for another request"):
        queue.submit("a", ids=["user-7"])
    with (
        closing(sqlite3.connect(os.path.join(queue.folder, "queue.sqlite"))) as db,
        pytest.raises(sqlite3.IntegrityError, match="never changed"),
    ):
        db.execute("UPDATE requests SET new_values = 'x'")


def test_certificates_and_letters(queue):
    worker = started(queue, "refit")
    queue.submit_correction("a", NEW[:1], ids=["user-7"])
    worker.run_once(flush=True)
    certificate = queue.certificate("a", worker.unlearner)
    assert certificate["request"]["what"] == "correction"
    assert certificate["derived"][-1]["state"] == "deleted"
    letter = queue.certificate("a", worker.unlearner, format="letter")
    assert letter.startswith("About your request to correct data in a machine-learning model")
    assert "Of 1 of them the old values were forgotten" in letter


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        ({"ids": ["user-1"]}, TypeError, "Pass the new values"),
        ({"X_new": NEW}, TypeError, "exactly one way"),
        ({"X_new": NEW, "ids": ["user-1"]}, ValueError, "X_new has 2 rows, but 1"),
        ({"y_new": [1, 0], "ids": ["user-1"]}, ValueError, "y_new has 2 entries, but 1"),
        ({"y_new": 1, "ids": ["user-1"]}, ValueError, "no length"),
        (
            {"X_new": [[{1}]], "ids": ["user-1"]},
            TypeError,
            "X_new holds values that a file does not",
        ),
        ({"y_new": [None], "ids": ["user-1"]}, TypeError, "numbers or text"),
    ],
)
def test_bad_corrections(queue, given, error, match):
    with pytest.raises(error, match=match):
        queue.submit_correction("a", **given)
    assert queue.log() == []


def test_groups_are_not_corrected(queue):
    with pytest.raises(TypeError, match="not groups="):
        queue.submit_many([{"request_id": "a", "groups": ["g"], "y_new": [1]}])


def test_what_no_model_can_learn(queue):
    worker = started(queue, "refit")
    queue.submit_correction("unknown", NEW[:1], ids=["user-99"])
    queue.submit_correction("wide", np.zeros((1, 5)), ids=["user-4"])
    queue.submit_correction("class", y_new=[7], ids=["user-4"])
    queue.submit_correction("good", NEW[:1], ids=["user-5"])
    for _ in range(6):
        worker.run_once(flush=True)
    assert "never seen" in queue.status("unknown")["reason"]
    assert "4 features" in queue.status("wide")["reason"]
    assert "7" in queue.status("class")["reason"]
    assert queue.status("wide")["state"] == queue.status("class")["state"] == "delayed"
    assert queue.status("good")["state"] == "applied"


def test_items_of_a_dataset_are_refused_with_a_remedy(queue):
    X, y, X_test, y_test = rows()
    data, tests = (TensorDataset(*map(torch.from_numpy, p)) for p in ((X, y), (X_test, y_test)))
    worker = DeletionWorker(queue, make_unlearner("net"), tests).start(data)
    queue.submit_correction("a", NEW[:1], indices=[4])
    worker.run_once(flush=True)
    assert queue.status("a")["state"] == "refused"
    assert "correct the data, delete the rows" in queue.status("a")["reason"]
    with pytest.raises(TypeError, match="a torch Dataset, of which a queue holds no rows"):
        queue.submit_correction("b", data, indices=[4])


def test_tensors_and_lists_of_labels(queue):
    X, y, X_test, y_test = rows()
    worker = DeletionWorker(queue, make_unlearner("refit"), X_test, y_test).start(X, y.tolist())
    queue.submit_correction("a", torch.from_numpy(NEW), torch.tensor([0, 1]), indices=[7, 3])
    worker.run_once(flush=True)
    X[[7, 3]], y[[7, 3]] = NEW, [0, 1]
    again = DeletionWorker(queue, make_unlearner("refit"), X_test, y_test).start(X, y.tolist())
    assert same(again.unlearner, worker.unlearner)
