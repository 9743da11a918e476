"""The certified methods as estimators: what they refuse, hide, account for and keep."""

import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import Normalizer

from skunlearn import (
    CertifiedRemovalUnlearner,
    LangevinUnlearner,
    RidgeUnlearner,
)
from skunlearn.evaluation import compare
from skunlearn.exceptions import PrivacyBudgetWarning
from skunlearn.metrics import MIAScorer
from skunlearn.model_selection import ForgetSplit
from tests.certified_tools import all_rows, make, methods, optimum, task, weights

# Noise that hides rows destroys small models; that it says so is a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")


FORGET = np.arange(5)


# ---------------------------------------------------------------------- the model


@methods
@pytest.mark.parametrize("classes", [2, 3])
def test_without_noise_it_is_scikit_learns(cls, classes):
    """liblinear penalises the intercept in the same way; one-vs-rest is its own only way."""
    X, y = task(classes)
    recipe = LogisticRegression(C=2.0, fit_intercept=classes == 2, intercept_scaling=0.7)
    unlearner = make(cls, recipe=recipe, sigma=1e-7, epsilon=1e4).fit(X, y)
    again = clone(recipe).set_params(tol=1e-10, max_iter=10_000)
    if classes == 2:
        again.set_params(solver="liblinear").fit(X, y)
        coef, intercept = again.coef_, again.intercept_
    elif cls is CertifiedRemovalUnlearner:
        coef = np.vstack([clone(again).fit(X, y == k).coef_ for k in range(3)])
        intercept = np.zeros(3)
    else:
        coef, intercept = again.fit(X, y).coef_, 0.0
    assert unlearner.estimator_.coef_ == pytest.approx(coef, abs=2e-4)
    assert unlearner.estimator_.intercept_ == pytest.approx(intercept, abs=2e-4)
    if cls is CertifiedRemovalUnlearner and classes == 3:
        p = 1 / (1 + np.exp(-X @ coef.T))
        expected = p / p.sum(axis=1, keepdims=True)
    else:
        expected = again.predict_proba(X)
    assert unlearner.predict_proba(X) == pytest.approx(expected, abs=1e-3)
    assert isinstance(unlearner.estimator_, LogisticRegression)


@methods
def test_digits_are_still_read_after_a_request(cls):
    X, y = load_digits(return_X_y=True)
    X = Normalizer().fit_transform(X)
    unlearner = make(cls).fit(X, y).unlearn(indices=[3, 10])
    assert unlearner.score(X, y) > 0.85
    assert unlearner.estimator_.coef_.shape == (10, 64)


@methods
def test_long_rows_are_scaled_each_by_itself(cls):
    X, y = task()
    longer = X * np.random.default_rng(1).uniform(1.0, 9.0, len(X))[:, None]
    unlearner, of_longer = make(cls).fit(X, y), make(cls).fit(longer, y)
    assert weights(of_longer) == pytest.approx(weights(unlearner))
    assert of_longer.predict_proba(longer) == pytest.approx(unlearner.predict_proba(X))
    wide = make(cls, row_norm=9.0).fit(longer, y)
    assert weights(wide) != pytest.approx(weights(unlearner))


@methods
def test_containers(cls):
    X, y = task(3)
    expected = make(cls).fit(X, y).unlearn(indices=FORGET)
    for given, digits in ((sparse.csr_matrix(X), 1e-9), (X.astype(np.float32), 1e-4)):
        unlearner = make(cls).fit(given, y).unlearn(indices=FORGET)
        assert weights(unlearner) == pytest.approx(weights(expected), abs=digits)
        assert unlearner.predict_proba(given) == pytest.approx(
            expected.predict_proba(X), abs=digits
        )


@methods
@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.PrivacyBudgetWarning")
def test_a_class_that_goes_keeps_its_column(cls):
    X, y = task(3)
    unlearner = make(cls, C=0.01, epsilon=5.0).fit(X, y)
    unlearner.unlearn(indices=np.flatnonzero(y == 1))
    assert unlearner.estimator_.coef_.shape == (3, 4)
    assert unlearner.predict_proba(X).shape == (len(X), 3)
    assert np.isfinite(unlearner.predict_proba(X)).all()


# ---------------------------------------------------------------------- secrets


def test_the_published_state_is_not_the_secret_one():
    X, y = task()
    unlearner = make(sigma=0.1).fit(X, y)
    for _ in range(2):
        hidden, shown = unlearner._secret, weights(unlearner)
        assert 0.01 < np.abs(shown - hidden).max() < 0.5
        texts = [repr(unlearner), unlearner._repr_html_(), unlearner.certificate()]
        texts += [repr(unlearner.deletions_), repr(vars(unlearner.estimator_))]
        for value in hidden.ravel():
            assert not any(f"{value:.6f}" in text for text in texts)
        public = {k: v for k, v in vars(unlearner).items() if not k.startswith("_")}
        assert hidden.tobytes() not in pickle.dumps(public)
        unlearner.unlearn(indices=[len(unlearner.deletions_)])


@methods
def test_no_noise_is_used_twice(cls):
    """The difference of two models with the same noise would show the bare ones."""
    X, y = task()
    unlearner = make(cls).fit(X, y)
    draws = [unlearner._generator().standard_normal(3)]
    for i in range(2):
        unlearner.unlearn(indices=[i])
        draws.append(unlearner._generator().standard_normal(3))
    assert len(np.unique(np.concatenate(draws))) == 9


@methods
def test_without_a_seed_noise_comes_from_the_operating_system(cls):
    X, y = task()
    results = []
    for _ in range(2):
        np.random.seed(0)  # noqa: NPY002
        results.append(weights(make(cls, random_state=None).fit(X, y)))
    assert np.abs(results[0] - results[1]).min() > 0


@methods
def test_the_log_does_not_tell_the_noise(cls):
    X, y = task()
    unlearner = make(cls, random_state=1234567).fit(X, y).unlearn(indices=FORGET)
    assert "1234567" not in unlearner.certificate()
    assert unlearner.deletions_[0]["seed"] is None


# ---------------------------------------------------------------------- forgetting


@methods
def test_garbage_rows_are_forgotten(cls):
    """Mislabelled rows go in two requests; the model is that of the clean ones, to its noise."""
    X, y = task(n=300)
    garbage = np.arange(60)
    labels = y.copy()
    labels[garbage] = X[garbage, 0] < 0  # against the pattern
    sigma = {CertifiedRemovalUnlearner: 0.005, LangevinUnlearner: 0.001}.get(cls, 0.005)
    epsilon = 1e9 if cls is CertifiedRemovalUnlearner else 1.0
    unlearner = make(cls, C=1.0, sigma=sigma, epsilon=epsilon).fit(X, labels)
    before = optimum(unlearner, all_rows(unlearner))
    unlearner.unlearn(indices=garbage[:30]).unlearn(indices=garbage[30:])
    clean = optimum(unlearner, all_rows(unlearner))
    away = np.linalg.norm(weights(unlearner) - clean)
    assert away < 0.1 * np.linalg.norm(before - clean)


@methods
def test_retrained_references_for_scores(cls):
    X, y = task(n=200)
    forget = np.arange(len(X)) < 40
    search = GridSearchCV(
        make(cls), {"sigma": [0.05, 0.1], "estimator__C": [0.01, 0.1]},
        cv=ForgetSplit(2, forget=forget, random_state=0),
        scoring={"accuracy": "accuracy", "forgetting": MIAScorer(reference="retrain")},
        refit="accuracy", error_score="raise",
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrivacyBudgetWarning)
        search.fit(X, y, forget=forget)
    assert search.best_estimator_.score(X, y) > 0.5
    unlearner = search.best_estimator_
    account, model = unlearner._account, unlearner.estimator_
    reference = unlearner._train(all_rows(unlearner))
    assert unlearner._account is account
    assert unlearner.estimator_ is model
    assert np.abs(reference.coef_ - model.coef_).max() > 0


def test_reports_compare_them():
    X, y = task(n=160)
    report = compare(
        {"descent": make(), "ridge": RidgeUnlearner(RidgeClassifier())},
        X[:120], y[:120], forget=np.arange(120) < 20, X_test=X[120:], y_test=y[120:],
    )  # fmt: skip
    assert list(report.wide.index) == ["original", "descent", "ridge", "retrained"]
