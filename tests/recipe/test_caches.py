"""memory=: what a request deletes from caches, and what the certificate says of them."""

import json
from pathlib import Path

import numpy as np
import pytest
from joblib import Memory
from sklearn.base import clone
from sklearn.cluster import FeatureAgglomeration
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn.evaluation import compare
from tests.small import FORGET, net, quiet

pytestmark = quiet


def neighbours(folder, **kwargs):
    """An unlearner whose model, and so its cache, holds the rows themselves."""
    return RetrainUnlearner(KNeighborsClassifier(3), memory=str(folder), random_state=0, **kwargs)


def models(folder):
    return list(Path(folder).rglob("output.pkl"))


def holds(folder, rows):
    """How many of these rows stand in any file of a folder, bit for bit."""
    content = b"".join(path.read_bytes() for path in Path(folder).rglob("*") if path.is_file())
    return sum(row.tobytes() in content for row in rows)


def notes(unlearner):
    return json.loads(unlearner.certificate())["notes"]


def test_models_that_know_forgotten_rows_go(data, tmp_path):
    X, y = data
    bystander = neighbours(tmp_path).fit(X[30:], y[30:])  # of whom no row is forgotten
    other = neighbours(tmp_path).fit(X[:40], y[:40])
    unlearner = neighbours(tmp_path).fit(X, y)
    assert len(models(tmp_path)) == 3
    unlearner.unlearn(indices=FORGET)
    assert unlearner.deletions_[0]["caches"] == {"models": 2, "emptied": [], "left": []}
    assert len(models(tmp_path)) == 2  # the bystander's, and the one trained without the rows
    assert holds(tmp_path, X[FORGET]) == 0
    assert "rid of 2 models" in notes(unlearner)[0]
    # What is left is of use.
    again = neighbours(tmp_path).fit(np.delete(X, FORGET, 0), np.delete(y, FORGET))
    assert len(models(tmp_path)) == 2
    assert np.array_equal(again.predict(X), unlearner.predict(X))
    for done in (bystander, other):
        done.predict(X)
    unlearner.unlearn(indices=[30])
    assert holds(tmp_path, X[[*FORGET, 30]]) == 0
    assert unlearner.deletions_[1]["caches"]["models"] == 2  # the bystander's, and the last one


def test_a_row_that_is_there_twice(data, tmp_path):
    X, y = data
    X, y = np.concatenate([X, X[:1]]), np.concatenate([y, y[:1]])
    unlearner = neighbours(tmp_path).fit(X, y, ids=range(len(X)))
    unlearner.unlearn(ids=[0])
    assert unlearner.deletions_[0]["caches"]["models"] == 1
    assert len(models(tmp_path)) == 1  # the new model, which knows the twin
    assert holds(tmp_path, X[:1]) == 1


def test_searches_keep_their_models(data, tmp_path):
    """``fit(forget=)`` is an experiment; a request afterwards deletes all the same."""
    X, y = data
    mask = np.isin(np.arange(60), FORGET)
    for _ in range(2):
        unlearner = neighbours(tmp_path).fit(X, y, forget=mask)
        assert holds(tmp_path, X[FORGET]) == len(FORGET)
    assert "may still hold" in notes(unlearner)[0]
    unlearner.unlearn(indices=[30])
    assert holds(tmp_path, X[[*FORGET, 30]]) == 0
    assert "may still hold" not in notes(unlearner)[0]


def test_comparisons_keep_their_models(data, tmp_path):
    X, y = data
    mask = np.arange(50) < 6
    tuned = FineTuneUnlearner(net(max_epochs=1), memory=str(tmp_path), max_epochs=1)
    compare(
        {"a": tuned, "b": clone(tuned).set_params(lr=0.2)},
        *(X[:50], y[:50]),
        forget=mask,
        X_test=X[50:],
        y_test=y[50:],
        random_state=0,
    )
    before = len(models(tmp_path))
    assert before >= 1
    RetrainUnlearner(net(max_epochs=1), memory=str(tmp_path), random_state=0).fit(X[:50], y[:50])
    assert len(models(tmp_path)) == before


def test_transformers_in_caches_go(data, tmp_path):
    X, y = data
    inner = make_pipeline(StandardScaler(), LogisticRegression(), memory=str(tmp_path / "inner"))
    unlearner = RetrainUnlearner(inner, memory=str(tmp_path / "outer"), random_state=0).fit(X, y)
    unlearner.unlearn(indices=FORGET)
    report = unlearner.deletions_[0]["caches"]
    assert report == {"models": 1, "emptied": ["estimator__memory"], "left": []}
    assert models(tmp_path / "inner") == []
    assert len(models(tmp_path / "outer")) == 1
    assert len(notes(unlearner)) == 2


@pytest.mark.parametrize("refit", [True, False])
def test_pipelines(data, tmp_path, refit):
    X, y = data
    steps = [("scale", StandardScaler()), ("model", neighbours(tmp_path / "models"))]
    memory = Memory(tmp_path / "steps", verbose=0)
    pipeline = UnlearningPipeline(steps, memory=memory, refit_transformers=refit).fit(X, y)
    scaled = pipeline[:-1].transform(X)
    assert holds(tmp_path, scaled[FORGET]) == len(FORGET)
    pipeline.unlearn(indices=FORGET)
    assert holds(tmp_path, scaled[FORGET]) == 0
    assert holds(tmp_path, X[FORGET]) == 0
    report = pipeline.deletions_[0]["caches"]
    assert (report["models"], report["emptied"], report["left"]) == (1, ["memory"], [])
    assert "emptied (memory)" in " ".join(notes(pipeline))


def test_what_is_not_known_is_named(data, tmp_path, monkeypatch):
    X, y = data
    inner = make_pipeline(FeatureAgglomeration(2, memory=str(tmp_path)), LogisticRegression())
    unlearner = RetrainUnlearner(inner, random_state=0).fit(X, y).unlearn(indices=FORGET)
    name = "estimator__featureagglomeration__memory"
    assert unlearner.deletions_[0]["caches"]["left"] == [name]
    assert f"{name} may still hold" in notes(unlearner)[0]

    # The request is done, whether the cache can be rid of the rows or not; joblib tells nobody.
    inner = make_pipeline(StandardScaler(), LogisticRegression(), memory=str(tmp_path / "inner"))
    piped = RetrainUnlearner(inner, random_state=0).fit(X, y)
    unlearner = neighbours(tmp_path / "models").fit(X, y)
    monkeypatch.setattr("shutil.rmtree", lambda *args, **kwargs: None)
    assert piped.unlearn(indices=FORGET).deletions_[0]["caches"]["left"] == ["estimator__memory"]
    unlearner.unlearn(indices=FORGET)
    assert unlearner.deletions_[0]["caches"]["left"] == ["memory"]
    assert "memory may still hold" in notes(unlearner)[0]


def test_a_model_that_is_being_trained_keeps_its_index(data, tmp_path, monkeypatch):
    X, y = data
    unlearner = neighbours(tmp_path).fit(X, y)
    with monkeypatch.context() as patch:
        # As it is between the index and the model of another process.
        patch.setattr("joblib.memory.MemorizedFunc.check_call_in_cache", lambda *a, **k: False)
        unlearner.unlearn(indices=FORGET)
    assert holds(tmp_path, X[FORGET]) == len(FORGET)
    unlearner.unlearn(indices=[30])
    assert holds(tmp_path, X[FORGET]) == 0
    assert list(Path(tmp_path).rglob(".skunlearn-*")) == []


def test_an_emptied_cache(data, tmp_path):
    X, y = data
    memory = Memory(tmp_path, verbose=0)
    unlearner = neighbours(tmp_path).set_params(memory=memory).fit(X, y)
    memory.clear(warn=False)
    unlearner.unlearn(indices=FORGET)
    assert unlearner.deletions_[0]["caches"] == {"models": 0, "emptied": [], "left": []}
    assert holds(tmp_path, X[FORGET]) == 0
