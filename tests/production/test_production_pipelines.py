"""Pipelines that end in a method for nets: a version holds the fitted steps and the net."""

import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, OneHotEncoder, StandardScaler

from skunlearn import (
    AmnesiacUnlearner,
    FineTuneUnlearner,
    RetrainUnlearner,
    UnlearningPipeline,
    make_unlearner,
)
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.verify import verify
from tests.production.workers import same, started
from tests.production_task import IDS, rows
from tests.small import net

pytest.importorskip("skops")
pytestmark = [
    pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning"),
    pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning"),
]


@pytest.fixture
def queue(tmp_path):
    return DeletionQueue(tmp_path / "queue", batch_size=2)


def small_net(**kwargs):
    return net(**{"module__n_out": 2, "module__hidden": 4, "max_epochs": 2} | kwargs)


def make_pipeline_of(method=FineTuneUnlearner, *, refit=True, step=None):
    model = method(small_net(), random_state=0)
    steps = [("scale", StandardScaler() if step is None else step), ("model", model)]
    return UnlearningPipeline(steps, refit_transformers=refit)


@pytest.mark.parametrize("refit", [True, False])
def test_a_second_life_goes_on_where_the_first_ended(queue, refit):
    X, y, X_test, _ = rows()
    worker = started(queue, unlearner=make_pipeline_of(refit=refit))
    queue.submit("a", ids=["user-4"])
    queue.submit("b", indices=[7])
    assert worker.run_once()["audit"]["rows"] == 2
    kept = np.delete(np.arange(48), [4, 7])
    steps = [*make_pipeline_of(refit=refit).steps]
    plain = UnlearningPipeline(steps, refit_transformers=refit).fit(X, y).unlearn(indices=[4, 7])
    again = DeletionWorker(queue, make_pipeline_of(refit=refit), *rows()[2:])
    again.start(X[kept], y[kept], ids=[IDS[i] for i in kept])  # the rows need not be at hand
    for done in (worker.unlearner, again.unlearner):
        assert np.array_equal(done.predict_proba(X_test), plain.predict_proba(X_test))
    seen = X[kept] if refit else X
    mean = again.unlearner.named_steps["scale"].mean_
    np.testing.assert_allclose(mean, seen.mean(axis=0, dtype=np.float64), rtol=1e-6)
    assert again.unlearner.deletions_ == worker.unlearner.deletions_
    # The next request is what it would have been without a restart.
    queue.submit("c", ids=["user-9"])
    again.run_once(flush=True)
    plain.unlearn(indices=[9])
    assert np.array_equal(again.unlearner.predict_proba(X_test), plain.predict_proba(X_test))
    queue.submit("d", ids=["user-4"])
    again.run_once(flush=True)
    assert queue.status("d")["state"] == "applied"  # known to be gone: nothing was to be done
    assert again.version == 2


def test_a_process_that_only_predicts(queue):
    X_test = rows()[2]
    template = make_pipeline_of()
    worker = started(queue, unlearner=make_pipeline_of())
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    model, version = queue.load(template)
    assert version == 1
    assert np.array_equal(model.predict_proba(X_test), worker.unlearner.predict_proba(X_test))
    assert not hasattr(template, "_record")
    assert not hasattr(template.steps[0][1], "mean_")


def test_certificates_and_the_newest_file(queue, tmp_path):
    worker = started(queue, unlearner=make_pipeline_of())
    queue.submit("a", ids=["user-0"])
    worker.run_once(flush=True)
    certificate = queue.certificate("a", worker.unlearner)
    file = f"{queue.folder}/models/{queue._newest()[1]}"
    findings = verify(certificate, file)
    assert all(finding.ok for finding in findings), findings
    assert certificate["deletions"][-1]["transformers"]["refitted"] == ["scale (StandardScaler)"]


def test_a_full_training_is_that_of_the_pipeline(queue):
    X, y, X_test, _ = rows()
    worker = started(queue, unlearner=make_pipeline_of(), retrain_every=2)
    for i in (3, 5):
        queue.submit(f"{i}", ids=[f"user-{i}"])
        worker.run_once(flush=True)
    assert [batch["audit"]["retrained"] for batch in queue.batches()] == [False, True]
    never = make_pipeline_of(RetrainUnlearner)
    never.fit(np.delete(X, [3, 5], 0), np.delete(y, [3, 5]))
    np.testing.assert_allclose(
        worker.unlearner.predict_proba(X_test), never.predict_proba(X_test), rtol=1e-5
    )
    assert isinstance(worker.unlearner.steps[-1][1], FineTuneUnlearner)
    queue.submit("next", ids=["user-8"])
    worker.run_once(flush=True)
    assert [entry["method"] for entry in worker.unlearner.deletions_] == [
        "FineTuneUnlearner",
        "RetrainUnlearner",
        "FineTuneUnlearner",
    ]


def test_corrections(queue):
    X, y, X_test, y_test = rows()
    worker = started(queue, unlearner=make_pipeline_of())
    new = np.full((1, 4), 0.5, dtype=np.float32)
    queue.submit_correction("a", new, ids=["user-7"])
    worker.run_once(flush=True)
    assert queue.status("a")["state"] == "applied"
    X_true = X.copy()
    X_true[7] = new
    mean = worker.unlearner.named_steps["scale"].mean_
    np.testing.assert_allclose(mean, X_true.mean(axis=0, dtype=np.float64), rtol=1e-6)
    again = DeletionWorker(queue, make_pipeline_of(), X_test, y_test).start(X_true, y, ids=IDS)
    assert again.version == 1
    assert np.array_equal(
        again.unlearner.predict_proba(X_test), worker.unlearner.predict_proba(X_test)
    )


def to_floats(X):
    return np.asarray(X, dtype=np.float32)


def test_a_frame_and_a_net_in_one_call(queue):
    X, y, X_test, y_test = rows()

    def frame(X):
        table = pd.DataFrame(X, columns=list("abcd"))
        table["kind"] = np.where(table["b"] > 0, "left", "right")
        return table

    def make():
        columns = ColumnTransformer(
            [("scale", StandardScaler(), list("abcd")), ("kinds", OneHotEncoder(), ["kind"])]
        )
        return make_unlearner(
            make_pipeline(columns, FunctionTransformer(to_floats), small_net()), random_state=0
        )

    worker = DeletionWorker(queue, make(), frame(X_test), y_test).start(frame(X), y, ids=IDS)
    queue.submit("a", ids=["user-4"])
    worker.run_once(flush=True)
    again = DeletionWorker(queue, make(), frame(X_test), y_test).start(frame(X), y, ids=IDS)
    assert same_rows(worker, again, frame(X_test))


def same_rows(a, b, X):
    return np.array_equal(a.unlearner.predict_proba(X), b.unlearner.predict_proba(X))


def test_trained_pipelines(queue):
    X, y, X_test, _ = rows()
    trained = make_pipeline(StandardScaler(), small_net()).fit(X, y)
    frozen = UnlearningPipeline(
        [
            ("scale", FrozenEstimator(trained[0])),
            ("model", FineTuneUnlearner(FrozenEstimator(trained[1]), random_state=0)),
        ]
    )
    worker = started(queue, unlearner=frozen)
    last = worker._store.template.steps[-1][1]
    assert not hasattr(last.estimator, "module_")  # it knows what is going to be forgotten
    queue.submit("a", ids=["user-4"])
    worker.run_once(flush=True)
    again = started(queue, unlearner=frozen)
    assert same_rows(worker, again, X_test)
    assert again.unlearner.deletions_[0]["transformers"]["frozen"] == ["scale (StandardScaler)"]
    fitted = make_pipeline_of().fit(X, y, ids=IDS).unlearn(indices=[3])
    other = DeletionQueue(queue.folder + "2")
    taken = started(other, unlearner=fitted)
    assert same(taken.unlearner[-1], fitted[-1])
    assert len(fitted.deletions_) == 1


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
def test_a_class_that_has_gone(queue):
    X, y, X_test, y_test = rows()
    y, y_test = y.copy(), y_test.copy()
    y[:2] = 2
    y_test[:2] = 2

    def make():
        model = FineTuneUnlearner(small_net(module__n_out=3), random_state=0)
        return UnlearningPipeline([("scale", StandardScaler()), ("model", model)])

    worker = DeletionWorker(queue, make(), X_test, y_test).start(X, y, ids=IDS)
    queue.submit("a", ids=["user-0", "user-1"])
    worker.run_once(flush=True)
    again = DeletionWorker(queue, make(), X_test, y_test).start(X[2:], y[2:], ids=IDS[2:])
    assert same_rows(worker, again, X_test)


class Found:
    """What a user's step may keep of its rows."""

    def __init__(self, mean):
        self.mean = mean


class Centred(StandardScaler):
    """Keeps an object of a user's."""

    def fit(self, X, y=None, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.found_ = Found(self.mean_)
        return self


def test_what_cannot_be_read_again_is_refused_before_a_request(queue):
    """`load` of a pipeline is told what to trust, and a queue is not."""
    with pytest.raises(TypeError, match=r"'scale'.*Found.*let its fit keep arrays") as raised:
        started(queue, unlearner=make_pipeline_of(step=Centred()))
    assert "trusted=" not in str(raised.value)
    assert queue.version() is None
    started(queue, unlearner=make_pipeline_of())  # in the same folder


def test_what_cannot_be_written_is_refused_before_a_request(queue, monkeypatch):
    X_test, y_test = rows()[2:]
    inner = make_pipeline(FunctionTransformer(lambda X: X), MinMaxScaler())
    columns = ColumnTransformer([("all", inner, slice(0, 4))])
    with pytest.raises(TypeError, match=r"'scale'.*cannot be written.*name at the top level"):
        started(queue, unlearner=make_pipeline_of(step=columns))
    assert queue.version() is None
    recorded = make_pipeline_of(AmnesiacUnlearner, refit=False)
    with pytest.raises(TypeError, match="After a restart"):
        DeletionWorker(queue, recorded, X_test, y_test)
    monkeypatch.setitem(sys.modules, "skops", None)
    with pytest.raises(ImportError, match=r"skunlearn\[skops\]"):
        DeletionWorker(queue, make_pipeline_of(), X_test, y_test)
    stateless = make_pipeline_of(step=FunctionTransformer(to_floats))
    started(queue, unlearner=stateless)  # there is nothing to write


def test_a_pipeline_of_other_steps_is_refused(queue):
    started(queue, unlearner=make_pipeline_of())
    with pytest.raises(ValueError, match="other steps"):
        started(queue, unlearner=make_pipeline_of(step=MinMaxScaler()))
