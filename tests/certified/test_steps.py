"""Steps and noise of the certified methods, by numpy from the draws of their generator."""

import numpy as np
import pytest
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from skunlearn import CertifiedRemovalUnlearner, DescentToDeleteUnlearner, LangevinUnlearner
from skunlearn.certified import _gaussian
from tests.certified_tools import make, task

pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")
FORGET, N, M = np.arange(5), 120, 10.0  # 1/C, the modulus of strong convexity
RECIPE = LogisticRegression(C=1 / M, fit_intercept=False)


def slope(w, X, y):
    """Of Σ ℓ + ‖w‖²/(2C)."""
    return (expit(X @ w) - y) @ X + M * w


def coef(unlearner):
    return unlearner.estimator_.coef_[0].copy()


def draws(request):
    """Noise of the training, 0, or of a request."""
    generator = np.random.default_rng([5, request])
    while True:
        yield generator.standard_normal((1, 4))[0]


def test_descent_to_delete_is_its_formula():
    """Steps of 2/(m + M) from the secret weights; what is published has noise of σ."""
    X, y = task()
    unlearner = make(
        DescentToDeleteUnlearner, recipe=RECIPE, sigma=0.2, random_state=5, epsilon=0.1
    ).fit(X, y)
    w = unlearner._secret[0]
    assert np.linalg.norm(slope(w, X, y)) < 0.01
    assert coef(unlearner) == pytest.approx(w + 0.2 * next(draws(0)), abs=1e-12)
    unlearner.unlearn(indices=FORGET)
    steps = unlearner.deletions_[0]["proved"]["steps"]
    assert steps > 1
    for _ in range(steps):
        w = w - 2 / (M + (N - 5) / 4 + M) * slope(w, X[5:], y[5:])
    assert unlearner._secret[0] == pytest.approx(w, abs=1e-12)
    assert coef(unlearner) == pytest.approx(w + 0.2 * next(draws(1)), abs=1e-12)


def test_langevin_is_its_formula():
    """Steps of η on the mean over the rows of fit, each with noise of √(2ησ²), and its account."""
    X, y = task()
    unlearner = make(LangevinUnlearner, recipe=RECIPE, sigma=0.05, random_state=5, epsilon=1.0).fit(
        X, y
    )
    first, w = unlearner._account, coef(unlearner)
    unlearner.unlearn(indices=FORGET)
    steps = unlearner.deletions_[0]["proved"]["steps"]
    assert steps > 1
    eta = 2 / (M / N + (1 / 4 + M / N))
    noise = draws(1)
    for _ in range(steps):
        w = w - eta * slope(w, X[5:], y[5:]) / N + np.sqrt(2 * eta * 0.05**2) * next(noise)
    assert coef(unlearner) == pytest.approx(w, abs=1e-10)
    # Five rows move the minimiser by 5/m; what steps shrink, noise of all steps hides.
    c, variance = 1 - eta * M / N, 0.0
    for _ in range(first.steps + steps):
        variance = c**2 * variance + 2 * eta * 0.05**2
    apart = (first.distance + 5 / M) * c**steps / np.sqrt(variance)
    spent = unlearner.privacy_spent().epsilon
    assert spent == pytest.approx(_gaussian.epsilon_of(apart, 1e-5), rel=1e-6)


def test_certified_removal_is_its_formula():
    """w + H⁻¹ Σ ∇ℓ of the rows that go, H over the kept rows; ε is that of the bounds' sum over σ.

    The penalty does not grow with the rows, so that none of it goes with them.
    """
    X, y = task()
    unlearner = make(
        CertifiedRemovalUnlearner, recipe=RECIPE, sigma=2.0, random_state=5, epsilon=1.0
    ).fit(X, y)
    w = coef(unlearner)
    assert slope(w, X, y) == pytest.approx(-2.0 * next(draws(0)), abs=0.01)
    p = expit(X @ w)
    H = (X[5:].T * (p * (1 - p))[5:]) @ X[5:] + M * np.eye(4)
    step = np.linalg.solve(H, (p[:5] - y[:5]) @ X[:5])
    unlearner.unlearn(indices=FORGET)
    assert coef(unlearner) == pytest.approx(w + step, abs=1e-10)
    bound = 0.25 * np.linalg.norm(X[5:], 2) * np.linalg.norm(step) * np.linalg.norm(X[5:] @ step)
    apart = (bound + 2 * unlearner._account.start) / 2.0
    spent = unlearner.privacy_spent().epsilon
    assert spent == pytest.approx(_gaussian.epsilon_of(apart, 1e-5), rel=1e-6)
