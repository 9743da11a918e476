"""UnlearningPipeline: bad requests and faults leave the old one, and nothing of the rows stays."""

import functools
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.decomposition import PCA
from sklearn.impute import KNNImputer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skunlearn import UnlearningPipeline
from skunlearn.exceptions import AlreadyForgottenError, UnknownRowsError
from skunlearn.utils._check_tools import Fault, faults, generators
from tests.compose.pipelines import GONE, LEFT, logistic, retrained_net, scaled, tuned_net
from tests.small import quiet


def test_bad_requests_change_nothing(data):
    X, y = data
    pipeline = scaled().fit(X, y, ids=range(60)).unlearn(indices=[0])
    steps, certificate = pipeline.steps, pipeline.certificate()
    for error, request in (
        (UnknownRowsError, {"X_forget": X[:3] + 1}),
        (UnknownRowsError, {"X_forget": X[1:2], "y_forget": [(y[1] + 1) % 3]}),
        (AlreadyForgottenError, {"X_forget": X[:3]}),
        (UnknownRowsError, {"ids": [99]}),
        (ValueError, {"groups": [1]}),
        (ValueError, {"indices": np.arange(1, 60)}),
        (ValueError, {"X_forget": X[:3, :2]}),
        (ValueError, {"X_forget": X[1:3], "y_forget": [1]}),
        (TypeError, {"X_forget": X[1:3], "indices": [1]}),
        (TypeError, {"indices": [1], "y_forget": [1]}),
        (TypeError, {}),
    ):
        with pytest.raises(error):
            pipeline.unlearn(**request)
        assert pipeline.steps is steps
        assert pipeline.certificate() == certificate


@quiet
@pytest.mark.parametrize("refit", [True, False])
def test_faults_in_the_training_leave_the_old_pipeline(data, refit):
    X, y = data
    kwargs = {"max_epochs": 2, "callbacks": [("fault", Fault())]}
    pipeline = scaled(tuned_net(**kwargs), refit_transformers=refit).fit(X, y)
    expected = scaled(tuned_net(**kwargs), refit_transformers=refit).fit(X, y)
    Fault.arm(None, -1)
    expected.unlearn(indices=GONE)
    events = Fault.seen
    assert events > 10
    before, state, drawn = pipeline.predict_proba(X), dict(vars(pipeline)), generators()
    for at in range(0, events, 3):
        with faults(pipeline[-1], KeyboardInterrupt, at), pytest.raises(KeyboardInterrupt):
            pipeline.unlearn(indices=GONE)
        assert vars(pipeline) == state
        assert generators() == drawn
        assert np.array_equal(pipeline.predict_proba(X), before)
    pipeline.unlearn(indices=GONE)
    assert np.array_equal(pipeline.predict_proba(X), expected.predict_proba(X))


class Fussy(TransformerMixin, BaseEstimator):
    """Cannot be fitted a second time."""

    fits = 0

    def fit(self, X, y=None):
        Fussy.fits += 1
        if Fussy.fits > 1:
            raise RuntimeError("not again")
        self.n_ = len(X)
        return self

    def transform(self, X):
        return X + 0.0


def test_faults_in_a_step_leave_the_old_pipeline(data):
    X, y = data
    Fussy.fits = 0
    steps = [("scale", StandardScaler()), ("fussy", Fussy()), ("model", logistic())]
    pipeline = UnlearningPipeline(steps).fit(X, y)
    before, state = pipeline.predict_proba(X), dict(vars(pipeline))
    for act in (
        functools.partial(pipeline.unlearn, indices=GONE),
        functools.partial(pipeline.fit, X[:30], y[:30]),
    ):
        with pytest.raises(RuntimeError, match="not again"):
            act()
        assert vars(pipeline) == state
        assert np.array_equal(pipeline.predict_proba(X), before)


def test_global_generators_are_left_alone(data):
    X, y = data
    steps = [("pca", PCA(2, svd_solver="randomized")), ("model", retrained_net())]
    pipeline = UnlearningPipeline(steps).fit(X, y)
    before = generators()
    pipeline.unlearn(indices=GONE)
    assert generators() == before


@quiet
@pytest.mark.parametrize("unlearner", [logistic(), tuned_net()], ids=["logistic", "net"])
@pytest.mark.parametrize("given", ["array", "list", "frame"])
def test_pickles_hold_nothing_of_forgotten_rows(data, unlearner, given):
    X, y = data
    X = X.astype(np.float64)
    made = {"array": X, "list": X.tolist(), "frame": pd.DataFrame(X)}[given]
    # An imputer of this kind holds the rows themselves.
    steps = [("scale", StandardScaler()), ("holes", KNNImputer()), ("model", unlearner)]
    pipeline = UnlearningPipeline(steps).fit(made, y)
    old = StandardScaler().fit(X)
    traces = [old.mean_, old.var_, *X[GONE], *old.transform(X)[GONE]]
    new = StandardScaler().fit(X[LEFT])
    traces += list(new.transform(X)[GONE])
    traces = [t.astype(dtype).tobytes() for t in traces for dtype in (np.float64, np.float32)]
    assert any(t in pickle.dumps(pipeline) for t in traces)  # the test can fail
    pipeline.unlearn(indices=GONE)
    data = pickle.dumps(pipeline)
    assert not any(t in data for t in traces)
    copy = pickle.loads(data)
    assert np.array_equal(copy.predict_proba(X), pipeline.predict_proba(X))
    copy.unlearn(indices=[1, 2])
    pipeline.unlearn(indices=[1, 2])
    assert np.array_equal(copy.predict_proba(X), pipeline.predict_proba(X))
    with pytest.raises(AlreadyForgottenError):
        copy.unlearn(pd.DataFrame(X[GONE]) if given == "frame" else X[GONE])


def test_nothing_of_forgotten_rows_stays_in_memory(data):
    X, y = data
    for refit in (True, False):
        pipeline = scaled(refit_transformers=refit).fit(X, y).unlearn(indices=GONE)
        assert len(pipeline[-1]._record._X) == len(LEFT)
        assert pipeline._record._X is X  # the caller's own, not copied
        # Scorers may still ask about them, and get them from the caller's rows.
        again = pipeline[0].transform(X[GONE])
        assert np.array_equal(pipeline[-1]._forgotten.arrays()[0], again)
        of_lists = scaled(refit_transformers=refit).fit(X.tolist(), y).unlearn(indices=GONE)
        assert len(of_lists._record._X) == len(LEFT)
        assert of_lists[-1]._forgotten is None


class Resampler(StandardScaler):
    def fit_resample(self, X, y):
        return X, y


class Polars:
    columns = ("a",)


def test_bad_pipelines(data):
    X, y = data
    for steps, error, match in (
        ([("more", Resampler()), ("model", logistic())], TypeError, "changes the number of rows"),
        (
            [("in", Pipeline([("more", Resampler())])), ("model", logistic())],
            TypeError,
            "changes the number of rows",
        ),
        ([("scale", StandardScaler()), ("model", GaussianNB())], TypeError, "end in an unlearner"),
        ([("scale", StandardScaler())], TypeError, "end in an unlearner"),
        ([], ValueError, "empty"),
        ([("model", logistic()), ("other", logistic())], TypeError, "transform"),
    ):
        with pytest.raises(error, match=match):
            UnlearningPipeline(steps).fit(X, y)
    for params, match in (
        ({"model__forget": y == 0}, "without the name of a step"),
        ({"scale__sample_weight": np.ones(60)}, "fit anew without them"),
    ):
        with pytest.raises(TypeError, match=match):
            scaled().fit(X, y, **params)
    weighted = scaled(refit_transformers=False).fit(X, y, scale__sample_weight=np.arange(60))
    assert weighted[0].mean_ == pytest.approx(np.average(X, axis=0, weights=np.arange(60)))
    with pytest.raises(ValueError, match="one entry per row"):
        scaled().fit(X, y, forget=np.ones(3, dtype=bool))
    with pytest.raises(TypeError, match="to_pandas"):
        scaled().fit(Polars(), y)
    only = UnlearningPipeline([("model", retrained_net())]).fit(X, y).unlearn(indices=GONE)
    assert json.loads(only.certificate())["guarantee"] == "retrained without the rows"
