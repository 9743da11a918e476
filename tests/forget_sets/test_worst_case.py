"""Worst-case forget sets: the projection, the two levels, and that methods find them hard."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from skunlearn import FineTuneUnlearner, NegGradPlusUnlearner, ProximalUnlearner
from skunlearn._rows.seeding import derive_seed
from skunlearn._torch import skorch_nets
from skunlearn._torch.observation import observe
from skunlearn.datasets import load_digits_images
from skunlearn.forget_sets import random_forget_set, worst_case_forget_set
from skunlearn.forget_sets.worst_case import project
from skunlearn.nets import digits_classifier
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import make_regressor_net
from tests.small import net, quiet


@pytest.mark.parametrize("k", [1, 3, 7])
def test_projection_is_the_nearest_point(k):
    """Against scipy's SLSQP on the same quadratic program."""
    a = np.random.default_rng(k).normal(0.3, 0.8, 9)
    found = project(a, k)
    solved = minimize(
        lambda w: ((w - a) ** 2).sum(),
        np.full(9, k / 9),
        jac=lambda w: 2 * (w - a),
        bounds=[(0, 1)] * 9,
        constraints={"type": "eq", "fun": lambda w: w.sum() - k},
        options={"ftol": 1e-14},
    )
    assert solved.success
    assert found == pytest.approx(solved.x, abs=1e-6)
    assert found.sum() == pytest.approx(k)


def test_weights_in_the_set_stay(data):
    assert project(np.array([1.0, 0.0, 1.0, 0.0]), 2).tolist() == [1, 0, 1, 0]
    assert project(np.full(4, 7.0), 2) == pytest.approx([0.5] * 4)


@pytest.fixture
def fitted(data):
    return FineTuneUnlearner(net(), random_state=0).fit(*data)


def by_hand(model, X, y, weight, lr, seed):
    """Two passes of sign steps on weighted cross-entropy, in plain torch."""
    x, t = torch.from_numpy(X), torch.from_numpy(y)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        new = skorch_nets.copy_net(model)  # draws too
        module = new.module_.train()
        for _ in range(2):
            for batch in torch.randperm(len(y)).split(16):
                losses = torch.nn.functional.cross_entropy(
                    module(x[batch]), t[batch], reduction="none"
                )
                module.zero_grad()
                (torch.as_tensor(weight)[batch] * losses).sum().backward()
                for p in module.parameters():
                    p.data -= lr * p.grad.sign()
    return new


def test_two_rounds_by_hand(fitted, data):
    X, y = data
    w, objective = np.full(60, 0.1), []
    for t in range(2):
        tuned = by_hand(
            fitted.estimator_, X, y, (1 - w).astype(np.float32), 0.01, derive_seed(5, t)
        )
        losses = observe(tuned, fitted._record.view(np.arange(60)), fitted.classes_).losses()
        w = project(w - 0.5 * (losses / losses.mean() + 2 * 0.1 * w), 6)
        objective.append(w @ losses / 6)
    found = worst_case_forget_set(
        fitted, X, y, 6, n_iter=2, step=0.5, gamma=0.1, lr=0.01, random_state=5
    )
    assert found.details["weights"] == pytest.approx(w, abs=1e-5)
    assert found.details["objective"] == pytest.approx(objective, abs=1e-5)
    assert set(found.indices) == set(np.argsort(-w)[:6])
    first = by_hand(fitted.estimator_, X, y, np.full(60, 0.9, np.float32), 0.01, derive_seed(5, 0))
    losses = observe(first, fitted._record.view(np.arange(60)), fitted.classes_).losses()
    proxy = worst_case_forget_set(fitted, X, y, 6, method="loss", lr=0.01, random_state=5)
    assert set(proxy.indices) == set(np.argsort(losses)[:6])
    assert proxy.details["losses"] == pytest.approx(losses[proxy.mask], abs=1e-5)


def test_the_model_is_only_read(fitted, data):
    X, y = data
    before, state = parameters(fitted.estimator_), torch.get_rng_state()
    found = worst_case_forget_set(fitted, X, y, 6, n_iter=2, random_state=0)
    assert same_parameters(parameters(fitted.estimator_), before)
    assert torch.equal(torch.get_rng_state(), state)
    same = worst_case_forget_set(fitted.estimator_, X, y, 6, n_iter=2, random_state=0)
    assert np.array_equal(same.details["weights"], found.details["weights"])
    other = worst_case_forget_set(fitted, X, y, 6, n_iter=2, random_state=1)
    assert not np.array_equal(other.details["weights"], found.details["weights"])


@quiet
def test_regression_nets(data):
    X, _ = data
    unlearner = FineTuneUnlearner(make_regressor_net(max_epochs=5), random_state=0)
    unlearner.fit(X, X[:, 0])
    assert len(worst_case_forget_set(unlearner, X, X[:, 0], 6, n_iter=2, random_state=0)) == 6


@pytest.mark.parametrize(
    ("bad", "error", "match"),
    [
        ({"method": "best"}, ValueError, "'bilevel' or 'loss'"),
        ({"n_iter": 0}, ValueError, "n_iter"),
        ({"lr": 0.0}, ValueError, "lr"),
        ({"step": np.inf}, ValueError, "step"),
        ({"gamma": -1.0}, ValueError, "gamma"),
        ({"max_epochs": 1.5}, TypeError, "max_epochs"),
        ({"size": 60}, ValueError, "leave rows"),
        ({"size": 61}, ValueError, "there are 60 rows"),
        ({"lr": 1e30}, ValueError, "take a smaller lr"),
    ],
)
def test_bad_parameters(fitted, data, bad, error, match):
    with pytest.raises(error, match=match):
        worst_case_forget_set(fitted, *data, **({"size": 6} | bad))


def test_only_nets(data):
    X, y = data
    with pytest.raises(TypeError, match="needs a skorch net"):
        worst_case_forget_set(LogisticRegression().fit(X, y), X, y)


def still_fitted(unlearner, method, mask):
    """Mean loss of the rows after a copy of the fitted unlearner's net has forgotten them."""
    worker = method(unlearner.estimator, random_state=0)
    own = worker.get_params(deep=False)
    vars(worker).update({k: v for k, v in vars(unlearner).items() if k not in own})
    worker.unlearn(indices=np.flatnonzero(mask))
    return worker.deletions_[-1]["measured"]["forget_after"]["loss"]


@quiet
def test_harder_than_random_rows():
    X, y = (a[:500] for a in load_digits_images(return_X_y=True))
    unlearner = FineTuneUnlearner(digits_classifier(max_epochs=10), random_state=0).fit(X, y)
    random = random_forget_set(y, 50, random_state=0)
    for method in ("bilevel", "loss"):
        worst = worst_case_forget_set(unlearner, X, y, 50, method=method, n_iter=5, random_state=0)
        for forgets in (FineTuneUnlearner, NegGradPlusUnlearner, ProximalUnlearner):
            losses = [still_fitted(unlearner, forgets, s.mask) for s in (worst, random)]
            assert losses[0] < losses[1] / 2, (method, forgets, losses)
