"""Rectification in pipelines: the steps, and the model behind them, are those of corrected rows."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler
from torch.utils.data import TensorDataset

from skunlearn import (
    FineTuneUnlearner,
    PublicBackbone,
    RetrainUnlearner,
    RidgeUnlearner,
    SSDUnlearner,
    UnlearningPipeline,
)
from skunlearn.exceptions import UnknownRowsError
from tests.instances import make_net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
ROWS = np.array([40, 3, 77])  # not in order
NAMES = [f"id {i}" for i in range(120)]


def task():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 5))
    y = (X[:, 0] + 0.5 * rng.normal(size=120) > 0).astype(int)
    X_true, y_true = X.copy(), y.copy()
    X_true[ROWS[:2]] = 5 * np.arange(10.0).reshape(2, 5)
    y_true[ROWS[2]] = 1 - y[ROWS[2]]
    return X, y, X_true, y_true


def make(unlearner=None, **params):
    model = unlearner or RetrainUnlearner(LogisticRegression(), random_state=0)
    return UnlearningPipeline([("scale", StandardScaler()), ("model", model)], **params)


def backbone(*steps):
    layers = torch.nn.Sequential(torch.nn.Linear(5, 8), torch.nn.ReLU())
    declared = PublicBackbone(layers, trained_on="nothing", declared_by="the test")
    return UnlearningPipeline([("features", declared), *steps])


@pytest.mark.parametrize("named", ["rows", "ids", "indices"])
@pytest.mark.parametrize("form", ["array", "frame"])
def test_it_is_the_pipeline_of_the_corrected_rows(form, named):
    X, y, X_true, y_true = task()
    put = {"array": lambda a: a, "frame": lambda a: pd.DataFrame(a, columns=list("abcde"))}[form]
    pipeline, expected = (
        make().fit(put(X), y, ids=NAMES),
        make().fit(put(X_true), y_true, ids=NAMES),
    )
    name = {
        "rows": {"X_old": put(X[ROWS]), "y_old": y[ROWS]},
        "ids": {"ids": [NAMES[i] for i in ROWS]},
        "indices": {"indices": ROWS},
    }[named]
    assert pipeline.correct(**name, X_new=put(X_true[ROWS]), y_new=y_true[ROWS]) is pipeline
    ours, theirs = (p.named_steps["scale"] for p in (pipeline, expected))
    np.testing.assert_allclose(ours.mean_, theirs.mean_, rtol=1e-12)
    np.testing.assert_allclose(
        pipeline.predict_proba(put(X)), expected.predict_proba(put(X)), rtol=1e-9
    )
    entry = pipeline.deletions_[0]
    assert entry["corrected"] == 3
    assert entry["exact"]
    assert entry["transformers"]["refitted"] == ["scale (StandardScaler)"]
    # The new values are known, the old ones are not, and the next request starts from these.
    with pytest.raises(UnknownRowsError):
        pipeline.unlearn(put(X[ROWS[:1]]))
    pipeline.unlearn(put(X_true[ROWS[:1]]))
    expected.unlearn(ids=[NAMES[40]])
    np.testing.assert_allclose(
        pipeline.predict_proba(put(X)), expected.predict_proba(put(X)), rtol=1e-9
    )
    # Once more, and another deletion from the sums that the steps hold.
    pipeline.correct(indices=[7], y_new=1 - y[7:8]).unlearn(indices=[8])
    y_true[7] = 1 - y[7]
    left = np.setdiff1d(np.arange(120), [8, 40])
    again = make().fit(put(X_true[left]), y_true[left])
    np.testing.assert_allclose(
        pipeline.predict_proba(put(X)), again.predict_proba(put(X)), rtol=1e-9
    )


@pytest.mark.parametrize("scaled", [True, False])
def test_a_public_backbone_shows_the_new_rows(scaled):
    """What it made of the old ones is held, in front of steps that learn."""
    X, y, X_true, y_true = task()
    if scaled:
        steps = [("scale", StandardScaler()), ("model", RetrainUnlearner(RidgeClassifier()))]
    else:
        steps = [("model", RidgeUnlearner(RidgeClassifier()))]
    pipeline = backbone(*steps).fit(X, y)
    pipeline.correct(indices=ROWS, X_new=X_true[ROWS], y_new=y_true[ROWS])
    features = ("features", pipeline.named_steps["features"])
    expected = UnlearningPipeline([features, *steps]).fit(X_true, y_true)
    assert pipeline.decision_function(X) == pytest.approx(expected.decision_function(X), rel=1e-4)
    pipeline.unlearn(indices=[5, 40])
    expected.unlearn(indices=[5, 40])
    assert pipeline.decision_function(X) == pytest.approx(expected.decision_function(X), rel=1e-4)


def test_a_net_is_fine_tuned_on_the_corrected_rows_as_new_steps_show_them():
    X, y, X_true, y_true = task()
    net = make_net(module__n_out=2, max_epochs=40)
    pipeline = make(FineTuneUnlearner(net, max_epochs=40, random_state=0))
    pipeline.fit(X.astype(np.float32), y)
    before = pipeline.predict_proba(X_true[ROWS])
    pipeline.correct(indices=ROWS, X_new=X_true[ROWS].astype(np.float32), y_new=y_true[ROWS])
    np.testing.assert_allclose(pipeline.named_steps["scale"].mean_, X_true.mean(0), rtol=1e-5)
    sure = pipeline.predict_proba(X_true[ROWS])[np.arange(3), y_true[ROWS]]
    assert sure.mean() > before[np.arange(3), y_true[ROWS]].mean() + 0.2
    assert pipeline.deletions_[0]["measured"]["retain_after"]["score"] > 0.8


def test_steps_that_are_kept_are_named():
    X, y, X_true, y_true = task()
    pipeline = make(refit_transformers=False).fit(X, y)
    pipeline.correct(indices=ROWS, X_new=X_true[ROWS], y_new=y_true[ROWS])
    assert np.array_equal(pipeline.named_steps["scale"].mean_, X.mean(axis=0))
    model = LogisticRegression().fit(pipeline.named_steps["scale"].transform(X_true), y_true)
    np.testing.assert_allclose(pipeline.named_steps["model"].estimator_.coef_, model.coef_)
    assert not pipeline.deletions_[0]["exact"]
    assert pipeline.deletions_[0]["transformers"]["kept"] == ["scale (StandardScaler)"]
    assert json.loads(pipeline.certificate())["guarantee"] == "none"


def test_pickles_hold_no_old_value_and_the_certificate_says_corrected():
    X, y, X_true, _ = task()
    pipeline = make().fit(X, y, ids=NAMES)
    pipeline.correct(indices=ROWS[:2], X_new=X_true[ROWS[:2]])
    held = pickle.dumps(pipeline)
    assert X[ROWS[0]].tobytes() not in held
    assert X_true[ROWS[0]].tobytes() in held
    content = json.loads(pipeline.certificate())
    assert content["guarantee"] == "retrained without the rows"
    assert content["forgotten_rows"] == 0
    assert content["deletions"][0]["forgotten"]["named_by"] == "rows"
    assert any("2 of the rows in the log were corrected" in note for note in content["notes"])


@pytest.mark.parametrize(
    ("request_", "error", "says"),
    [
        ({"indices": [0]}, TypeError, "Pass the new values"),
        ({"y_new": [1]}, TypeError, "exactly one way"),
        ({"indices": [0, 1], "X_new": np.zeros((1, 5))}, ValueError, "X_new has 1 rows, but 2"),
        ({"indices": [0, 1], "y_new": [1]}, ValueError, "y_new has 1 entries, but 2"),
        ({"indices": [0], "y_new": [7]}, ValueError, "7"),
        ({"indices": [0], "X_new": np.zeros((1, 4))}, ValueError, "4"),
        ({"indices": [0], "X_new": np.full((1, 5), np.nan)}, ValueError, "NaN"),
        ({"indices": [], "y_new": []}, ValueError, "empty"),
        ({"X_old": np.zeros((1, 5)), "y_new": [1]}, UnknownRowsError, "never seen"),
    ],
)
def test_bad_requests_change_nothing(request_, error, says):
    X, y, _, _ = task()
    pipeline = make().fit(X, y)
    before, mean = pipeline.predict_proba(X), pipeline.named_steps["scale"].mean_.copy()
    with pytest.raises(error, match=says):
        pipeline.correct(**request_)
    assert np.array_equal(pipeline.predict_proba(X), before)
    assert np.array_equal(pipeline.named_steps["scale"].mean_, mean)
    assert pipeline.deletions_ == []


def test_methods_that_cannot_learn_say_so():
    X, y, _, _ = task()
    pipeline = make(SSDUnlearner(make_net(module__n_out=2, max_epochs=1), random_state=0))
    pipeline.fit(X.astype(np.float32), y)
    with pytest.raises(TypeError, match="SSDUnlearner cannot learn new values"):
        pipeline.correct(indices=[0], y_new=[0])


def test_items_of_a_dataset_are_corrected_there():
    X, y, _, _ = task()
    data = TensorDataset(torch.tensor(X, dtype=torch.float32), torch.tensor(y))
    model = RetrainUnlearner(make_net(module__n_out=2, max_epochs=2), random_state=0)
    plain = UnlearningPipeline([("model", model)]).fit(data)
    with pytest.raises(TypeError, match="correct them there, and fit again, or forget them"):
        plain.correct(indices=[3], X_new=data)
    assert plain.deletions_ == []
    assert plain.unlearn(indices=[3]).deletions_[0]["rows"] == 1
