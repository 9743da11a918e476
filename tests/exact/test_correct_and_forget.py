"""Rows that get other values and rows that go, in one training: as a queue asks for."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    ForestUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
)
from skunlearn._unlearning.correction import succeed

CHANGED, GONE = np.array([3, 40]), np.array([5, 9, 41])


def task():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    X = rng.normal(size=(90, 4)) + y[:, None]
    return X, y, rng.normal(size=(2, 4))


def after(X, y, new):
    X = X.copy()
    X[CHANGED] = new
    left = np.delete(np.arange(len(X)), GONE)
    return X[left], y[left]


@pytest.mark.parametrize(
    "unlearner",
    [
        RidgeUnlearner(Ridge()),
        SufficientStatisticsUnlearner(GaussianNB()),
        SufficientStatisticsUnlearner(KNeighborsClassifier(3)),
        ShardedUnlearner(LogisticRegression(), n_shards=3, random_state=0),
    ],
    ids=lambda u: str(u.estimator),
)
def test_it_is_the_model_of_what_is_left(unlearner):
    X, y, new = task()
    unlearner.fit(X, y)
    before = unlearner.estimator_
    done = succeed(unlearner, CHANGED, new, y[CHANGED], GONE)
    assert unlearner.estimator_ is before
    for life in range(2):
        X_left, y_left = after(X, y, new)
        if isinstance(unlearner, ShardedUnlearner):
            again = done._train(done._record.view(np.flatnonzero(done._record.retained)))
        else:
            again = type(unlearner)(unlearner.estimator).fit(X_left, y_left)
        assert done.predict(X) == pytest.approx(again.predict(X), rel=1e-9)
        assert done._record.retained.sum() == len(X_left)
        assert [entry["rows"] for entry in done.deletions_[:2]] == [2, 3]
        # What the unlearner keeps of its rows is right for the next request, too.
        if not life:
            done.unlearn(indices=[60])
            X, y = np.delete(X, 60, axis=0), np.delete(y, 60)


def test_trees_of_a_forest():
    X, y, new = task()
    forest = RandomForestClassifier(60, max_samples=12)
    unlearner = ForestUnlearner(forest, random_state=0).fit(X, y)
    gone, changed = (unlearner._draws.mark_touched(rows) for rows in (GONE, CHANGED))
    old = unlearner.estimator_.estimators_
    done = succeed(unlearner, CHANGED, new, y[CHANGED], GONE)
    kept = [a is b for a, b in zip(old, done.estimator_.estimators_)]
    assert kept == (~(gone | changed)).tolist()
    assert not done._draws.mark_touched(GONE).any()
    drawn = done._draws.mark_touched(CHANGED)
    # One that lost its draw to a deletion may draw anything; one that held a correction still does.
    assert drawn[changed & ~gone].all()
    assert not drawn[gone].all()
    assert done.deletions_[0]["members_regrown"] == (gone | changed).sum()
    assert "members_regrown" not in done.deletions_[1]
    X_now = X.copy()
    X_now[CHANGED] = new
    for number, tree in enumerate(done.estimator_.estimators_):
        rows = np.flatnonzero(done._draws.holds(number, np.arange(90)))
        assert tree.tree_.n_node_samples[0] == len(rows)
        assert isinstance(tree, DecisionTreeClassifier)
        # Grown to pure leaves: its rows, as they are now, are named right.
        assert np.array_equal(tree.predict(X_now[rows].astype(np.float32)), y[rows])
