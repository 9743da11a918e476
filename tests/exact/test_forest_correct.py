"""Rectification in a forest: the law of the draws, and what the trees were grown on."""

import numpy as np
import pytest
from sklearn.ensemble import BaggingClassifier, RandomForestClassifier, RandomForestRegressor

from skunlearn import ForestUnlearner
from tests.exact.forests import LIKELY, SIX, assert_truthful, law, p_value, patterns, stumps


@pytest.mark.parametrize(
    ("cls", "rows"), [(RandomForestClassifier, [2]), (BaggingClassifier, [1, 4])]
)
def test_draws_after_it_are_those_of_a_forest_on_the_corrected_rows(cls, rows):
    X, y = SIX
    unlearner = ForestUnlearner(stumps(cls, n=300, max_samples=3), random_state=0).fit(X, y)
    before = list(unlearner.estimator_.estimators_)
    touched = unlearner._draws.mark_touched(np.array(rows))
    unlearner.correct(indices=rows, X_new=X[rows] + 10)
    expected = law(6, 3, replace=True)
    assert p_value(patterns(unlearner, np.arange(6)), expected) > LIKELY
    after = unlearner.estimator_.estimators_
    assert [a is b for a, b in zip(after, before, strict=True)] == (~touched).tolist()
    assert np.array_equal(unlearner._draws.mark_touched(np.array(rows)), touched)
    entry = unlearner.deletions_[0]
    assert entry["members_regrown"] == touched.sum()
    assert entry["corrected"] == len(rows)
    assert entry["exact"]


@pytest.mark.parametrize("cls", [RandomForestClassifier, RandomForestRegressor])
def test_trees_are_grown_on_the_corrected_rows(cls):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = (X[:, 0] > 0).astype(int) if cls is RandomForestClassifier else X[:, 0]
    unlearner = ForestUnlearner(cls(20, max_samples=15), random_state=0).fit(X, y)
    X_true, y_true = X.copy(), y.copy()
    X_true[[3, 8]], y_true[3] = rng.normal(size=(2, 4)), y[4]
    unlearner.correct(indices=[3, 8], X_new=X_true[[3, 8]], y_new=y_true[[3, 8]])
    assert 0 < unlearner.deletions_[0]["members_regrown"] < 20
    assert_truthful(unlearner, X_true, y_true)
    unlearner.unlearn(indices=[3])
    assert not unlearner._draws.mark_touched(np.array([3])).any()
    left = np.delete(np.arange(60), 3)
    assert unlearner._record.retained.sum() == 59
    assert_truthful(unlearner, X_true, y_true)
    assert np.array_equal(unlearner._record.view(left).y, y_true[left])


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
def test_a_class_that_goes_or_comes_back_has_all_trees_grown_anew():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(30, 3)), np.arange(30) % 2
    y[5] = 2
    unlearner = ForestUnlearner(RandomForestClassifier(10, max_samples=5), random_state=0).fit(X, y)
    unlearner.correct(indices=[5], y_new=[0])
    assert unlearner.estimator_.classes_.tolist() == [0, 1]
    assert unlearner.deletions_[0]["share_regrown"] == 1
    assert unlearner.deletions_[0]["classes_forgotten"] == [2]
    unlearner.correct(indices=[6], y_new=[2])
    assert unlearner.estimator_.classes_.tolist() == [0, 1, 2]
    assert unlearner.predict_proba(X).shape == (30, 3)
