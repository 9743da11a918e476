"""RidgeUnlearner: the solution for the kept rows, whatever goes."""

import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Lasso, LinearRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.utils.validation import check_array

from skunlearn import RidgeUnlearner
from skunlearn.exact import _moments, ridge
from skunlearn.exact._moments import Moments
from skunlearn.exceptions import UnlearningError

FORGET = np.arange(7, 30)


def task(n=200, p=5, targets=None, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.normal(3, 2, size=(n, p))
    weights = rng.normal(size=(p,) if targets is None else (p, targets))
    y = X @ weights
    return X, y + 5 + rng.normal(size=y.shape)


def coefficients(model):
    return np.append(np.ravel(model.coef_), model.intercept_)


def assert_same(unlearner, again, rtol=1e-9):
    ours, theirs = coefficients(unlearner.estimator_), coefficients(again)
    assert np.abs(ours - theirs).max() <= rtol * np.abs(theirs).max()
    assert np.shape(unlearner.estimator_.coef_) == np.shape(again.coef_)
    assert np.shape(unlearner.estimator_.intercept_) == np.shape(again.intercept_)


def without(X, forget=FORGET):
    return np.delete(X, forget, axis=0)


@pytest.fixture
def no_training(monkeypatch):
    """The recipe itself is not trained."""

    def refuse(*args, **kwargs):
        raise AssertionError("the recipe was trained")

    monkeypatch.setattr(RidgeUnlearner, "_train", refuse)


@pytest.mark.parametrize(
    "recipe, targets",
    [
        (Ridge(), None),
        (Ridge(alpha=0.0), None),
        (Ridge(alpha=30.0, fit_intercept=False), None),
        (Ridge(alpha=2.0), 3),
        (Ridge(alpha=np.array([0.1, 10.0, 0.1])), 3),
        (LinearRegression(), None),
        (LinearRegression(fit_intercept=False), 2),
    ],
)
def test_equals_the_recipe_on_the_kept_rows(recipe, targets, no_training):
    X, y = task(targets=targets)
    unlearner = RidgeUnlearner(recipe).fit(X, y)
    assert_same(unlearner, type(recipe)(**recipe.get_params()).fit(X, y))
    unlearner.unlearn(indices=FORGET)
    again = type(recipe)(**recipe.get_params()).fit(without(X), without(y))
    assert_same(unlearner, again)
    assert unlearner.predict(X) == pytest.approx(again.predict(X), rel=1e-9)
    unlearner.unlearn(indices=np.arange(100, 200))  # more than are kept
    kept = np.setdiff1d(np.arange(100), FORGET)
    assert_same(unlearner, type(recipe)(**recipe.get_params()).fit(X[kept], y[kept]))
    assert not hasattr(recipe, "coef_")


@pytest.mark.parametrize("n_classes", [2, 4])
def test_classifiers(n_classes, no_training):
    X, y = task()
    labels = np.array(["a", "b", "c", "d"])[np.digitize(y, np.quantile(y, [0.25, 0.5, 0.75]))]
    labels = np.where(labels < "c", "a", "b") if n_classes == 2 else labels
    unlearner = RidgeUnlearner(RidgeClassifier(alpha=0.5)).fit(X, labels)
    unlearner.unlearn(indices=FORGET)
    again = RidgeClassifier(alpha=0.5).fit(without(X), without(labels))
    assert_same(unlearner, again)
    assert np.array_equal(unlearner.predict(X), again.predict(X))
    assert unlearner.estimator_.alpha == 0.5


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
def test_a_class_that_goes():
    X, y = task()
    labels = np.digitize(y, np.quantile(y, [0.3, 0.6]))
    unlearner = RidgeUnlearner(RidgeClassifier()).fit(X, labels)
    unlearner.unlearn(indices=np.flatnonzero(labels == 1))
    kept = labels != 1
    assert_same(unlearner, RidgeClassifier().fit(X[kept], labels[kept]))
    assert set(unlearner.predict(X)) == {0, 2}
    unlearner.unlearn(indices=np.flatnonzero(labels == 0)[:3])
    kept[np.flatnonzero(labels == 0)[:3]] = False
    assert_same(unlearner, RidgeClassifier().fit(X[kept], labels[kept]))


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")
def test_one_class_of_two_is_left():
    X, y = task()
    unlearner = RidgeUnlearner(RidgeClassifier()).fit(X, y > 0)
    unlearner.unlearn(indices=np.flatnonzero(y > 0))
    again = RidgeClassifier().fit(X[y <= 0], y[y <= 0] > 0)
    assert np.array_equal(unlearner.predict(X), again.predict(X))
    assert not unlearner.predict(X).any()


@pytest.mark.parametrize("form", ["sparse", "frame", "float32", "list"])
def test_containers(form):
    X, y = task()
    X[np.abs(X) < 2] = 0
    given = {
        "sparse": sparse.csr_matrix,
        "frame": lambda X: pd.DataFrame(X, columns=list("abcde")),
        "float32": lambda X: X.astype(np.float32),
        "list": lambda X: X.tolist(),
    }[form](X)
    unlearner = RidgeUnlearner(Ridge()).fit(given, y).unlearn(indices=FORGET)
    again = Ridge(solver="cholesky").fit(without(X), without(y))
    assert_same(unlearner, again, 1e-6 if form == "float32" else 1e-9)
    assert unlearner.predict(given) == pytest.approx(again.predict(X), rel=1e-5)


def test_the_formula_of_the_literature():
    """w − H⁻¹Xᵀ(I − XH⁻¹Xᵀ)⁻¹(Xw − y), H over all rows, without an intercept."""
    X, y = task()
    unlearner = RidgeUnlearner(Ridge(alpha=3.0, fit_intercept=False)).fit(X, y)
    w = unlearner.estimator_.coef_
    inverse = np.linalg.inv(X.T @ X + 3 * np.eye(5))
    F = X[FORGET]
    lever = np.eye(len(F)) - F @ inverse @ F.T
    expected = w + inverse @ F.T @ np.linalg.solve(lever, F @ w - y[FORGET])
    assert unlearner.unlearn(indices=FORGET).estimator_.coef_ == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize("n", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_requests_without_drift(n, no_training):
    X, y = task(n=n + 100, p=6)
    unlearner = RidgeUnlearner(Ridge(alpha=0.01)).fit(X, y)
    for i in range(n):
        unlearner.unlearn(indices=[i])
    assert_same(unlearner, Ridge(alpha=0.01).fit(X[n:], y[n:]), 1e-11)
    kept = Moments.of(X[n:], y[n:, None], True)
    assert unlearner._moments.n == 100
    assert unlearner._moments.scatter == pytest.approx(kept.scatter, rel=1e-10)
    assert unlearner._moments.mean_x == pytest.approx(kept.mean_x, rel=1e-12)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("centred", [True, False])
def test_sums_by_blocks_are_those_of_long_doubles(monkeypatch, order, weighted, centred):
    monkeypatch.setattr(_moments, "_FEWEST", 7)
    monkeypatch.setattr(_moments, "_BLOCK", 1)
    X, y = task(n=100, targets=2)
    X[:, 0], X[:, 1] = 0.1, X[:, 1] + 1e6
    X = np.asarray(X, order=order)
    before = X.copy()
    w = np.random.default_rng(1).integers(0, 3, 100).astype(float) if weighted else None
    sums = Moments.of(X, y, centred, w)
    v = np.ones(100, np.longdouble) if w is None else w.astype(np.longdouble)
    exact_X, exact_y = X.astype(np.longdouble), y.astype(np.longdouble)
    mean_x, mean_y = v @ exact_X / v.sum(), v @ exact_y / v.sum()
    assert (sums.n, sums.mass, sums.centred) == (100, v.sum(), centred)
    if centred:
        assert np.abs(sums.mean_x - mean_x).max() <= 2e-16 * 1e6
        assert np.abs(sums.mean_y - mean_y).max() <= 1e-14
        exact_X, exact_y = exact_X - mean_x, exact_y - mean_y
    scatter, cross = (exact_X.T * v) @ exact_X, (exact_X.T * v) @ exact_y
    # 1e6 is rounded to 1e-10, and the rows' deviations are of the order of 1.
    assert np.abs(sums.scatter - scatter).max() <= (1e-7 if centred else 1e-15 * scatter.max())
    assert np.abs(sums.cross - cross).max() <= (1e-7 if centred else 1e-14 * cross.max())
    assert not centred or abs(sums.scatter[0, 0]) < 1e-40
    assert np.array_equal(X, before)


def test_rows_are_summed_where_they_lie(monkeypatch):
    X, y = task()
    seen = []
    monkeypatch.setattr(
        ridge, "check_array", lambda X, **kwargs: seen.append(X) or check_array(X, **kwargs)
    )
    unlearner = RidgeUnlearner(Ridge()).fit(X, y)
    assert [np.shares_memory(part, X) for part in seen] == [True]
    unlearner.unlearn(indices=np.arange(50, 199))  # more than stay, which are no one run
    assert [len(part) for part in seen[1:]] == [51]
    assert_same(unlearner, Ridge().fit(X[np.r_[:50, 199]], y[np.r_[:50, 199]]))


def poisoned():
    X, y = task()
    X[3], y[3] = 1e7 * X[3], -1e9
    return X, y


def test_garbage_that_dwarfs_everything():
    """Its sums leave nothing of the others', which are taken anew."""
    X, y = poisoned()
    unlearner = RidgeUnlearner(Ridge()).fit(X, y).unlearn(indices=[3])
    assert_same(unlearner, Ridge().fit(without(X, [3]), without(y, [3])))


def test_garbage_without_the_estimate_of_rounding(monkeypatch):
    monkeypatch.setattr(ridge, "_ACCURATE", np.inf)
    X, y = poisoned()
    unlearner = RidgeUnlearner(Ridge()).fit(X, y).unlearn(indices=[3])
    with pytest.raises(AssertionError):
        assert_same(unlearner, Ridge().fit(without(X, [3]), without(y, [3])))


@pytest.mark.parametrize("recipe", [Ridge(alpha=1e-9), LinearRegression()])
def test_nearly_dependent_features(recipe):
    X, y = task()
    X = np.column_stack([X, X[:, 0] + 1e-7 * X[:, 1] ** 2])
    unlearner = RidgeUnlearner(recipe).fit(X, y).unlearn(indices=FORGET)
    again = type(recipe)(**recipe.get_params()).fit(without(X), without(y))
    assert_same(unlearner, again)


def test_scales_of_features_do_not_matter(no_training):
    X, y = task()
    X = X * 10.0 ** np.arange(-2, 3)
    unlearner = RidgeUnlearner(LinearRegression()).fit(X, y).unlearn(indices=FORGET)
    again = LinearRegression().fit(without(X), without(y))
    assert unlearner.estimator_.coef_ == pytest.approx(again.coef_, rel=1e-9)


def test_what_linear_regression_leaves_out():
    X, y = task()
    X = X * 10.0 ** np.arange(-9, 1, 2)
    unlearner = RidgeUnlearner(LinearRegression()).fit(X, y).unlearn(indices=FORGET)
    assert_same(unlearner, LinearRegression().fit(without(X), without(y)))


@pytest.mark.parametrize("value", [0.1, 0.3, 1e5 + 0.1])
def test_columns_that_do_not_vary(value):
    # Their sums are nothing but rounding, as was a coefficient of -6e12.
    y = np.random.default_rng(0).normal(size=77)
    X = np.full((77, 1), value)
    unlearner = RidgeUnlearner(LinearRegression()).fit(X, y).unlearn(indices=[3])
    again = LinearRegression().fit(X[1:], np.delete(y, 3))
    assert unlearner.estimator_.coef_ == pytest.approx(again.coef_)
    assert unlearner.predict(X) == pytest.approx(again.predict(X), rel=1e-9)


def test_more_features_than_rows():
    X, y = task(n=30, p=40)
    for recipe in (Ridge(), LinearRegression()):
        unlearner = RidgeUnlearner(recipe).fit(X, y).unlearn(indices=[0, 1])
        again = type(recipe)().fit(X[2:], y[2:])
        assert unlearner.predict(X) == pytest.approx(again.predict(X), rel=1e-7, abs=1e-7)


def test_frozen_models():
    X, y = task()
    model = Ridge().fit(X, y)
    before = model.coef_.copy()
    unlearner = RidgeUnlearner(FrozenEstimator(model)).fit(X, y).unlearn(indices=FORGET)
    assert_same(unlearner, Ridge().fit(without(X), without(y)))
    assert np.array_equal(model.coef_, before)
    with pytest.raises(ValueError, match="is not the solution for these rows"):
        RidgeUnlearner(FrozenEstimator(model)).fit(X[5:], y[5:])


@pytest.mark.parametrize(
    "recipe, error, message",
    [
        (Ridge(positive=True), ValueError, "positive=True"),
        (LinearRegression(positive=True), ValueError, "positive=True"),
        (RidgeClassifier(class_weight="balanced"), ValueError, "class_weight"),
        (Ridge(alpha=-1.0), ValueError, "non-negative"),
        (Ridge(alpha=[1.0, 2.0]), ValueError, "do not correspond"),
        (Lasso(), TypeError, "got Lasso"),
    ],
)
def test_refused(recipe, error, message):
    X, y = task()
    y = (y > y.mean()).astype(int) if isinstance(recipe, RidgeClassifier) else y
    with pytest.raises(error, match=message):
        RidgeUnlearner(recipe).fit(X, y)


def test_a_copy_from_a_pickle_goes_on():
    X, y = task()
    unlearner = RidgeUnlearner(Ridge()).fit(X, y).unlearn(indices=FORGET)
    copy = pickle.loads(pickle.dumps(unlearner))
    copy.unlearn(indices=[50])
    assert_same(copy, Ridge().fit(without(X, [*FORGET, 50]), without(y, [*FORGET, 50])))


def test_rows_that_come_with_the_request():
    """The sums need no retained row; a part of them will do."""
    X, y = task()
    unlearner = RidgeUnlearner(Ridge()).fit(X, y).detach()
    unlearner.unlearn(X[FORGET], y[FORGET], X_retain=X[100:], y_retain=y[100:])
    assert_same(unlearner, Ridge().fit(without(X), without(y)))


def test_ill_conditioned_sums_need_all_rows():
    X, y = poisoned()
    unlearner = RidgeUnlearner(Ridge()).fit(X, y)
    before, moments = unlearner.estimator_, unlearner._moments
    with pytest.raises(UnlearningError, match="all 199 retained rows, not 100"):
        unlearner.unlearn(X[[3]], y[[3]], X_retain=X[100:], y_retain=y[100:])
    assert unlearner.estimator_ is before
    assert unlearner._moments is moments


def test_search():
    X, y = task()
    mask = np.arange(len(y)) % 10 == 0
    search = GridSearchCV(RidgeUnlearner(Ridge()), {"estimator__alpha": [1e-3, 1e3]}, cv=3)
    search.fit(X, y, forget=mask)
    assert search.best_params_ == {"estimator__alpha": 1e-3}
    assert "to rounding" in search.best_estimator_.certificate()


@pytest.mark.parametrize("weighted", [False, True])
def test_rank_and_singular_values_are_those_of_the_kept_rows(weighted, no_training):
    X, y = task()
    X = X * [1e2, 1, 1, 1e-2, 1]
    w = np.random.default_rng(0).uniform(0.5, 2, len(X)) if weighted else None
    for recipe in (LinearRegression(), LinearRegression(fit_intercept=False)):
        ours = RidgeUnlearner(recipe).fit(X, y, w).unlearn(indices=FORGET).estimator_
        left = None if w is None else without(w)
        theirs = LinearRegression(**recipe.get_params()).fit(without(X), without(y), left)
        assert ours.rank_ == theirs.rank_ == 5
        scale = theirs.singular_[0]
        assert ours.singular_ == pytest.approx(theirs.singular_, rel=1e-11, abs=1e-15 * scale)
        assert vars(ours).keys() == vars(theirs).keys()


def test_sparse_rows_have_no_rank():
    X, y = task()
    ours = RidgeUnlearner(LinearRegression()).fit(sparse.csr_matrix(X), y).estimator_
    assert not hasattr(ours, "rank_")
    assert not hasattr(LinearRegression().fit(sparse.csr_matrix(X), y), "rank_")
