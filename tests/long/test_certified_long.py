"""The bounds over a thousand problems, and attacks that must not beat what is claimed."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import Normalizer

from skunlearn import CertifiedRemovalUnlearner, DescentToDeleteUnlearner, LangevinUnlearner
from skunlearn.certified._published import weights_of
from skunlearn.exceptions import PrivacyBudgetWarning
from skunlearn.metrics import epsilon_lower_bound
from tests.certified.test_certified_bounds import (
    check_descent,
    check_removal,
    check_walk,
    ignore_classes,
)
from tests.certified_tools import METHODS, all_rows, optimum

# Noise that hides rows destroys small models; that it says so is a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")

PROBLEMS = range(50, 1050)
RUNS = 2000  # of each side
DELTA = 0.01  # a much smaller one could not be told from zero in so many runs
EPSILON = 0.5


@ignore_classes
@pytest.mark.parametrize("check", [check_removal, check_descent])
def test_bounds_over_a_thousand_problems(check):
    for seed in PROBLEMS:
        check(seed)


@ignore_classes
def test_walks_over_a_thousand_problems(monkeypatch):
    for seed in PROBLEMS:
        check_walk(seed, monkeypatch)


def task():
    """A row that matters: it stands alone, and against the pattern."""
    rng = np.random.default_rng(0)
    X = Normalizer().fit_transform(rng.normal(size=(40, 3)))
    X[0] = [0.0, 0.0, 1.0]
    X[1:, 2] *= 0.1
    y = (X[:, 0] > 0).astype(int)
    return X, y


def released(make, X, y, *, forget):
    """Weights of many models: trained on all rows and made to forget, or on the others alone.

    Reference models share the settings of the others, n of ``fit`` among them.
    """
    first, second = [], []
    for seed in range(RUNS):
        unlearner = make().set_params(random_state=seed).fit(X, y)
        rows = unlearner._record.view(np.arange(forget, len(X)))
        for i in range(forget):
            unlearner.unlearn(indices=[i])
        constant = unlearner._setting.constant
        first.append(weights_of(unlearner.estimator_, constant).ravel())
        second.append(weights_of(unlearner._train(rows), constant).ravel())
    return np.array(first), np.array(second)


def strongest(ours, reference):
    """The largest ε that an attack proves: along the means' difference and along each weight.

    Bonferroni over the directions; the first half of the runs finds the mean.
    """
    half = RUNS // 2
    direction = ours[:half].mean(axis=0) - reference[:half].mean(axis=0)
    axes = [direction, *np.eye(ours.shape[1])]
    return max(
        epsilon_lower_bound(
            ours[half:] @ axis,
            reference[half:] @ axis,
            delta=DELTA,
            confidence=1 - 0.01 / len(axes),
            random_state=0,
        ).epsilon
        for axis in axes
    )


@pytest.mark.parametrize("cls", METHODS)
@pytest.mark.parametrize("requests", [1, 3])
def test_no_attack_beats_the_claim(cls, requests):
    sigma = {CertifiedRemovalUnlearner: 0.5, LangevinUnlearner: 0.03}.get(cls, 0.05)

    def make():
        recipe = LogisticRegression(C=1.0, fit_intercept=False)
        return cls(recipe, epsilon=EPSILON, delta=DELTA, sigma=sigma)

    X, y = task()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PrivacyBudgetWarning)
        ours, reference = released(make, X, y, forget=requests)
    assert strongest(ours, reference) <= EPSILON


class Lazy(DescentToDeleteUnlearner):
    """Draws new noise and forgets nothing."""

    def _remove(self, problem, forget):
        return self._hide(self._secret)


class Unhidden(CertifiedRemovalUnlearner):
    """Keeps the weights as they are."""

    def _remove(self, problem, forget):
        return weights_of(self.estimator_, self._setting.constant)


@pytest.mark.parametrize("cls, sigma", [(Lazy, 0.05), (Unhidden, 0.05)])
def test_the_attack_finds_what_was_not_forgotten(cls, sigma):
    def make():
        recipe = LogisticRegression(C=1.0, fit_intercept=False)
        return cls(recipe, epsilon=EPSILON, delta=DELTA, sigma=sigma)

    X, y = task()
    ours, reference = released(make, X, y, forget=1)
    assert strongest(ours, reference) > EPSILON


def test_references_are_trainings_on_the_kept_rows():
    """What the attacks compare with has no share of the forgotten rows."""
    X, y = task()
    for cls in METHODS:
        unlearner = cls(LogisticRegression(), sigma=1e-6, epsilon=1e3).fit(X, y)
        kept = unlearner._record.view(np.arange(10, 40))
        model = unlearner._train(kept)
        alone = cls(LogisticRegression(), sigma=1e-6, epsilon=1e3).fit(X[10:], y[10:])
        expected = optimum(alone, all_rows(alone))
        assert weights_of(model, 1.0) == pytest.approx(expected, abs=1e-3)
