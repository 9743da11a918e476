"""The error by which a regression is judged is its criterion's."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mean_poisson_deviance
from torch import nn

from skunlearn._torch.row_errors import SQUARED_ERROR, find_row_error
from tests.instances import make_regressor_net


def find(criterion, y, **settings):
    return find_row_error(make_regressor_net(criterion=criterion, **settings), [y])


@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize(
    ("criterion", "settings", "name"),
    [
        (nn.L1Loss, {}, "absolute error"),
        (nn.SmoothL1Loss, {"beta": 0.3}, "smooth L1 loss (beta=0.3)"),
        (nn.HuberLoss, {"delta": 0.3}, "Huber loss (delta=0.3)"),
        (nn.MSELoss, {}, "squared error"),
    ],
)
def test_errors_are_the_criterions(criterion, settings, name, width):
    rng = np.random.default_rng(0)
    said, y = rng.normal(size=(2, 50, width))
    error = find(criterion, y, **{f"criterion__{key}": v for key, v in settings.items()})
    assert error.name == name
    loss = criterion(reduction="none", **settings)(torch.from_numpy(said), torch.from_numpy(y))
    np.testing.assert_allclose(error.of(said, y), loss.mean(dim=1).numpy())
    assert error.of_constant(y) <= error.of(np.zeros_like(y), y).mean()


def test_counts_are_judged_by_their_deviance():
    rng = np.random.default_rng(0)
    y, rate = rng.poisson(2.0, size=60).astype(float), rng.uniform(0.1, 4.0, size=60)
    told = find(nn.PoissonNLLLoss, y, predict_nonlinearity=torch.exp)
    logs = find(nn.PoissonNLLLoss, y)
    rates = find(nn.PoissonNLLLoss, y, criterion__log_input=False)
    assert told.name == "Poisson deviance"
    for error, said in ((told, rate), (logs, np.log(rate)), (rates, rate)):
        assert error.of(said, y).mean() == pytest.approx(mean_poisson_deviance(y, rate))
    np.testing.assert_allclose(told.of(y, y), 0, atol=1e-300)
    assert np.isfinite(told.of(np.zeros(60), y)).all()
    # Differences of two models are those of twice the loss.
    loss = nn.PoissonNLLLoss(reduction="none")
    other = rng.uniform(0.1, 4.0, size=60)
    a, b = (loss(torch.tensor(np.log(p)), torch.tensor(y)).numpy() for p in (rate, other))
    np.testing.assert_allclose(told.of(rate, y) - told.of(other, y), 2 * (a - b))
    assert find(nn.PoissonNLLLoss, -1 - y) is SQUARED_ERROR


def test_everything_else_is_judged_by_squared_errors():
    class Own(nn.L1Loss):
        """May compute anything."""

    y = np.zeros(3)
    assert find(Own, y) is SQUARED_ERROR
    assert find_row_error(LinearRegression(), [y]) is SQUARED_ERROR
    assert find(nn.L1Loss(), y).name == "absolute error"  # an instance
    assert find(nn.SmoothL1Loss, y, criterion__beta=0.0).name == "absolute error"
