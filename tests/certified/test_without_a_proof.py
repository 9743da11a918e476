"""What the certified methods refuse, as nothing would be proved of it."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeClassifier

from skunlearn.exceptions import DataNotStoredError, UnlearningError
from tests.certified_tools import make, methods, task, weights

# Noise that hides rows destroys small models; that it says so is a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")


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
