"""InfluenceUnlearner: what it reaches, keeps and says; some of it of PUMAUnlearner too."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.frozen import FrozenEstimator

from skunlearn import InfluenceUnlearner, PUMAUnlearner
from skunlearn.exceptions import CostWarning, UnlearningError
from skunlearn.influence import (
    InverseCurvature,
    _curvature,
    inverse_curvature,
)
from skunlearn.influence._reweighting import reweighting
from tests.influence.small_nets import logistic
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


@pytest.mark.parametrize("step", [1.0, 0.3])
@pytest.mark.parametrize("kind", ["hessian", "gauss_newton"])
def test_influence_and_puma_are_their_formulas(kind, step):
    """θ + s (H_r + d)⁻¹ Σ_f ∇ℓ / n_r, and with weights λ on the retained rows' gradients.

    A multinomial regression written out; its Hessian is its Gauss–Newton matrix.
    """
    X, y = problem(120)
    decay, gone = 0.05, np.arange(7)
    kept = np.arange(7, 120)
    net = logistic(X, y, decay)
    inverse = InverseCurvature(solver="exact", damping=0, curvature=kind, curvature_rows=None)
    theta, A = weights_of(net), np.c_[X, np.ones(120)]
    W = np.c_[theta[:12].reshape(3, 4), theta[12:]]
    p = np.exp(A @ W.T)
    p /= p.sum(axis=1, keepdims=True)
    slopes = (p - np.eye(3)[y])[:, :, None] * A[:, None, :] + decay * W
    slopes = np.concatenate([slopes[:, :, :4].reshape(120, 12), slopes[:, :, 4]], axis=1)
    H = np.zeros((3, 5, 3, 5))
    for i in kept:
        H += np.einsum("ab,c,d->acbd", np.diag(p[i]) - np.outer(p[i], p[i]), A[i], A[i])
    order = [(c, j) for c in range(3) for j in range(4)] + [(c, 4) for c in range(3)]
    flat = np.array([5 * c + j for c, j in order])
    H = H.reshape(15, 15)[np.ix_(flat, flat)] / len(kept) + decay * np.eye(15)
    pull = slopes[gone].sum(axis=0)

    given = {"inverse": inverse, "step": step, "random_state": 0}
    found = InfluenceUnlearner(FrozenEstimator(net), **given).fit(X, y).unlearn(indices=gone)
    expected = theta + step * np.linalg.solve(H, pull) / len(kept)
    assert weights_of(found.estimator_) == pytest.approx(expected, abs=1e-8)

    # What is to stay is the mean loss of the retained rows, without the penalty.
    wanted = slopes[kept].mean(axis=0) - decay * theta
    psi = slopes @ np.linalg.solve(H, wanted)
    shares = reweighting(psi[gone].sum()[None], psi[None, kept], penalty=0.1, l1_ratio=0.5)
    assert (shares != 0).any()
    pull = pull - shares @ slopes[kept]
    found = PUMAUnlearner(FrozenEstimator(net), penalty=0.1, **given).fit(X, y)
    found.unlearn(indices=gone)
    expected = theta + step * np.linalg.solve(H, pull) / 120
    assert weights_of(found.estimator_) == pytest.approx(expected, abs=1e-8)


def known_by_heart():
    """A net that knows random labels, far from a minimum of its curvature."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60)
    net = make_net(module__n_out=3, max_epochs=150, verbose=0)
    return net.fit(X, y), X, y


@pytest.mark.parametrize("cls", [InfluenceUnlearner, PUMAUnlearner])
def test_a_step_that_nobody_has_set_spares_the_retained_rows(cls):
    net, X, y = known_by_heart()

    def losses(**given):
        inverse = InverseCurvature(solver="ekfac", damping=0.02)
        unlearner = cls(FrozenEstimator(net), inverse=inverse, random_state=0, **given).fit(X, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            (log,) = unlearner.unlearn(indices=np.arange(6)).deletions_
        before, after = (log["measured"][f"retain_{k}"]["loss"] for k in ("before", "after"))
        return log.get("step"), after > before + max(0.1 * before, 0.02)

    assert losses(step=1.0) == (None, True)
    step, raised = losses()
    assert step < 1
    assert not raised


def test_a_step_that_holds_is_taken_whole():
    X, y = problem(200)
    net = logistic(X, y, 0.05)
    taken = exact(net).fit(X, y).unlearn(indices=np.arange(4))
    given = exact(net).set_params(step=1.0).fit(X, y).unlearn(indices=np.arange(4))
    assert taken.deletions_[0]["step"] == 1.0
    assert np.array_equal(weights_of(taken.estimator_), weights_of(given.estimator_))


def test_classes_that_are_gone_take_the_whole_step():
    net, X, y = known_by_heart()

    def weights(**given):
        unlearner = InfluenceUnlearner(FrozenEstimator(net), **QUICK, **given).fit(X, y)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return weights_of(unlearner.unlearn(indices=np.flatnonzero(y == 2)).estimator_)

    assert np.array_equal(weights(), weights(step=1.0))


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
