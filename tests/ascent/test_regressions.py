"""Ascent in regressions of other criteria than the squared error."""

import functools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from skorch import NeuralNetRegressor
from torch import nn

from skunlearn import NegGradPlusUnlearner, RetrainUnlearner
from skunlearn._torch.row_losses import guess_loss, guess_training_loss, row_losses
from tests.instances import MLP
from tests.turns import in_turns

CRITERIA = [nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.PoissonNLLLoss]
FORGET = np.arange(20)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def make(criterion, **params):
    counts = criterion is nn.PoissonNLLLoss
    return NeuralNetRegressor(
        MLP, module__hidden=256, module__n_out=1, criterion=criterion, lr=0.01 if counts else 0.02,
        optimizer__momentum=0.9, max_epochs=120, batch_size=32, iterator_train__shuffle=True,
        train_split=None, verbose=0, predict_nonlinearity=torch.exp if counts else None, **params,
    )  # fmt: skip


@functools.cache
def memorised(criterion):
    """Noisy values that a net knows by heart, its state, and errors after a retraining."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 8)).astype(np.float32)
    y = np.sin(2 * X[:, 0]) + X[:, 1] + rng.normal(size=200)
    if criterion is nn.PoissonNLLLoss:
        y = rng.poisson(np.exp(np.clip(y, -2, 2)))
    y = y[:, None].astype(np.float32)
    fitted = RetrainUnlearner(make(criterion), random_state=0).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    before = errors(fitted, X, y)
    return X, y, state, before, errors(fitted.unlearn(indices=FORGET), X, y)


def errors(model, X, y):
    """Mean squared errors on forget and retained rows, over the variance."""
    found = (model.predict(X) - y)[:, 0] ** 2 / y.var()
    return np.array([found[FORGET].mean(), np.delete(found, FORGET).mean()])


def forgotten(criterion, indices=FORGET, **params):
    state = memorised(criterion)[2]
    unlearner = NegGradPlusUnlearner(make(criterion), **({"random_state": 0} | params))
    vars(unlearner).update(state)
    return unlearner.unlearn(indices=indices)


@pytest.mark.parametrize("criterion", in_turns(CRITERIA, 0, every=2))
def test_at_least_half_of_the_way_to_a_retrained_net(criterion):
    X, y, _, before, wanted = memorised(criterion)
    wanted = np.minimum(wanted, 1)  # one that knows nothing says a constant
    after = errors(forgotten(criterion), X, y)
    assert after[0] > (before[0] + wanted[0]) / 2, (before, after, wanted)
    assert after[0] < 3 * wanted[0]
    assert after[1] < max(before[1], wanted[1]) + 0.05


@pytest.mark.parametrize("criterion", CRITERIA[1:3])
def test_it_is_the_forget_rows_that_lose(criterion):
    X, y, *_ = memorised(criterion)
    others, ours, again = (
        errors(forgotten(criterion, rows), X, y) for rows in (np.arange(100, 120), FORGET, FORGET)
    )
    assert others[0] < ours[0] / 2
    assert np.array_equal(ours, again)


@pytest.mark.parametrize("criterion", CRITERIA[:4])
def test_rows_are_pushed_by_the_loss_that_the_net_was_trained_with(criterion):
    rng = np.random.default_rng(1)
    out, y = (torch.from_numpy(rng.normal(size=(50, 2)) * 3) for _ in range(2))
    net = make(criterion).initialize()
    losses = row_losses(net, out, y, None)
    assert losses.shape == (50,)
    torch.testing.assert_close(losses.mean(), criterion()(out, y))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_one_who_has_learnt_nothing_says_a_constant(criterion):
    y = np.exp(np.random.default_rng(0).normal(size=(301, 1)))  # mean and median are apart
    net = make(criterion).initialize()
    target = torch.from_numpy(y)
    least = minimize_scalar(
        lambda c: float(criterion()(torch.full_like(target, c), target)), bounds=(-3, 3)
    ).fun
    found = guess_training_loss(net, y, None)
    assert least <= found + 1e-6
    assert found == pytest.approx(least, rel=0.02)
    if criterion is nn.PoissonNLLLoss:  # of which rows are pushed by the squared error
        assert guess_loss(net, y, None) == pytest.approx(y.var())
    else:
        assert guess_loss(net, y, None) == found
