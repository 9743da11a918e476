"""Sample weights of scikit-learn's estimators."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import CertifiedRemovalUnlearner, RetrainUnlearner, RidgeUnlearner, ShardedUnlearner
from tests.batch_tools import net
from tests.unlearning.weighted import FORGET, weighted

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        DecisionTreeClassifier(max_depth=2),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), make_pipeline("passthrough", LogisticRegression())),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
    ],
    ids=lambda e: type(e).__name__,
)
def test_estimators_are_given_them(estimator):
    X, y, w = weighted()
    fitted = RetrainUnlearner(estimator, random_state=0).fit(X, y, sample_weight=w)
    bare = RetrainUnlearner(estimator, random_state=0).fit(X, y)
    assert not np.array_equal(fitted.predict_proba(X), bare.predict_proba(X))
    again = RetrainUnlearner(estimator, random_state=0).fit(X[6:], y[6:], sample_weight=w[6:])
    assert np.array_equal(fitted.unlearn(indices=FORGET).predict_proba(X), again.predict_proba(X))


def test_estimators_that_take_none_say_so():
    X, y, w = weighted()
    for unlearner_ in (
        RetrainUnlearner(KNeighborsClassifier()),
        RetrainUnlearner(make_pipeline(StandardScaler(), KNeighborsClassifier())),
        ShardedUnlearner(KNeighborsClassifier()),
    ):
        with pytest.raises(TypeError, match=r"KNeighborsClassifier\.fit takes none"):
            unlearner_.fit(X, y, sample_weight=w)
    with pytest.raises(TypeError, match=r"NeuralNetClassifier\.fit takes none.*UnlearningPipeline"):
        RetrainUnlearner(make_pipeline(StandardScaler(), net())).fit(X, y, sample_weight=w)
    with pytest.raises(TypeError, match="sample_weight"):
        CertifiedRemovalUnlearner(LogisticRegression()).fit(X, y, sample_weight=w)


@pytest.mark.parametrize(
    "weights, error",
    [
        (np.ones(59), "one entry per row"),
        (np.ones((60, 1)), "one entry per row"),
        (np.full(60, -1.0), "must not be negative"),
        (np.full(60, np.nan), "NaN"),
        (np.zeros(60), "zero for every row"),
    ],
)
def test_bad_weights(weights, error):
    X, y, _ = weighted()
    fitted = RetrainUnlearner(LogisticRegression()).fit(X, y)
    before = fitted.estimator_
    with pytest.raises(ValueError, match=error):
        fitted.fit(X, y, sample_weight=weights)
    assert fitted.estimator_ is before


@pytest.mark.parametrize("recipe", [Ridge(), LinearRegression(), RidgeClassifier()], ids=repr)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_weighted_sums(recipe, fit_intercept):
    X, y, w = weighted()
    target = y if isinstance(recipe, RidgeClassifier) else X @ np.arange(12.0) + y
    recipe = recipe.set_params(fit_intercept=fit_intercept)
    fitted = RidgeUnlearner(recipe).fit(X.astype(float), target, sample_weight=w)
    for gone in (FORGET, np.arange(20, 25)):
        fitted.unlearn(indices=gone)
    kept = np.delete(np.arange(60), [*FORGET, *range(20, 25)])
    again = RetrainUnlearner(recipe).fit(X[kept].astype(float), target[kept], sample_weight=w[kept])
    np.testing.assert_allclose(fitted.estimator_.coef_, again.estimator_.coef_, rtol=1e-7)
    np.testing.assert_allclose(
        fitted.estimator_.intercept_, again.estimator_.intercept_, rtol=1e-7, atol=1e-12
    )


def test_weighted_sums_of_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    X, y, w = weighted()
    X = np.where(X > 0, X, 0).astype(float)
    dense, thin = (
        RidgeUnlearner(Ridge()).fit(rows, X[:, 0] + y, sample_weight=w).unlearn(indices=FORGET)
        for rows in (X, sparse.csr_matrix(X))
    )
    np.testing.assert_allclose(thin.estimator_.coef_, dense.estimator_.coef_, rtol=1e-8)
