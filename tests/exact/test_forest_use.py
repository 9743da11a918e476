"""ForestUnlearner: containers, copies, costs and refusals."""

import json
import math
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import ForestUnlearner, UnlearningPipeline
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import observe
from skunlearn.evaluation import audit
from skunlearn.exact import expected_regrown_share
from skunlearn.exceptions import DataNotStoredError, UnlearningError
from skunlearn.forget_sets import costly_forget_set
from skunlearn.model_selection import ForgetSplit
from skunlearn.production import DeletionQueue, DeletionWorker
from tests.turns import crossed_in_turns


@pytest.mark.parametrize("form", ["sparse", "frame", "list", "float64", "holes"])
def test_containers(data, form):
    X, y = data
    given = {
        "sparse": lambda X: sparse.csr_matrix(np.where(np.abs(X) > 0.5, X, 0)),
        "frame": lambda X: pd.DataFrame(X, columns=list("abcd")),
        "list": lambda X: X.tolist(),
        "float64": lambda X: X.astype(np.float64),
        "holes": lambda X: np.where(X > 1.5, np.nan, X),
    }[form](X)
    for forest in (RandomForestClassifier(10), BaggingClassifier(n_estimators=10)):
        unlearner = ForestUnlearner(forest, random_state=0).fit(given, y)
        before = unlearner.predict_proba(given)
        unlearner.unlearn(indices=[3, 17])
        assert unlearner.predict_proba(given).shape == (60, 3)
        assert not np.array_equal(unlearner.predict_proba(given), before)
        assert not unlearner._draws.mark_touched([3, 17]).any()


def test_copies_go_on_and_hold_no_forgotten_row(data):
    X, y = data
    X = X.astype(np.float64)
    unlearner = ForestUnlearner(RandomForestClassifier(10), random_state=0).fit(X, y)
    unlearner.unlearn(indices=[3])
    copied = pickle.loads(pickle.dumps(unlearner))
    assert X[3].tobytes() not in pickle.dumps(unlearner)
    copied.unlearn(indices=[17])
    unlearner.unlearn(indices=[17])
    assert np.array_equal(copied.predict_proba(X), unlearner.predict_proba(X))
    assert not hasattr(unlearner.estimator_, "estimators_samples_")
    assert unlearner.estimator_.feature_importances_.shape == (4,)
    bare = ForestUnlearner(RandomForestClassifier(10), random_state=0, store_data=False)
    bare = pickle.loads(pickle.dumps(bare.fit(X, y)))
    with pytest.raises(DataNotStoredError):
        bare.unlearn(indices=[3])
    with pytest.raises(UnlearningError, match="attach"):
        bare.unlearn(indices=[3], X_retain=X[4:], y_retain=y[4:])
    assert bare.attach(X, y).unlearn(indices=[3]).score(X, y) > 0.7


def test_searches_pipelines_audits_and_queues(data, tmp_path):
    X, y = load_digits(return_X_y=True)
    X, y, X_test, y_test = X[:300], y[:300], X[300:600], y[300:600]
    forget = np.arange(300) < 20
    search = GridSearchCV(
        ForestUnlearner(RandomForestClassifier(20), random_state=0),
        {"estimator__max_samples": [20, 150]},
        cv=ForgetSplit(2, forget=forget, random_state=0),
    ).fit(X, y, forget=forget)
    assert search.best_params_ == {"estimator__max_samples": 150}
    report = audit(search.best_estimator_, X_test, y_test, n_seeds=2)
    assert "retrained (2)" in set(report.frame["model"])
    forest = ForestUnlearner(RandomForestClassifier(20), random_state=0)
    pipeline = UnlearningPipeline([("unit", Normalizer()), ("forest", forest)]).fit(X, y)
    pipeline.unlearn(indices=[3])
    assert json.loads(pipeline.certificate())["guarantee"].startswith("the distribution")
    with pytest.raises(TypeError, match="tied to the rows"):
        UnlearningPipeline([("scale", StandardScaler()), ("forest", forest)]).fit(X, y)
    queue = DeletionQueue(tmp_path, batch_size=1)
    worker = DeletionWorker(queue, forest, X_test, y_test).start(X, y, ids=range(300))
    queue.submit("ticket", ids=[17])
    assert worker.run_once()["audit"]["rows"] == 1
    assert not worker.unlearner._draws.mark_touched([17]).any()


@pytest.mark.parametrize(
    "drawn, bootstrap",
    crossed_in_turns([(40, 40, 1), (40, 20, 1), (40, 4, 1), (40, 4, 10)], [True, False], every=3),
)
def test_expected_share(drawn, bootstrap):
    n, m, k = drawn
    if m == n and not bootstrap:
        assert expected_regrown_share(n, n, k, bootstrap=False) == 1
        return
    X, y = np.arange(float(n))[:, None], np.arange(n) % 2
    base = DecisionTreeClassifier(max_depth=1)
    bagging = BaggingClassifier(base, n_estimators=300, max_samples=m, bootstrap=bootstrap)
    unlearner = ForestUnlearner(bagging, random_state=0).fit(X, y)
    share = unlearner.count_touched(indices=np.arange(k)) / 300
    expected = expected_regrown_share(n, m, k, bootstrap=bootstrap)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(0.25 / 300))
    assert expected_regrown_share(n, None) == 1 - (1 - 1 / n) ** n
    assert expected_regrown_share(n, 35, 6, bootstrap=False) == 1


def test_counting_changes_nothing(data):
    X, y = data
    unlearner = ForestUnlearner(RandomForestClassifier(10), random_state=0)
    unlearner.fit(X, y, ids=range(60), groups=np.arange(60) // 6)
    one = unlearner.count_touched(indices=[7])
    assert one == unlearner.count_touched(X[[7]]) == unlearner.count_touched(ids=[7])
    assert one <= unlearner.count_touched(groups=[1]) <= 10
    assert unlearner.deletions_ == []
    for wrong in ({}, {"ids": [1], "indices": [1]}):
        with pytest.raises(TypeError, match="exactly one way"):
            unlearner.count_touched(**wrong)


def test_rows_that_cost_most(data):
    X, y = data
    unlearner = ForestUnlearner(RandomForestClassifier(30, max_samples=12), random_state=0)
    request = costly_forget_set(unlearner.fit(X, y), size=5)
    rng = np.random.default_rng(0)
    drawn = [unlearner.count_touched(indices=rng.choice(60, 5, replace=False)) for _ in range(20)]
    worst = unlearner.count_touched(indices=request.indices)
    assert worst == request.details["members"] > max(drawn)
    # The first is the row in most draws; each further one adds most to those before.
    counts = [unlearner.count_touched(indices=[row]) for row in range(60)]
    assert max(counts) == request.details["scores"].max()
    assert request.details["scores"].sum() == worst
    whole = costly_forget_set(unlearner, size=40).indices
    assert unlearner.unlearn(indices=whole).deletions_[0]["share_regrown"] == 1


def test_refusals(data):
    X, y = data
    for estimator, error, message in [
        (GradientBoostingClassifier(), TypeError, "RandomForest"),
        (LogisticRegression(), TypeError, "RetrainUnlearner"),
        (ExtraTreesClassifier(), ValueError, "bootstrap=True"),
        (RandomForestClassifier(bootstrap=False), ValueError, "shows every row"),
        (BaggingClassifier(bootstrap=False), ValueError, "max_samples below"),
        (BaggingClassifier(bootstrap=False, max_samples=60), ValueError, "shows every row"),
        (RandomForestClassifier(class_weight="balanced"), ValueError, "balanced_subsample"),
        (
            BaggingClassifier(DecisionTreeClassifier(class_weight="balanced")),
            ValueError,
            "over all rows",
        ),
    ]:
        with pytest.raises(error, match=message):
            ForestUnlearner(estimator).fit(X, y)
    with pytest.raises(TypeError, match="sample_weight for forests, not for BaggingClassifier"):
        ForestUnlearner(BaggingClassifier()).fit(X, y, sample_weight=np.ones(60))
    # A base that is shown its draw alone may balance as it likes.
    inner = make_pipeline(LogisticRegression(class_weight="balanced"))
    ForestUnlearner(BaggingClassifier(inner), random_state=0).fit(X, y).unlearn(indices=[0])
    ridge = ForestUnlearner(BaggingRegressor(Ridge()), random_state=0).fit(X, y * 1.0)
    assert ridge.unlearn(indices=[0]).predict(X).shape == (60,)
    with pytest.raises(ValueError, match="n_requests"):
        expected_regrown_share(5, 5, 6)


@pytest.mark.parametrize("cls", [RandomForestClassifier, ExtraTreesClassifier])
def test_what_is_measured_is_what_the_forest_predicts(cls):
    """Of ties as well: two trees often say one class each."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 3)).astype(np.float32), np.arange(300) % 4
    forest = cls(2, random_state=0).fit(X[:150], y[:150])
    p = forest.predict_proba(X)
    assert ((p == p.max(axis=1, keepdims=True)).sum(axis=1) > 1).any()
    said = observe(forest, Rows(X, y, np.arange(300)), np.arange(4))
    assert np.array_equal(said.predicted, forest.predict(X))
