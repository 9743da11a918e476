"""Versions of models that a training gives again: an auditor knows them, and the log goes on."""

import json
import os
import shutil

import numpy as np
import pytest
from safetensors.torch import load_file, save_file
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

from skunlearn import (
    ForestUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from skunlearn._files.digests import read_header
from skunlearn.exceptions import AlreadyForgottenError
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.verify import assert_excluded, verify
from tests.production_task import IDS, rows

# Of single rows and a linear model the worker warns.
pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.RowRevealedWarning")

KEY = b"a secret of your own"
UNLEARNERS = {
    "retrained": RetrainUnlearner(LogisticRegression(), random_state=0),
    "counted": SufficientStatisticsUnlearner(GaussianNB(), random_state=0),
    "sharded": ShardedUnlearner(GaussianNB(), n_shards=3, random_state=0),
    "pipeline": UnlearningPipeline(
        [("scale", StandardScaler()), ("model", RetrainUnlearner(GaussianNB(), random_state=0))]
    ),
}


def started(folder, unlearner, left=slice(None)):
    X, y, X_test, y_test = rows()
    queue = DeletionQueue(folder, batch_size=1)
    worker = DeletionWorker(queue, unlearner, X_test, y_test)
    return queue, worker.start(X[left], y[left], ids=np.array(IDS)[left].tolist())


def file_of(queue):
    return os.path.join(queue.folder, "models", queue._newest()[1])


def found(certificate, *args, **kwargs):
    return [f.text for f in verify(certificate, *args, **kwargs) if not f.ok]


@pytest.mark.parametrize("name", UNLEARNERS)
def test_a_version_is_checked_and_its_log_goes_on(name, tmp_path):
    X = rows()[0]
    queue, worker = started(tmp_path, UNLEARNERS[name])
    shutil.copy(file_of(queue), tmp_path / "zero")
    unforgotten = worker.unlearner.certificate()
    assert found(unforgotten, tmp_path / "zero") == []
    for number in (3, 7):
        queue.submit(f"ticket-{number}", ids=[IDS[number]])
    worker.run_once()
    first, one = worker.unlearner.certificate(), tmp_path / "one"
    shutil.copy(file_of(queue), one)
    # The next life is given the rows that are left.
    queue, again = started(tmp_path, UNLEARNERS[name], np.delete(np.arange(48), 3))
    assert again.unlearner.deletions_ == worker.unlearner.deletions_
    assert again.unlearner.certificate()["deletions"] == first["deletions"]
    assert again.unlearner.certificate()["forgotten_rows"] == 1
    again.run_once()
    certificate, two = queue.certificate("ticket-3", again.unlearner), file_of(queue)
    assert [entry["rows"] for entry in certificate["deletions"]] == [1, 1]
    assert certificate.mentions(id=IDS[3])
    assert certificate["forgotten_rows"] == 2
    gone, kept = {"X": X[[3, 7]], "ids": np.array([IDS[3], IDS[7]])}, {"X": X[[3, 4]]}
    assert found(certificate, two, rows=gone) == []
    assert found(certificate, two, rows=kept) == ["1 of 2 are retained there (1)"]
    assert found(first, [one, two], rows={"ids": np.array([IDS[3]])}) == []  # a later version
    assert "an earlier version" in str(found(certificate, one))
    assert "an earlier version" in str(found(certificate, tmp_path / "zero"))


def test_a_changed_version_is_found(tmp_path):
    queue, worker = started(tmp_path, UNLEARNERS["retrained"])
    queue.submit("ticket", ids=[IDS[3]])
    worker.run_once()
    certificate, tensors = worker.unlearner.certificate(), load_file(file_of(queue))
    state = json.loads(read_header(file_of(queue))[0]["__metadata__"]["skunlearn"])

    def written(tensors, state):
        save_file(tensors, tmp_path / "other", metadata={"skunlearn": json.dumps(state)})
        return str(found(certificate, tmp_path / "other"))

    assert written(tensors, state) == "[]"
    assert "other weights" in written(tensors, state | {"weights": "0" * 64})
    back = {name: table.clone() for name, table in tensors.items()}
    back["retained"][3] = True
    assert "48 rows are retained there, 47 here" in written(back, state)
    state["deletions"][0]["rows"] = 2
    assert "another one than the certificate's" in written(tensors, state)


def test_such_a_version_is_no_model_to_load(tmp_path):
    queue, _ = started(tmp_path, UNLEARNERS["retrained"])
    with pytest.raises(ValueError, match="was not written by"):
        RetrainUnlearner(LogisticRegression()).load(file_of(queue))


@pytest.mark.parametrize(
    "unlearner",
    [
        ForestUnlearner(RandomForestClassifier(5), random_state=0),
        RetrainUnlearner(RandomForestClassifier(5)),
    ],
    ids=["draws of its own", "no seed"],
)
def test_a_model_that_does_not_come_back_as_it_was_is_told(unlearner, tmp_path):
    X_test = rows()[2]
    queue, worker = started(tmp_path, unlearner)
    queue.submit("a", ids=[IDS[3]])
    worker.run_once()
    with pytest.warns(UserWarning, match="another model than the one whose weights are in the log"):
        queue, again = started(tmp_path, unlearner)
    assert not np.array_equal(
        again.unlearner.predict_proba(X_test), worker.unlearner.predict_proba(X_test)
    )
    queue.submit("b", ids=[IDS[4]])
    again.run_once()  # its version is the one in the log
    skops_io = pytest.importorskip("skops.io")
    skops_io.dump(again.unlearner.estimator_, tmp_path / "model.skops")
    assert found(again.unlearner.certificate(), [tmp_path / "model.skops"]) == []


@pytest.mark.parametrize("corrected", [False, True])
def test_no_manifest_lets_pass_what_a_worker_of_a_restart_does_not_know(tmp_path, corrected):
    """Trained again on the rows that are left it knows no others, and let all of them pass."""
    rng = np.random.default_rng(0)
    X, y, ids = rng.normal(size=(60, 3)), np.arange(60) % 2, [f"row-{i}" for i in range(60)]
    tests, queue = (rng.normal(size=(10, 3)), np.arange(10) % 2), DeletionQueue(tmp_path / "queue")

    def start(rows):
        worker = DeletionWorker(queue, RetrainUnlearner(GaussianNB()), *tests)
        return worker.start(now[rows], y[rows], ids=[ids[i] for i in rows])

    now, everyone = X.copy(), np.arange(60)
    worker = start(everyone)
    if corrected:
        queue.submit_correction("first", X[[3]] + 1, ids=ids[3:4])
    else:
        queue.submit("first", ids=ids[3:4])
    worker.run_once(flush=True)
    manifest = worker.unlearner.exclusion_manifest(KEY)
    with pytest.raises(AlreadyForgottenError, match=r"1 of 60 rows of X .* \(3\)"):
        assert_excluded(X, manifest, KEY)
    now[3] += corrected
    again = start(everyone if corrected else np.delete(everyone, 3))
    with pytest.raises(ValueError, match="1 of the rows that the log tells of are not known"):
        again.unlearner.exclusion_manifest(KEY)
    assert again.unlearner.certificate()["forgotten_rows"] == 1 - corrected
