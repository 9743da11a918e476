"""UnlearningPipeline in scikit-learn's searches, and before the scorers."""

import json
import pickle

import numpy as np
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning
from skunlearn.metrics import ForgottenScorer, MIAScorer, RetainedScorer
from skunlearn.model_selection import ForgetSplit, one_standard_error
from tests.instances import make_net

pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{w.__module__}.{w.__name__}")
    for w in (NotForgottenWarning, ModelDamagedWarning)
]


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    forget = np.zeros(len(y), dtype=bool)
    forget[np.random.default_rng(0).choice(900, 80, replace=False)] = True
    return X[:900], y[:900], forget[:900]


def pipeline(unlearner=None, **kwargs):
    unlearner = unlearner or FineTuneUnlearner(make_net(max_epochs=5), random_state=0)
    steps = [("scale", StandardScaler()), ("pca", PCA(20, random_state=0)), ("model", unlearner)]
    return UnlearningPipeline(steps, **kwargs)


@pytest.mark.parametrize("routing", [False, True])
def test_search(digits, routing):
    X, y, forget = digits
    with config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            pipeline(),
            {"pca__n_components": [5, 20], "model__lr": [0.1]},
            cv=ForgetSplit(2, forget=forget, random_state=0),
            scoring={"accuracy": "accuracy", "forgetting": MIAScorer(reference="retrain")},
            refit=one_standard_error,
            error_score="raise",
        ).fit(X, y, forget=forget)
    best = search.best_estimator_
    assert np.array_equal(best._record.retained, ~forget)
    assert best[0].mean_ == pytest.approx(X[~forget].mean(axis=0))
    assert np.all(search.cv_results_["mean_test_forgetting"] <= 0)
    assert best.score(X, y) > 0.7


@pytest.mark.parametrize("refit", [True, False])
def test_scorers(digits, refit):
    X, y, forget = digits
    train = np.arange(900) < 600
    unseen = X[~train], y[~train]
    model = pipeline(refit_transformers=refit).fit(X[train], y[train])
    model.unlearn(X[train & forget])
    at_once = pipeline(refit_transformers=refit).fit(X[train], y[train], forget=forget[train])
    for scorer in (MIAScorer(), MIAScorer(reference="retrain")):
        measured = scorer.measure(model, *unseen)
        assert scorer(model, *unseen) == pytest.approx(measured.score)
        assert scorer(at_once, *unseen) == measured.score
    assert measured.reference_kind == "retrained"
    exact = pipeline(RetrainUnlearner(make_net(max_epochs=5), random_state=0))
    exact.fit(X[train], y[train]).unlearn(X[train & forget])
    assert MIAScorer(reference="retrain")(exact, *unseen) == 0
    with pytest.raises(ValueError, match="no longer at hand"):
        MIAScorer(reference="retrain")(pickle.loads(pickle.dumps(model)), *unseen)
    with pytest.warns(UndefinedMetricWarning, match="training rows"):
        assert np.isnan(MIAScorer()(model, X[train & ~forget], y[train & ~forget]))
    with pytest.raises(ValueError, match="not forgotten anything"):
        MIAScorer()(pipeline().fit(X[train], y[train]), *unseen)


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
def test_class_scorers(digits):
    X, y, _ = digits
    model = pipeline(RetrainUnlearner(LogisticRegression(max_iter=500)))
    model.fit(X[:600], y[:600], forget=y[:600] == 3)
    assert json.loads(model.certificate())["deletions"][0]["classes_forgotten"] == [3]
    rest = y[600:] != 3
    assert RetainedScorer()(model, X[600:], y[600:]) == model.score(X[600:][rest], y[600:][rest])
    assert ForgottenScorer()(model, X[600:], y[600:]) == 0


def test_a_pipeline_of_one_step(digits):
    X, y, forget = digits
    alone = RetrainUnlearner(LogisticRegression(max_iter=500), random_state=0)
    chain = UnlearningPipeline([("model", alone)])
    common = {"cv": ForgetSplit(2, forget=forget, random_state=0), "params": {"forget": forget}}
    results = [
        cross_validate(model, X / 16, y, scoring=MIAScorer(), error_score="raise", **common)
        for model in (alone, chain)
    ]
    assert np.array_equal(results[0]["test_score"], results[1]["test_score"])


class Logarithm(BaseEstimator):
    """A user's own step: it has nothing to fit, and no attribute that says so."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.log1p(np.abs(X))


@pytest.mark.parametrize("kind", [Pipeline, UnlearningPipeline])
@pytest.mark.parametrize("reference", [None, "retrain"])
def test_steps_without_fitted_attributes(data, kind, reference):
    X, y = data
    forget = np.arange(len(X)) % 4 == 0
    steps = [
        ("log", Logarithm()),
        ("none", "passthrough"),
        ("model", RetrainUnlearner(GaussianNB())),
    ]
    name = "forget" if kind is UnlearningPipeline else "model__forget"
    scorer = MIAScorer(reference=reference)
    found = cross_validate(
        kind(steps), X, y, cv=ForgetSplit(2, forget=forget, random_state=0),
        params={name: forget}, scoring={"mia": scorer, "kept": RetainedScorer()},
        error_score="raise",
    )  # fmt: skip
    assert np.isfinite(found["test_mia"]).all()
    assert np.isfinite(found["test_kept"]).all()
    alone = RetrainUnlearner(GaussianNB()).fit(np.log1p(np.abs(X[:40])), y[:40], forget=forget[:40])
    pipeline = kind(steps).fit(X[:40], y[:40], **{name: forget[:40]})
    direct = scorer.measure(alone, np.log1p(np.abs(X[40:])), y[40:])
    assert scorer.measure(pipeline, X[40:], y[40:]).auc == direct.auc
