"""Classifiers of several outputs, each of which has classes of its own, forget exactly."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    ForestUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from skunlearn._fitted_model import read_rows
from skunlearn._torch.observation import observe
from skunlearn.evaluation import audit
from skunlearn.exact._growing import code_targets
from skunlearn.exceptions import ClassForgottenWarning
from skunlearn.metrics import MIAScorer, RetainedScorer
from tests.exact.forests import assert_truthful

NAMES = np.array(["a", "b", "c"])
FOREST = RandomForestClassifier(40, max_samples=60, random_state=3)


def make_rows(n, seed=0):
    X = np.random.default_rng(seed).normal(size=(n, 5))
    return X, np.column_stack([X[:, 0] > 0, (X[:, 1] > 0).astype(int) + (X[:, 2] > 0)])


@pytest.fixture(scope="module")
def data():
    return *make_rows(300), *make_rows(200, seed=1)


FORMS = {
    "numbers": lambda y: y.astype(int),
    "words": lambda y: NAMES[y.astype(int)],
    "labels": lambda y: y > 0,
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "forest",
    [
        FOREST,
        ExtraTreesClassifier(40, bootstrap=True, max_samples=60, class_weight="balanced_subsample"),
        FrozenEstimator(FOREST),
    ],
    ids=["forest", "extra", "frozen"],
)
def test_trees_stay_or_are_grown_on_draws_of_kept_rows(data, forest, form):
    X, y, X_test, y_test = data
    y, y_test = FORMS[form](y), FORMS[form](y_test)
    if isinstance(forest, FrozenEstimator):
        forest = FrozenEstimator(clone(forest.estimator).fit(X, y))
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    before = list(unlearner.estimator_.estimators_)
    touched = unlearner._draws.mark_touched([3, 5])
    assert 0 < unlearner.count_touched(indices=[3, 5]) < 40
    unlearner.unlearn(indices=[3]).unlearn(X[5:6], y[5:6])
    after = unlearner.estimator_.estimators_
    assert not unlearner._draws.mark_touched([3, 5]).any()
    assert [a is b for a, b in zip(before, after)] == (~touched).tolist()
    codes = code_targets(unlearner.estimator_, y)
    assert_truthful(unlearner, X, codes)
    assert unlearner.score(X_test, y_test) > 0.7
    shares = unlearner.estimator_.predict_proba(X_test)
    for ours, theirs in zip(unlearner.predict_proba(X_test), shares, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    named = unlearner.predict(X_test)
    assert named.dtype == y.dtype
    assert unlearner.score(X_test, y_test) == (named == y_test).all(axis=1).mean()
    again = pickle.loads(pickle.dumps(unlearner))
    np.testing.assert_array_equal(again.predict(X_test), named)


@pytest.mark.parametrize(
    "model",
    [
        FOREST,
        DecisionTreeClassifier(),
        KNeighborsClassifier(),
        MultiOutputClassifier(GaussianNB()),
    ],
)
def test_retrained_is_a_refit(data, model):
    X, y, X_test, _ = data
    unlearner = RetrainUnlearner(model, random_state=0).fit(X, y).unlearn(indices=[3, 100])
    names = {"random_state": unlearner._seed} if getattr(model, "random_state", 0) is None else {}
    again = clone(model).set_params(**names).fit(*(np.delete(a, [3, 100], axis=0) for a in (X, y)))
    for ours, theirs in zip(unlearner.predict_proba(X_test), again.predict_proba(X_test)):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("unlearner", [ForestUnlearner(FOREST), RetrainUnlearner(FOREST)])
def test_a_class_of_one_output_that_goes_and_comes_back(data, unlearner):
    X, y, X_test, _ = data
    y = NAMES[y.astype(int)]
    unlearner = clone(unlearner).set_params(random_state=0).fit(X, y)
    gone = np.flatnonzero(y[:, 1] == "c")
    with pytest.warns(ClassForgottenWarning, match=r"\[1, 'c'\]"):
        unlearner.unlearn(indices=gone[:-1]).unlearn(indices=gone[-1:])
    assert unlearner.deletions_[-1]["classes_forgotten"] == [[1, "c"]]
    first, second = unlearner.predict_proba(X_test)
    assert first.shape == (200, 2)
    assert second.shape == (200, 3)
    assert not second[:, 2].any()
    assert [labels.tolist() for labels in unlearner.classes_] == [["a", "b"], ["a", "b", "c"]]
    assert not (unlearner.predict(X_test)[:, 1] == "c").any()
    left = np.setdiff1d(np.arange(300), gone)[:1]
    new = y[left].copy()
    new[:, 1] = "c"
    unlearner.correct(X[left], y_old=y[left], X_new=X[left], y_new=new)
    assert unlearner.predict_proba(X_test)[1][:, 2].any()


def test_what_is_measured_is_about_all_outputs(data):
    """Random labels are learnt by heart, and nothing of them is left."""
    X, y, *_ = data
    rng = np.random.default_rng(7)
    y, unseen = y.copy(), rng.normal(size=(200, 5))
    y[:80], y_unseen = (
        np.column_stack([rng.integers(k, size=n) for k in (2, 3)]) for n in (80, 200)
    )
    unlearner = RetrainUnlearner(DecisionTreeClassifier(), random_state=0).fit(X, y)
    unlearner.unlearn(indices=np.arange(80))
    measured = unlearner.deletions_[0]["measured"]
    assert measured["forget_before"] == {"loss": pytest.approx(0, abs=1e-9), "score": 1.0}
    named = (unlearner.predict(X[:80]) == y[:80]).all(axis=1).mean()
    assert measured["forget_after"]["score"] == pytest.approx(named)
    assert named < 0.35
    report = audit(unlearner, unseen, y_unseen)
    assert report.verdicts["RetrainUnlearner"].kind == "indistinguishable"
    assert abs(MIAScorer()(unlearner, unseen, y_unseen)) < 0.12
    with pytest.raises(ValueError, match="one class per row; this is a classifier of several"):
        RetainedScorer()(unlearner, unseen, y_unseen)


def test_losses_are_means_over_the_classes_of_all_outputs(data):
    X, y, X_test, y_test = data
    unlearner = RetrainUnlearner(FOREST).fit(X, y)
    said = observe(unlearner.estimator_, read_rows(unlearner, X_test, y_test), unlearner._classes)
    p = np.hstack(unlearner.predict_proba(X_test))
    right = np.hstack([y_test[:, i, None] == np.arange(k) for i, k in enumerate((2, 3))])
    with np.errstate(divide="ignore"):
        each = -np.log(np.where(right, p, 1 - p))
    np.testing.assert_allclose(said.losses(), each.mean(axis=1), atol=1e-9)


def test_behind_steps(data):
    X, y, X_test, y_test = data
    steps = [("s", StandardScaler()), ("m", RetrainUnlearner(FOREST, random_state=0))]
    pipeline = UnlearningPipeline(steps).fit(X, y).unlearn(indices=[0])
    assert pipeline.score(X_test, y_test) > 0.7
    assert len(pipeline.predict_proba(X_test)) == 2


@pytest.mark.parametrize(
    "unlearner, reason",
    [
        (ShardedUnlearner(DecisionTreeClassifier()), "Take ForestUnlearner or RetrainUnlearner"),
        (SufficientStatisticsUnlearner(KNeighborsClassifier()), "Take ForestUnlearner"),
        (RetrainUnlearner(LogisticRegression()), "not of LogisticRegression"),
        (RetrainUnlearner(ClassifierChain(GaussianNB())), "not of ClassifierChain"),
        (ForestUnlearner(clone(FOREST).set_params(oob_score=True)), "oob_score= is not kept up"),
    ],
)
def test_refusals(data, unlearner, reason):
    X, y, *_ = data
    with pytest.raises(ValueError, match=reason):
        unlearner.fit(X, y)


def test_bad_targets_are_named(data):
    X, y, *_ = data
    unlearner = RetrainUnlearner(FOREST)
    with pytest.raises(ValueError, match="one class in each column"):
        unlearner.fit(X, np.zeros((300, 2), int))
    missing = y.astype(float)
    missing[4, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        unlearner.fit(X, missing)
    unlearner.fit(X, y)
    for wrong, reason in (
        (y[:1, 0], "a column for each output"),
        ([[0, 7]], "not among the class"),
    ):
        with pytest.raises(ValueError, match=reason):
            unlearner.unlearn(X[:1], np.array(wrong))
    with pytest.raises(ValueError, match="must have shape"):
        unlearner.score(X, y[:, 0])
    with pytest.raises(ValueError, match="not those of the trained"):
        ForestUnlearner(FrozenEstimator(clone(FOREST).fit(X, y))).fit(X, np.column_stack([y, y]))
