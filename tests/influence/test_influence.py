"""InfluenceUnlearner and PUMAUnlearner: what they reach, keep and refuse."""

import json
import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import ElasticNet
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from torch import nn

from skunlearn import InfluenceUnlearner, PUMAUnlearner
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import CostWarning, UnlearningError, UnsuitableMethodWarning
from skunlearn.influence import (
    InverseCurvature,
    _curvature,
    influence,
    inverse_curvature,
    projected_influence,
)
from skunlearn.influence._reweighting import reweighting
from tests.influence.test_curvature import logistic
from tests.instances import make_net, make_regressor_net

QUICK = {"inverse": InverseCurvature(solver="ekfac", curvature_rows=300), "random_state": 0}


def weights_of(net):
    return np.concatenate([p.detach().numpy().ravel() for p in net.module_.parameters()])


def problem(n):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n, 4))
    return X, (X @ rng.normal(size=(4, 3)) + rng.normal(size=(n, 3))).argmax(1)


def exact(net):
    inverse = InverseCurvature(solver="exact", damping=0, curvature="hessian", curvature_rows=None)
    return InfluenceUnlearner(FrozenEstimator(net), inverse=inverse, random_state=0)


def test_the_error_falls_with_the_square_of_the_share():
    X, y = problem(400)
    errors, distances, shares = [], [], (4, 8, 16, 32, 64)
    # Rows of one class pull in one direction, so that the distance itself grows like k.
    order = np.argsort(y != 0, kind="stable")
    X, y = X[order], y[order]
    for k in shares:
        net = logistic(X, y, 0.05)
        start = weights_of(net)
        unlearner = exact(net).fit(X, y).unlearn(indices=np.arange(k))
        target = weights_of(logistic(X[k:], y[k:], 0.05))
        errors.append(np.linalg.norm(weights_of(unlearner.estimator_) - target))
        distances.append(np.linalg.norm(start - target))
    assert np.polyfit(np.log(shares), np.log(errors), 1)[0] > 1.6
    assert np.polyfit(np.log(shares), np.log(distances), 1)[0] < 1.2
    assert (np.array(errors) < 0.2 * np.array(distances)).all()
    # The same k of more rows: with n the error falls like 1/n², the distance like 1/n.
    ratios = []
    for n in (100, 200, 400, 800):
        X, y = problem(n)
        # The same four rows each time, which the others do not move.
        X[:4] = [[2, -1, 1, 0], [0, 2, -1, 1], [1, 0, 2, -1], [-1, 1, 0, 2]]
        y[:4] = [0, 1, 2, 0]
        net = logistic(X, y, 0.05)
        unlearner = exact(net).fit(X, y).unlearn(indices=np.arange(4))
        target = weights_of(logistic(X[4:], y[4:], 0.05))
        ratios.append(np.linalg.norm(weights_of(unlearner.estimator_) - target))
    assert np.polyfit(np.log([100, 200, 400, 800]), np.log(ratios), 1)[0] < -1.7


def test_requests_one_by_one_add_up():
    X, y = problem(400)
    net = logistic(X, y, 0.05)
    unlearner = exact(net).fit(X, y)
    for i in range(0, 16, 2):
        unlearner.unlearn(indices=[i, i + 1])
    target = weights_of(logistic(X[16:], y[16:], 0.05))
    found = weights_of(unlearner.estimator_)
    start = weights_of(logistic(X, y, 0.05))
    assert np.linalg.norm(found - target) < 0.1 * np.linalg.norm(start - target)


def test_the_step_and_its_parts(data):
    X, y = data
    net = make_net(max_epochs=5).set_params(train_split=None, verbose=0).fit(X, y)

    def moved(step=1.0, **kwargs):
        inverse = InverseCurvature(**({"solver": "exact", "curvature_rows": None} | kwargs))
        unlearner = InfluenceUnlearner(
            FrozenEstimator(net), step=step, inverse=inverse, random_state=0
        ).fit(X, y)
        before = weights_of(unlearner.estimator_)
        return weights_of(unlearner.unlearn(indices=[0, 1, 2]).estimator_) - before

    np.testing.assert_allclose(moved(step=0.5), moved() / 2, atol=1e-7)
    np.testing.assert_allclose(moved(solver="cg", tol=1e-7), moved(), atol=1e-5)
    np.testing.assert_allclose(moved(batch_size=7), moved(), atol=1e-5)
    assert np.linalg.norm(moved(damping=10.0)) < np.linalg.norm(moved()) / 2
    assert not np.allclose(moved(curvature_rows=20), moved())


@pytest.mark.parametrize("cls", [InfluenceUnlearner, PUMAUnlearner])
def test_frozen_weights_stay_bitwise(data, cls):
    X, y = data
    net = make_net(max_epochs=5).set_params(verbose=0).fit(X, y)
    net.module_.hidden.requires_grad_(False)
    unlearner = cls(FrozenEstimator(net), **QUICK).fit(X, y).unlearn(indices=[0, 1])
    module = unlearner.estimator_.module_
    assert torch.equal(module.hidden.weight, net.module_.hidden.weight)
    assert not torch.equal(module.out.weight, net.module_.out.weight)
    net.module_.requires_grad_(False)
    unlearner = cls(FrozenEstimator(net), **QUICK).fit(X, y)
    with pytest.raises(UnlearningError, match="frozen"):
        unlearner.unlearn(indices=[0, 1])


@pytest.mark.parametrize("cls", [InfluenceUnlearner, PUMAUnlearner])
def test_regressions_and_half_precision(data, cls):
    X, y = data
    unlearner = cls(make_regressor_net(max_epochs=3), **QUICK).fit(X, y.astype(np.float32))
    before = weights_of(unlearner.estimator_)
    assert not np.array_equal(weights_of(unlearner.unlearn(indices=[3]).estimator_), before)
    net = make_net(max_epochs=1).set_params(verbose=0).fit(X, y)
    net.module_.half()
    unlearner = cls(FrozenEstimator(net), **QUICK).fit(X, y)
    with pytest.raises(UnlearningError, match="float16"):
        unlearner.unlearn(indices=[3])


def test_a_solver_that_does_not_converge_says_so(data):
    X, y = data
    unlearner = InfluenceUnlearner(
        make_net(max_epochs=5), inverse=InverseCurvature(max_steps=1), random_state=0
    ).fit(X, y)
    with pytest.warns(ConvergenceWarning, match="stopped after 1"):
        unlearner.unlearn(indices=[0])


@pytest.mark.parametrize("solver", ["cg", "lissa"])
def test_progress_is_shown(data, capsys, solver):
    X, y = data
    inverse = InverseCurvature(solver=solver, tol=1e-5, max_steps=150)
    unlearner = InfluenceUnlearner(
        make_net(max_epochs=2), inverse=inverse, verbose=1, random_state=0
    ).fit(X, y)
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        unlearner.unlearn(indices=[0])
    shown = capsys.readouterr()
    assert solver in shown.err
    assert "150" in shown.err  # of at most so many
    assert "unlearning 1 of" in shown.out


@pytest.mark.parametrize("cls", [InfluenceUnlearner, PUMAUnlearner])
@pytest.mark.parametrize("solver", ["cg", "lissa", "exact", "ekfac"])
def test_what_a_long_request_may_cost_is_said_before_it_begins(data, cls, solver, monkeypatch):
    X, y = data
    inverse = InverseCurvature(solver=solver)
    unlearner = cls(make_net(max_epochs=2), inverse=inverse, random_state=0).fit(X, y)
    for epoch in unlearner.estimator_.history:
        epoch["dur"] = 1.5

    def begin(curvature, inverse, verbose):
        raise KeyboardInterrupt("the solver's turn")

    monkeypatch.setattr(inverse_curvature, "make_solver", begin)
    size = sum(p.numel() for p in unlearner.estimator_.module_.parameters())
    n_vectors = 1 if cls is InfluenceUnlearner else 2
    products = {"cg": 200 * n_vectors, "lissa": 2000 * n_vectors, "exact": size / 64, "ekfac": 0}
    most = 2.5 * products[solver]
    for seconds, told in ((2.5, solver != "ekfac"), (1e-6, False)):
        monkeypatch.setattr(_curvature, "time_once", slowed(seconds))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            with pytest.raises(KeyboardInterrupt):
                unlearner.unlearn(indices=[0])
        said = [str(w.message) for w in caught if w.category is CostWarning]
        assert len(said) == told
        if told:
            assert f"up to {most:.0f} seconds, {most / 3:.0f} times as long" in said[0]
            assert f"solver='{solver}' multiplies by the curvature of 59 rows" in said[0]


def slowed(seconds):
    """A clock by which every run takes so long."""

    def time_once(run, device):
        run()
        return seconds

    return time_once


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


# ------------------------------------------------------------------ nested settings


@pytest.mark.parametrize("cls", [InfluenceUnlearner, PUMAUnlearner])
def test_a_search_reaches_the_nested_settings(data, cls):
    X, y = data
    search = GridSearchCV(
        cls(make_net(max_epochs=1), random_state=0),
        {"inverse__damping": [0.5, 2.0], "inverse__solver": ["ekfac"]},
        cv=2,
        error_score="raise",
    ).fit(X, y)
    found = search.best_estimator_
    assert found.inverse.solver == "ekfac"
    assert found.get_params()["inverse__damping"] == search.best_params_["inverse__damping"]
    space = cls(make_net()).search_space("grid", n_points=2)
    assert space["inverse__damping"] == [0.001, 10.0]
    for name, values in space.items():
        assert clone(search.estimator).set_params(**{name: values[0]}).get_params()[name]


def test_the_default_inverse_is_nobody_elses():
    one, other = (InfluenceUnlearner(make_net()) for _ in range(2))
    assert one.set_params(inverse__damping=7.0) is one
    assert (one.inverse.damping, other.inverse) == (7.0, None)
    given = InverseCurvature(damping=3.0)
    other.set_params(inverse=given, inverse__solver="exact")
    assert other.inverse is given
    assert (given.damping, given.solver) == (3.0, "exact")
    assert other.set_params(inverse=None).inverse is None
    # A clone has a copy of its own.
    clone(one).set_params(inverse__damping=0.0)
    assert one.inverse.damping == 7.0
    with pytest.raises(ValueError, match="Invalid parameter 'solvent'"):
        one.set_params(inverse__solvent="cg")


def test_no_damping_is_that_of_the_use(data):
    X, y = data
    net = make_net(max_epochs=3).set_params(verbose=0).fit(X, y)

    def moved(inverse):
        unlearner = InfluenceUnlearner(FrozenEstimator(net), inverse=inverse, random_state=0)
        return weights_of(unlearner.fit(X, y).unlearn(indices=[0, 1]).estimator_)

    def ranked(inverse):
        return influence(net, X, y, X[:2], y[:2], inverse=inverse)

    for use, damping, other in ((moved, 1.0, 0.1), (ranked, 0.1, 1.0)):
        given = {d: use(InverseCurvature(solver="ekfac", damping=d)) for d in (damping, other)}
        unsaid = use(InverseCurvature(solver="ekfac"))
        np.testing.assert_array_equal(unsaid, given[damping])
        assert not np.array_equal(unsaid, given[other])


def test_the_certificate_names_the_nested_settings(data):
    X, y = data
    unlearner = InfluenceUnlearner(make_net(max_epochs=1), **QUICK).fit(X, y)
    (entry,) = json.loads(unlearner.unlearn(indices=[3]).certificate())["deletions"]
    assert "solver='ekfac'" in entry["parameters"]["inverse"]


@pytest.mark.parametrize("inverse", ["ekfac", {"solver": "ekfac"}, InverseCurvature])
def test_what_is_no_inverse_is_refused(data, inverse):
    X, y = data
    unlearner = InfluenceUnlearner(make_net(max_epochs=1), inverse=inverse)
    with pytest.raises(TypeError, match=r"inverse must be.*InverseCurvature"):
        unlearner.fit(X, y)
    with pytest.raises(TypeError, match=r"inverse must be.*InverseCurvature"):
        influence(make_net(max_epochs=1).fit(X, y), X, y, X, y, inverse=inverse)
