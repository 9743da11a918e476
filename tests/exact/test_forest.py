"""ForestUnlearner: trees and figures are those of the kept rows."""

import json

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.datasets import load_diabetes, make_classification
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

from skunlearn import ForestUnlearner
from tests.exact.forests import assert_truthful


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(20, max_samples=0.5),
        RandomForestClassifier(20, class_weight="balanced_subsample"),
        RandomForestClassifier(20, class_weight={0: 1, 1: 5, 2: 1}, max_samples=40),
        ExtraTreesClassifier(20, bootstrap=True),
        BaggingClassifier(n_estimators=20, max_features=0.5, max_samples=20),
        BaggingClassifier(n_estimators=20, bootstrap=False, max_samples=0.4),
    ],
    ids=["forest", "subsample", "weights", "extra", "bagging", "pasting"],
)
def test_trees_are_those_of_their_draws(data, forest):
    X, y = data
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    plain = clone(forest).set_params(random_state=0).fit(X, y)
    assert np.array_equal(unlearner.predict_proba(X), plain.predict_proba(X))  # scikit-learn's own
    assert_truthful(unlearner, X, y)
    before, touched = list(unlearner.estimator_.estimators_), unlearner._draws.mark_touched([3, 17])
    said = unlearner.count_touched(indices=[3, 17])
    unlearner.unlearn(indices=[3, 17])
    assert_truthful(unlearner, X, y)
    (entry,) = unlearner.deletions_
    assert said == touched.sum() == entry["members_regrown"]
    assert entry["share_regrown"] == touched.mean()
    assert 0 < touched.sum() < 20
    for old, new, grown in zip(before, unlearner.estimator_.estimators_, touched):
        assert (old is new) == (not grown)
    assert not hasattr(forest, "estimators_")
    assert json.loads(unlearner.certificate())["guarantee"].startswith("the distribution of an")


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestRegressor(20, max_samples=0.4),
        RandomForestRegressor(10, criterion="absolute_error"),
        ExtraTreesRegressor(20, bootstrap=True),
        BaggingRegressor(n_estimators=20),
    ],
    ids=["forest", "median", "extra", "bagging"],
)
@pytest.mark.parametrize("targets", [1, 2])
def test_regression(forest, targets):
    X, y = load_diabetes(return_X_y=True)
    X, y = X[:150], y[:150]
    y = np.column_stack([y, -y]) if targets == 2 else y
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y).unlearn(indices=[3, 17])
    assert_truthful(unlearner, X, y)
    assert unlearner.predict(X).shape == y.shape
    assert unlearner.score(X, y) > 0.4


def test_weights_of_classes_go_into_new_trees():
    X, y = make_classification(300, 6, random_state=0)
    forest = RandomForestClassifier(80, max_depth=1, class_weight={0: 1, 1: 9}, max_samples=50)
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    again = clone(forest).set_params(random_state=1).fit(X, y)
    stay = list(unlearner.estimator_.estimators_)
    unlearner.unlearn(indices=np.arange(30))
    new = [t for t in unlearner.estimator_.estimators_ if not any(t is s for s in stay)]
    share = [np.mean([t.tree_.value[0, 0, 1] for t in trees]) for trees in (new, again.estimators_)]
    assert share[0] == pytest.approx(share[1], abs=0.03)
    assert share[0] > 0.8
    assert "_sample_weight" not in vars(unlearner.estimator_)  # one number a row, of gone ones too


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
@pytest.mark.parametrize("forest", [RandomForestClassifier(9), BaggingClassifier(n_estimators=9)])
def test_a_class_that_goes(data, forest):
    X, y = data
    labels = np.array(["a", "b", "c"])[y]
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, labels)
    gone = np.flatnonzero(labels == "b")
    unlearner.unlearn(indices=gone)
    assert unlearner.deletions_[0]["share_regrown"] == 1
    assert unlearner.estimator_.classes_.tolist() == ["a", "c"]
    assert len(unlearner.estimator_.estimators_) == unlearner.estimator_.n_estimators == 9
    assert set(unlearner.predict(X)) == {"a", "c"}
    p = unlearner.predict_proba(X)
    assert p.shape == (60, 3)
    assert not p[:, 1].any()
    more = np.flatnonzero(labels == "c")[:1]
    unlearner.unlearn(indices=more)
    assert unlearner.deletions_[1]["share_regrown"] < 1
    kept = np.setdiff1d(np.arange(60), np.append(gone, more))
    assert unlearner.score(X[kept], labels[kept]) > 0.8
    assert not unlearner._draws.mark_touched(np.append(gone, more)).any()


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(30, oob_score=True),
        ExtraTreesClassifier(30, oob_score=True, bootstrap=True),
        BaggingClassifier(n_estimators=30, oob_score=True, max_features=0.5),
        BaggingClassifier(KNeighborsClassifier(3), n_estimators=30, oob_score=True),
        BaggingClassifier(make_pipeline(SVC()), n_estimators=30, oob_score=True),
        RandomForestRegressor(30, oob_score=True),
        BaggingRegressor(n_estimators=30, oob_score=True),
    ],
    ids=lambda forest: f"{type(forest).__name__}-{forest.estimator}"[:40],
)
def test_out_of_bag_figures_are_those_of_the_kept_rows(data, forest):
    X, y = data
    y = y if hasattr(forest, "predict_proba") else X @ np.array([1.0, 2, 0, -1])
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    model = unlearner.estimator_
    name = "oob_decision_function_" if hasattr(model, "classes_") else "oob_prediction_"
    theirs, score = getattr(model, name).copy(), model.oob_score_
    # The same figures by our own means: a request that no tree has to be grown for.
    codes = np.searchsorted(model.classes_, y) if hasattr(model, "classes_") else y
    from skunlearn.exact._out_of_bag import set_out_of_bag

    set_out_of_bag(model, unlearner._draws, np.arange(60), X, codes)
    assert getattr(model, name) == pytest.approx(theirs)
    assert model.oob_score_ == pytest.approx(score)
    unlearner.unlearn(indices=[3, 17])
    new = unlearner.estimator_
    assert len(getattr(new, name)) == 58
    kept = np.delete(np.arange(60), [3, 17])
    out = [
        member.predict(
            X[[3 + 1]] if not hasattr(new, "estimators_features_") else X[[4]][:, columns]
        )[0]
        for k, (member, columns) in enumerate(
            zip(
                new.estimators_,
                getattr(new, "estimators_features_", [None] * len(new.estimators_)),
            )
        )
        if not unlearner._draws.holds(k, [4])[0]
    ]
    if name == "oob_prediction_":
        assert new.oob_prediction_[3] == pytest.approx(np.mean(out))
    assert 0 < len(out) < 30
    assert new.oob_score_ == pytest.approx(
        np.mean(np.argmax(new.oob_decision_function_, axis=1) == y[kept])
        if name == "oob_decision_function_"
        else sklearn.metrics.r2_score(y[kept], new.oob_prediction_)
    )


def test_rows_that_every_tree_drew_have_no_out_of_bag_figures(data):
    forest = RandomForestClassifier(2, oob_score=True)
    with pytest.warns(UserWarning, match="do not have OOB scores"):
        unlearner = ForestUnlearner(forest, random_state=0).fit(*data)
    with pytest.warns(UserWarning, match="every member drew them"):
        unlearner.unlearn(indices=[0])


class Nosy(ClassifierMixin, BaseEstimator):
    """Takes weights, and looks at rows whose weight is zero all the same."""

    def fit(self, X, y, sample_weight=None):
        self.classes_, self.seen_ = np.unique(y), np.unique(X)
        return self

    def predict(self, X):
        check_is_fitted(self)
        return np.full(len(X), self.classes_[0])


def test_bases_that_look_at_rows_without_weight_are_shown_their_draws_alone():
    X = np.arange(40.0)[:, None]
    y = np.arange(40) % 2
    bagging = BaggingClassifier(Nosy(), n_estimators=12, max_samples=10)
    assert len(bagging.fit(X, y).estimators_[0].seen_) == 40  # what scikit-learn does
    unlearner = ForestUnlearner(bagging, random_state=0).fit(X, y)
    assert len(unlearner.estimator_.estimators_) == 12
    unlearner.unlearn(indices=[7])
    for number, member in enumerate(unlearner.estimator_.estimators_):
        held = np.flatnonzero(unlearner._draws.holds(number, np.arange(40)))
        assert np.array_equal(member.seen_, X[held, 0])
    assert not unlearner._draws.mark_touched([7]).any()
    with pytest.raises(ValueError, match="train it around a Pipeline of Nosy"):
        ForestUnlearner(FrozenEstimator(bagging)).fit(X, y)


def test_what_members_bring_along_is_named_or_refused(data):
    X, y = data
    scaler = StandardScaler().fit(X)
    bagging = BaggingClassifier(make_pipeline(FrozenEstimator(scaler), LogisticRegression()))
    unlearner = ForestUnlearner(bagging, random_state=0).fit(X, y).unlearn(indices=[0])
    certificate = json.loads(unlearner.certificate())
    assert certificate["guarantee"] == "none"
    assert "FrozenEstimator of StandardScaler" in certificate["notes"][0]
    # What members of the recipe of before brought along stays named, although all are new.
    unlearner.set_params(estimator=BaggingClassifier(make_pipeline(LogisticRegression())))
    with pytest.warns(UserWarning, match=r"estimator__estimator__steps.* trains all of them again"):
        unlearner.unlearn(indices=[1])
    assert not unlearner.deletions_[1]["exact"]
    hidden = FunctionTransformer(scaler.transform)
    with pytest.raises(TypeError, match="a fitted StandardScaler"):
        ForestUnlearner(BaggingClassifier(make_pipeline(hidden, LogisticRegression()))).fit(X, y)


@pytest.mark.parametrize(
    "forest",
    [
        RandomForestClassifier(15),
        RandomForestClassifier(15, max_samples=0.3, class_weight={0: 1, 1: 5, 2: 1}),
        RandomForestClassifier(15, class_weight="balanced_subsample"),
        RandomForestClassifier(15, warm_start=True),
        ExtraTreesClassifier(15, bootstrap=True, max_depth=3),
        BaggingClassifier(n_estimators=15, max_features=0.5),
        BaggingClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=15, max_samples=0.3),
        RandomForestRegressor(15),
        BaggingRegressor(n_estimators=15),
    ],
    ids=lambda forest: type(forest).__name__,
)
def test_after_the_fact(data, forest):
    X, y = data
    y = y if hasattr(forest, "predict_proba") else X @ np.array([1.0, 2, 0, -1])
    forest = clone(forest).set_params(random_state=3).fit(X, y)
    before = forest.predict(X)
    unlearner = ForestUnlearner(FrozenEstimator(forest), random_state=0).fit(X, y)
    assert np.array_equal(unlearner.predict(X), before)
    unlearner.unlearn(indices=[3, 17])
    assert_truthful(unlearner, X, y)
    assert np.array_equal(forest.predict(X), before)
    for rows, targets in ((X[::-1], y[::-1]), (X, y[::-1]), (X[:-1], y[:-1]), (X + 1, y)):
        with pytest.raises(ValueError, match=r"not trained on its draw|was trained on 60 rows"):
            ForestUnlearner(FrozenEstimator(forest)).fit(rows, targets)


def test_trained_with_weights_or_in_several_calls(data):
    X, y = data
    weights = np.where(y == 0, 3.0, 1.0)
    for forest in (
        RandomForestClassifier(5, random_state=0).fit(X, y, sample_weight=weights),
        BaggingClassifier(n_estimators=5, random_state=0).fit(X, y, sample_weight=weights),
    ):
        with pytest.raises(ValueError, match="without weights"):
            ForestUnlearner(FrozenEstimator(forest)).fit(X, y)
    forest = BaggingClassifier(n_estimators=5, warm_start=True, random_state=0).fit(X, y)
    forest.set_params(n_estimators=9).fit(X, y)
    with pytest.raises(ValueError, match="several calls of fit"):
        ForestUnlearner(FrozenEstimator(forest)).fit(X, y)
    grown = RandomForestClassifier(5, warm_start=True, random_state=0).fit(X[:40], y[:40])
    grown.set_params(n_estimators=9).fit(X, y)  # the first five know fewer rows
    with pytest.raises(ValueError, match="not trained on its draw"):
        ForestUnlearner(FrozenEstimator(grown)).fit(X, y)
    done = ForestUnlearner(RandomForestClassifier(5), random_state=0).fit(X, y).unlearn(indices=[0])
    with pytest.raises(ValueError, match="has forgotten rows before"):
        ForestUnlearner(FrozenEstimator(done.estimator_)).fit(X[1:], y[1:])
