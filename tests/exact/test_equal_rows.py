"""Requests that bring their rows, some of which equal others."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB

from skunlearn import RetrainUnlearner, RidgeUnlearner, SufficientStatisticsUnlearner
from skunlearn.exceptions import AlreadyForgottenError

N, EQUAL = 40, [4, 6, 8]
MODELS = {
    "statistics": (SufficientStatisticsUnlearner, GaussianNB),
    "ridge": (RidgeUnlearner, Ridge),
    "retrained": (RetrainUnlearner, LogisticRegression),
}


def make(name, weighted, stored):
    """A fitted unlearner, its rows, and what gives the model of some of them."""
    cls, recipe = MODELS[name]
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 3)), np.arange(N) % 2
    X[EQUAL] = X[EQUAL[0]]
    weights = rng.uniform(0.1, 3, N) if weighted else None
    unlearner = cls(recipe()).fit(X, y, weights, ids=np.arange(N))

    def fresh(left):
        return recipe().fit(X[left], y[left], None if weights is None else weights[left])

    return unlearner if stored else unlearner.detach(), X, y, fresh


def difference(unlearner, model, X):
    name = "predict_proba" if hasattr(model, "predict_proba") else "predict"
    return np.abs(getattr(unlearner, name)(X) - getattr(model, name)(X)).max()


weighed = pytest.mark.parametrize("weighted", [False, True])
names = pytest.mark.parametrize("name", MODELS)


@names
@weighed
@pytest.mark.parametrize("stored", [False, True])
def test_one_row_stands_for_all_that_equal_it(name, weighted, stored):
    unlearner, X, y, fresh = make(name, weighted, stored)
    left = np.delete(np.arange(N), EQUAL)
    unlearner.unlearn(X[[4]], y[[4]], X_retain=X[left], y_retain=y[left])
    assert unlearner.deletions_[0]["rows"] == 3
    assert difference(unlearner, fresh(left), X) < 1e-10


@names
@weighed
def test_rows_that_equal_a_named_one_are_kept(name, weighted):
    unlearner, X, y, fresh = make(name, weighted, stored=True)
    left = np.delete(np.arange(N), [4, 8])
    unlearner.unlearn(ids=[4, 8], X_retain=X[left], y_retain=y[left])
    assert difference(unlearner, fresh(left), X) < 1e-10
    unlearner.attach(X[left], y[left]).unlearn(ids=[6])
    assert difference(unlearner, fresh(np.delete(np.arange(N), EQUAL)), X) < 1e-10


@names
def test_rows_that_are_brought_more_often_than_they_are_kept(name):
    unlearner, X, y, _ = make(name, False, stored=True)
    before = unlearner.predict(X)
    for left in (np.delete(np.arange(N), 4), [*range(9, N), 6, 9]):
        with pytest.raises(AlreadyForgottenError, match=r"X_retain holds .* more often .*\(rows"):
            unlearner.unlearn(ids=[4, 8], X_retain=X[left], y_retain=y[left])
    assert np.array_equal(unlearner.predict(X), before)
    assert not unlearner.deletions_
