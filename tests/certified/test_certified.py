"""The certified methods as estimators: what they refuse, hide, account for and keep."""

import json
import pickle
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.preprocessing import Normalizer

from skunlearn import (
    CertifiedRemovalUnlearner,
    DescentToDeleteUnlearner,
    LangevinUnlearner,
    RidgeUnlearner,
)
from skunlearn.certified import PrivacySpent
from skunlearn.certified._published import weights_of
from skunlearn.evaluation import compare
from skunlearn.exceptions import DataNotStoredError, PrivacyBudgetWarning, UnlearningError
from skunlearn.metrics import MIAScorer
from skunlearn.model_selection import ForgetSplit
from tests.certified_tools import METHODS, all_rows, optimum

# Noise that hides rows destroys small models; that it says so is a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")

methods = pytest.mark.parametrize("cls", METHODS)
FORGET = np.arange(5)


def task(classes=2, n=120, seed=0):
    rng = np.random.default_rng(seed)
    X = Normalizer().fit_transform(rng.normal(size=(n, 4)))
    scores = X[:, :classes] if classes > 2 else np.column_stack([X[:, 0], np.zeros(n)])
    return X, (scores + 0.3 * rng.normal(size=scores.shape)).argmax(axis=1)


def make(cls=DescentToDeleteUnlearner, C=0.1, recipe=None, **kwargs):
    if recipe is None:
        recipe = LogisticRegression(C=C)
    return cls(recipe, **({"random_state": 0} | kwargs))


def weights(unlearner):
    return weights_of(unlearner.estimator_, unlearner._setting.constant)


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


# ---------------------------------------------------------------------- accounts


@methods
def test_what_is_spent(cls):
    X, y = task()
    unlearner = make(cls, C=0.01, epsilon=2.0, delta=1e-6)
    with pytest.raises(NotFittedError):
        unlearner.privacy_spent()
    unlearner.fit(X, y)
    assert unlearner.privacy_spent() == PrivacySpent(epsilon=0.0, delta=1e-6, limit=2.0)
    assert json.loads(unlearner.certificate())["guarantee"] == "none"
    unlearner.unlearn(indices=FORGET)
    spent = unlearner.privacy_spent()
    assert 0 < spent.epsilon <= 2
    assert spent.left == pytest.approx(2 - spent.epsilon)
    certificate = json.loads(unlearner.certificate())
    assert certificate["guarantee"] == "(epsilon, delta)"
    for proved in (certificate["proved"], unlearner.deletions_[0]["proved"]):
        assert (proved["epsilon"], proved["delta"]) == (spent.epsilon, 1e-6)
        assert "kept rows" in proved["against"]
        assert "norm up to 1" in proved["assumes"]


def test_residuals_add_up_over_requests():
    X, y = task(3)
    unlearner = make(CertifiedRemovalUnlearner, epsilon=1e3).fit(X, y)
    sums = [np.zeros(3)]
    for i in range(3):
        unlearner.unlearn(indices=[i])
        sums.append(np.array(unlearner.deletions_[-1]["proved"]["residual_bounds"]))
        assert (sums[-1] > sums[-2]).all()
    together = np.linalg.norm(sums[-1]) + 2 * unlearner._account.start
    assert unlearner._distance() == pytest.approx(together / 1.0)


def test_the_norm_of_the_kept_rows_is_followed():
    X, y = task()
    unlearner = make(CertifiedRemovalUnlearner, epsilon=1e3).fit(X, y)
    unlearner.unlearn(indices=FORGET).unlearn(indices=[50, 60])
    kept = unlearner._problem(all_rows(unlearner)).X
    assert unlearner._gram == pytest.approx(kept.T @ kept, abs=1e-11)


def test_a_spent_budget_trains_anew():
    X, y = task()
    unlearner = make(CertifiedRemovalUnlearner, C=0.1, sigma=2.0).fit(X, y)
    for i in range(50):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            before = weights(unlearner)
            unlearner.unlearn(indices=[i])
        if caught:
            break
    assert 0 < i < 49
    assert caught[0].category is PrivacyBudgetWarning
    assert f"trained anew on the {119 - i} kept rows" in str(caught[0].message)
    assert caught[0].filename == __file__
    assert [entry["proved"]["retrained"] for entry in unlearner.deletions_] == [False] * i + [True]
    assert unlearner.privacy_spent().epsilon == 0
    # A new b: the weights jump.
    assert np.abs(weights(unlearner) - before).max() > 0.01
    problem = unlearner._problem(all_rows(unlearner))
    noise = 2.0 * np.random.default_rng([0, i + 1]).standard_normal(before.shape)
    size = np.linalg.norm(problem.gradient(weights(unlearner)) + noise)
    assert size <= unlearner._account.start * (1 + 1e-9)
    unlearner.unlearn(indices=[60])
    assert unlearner.privacy_spent().epsilon > 0


@pytest.mark.parametrize("cls", [DescentToDeleteUnlearner, LangevinUnlearner])
def test_no_budget_runs_out(cls):
    X, y = task()
    unlearner = make(cls).fit(X, y)
    for i in range(0, 100, 10):  # ever larger shares of what is left
        unlearner.unlearn(indices=np.arange(i, i + 10))
        assert 0 < unlearner.privacy_spent().epsilon <= 1
        assert unlearner.deletions_[-1]["proved"]["steps"] >= 1


@pytest.mark.parametrize("cls", [DescentToDeleteUnlearner, LangevinUnlearner])
def test_less_noise_and_larger_requests_cost_steps(cls):
    X, y = task()

    def steps(rows=1, **kwargs):
        unlearner = make(cls, **kwargs).fit(X, y).unlearn(indices=np.arange(rows))
        return unlearner.deletions_[0]["proved"]["steps"]

    assert steps(sigma=0.01) < steps(sigma=0.001)
    assert steps(sigma=0.01) < steps(sigma=0.01, epsilon=0.1)
    assert steps(sigma=0.01) < steps(sigma=0.01, C=1.0)
    assert steps(sigma=0.01) <= steps(40, sigma=0.01)


@methods
def test_budgets_survive_a_pickle(cls):
    X, y = task()
    unlearner = make(cls, C=0.01, epsilon=5.0).fit(X, y).unlearn(indices=FORGET)
    copy = pickle.loads(pickle.dumps(unlearner))
    assert copy.privacy_spent() == unlearner.privacy_spent()
    copy.unlearn(indices=[20])
    unlearner.unlearn(indices=[20])
    assert copy.privacy_spent() == unlearner.privacy_spent()
    assert np.array_equal(weights(copy), weights(unlearner))


@methods
def test_settings_of_the_training_stay_those_of_the_account(cls):
    X, y = task()
    changed, same = make(cls, C=0.01).fit(X, y), make(cls, C=0.01).fit(X, y)
    changed.set_params(sigma=1000.0, row_norm=0.001, estimator__C=1e-6)
    changed.unlearn(indices=FORGET)
    same.unlearn(indices=FORGET)
    assert changed.privacy_spent() == same.privacy_spent()
    assert changed.deletions_[0]["proved"]["sigma"] == same._setting.sigma
    assert np.array_equal(changed.predict_proba(X), same.predict_proba(X))
    assert np.array_equal(weights(changed), weights(same))


def test_a_smaller_epsilon_after_the_training():
    X, y = task()
    unlearner = make(epsilon=1.0).fit(X, y).set_params(epsilon=0.5).unlearn(indices=[0])
    assert unlearner.privacy_spent().epsilon <= 0.5
    before = unlearner.estimator_
    unlearner.set_params(epsilon=1e-4)
    with pytest.raises(UnlearningError, match="fit again"):
        unlearner.unlearn(indices=[1])
    assert unlearner.estimator_ is before


@methods
def test_a_failed_request_spends_nothing(cls, monkeypatch):
    X, y = task()
    unlearner = make(cls, C=0.01).fit(X, y).unlearn(indices=[0])
    account, step = unlearner._account, unlearner._step
    secret = getattr(unlearner, "_secret", None)

    def broken(self, W):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(cls, "_publish", broken)
        with pytest.raises(MemoryError):
            unlearner.unlearn(indices=[1])
    assert unlearner._account is account
    assert unlearner._step == step
    assert getattr(unlearner, "_secret", None) is secret
    assert unlearner._removal is None


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


# ---------------------------------------------------------------------- refusals


@methods
@pytest.mark.parametrize(
    "recipe, error, message",
    [
        (RidgeClassifier(), TypeError, "works on scikit-learn's LogisticRegression"),
        (LogisticRegressionCV(), TypeError, "works on scikit-learn's LogisticRegression"),
        (LogisticRegression(class_weight="balanced"), ValueError, "class_weight='balanced'"),
        (LogisticRegression(class_weight={0: 2, 1: 1}), ValueError, "class_weight"),
        (LogisticRegression(l1_ratio=0.5), ValueError, "l1_ratio=0.5"),
        (LogisticRegression(penalty="l1"), ValueError, "penalty='l1'"),
        (LogisticRegression(warm_start=True), ValueError, "warm_start"),
        (LogisticRegression(dual=True), ValueError, "dual"),
        (LogisticRegression(C=np.inf), ValueError, "strongly convex"),
        (LogisticRegression(C=0.0), ValueError, "strongly convex"),
        (LogisticRegression(intercept_scaling=-1.0), ValueError, "intercept_scaling"),
    ],
)
def test_recipes_without_a_proof(cls, recipe, error, message):
    X, y = task()
    unlearner = cls(recipe)
    with pytest.raises(error, match=message):
        unlearner.fit(X, y)
    assert not hasattr(unlearner, "estimator_")


@methods
@pytest.mark.parametrize(
    "setting",
    [
        {"epsilon": 0.0}, {"epsilon": np.inf}, {"delta": 0.0}, {"delta": 1.0}, {"sigma": 0.0},
        {"sigma": np.nan}, {"row_norm": 0.0}, {"row_norm": np.inf}, {"clip": "yes"},
        {"epsilon": "1"},
    ],
)  # fmt: skip
def test_settings_without_a_proof(cls, setting):
    X, y = task()
    with pytest.raises((ValueError, TypeError), match=next(iter(setting))):
        make(cls, **setting).fit(X, y)


@methods
def test_trained_models_are_refused(cls):
    X, y = task()
    trained = LogisticRegression().fit(X, y)
    with pytest.raises(TypeError, match="cannot start from a trained model"):
        make(cls, recipe=FrozenEstimator(trained)).fit(X, y)


@methods
def test_long_rows_are_refused_where_they_are_not_clipped(cls):
    X, y = task()
    X[7] *= 1 + 1e-7  # float32 rows of norm 1 are as long
    unlearner = make(cls, clip=False).fit(X, y)
    before = unlearner.estimator_
    longer = X.copy()
    longer[[2, 9]] *= 3
    with pytest.raises(ValueError, match=r"2 of 120 rows of X are longer .*Normalizer"):
        unlearner.fit(longer, y)
    assert unlearner.estimator_ is before
    assert make(cls, clip=False, row_norm=3.0).fit(longer, y).score(longer, y) > 0.5
    assert unlearner.predict(longer).shape == (120,)  # unseen rows are another matter


@methods
def test_a_part_of_the_kept_rows_is_refused(cls):
    X, y = task()
    unlearner = make(cls, C=0.01).fit(X, y).detach()
    with pytest.raises(DataNotStoredError):
        unlearner.unlearn(X[:2], y[:2])
    before = unlearner.estimator_
    with pytest.raises(ValueError, match="X_retain holds 100 rows, but 118 are kept"):
        unlearner.unlearn(X[:2], y[:2], X_retain=X[20:], y_retain=y[20:])
    assert unlearner.estimator_ is before
    unlearner.unlearn(X[:2], y[:2], X_retain=X[2:], y_retain=y[2:])
    whole = make(cls, C=0.01).fit(X, y).unlearn(indices=[0, 1])
    assert weights(unlearner) == pytest.approx(weights(whole), abs=1e-12)


@methods
def test_one_class_is_refused(cls):
    X, y = task()
    with pytest.raises(ValueError, match="only one class"):
        make(cls).fit(X, np.zeros(len(y)))


def test_a_minimum_out_of_reach_is_said():
    """Rounding of the gradient, against noise as small as this."""
    X, y = task()
    with pytest.raises(UnlearningError, match="did not reach the minimum"):
        make(sigma=1e-15).fit(X, y)
