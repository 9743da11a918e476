"""The mathematics of the certified methods: every bound that a proof rests on, tried out."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.optimize import approx_fprime, minimize_scalar
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import Normalizer

from skunlearn import CertifiedRemovalUnlearner, DescentToDeleteUnlearner, LangevinUnlearner
from skunlearn.certified import _gaussian
from skunlearn.certified._certified_unlearner import Setting
from skunlearn.certified._contraction import Contraction
from skunlearn.certified._logistic import Logistic, gram, lipschitz, minimise, smoothness
from skunlearn.certified._published import weights_of
from skunlearn.certified.certified_removal import residual_bounds
from skunlearn.exceptions import UnlearningError
from tests.certified_tools import all_rows, optimum, random_problem

# Noise that hides rows destroys small models; that it says so is a test of its own.
pytestmark = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")

PROBLEMS = range(50)  # a thousand in tests/long
ignore_classes = pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ClassForgottenWarning")


# ---------------------------------------------------------------------- Gaussians


@pytest.mark.parametrize("distance, epsilon", [(0.3, 1.0), (1.0, 0.5), (5.0, 10.0), (0.01, 0.0)])
def test_delta_is_the_hockey_stick_divergence(distance, epsilon):
    def excess(x):
        return max(0.0, stats.norm.pdf(x, distance) - np.exp(epsilon) * stats.norm.pdf(x))

    crossing = epsilon / distance + distance / 2
    expected = integrate.quad(excess, crossing, crossing + 40, epsabs=0, limit=500)[0]
    assert _gaussian.delta_of(distance, epsilon) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("epsilon", [0.01, 1.0, 8.0, 50.0])
@pytest.mark.parametrize("delta", [1e-10, 1e-5, 0.1])
def test_epsilon_delta_and_distance_fit_together(epsilon, delta):
    distance = _gaussian.largest_distance(epsilon, delta)
    assert _gaussian.delta_of(distance, epsilon) <= delta
    assert epsilon * (1 - 1e-6) < _gaussian.epsilon_of(distance, delta) <= epsilon
    assert _gaussian.epsilon_of(distance * 1.001, delta) > epsilon
    # Descent-to-Delete's formula, σ = Δ/(√2(√(ln 1/δ + ε) − √(ln 1/δ))), asks for more noise.
    log = np.log(1 / delta)
    assert distance >= np.sqrt(2) * (np.sqrt(log + epsilon) - np.sqrt(log))


def test_the_simple_formula_of_certified_removal_fails_for_large_epsilon():
    """σ = cΔ/ε with δ = 1.5 exp(−c²/2): safe for ε = 1, not for ε = 10."""
    c = np.sqrt(2 * np.log(1.5 / 1e-5))
    assert _gaussian.delta_of(1 / c, 1.0) < 1e-5 < _gaussian.delta_of(10 / c, 10.0)


def test_no_distance_spends_nothing():
    assert _gaussian.epsilon_of(0.0, 1e-5) == 0
    assert _gaussian.epsilon_of(1e-6, 1e-5) == 0


# ---------------------------------------------------------------------- logistic regression


def logistic(link, seed=0, n=30, d=4, penalty=0.5):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    T = np.eye(3)[rng.integers(0, 3, n)]
    return Logistic(X, T, penalty, link), rng.normal(size=(3, d))


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_derivatives(link):
    problem, W = logistic(link)

    def at(w):
        return w.reshape(W.shape)

    numeric = approx_fprime(W.ravel(), lambda w: problem.value(at(w)), 1e-7)
    assert problem.gradient(W).ravel() == pytest.approx(numeric, abs=1e-5)
    V = np.random.default_rng(1).normal(size=W.shape)
    moved = (problem.gradient(W + 1e-5 * V) - problem.gradient(W - 1e-5 * V)) / 2e-5
    assert problem.hessian_product(W, V) == pytest.approx(moved, abs=1e-8)
    if link == "sigmoid":
        product = np.stack([problem.hessian(w) @ v for w, v in zip(W, V)])
        assert problem.hessian_product(W, V) == pytest.approx(product)


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_constants_hold_and_are_nearly_reached(link):
    rng = np.random.default_rng(0)
    steepest = roundest = 0.0
    for _ in range(300):
        x = rng.normal(size=(1, 3))
        x *= 1.7 / np.linalg.norm(x)
        k = 1 if link == "sigmoid" else 3
        T = np.eye(k)[[rng.integers(k)]] if k > 1 else np.array([[float(rng.integers(2))]])
        one = Logistic(x, T, 0.0, link)
        W = rng.normal(size=(k, 3)) * rng.choice([0.01, 30.0])
        if link == "softmax" and rng.random() < 0.5:
            W[2] = -50 * x  # two of three classes alive: the softmax is roundest
            W[:2] = 0
        steepest = max(steepest, np.linalg.norm(one.data_gradient(W)))
        columns = [one.hessian_product(W, V).ravel() for V in np.eye(W.size).reshape(-1, *W.shape)]
        roundest = max(roundest, np.linalg.norm(columns, 2))
    assert 0.95 < steepest / lipschitz(1.7, link) <= 1 + 1e-12
    assert 0.95 < roundest / smoothness(1.7, link) <= 1 + 1e-12


def test_the_minimum_is_reached_or_it_is_said():
    problem, W = logistic("softmax")
    found = minimise(problem, W.shape, 1e-10)
    assert np.linalg.norm(problem.gradient(found)) <= 1e-10
    with pytest.raises(UnlearningError, match="did not reach the minimum"):
        minimise(problem, W.shape, 0.0)


# ---------------------------------------------------------------------- certified removal


def check_removal(seed):
    """The gradient that two requests leave is within the sum of the bounds, class by class."""
    X, y, recipe, forget = random_problem(seed)
    unlearner = CertifiedRemovalUnlearner(recipe, sigma=0.3, epsilon=1e6, random_state=0)
    unlearner.fit(X, y)
    constant = unlearner._setting.constant
    problem = unlearner._problem(all_rows(unlearner))
    # The noise, as far as the training reached its minimum; the account allows for that apart.
    noise = -problem.gradient(weights_of(unlearner.estimator_, constant))
    for some in (forget[:1], forget[1:]):
        if len(some):
            unlearner.unlearn(indices=some)
    left = unlearner._problem(all_rows(unlearner)).gradient(
        weights_of(unlearner.estimator_, constant)
    )
    residuals = np.linalg.norm(left + noise, axis=1)
    bounds = np.array(unlearner._account.by_class)
    assert (residuals <= bounds * (1 + 1e-9) + 1e-10).all(), (residuals, bounds)
    return (residuals / bounds).max()


@ignore_classes
def test_residuals_stay_within_their_bounds():
    worst = max(check_removal(seed) for seed in PROBLEMS)
    assert worst > 0.001  # the bound is not idle


def test_the_start_is_the_minimum_of_the_perturbed_objective():
    X, y, recipe, _ = random_problem(3)
    unlearner = CertifiedRemovalUnlearner(recipe, sigma=0.3, random_state=5).fit(X, y)
    problem = unlearner._problem(all_rows(unlearner))
    W = weights_of(unlearner.estimator_, unlearner._setting.constant)
    noise = 0.3 * np.random.default_rng([5, 0]).standard_normal(W.shape)
    size = np.linalg.norm(problem.gradient(W) + noise)
    assert size <= unlearner._account.start * (1 + 1e-9)
    assert unlearner._account.start == pytest.approx(1e-3 * 0.3 * unlearner._limit)


def test_the_bound_is_the_papers():
    """γ‖X‖‖s‖‖Xs‖ with γ = 1/4 for rows of norm up to 1."""
    rng = np.random.default_rng(0)
    X, s = rng.normal(size=(20, 3)), rng.normal(size=(1, 3))
    expected = 0.25 * np.linalg.norm(X, 2) * np.linalg.norm(s) * np.linalg.norm(X @ s[0])
    assert residual_bounds(X, X.T @ X, s, 1.0) == pytest.approx([expected])


@pytest.mark.parametrize("C", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("rows", [1, 8])
def test_the_bound_covers_that_the_residual_depends_on_the_noise(C, rows):
    """The proof takes the residual r as given, but it moves with the noise b.

    By a change of variables the Rényi divergence is then that of a Gaussian at the distance
    √(‖r‖² + σ²‖∂r/∂b‖²_F), up to terms of higher order. The bound is ten times that and more.
    """
    rng = np.random.default_rng(0)
    X = Normalizer().fit_transform(rng.normal(size=(300, 6)))
    T = (X[:, :1] + 0.3 * rng.normal(size=(300, 1)) > 0).astype(float)
    whole, kept = (Logistic(X[i:], T[i:], 1 / C, "sigmoid") for i in (0, rows))
    gone = Logistic(X[:rows], T[:rows], 1 / C, "sigmoid")

    def moved(w):
        return w + np.linalg.solve(kept.hessian(w), gone.data_gradient(w[None])[0])

    budget = _gaussian.largest_distance(1.0, 1e-5)
    sigma = 1.0
    for _ in range(3):  # to the noise whose budget one such request spends
        noise = sigma * np.random.default_rng(1).standard_normal((1, 6))
        w = minimise(whole, (1, 6), 1e-9, noise)[0]
        bound = residual_bounds(kept.X, gram(kept.X), moved(w)[None] - w, 1.0)[0]
        sigma = bound / budget
    residual = np.linalg.norm(kept.gradient(moved(w)[None]) + noise)
    step = np.stack([(moved(w + h) - moved(w - h)) / 2e-4 for h in 1e-4 * np.eye(6)], axis=1)
    by_noise = -np.linalg.inv(whole.hessian(w))
    dependence = np.eye(6) + kept.hessian(moved(w)) @ step @ by_noise
    assert bound > 10 * np.hypot(residual, sigma * np.linalg.norm(dependence))


# ---------------------------------------------------------------------- gradient descent


def check_descent(seed):
    """Minimisers move and weights err by no more than the account says, request by request."""
    X, y, recipe, forget = random_problem(seed)
    unlearner = DescentToDeleteUnlearner(recipe, sigma=0.3, random_state=0).fit(X, y)
    shift = Contraction.of(unlearner._setting, len(X)).shift
    before = optimum(unlearner, all_rows(unlearner))
    shares = []
    for some in (forget[:1], forget[1:]):
        if not len(some):
            continue
        unlearner.unlearn(indices=some)
        after = optimum(unlearner, all_rows(unlearner))
        moved = np.linalg.norm(after - before)
        assert moved <= len(some) * shift
        error = np.linalg.norm(unlearner._secret - after)
        assert error <= unlearner._account.ours
        assert unlearner.privacy_spent().epsilon <= 1
        shares.append(moved / (len(some) * shift))
        before = after
    return max(shares)


@ignore_classes
def test_minimisers_and_weights_stay_within_their_bounds():
    assert max(check_descent(seed) for seed in PROBLEMS) > 0.05  # the bound is not idle


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
def test_a_step_contracts(link):
    problem, W = logistic(link, n=200)
    setting = Setting(0.1, 1.0, True, 0.0, 0.5, link, 200)
    constants = Contraction.of(setting, 200)
    V = np.random.default_rng(1).normal(size=W.shape)
    for scale in (1e-3, 1.0, 100.0):
        ours, theirs = W, W + scale * V
        after = np.linalg.norm(
            (theirs - constants.step * problem.gradient(theirs))
            - (ours - constants.step * problem.gradient(ours))
        )
        assert after <= constants.rate * np.linalg.norm(theirs - ours)


def test_steps_suffice():
    constants = Contraction(step=1.0, rate=0.9, shift=1.0)
    assert constants.steps_to(1.0, 0.5) == 7  # 0.9⁷ = 0.478, 0.9⁶ = 0.531
    assert constants.steps_to(0.1, 0.5) == 1


# ---------------------------------------------------------------------- Langevin


def check_walk(seed, monkeypatch):
    """With equal noise the walk and its reference are no further apart than the account says."""
    X, y, recipe, forget = random_problem(seed)
    draws = np.random.default_rng(seed)
    log = []

    class Generator:
        def standard_normal(self, shape):
            log.append(draws.standard_normal(shape))
            return log[-1]

    monkeypatch.setattr(LangevinUnlearner, "_generator", lambda self: Generator())
    unlearner = LangevinUnlearner(recipe, sigma=0.1, random_state=0).fit(X, y)
    for some in (forget[:1], forget[1:]):
        if len(some):
            unlearner.unlearn(indices=some)
    assert len(log) == unlearner._account.steps
    rows = all_rows(unlearner)
    problem, W = unlearner._problem(rows), optimum(unlearner, rows)
    constants = unlearner._constants()
    for noise in log:
        W = W - constants.step * problem.gradient(W) + unlearner._noise() * noise
    apart = np.linalg.norm(W - weights_of(unlearner.estimator_, unlearner._setting.constant))
    assert apart <= unlearner._account.distance * (1 + 1e-9) + 1e-12
    assert unlearner.privacy_spent().epsilon <= 1
    return apart / unlearner._account.distance


@ignore_classes
def test_walks_stay_within_their_bounds(monkeypatch):
    assert max(check_walk(seed, monkeypatch) for seed in PROBLEMS) > 0.001


def test_the_spread_is_that_of_an_autoregression():
    X, y, recipe, _ = random_problem(1)
    unlearner = LangevinUnlearner(recipe, random_state=0).fit(X, y)
    c, s = unlearner._constants().rate, unlearner._noise()
    variance = 0.0
    for _ in range(17):
        variance = c**2 * variance + s**2
    assert unlearner._spread(17) == pytest.approx(np.sqrt(variance))


def paper_epsilon(steps, m, eta, rows, gradient, sigma, n, delta):
    """The bound of 2401.10371, minimised over α as in the authors' code."""

    def at(alpha):
        decay = np.exp(-steps * m * eta / alpha)
        start = 4 * alpha * rows**2 * gradient**2 / (m * sigma**2 * n**2)
        return decay * start + np.log(1 / delta) / (alpha - 1)

    return minimize_scalar(at, bounds=(1, 10_000), method="bounded").fun


@pytest.mark.parametrize("C", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("rows", [1, 20])
def test_epsilon_is_below_the_papers(C, rows):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(400, 3)), np.arange(400) % 2
    recipe = LogisticRegression(C=C, fit_intercept=False)
    for sigma in (0.03, 0.3):
        unlearner = LangevinUnlearner(recipe, sigma=sigma, epsilon=3.0, random_state=0)
        unlearner.fit(X, y).unlearn(indices=np.arange(rows))
        eta = unlearner._constants().step * 400
        steps = unlearner._account.last
        theirs = paper_epsilon(steps, 1 / (C * 400), eta, rows, 1.0, sigma, 400, 1e-5)
        assert unlearner.privacy_spent().epsilon < theirs
