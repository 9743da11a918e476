"""PUMA: how it weighs the retained rows, and what comes of it."""

import json
import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import ElasticNet
from sklearn.metrics import roc_auc_score
from torch import nn

from skunlearn import InfluenceUnlearner, PUMAUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import UnlearningError, UnsuitableMethodWarning
from skunlearn.influence import (
    InverseCurvature,
    projected_influence,
)
from skunlearn.influence._reweighting import reweighting
from tests.influence.small_nets import logistic
from tests.instances import make_net, make_regressor_net

QUICK = {"inverse": InverseCurvature(solver="ekfac", curvature_rows=300), "random_state": 0}


def weights_of(net):
    return np.concatenate([p.detach().numpy().ravel() for p in net.module_.parameters()])


# ------------------------------------------------------------------ PUMA


@pytest.mark.parametrize("k, n", [(1, 50), (3, 200), (10, 40)])
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 0.9])
def test_reweighting_is_the_minimum(k, n, l1_ratio):
    rng = np.random.default_rng(k)
    R, f = rng.normal(size=(k, n)), 3 * rng.normal(size=k)
    size = np.sqrt((R**2).mean(1))
    A, b = R / size[:, None], f / size
    l1 = 0.05 * l1_ratio * np.abs(b @ A).max()
    l2 = 0.05 * (1 - l1_ratio) * (A**2).sum() / k

    def value(parts):
        up, down = parts[:n], parts[n:]
        x = up - down
        left = b - A @ x
        return left @ left / 2 + l1 * parts.sum() + l2 / 2 * x @ x

    # Positive and negative parts apart: smooth, with bounds, whatever solver.
    bounds = [(0, None)] * n + [(0, 1)] * n
    options = {"maxfun": 10**6, "maxiter": 10**4, "ftol": 1e-14, "gtol": 1e-9}
    expected = minimize(value, np.zeros(2 * n), bounds=bounds, method="L-BFGS-B", options=options)
    found = reweighting(f, R, penalty=0.05, l1_ratio=l1_ratio)
    assert found.min() >= -1
    np.testing.assert_allclose(
        value(np.r_[np.maximum(found, 0), np.maximum(-found, 0)]), expected.fun, rtol=1e-4
    )
    if l1_ratio and found.min() > -1:
        # scikit-learn 1.9.1's ElasticNet, which knows no bound.
        model = ElasticNet(
            alpha=(l1 + l2) / k, l1_ratio=l1 / (l1 + l2), fit_intercept=False, tol=1e-10,
            max_iter=10**6,
        ).fit(A, b)  # fmt: skip
        np.testing.assert_allclose(found, model.coef_, atol=1e-4)


def test_more_penalty_leaves_rows_alone():
    rng = np.random.default_rng(0)
    R, f = rng.normal(size=(2, 100)), np.array([3.0, -2.0])
    given = {"l1_ratio": 0.9}
    kept = [np.abs(reweighting(f, R, penalty=p, **given)).sum() for p in (0.01, 0.1, 0.5)]
    assert kept[0] > kept[1] > kept[2] > 0
    assert not reweighting(f, R, penalty=2.0, **given).any()
    assert not reweighting(np.zeros(2), R, penalty=0.1, **given).any()
    # A criterion that no row has a say in does not matter.
    silent = np.vstack([R, np.zeros(100)])
    np.testing.assert_allclose(
        reweighting(np.r_[f, 0.0], silent, penalty=0.1, l1_ratio=0.0).shape, (100,)
    )


@pytest.fixture(scope="module")
def digits():
    """Rows to train on, to validate with and to test with, flat and in [0, 1]."""
    X, y = load_digits_images(return_X_y=True)
    X = X.reshape(len(X), -1).astype(float)
    return X[:600], y[:600], (X[600:1200], y[600:1200]), X[1200:], y[1200:]


def test_psi_finds_label_errors(digits):
    X, y, validation, _, _ = digits
    rng = np.random.default_rng(0)
    planted = rng.random(600) < 0.1
    labels = np.where(planted, (y + rng.integers(1, 10, 600)) % 10, y)
    net = logistic(X, labels, 0.01)
    inverse = InverseCurvature(solver="exact", damping=0)
    psi = projected_influence(net, X, labels, criteria=[validation, "retained"], inverse=inverse)
    for found in psi:
        assert roc_auc_score(planted, -found) > 0.9


def test_puma_keeps_the_performance_that_influence_loses(digits):
    X, y, (X_val, y_val), X_test, y_test = digits
    net = logistic(X, y, 0.01)
    forget = np.flatnonzero(y == 8)[:50]  # of 58
    eights = X_val[y_val == 8], y_val[y_val == 8]
    inverse = InverseCurvature(damping=0, solver="exact", curvature_rows=None)
    settings = {"inverse": inverse, "random_state": 0}
    scores = {}
    for unlearner in (
        InfluenceUnlearner(FrozenEstimator(net), **settings),
        PUMAUnlearner(FrozenEstimator(net), criteria=[eights, "retained"], **settings),
    ):
        unlearner.fit(X, y)
        before = unlearner.score(X_test, y_test)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            unlearner.unlearn(indices=forget)
        measured = unlearner.deletions_[0]["measured"]
        assert measured["forget_after"]["loss"] > measured["forget_before"]["loss"]
        scores[type(unlearner)] = unlearner.score(X_test, y_test)
    assert scores[InfluenceUnlearner] < before - 0.04
    assert scores[PUMAUnlearner] > before - 0.02


@pytest.mark.filterwarnings("ignore:InfluenceUnlearner cost")
def test_a_step_that_is_too_long_is_announced(digits):
    X, y, _, _, _ = digits
    net = logistic(X, y, 0.01)
    inverse = InverseCurvature(solver="exact")
    unlearner = InfluenceUnlearner(
        FrozenEstimator(net), inverse=inverse, step=300.0, random_state=0
    )
    unlearner.fit(X, y)
    with pytest.warns(UnsuitableMethodWarning, match="too long"):
        unlearner.unlearn(indices=np.flatnonzero(y == 8)[:50])


def test_criteria_of_every_kind_stay_to_first_order(data):
    X, y = data
    rng = np.random.default_rng(5)
    net = make_net(max_epochs=3).set_params(verbose=0).fit(X, y)
    X_val, y_val = rng.normal(size=(20, 4)).astype(np.float32), rng.integers(0, 3, 20)

    def margin(out, targets):
        return out.square().sum(1)

    def losses_of(unlearner, rows, labels):
        logits = torch.as_tensor(unlearner.estimator_.forward(rows))
        return nn.functional.cross_entropy(logits, torch.as_tensor(labels), reduction="none")

    def change(criteria, value, cls=PUMAUnlearner):
        given = {} if cls is InfluenceUnlearner else {"criteria": criteria, "penalty": 1e-4}
        inverse = InverseCurvature(solver="exact", curvature_rows=None)
        unlearner = cls(
            FrozenEstimator(net), inverse=inverse, step=0.01, random_state=0, **given
        ).fit(X, y)
        before = value(unlearner)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            unlearner.unlearn(indices=np.arange(6))
        return np.abs(value(unlearner) - before).max()

    kept, labels = X[6:], y[6:]
    values = {
        "retained": ("retained", lambda u: losses_of(u, kept, labels).mean().numpy()),
        "classes": (
            "classes",
            lambda u: np.array(
                [losses_of(u, kept[labels == k], labels[labels == k]).mean() for k in range(3)]
            ),
        ),
        "pair": ((X_val, y_val), lambda u: losses_of(u, X_val, y_val).mean().numpy()),
        "callable": (margin, lambda u: u.estimator_.forward(kept).square().sum(1).mean().numpy()),
    }
    for name, (criterion, value) in values.items():
        plain = change(criterion, value, InfluenceUnlearner)
        assert change(criterion, value) < 0.25 * plain, name
    both = [values["pair"][0], margin]
    for name in ("pair", "callable"):
        value = values[name][1]
        assert change(both, value) < 0.25 * change(both, value, InfluenceUnlearner), name


def test_validation_rows_are_not_in_the_record(data):
    X, y = data
    unlearner = PUMAUnlearner(make_net(max_epochs=2), criteria=(X[:5], y[:5]), **QUICK)
    unlearner.fit(X, y).unlearn(indices=[9])
    logged = json.loads(unlearner.certificate())
    assert "ndarray of shape (5, 4)" in json.dumps(logged)
    assert f"{X[0, 0]:.4f}" not in json.dumps(logged)


@pytest.mark.parametrize("changed, error, message", [
    ({"criteria": []}, ValueError, "empty"),
    ({"criteria": "accuracy"}, TypeError, "criteria must be"),
    ({"criteria": [3]}, TypeError, "criteria must be"),
    ({"criteria": lambda out, y: out}, TypeError, "one value per row"),
    ({"criteria": (np.zeros((3, 4)), ["no", "such", "label"])}, ValueError, "y_validation"),
    ({"penalty": 0}, ValueError, "penalty"),
    ({"l1_ratio": 1.0}, ValueError, "l1_ratio"),
    ({"l1_ratio": -0.1}, ValueError, "l1_ratio"),
    ({"step": 0}, ValueError, "step"),
])  # fmt: skip
def test_puma_checks_its_settings(data, changed, error, message):
    X, y = data
    unlearner = PUMAUnlearner(make_net(max_epochs=1), **(QUICK | changed))
    with pytest.raises(error, match=message):
        unlearner.fit(X, y).unlearn(indices=[0])


def test_classes_are_for_classifiers(data):
    X, y = data
    net = make_regressor_net(max_epochs=1)
    unlearner = PUMAUnlearner(net, criteria="classes", **QUICK).fit(X, y.astype(np.float32))
    before = weights_of(unlearner.estimator_)
    with pytest.raises(UnlearningError, match="classifiers"):
        unlearner.unlearn(indices=[0])
    np.testing.assert_array_equal(weights_of(unlearner.estimator_), before)
    assert unlearner.deletions_ == []
