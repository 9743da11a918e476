"""Rows that a model of any kind is asked about are read in one place."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.linear_model import LogisticRegression, Ridge

from skunlearn import AutoUnlearner, NegMergeUnlearner, RetrainUnlearner, SCRUBUnlearner
from skunlearn._fitted_model import ask_about, need_net, read_rows
from skunlearn._torch.observation import observe
from tests.small import as_dataset, net, quiet

NAMES = np.array(["no", "perhaps", "yes"])


def models(X, y):
    yield RetrainUnlearner(net(), random_state=0).fit(X, NAMES[y]), NAMES[y]
    yield RetrainUnlearner(LogisticRegression(), random_state=0).fit(X, NAMES[y]), NAMES[y]
    yield LogisticRegression().fit(X, NAMES[y]), NAMES[y]
    yield net().fit(X, y), y


def test_models_of_every_kind_are_asked_in_the_same_way(data):
    X, y = data
    for model, labels in models(X, y):
        inner, rows, classes = ask_about(model, X[:20].tolist(), labels[:20])
        assert np.array_equal(rows.y, y[:20])
        assert np.array_equal(classes, np.unique(labels))
        right = observe(inner, rows, classes).predicted == y[:20]
        assert right.mean() == pytest.approx(np.mean(model.predict(X[:20]) == labels[:20]))


def test_what_is_wrong_is_named(data):
    X, y = data
    for model, labels in models(X, y):
        with pytest.raises(ValueError, match="pass y_test"):
            read_rows(model, X, None, "test")
        with pytest.raises(ValueError, match="X_test and y_test have inconsistent numbers"):
            read_rows(model, X, labels[:-1], "test")
        with pytest.raises(ValueError, match=r"y_test (must hold column|holds labels)"):
            read_rows(model, X[:1], np.array([7]), "test")
    with pytest.raises(ValueError, match=r"X_test.*NaN"):
        read_rows(net().fit(X, y), np.full_like(X, np.nan), y, "test")
    with pytest.raises(ValueError, match="X_test holds no rows"):
        read_rows(net().fit(X, y), X[:0], y[:0], "test")
    with pytest.raises(TypeError, match="neither a classifier"):
        ask_about(KMeans(2, n_init=1).fit(X), X, y)
    with pytest.raises(TypeError, match="influence needs a fitted skorch net"):
        need_net(LogisticRegression().fit(X, y), "influence")


def test_unseen_targets_of_a_regression_may_be_fractions(data):
    """A training on whole numbers says nothing of them."""
    X, y = data
    unlearner = RetrainUnlearner(Ridge()).fit(X, 3 * y)
    rows = read_rows(unlearner, X, y + 0.5)
    assert np.array_equal(rows.y, y + 0.5)
    assert read_rows(RetrainUnlearner(Ridge()).fit(X, X[:, 0]), X, y).y.dtype == X.dtype


@quiet
@pytest.mark.parametrize(
    ("cls", "settings"),
    [(AutoUnlearner, {}), (NegMergeUnlearner, {}), (SCRUBUnlearner, {"stop": "reference"})],
)
def test_unseen_rows_of_a_class_that_fit_has_not_seen_are_left_out(data, cls, settings):
    """A table for all uses may hold one; that it is refused is of no use to anybody."""
    X, y = data
    own, others = np.flatnonzero(y < 2), np.flatnonzero(y == 2)
    unseen, fitted = own[30:], own[:30]
    mixed = np.r_[others[:5], unseen, others[5:]]
    given = [(X[unseen], y[unseen]), (X[mixed], y[mixed]), (as_dataset(X[mixed], y[mixed]), None)]
    given.append((X[mixed], torch.from_numpy(y[mixed])[:, None]))
    weights = []
    for X_val, y_val in given:
        unlearner = cls(net(module__n_out=2), random_state=0, **settings).fit(X[fitted], y[fitted])
        unlearner.unlearn(indices=np.arange(6), X_val=X_val, y_val=y_val)
        weights.append(unlearner.estimator_.module_.state_dict())
    for other in weights[1:]:
        assert all(np.array_equal(weights[0][key], other[key]) for key in other)
    with pytest.raises(ValueError, match=r"not among the classes \[0, 1\]: \[2\]"):
        unlearner.unlearn(indices=[7], X_val=X[others], y_val=y[others])
