"""By which error of its rows a regression is judged: its criterion's, where that has one a row."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import huber, xlogy

from skunlearn._torch import skorch_nets
from skunlearn._torch.parts.net_kinds import make_criterion
from skunlearn._torch.parts.net_state import uncompiled


@dataclass(frozen=True)
class RowError:
    """The error of each row of a regression, never negative and zero where all is right.

    Attributes
    ----------
    name : str
    values : callable
        Errors of predictions and targets, float64 arrays of the same shape.
    """

    name: str
    values: Callable

    def of(self, predicted, y):
        """Error of each row, a mean over its targets.

        Parameters
        ----------
        predicted, y : array-like of shape (n,) or (n, n_targets)

        Returns
        -------
        errors : ndarray of shape (n,), float64
        """
        y = np.asarray(y, dtype=np.float64)
        predicted = np.asarray(predicted, dtype=np.float64).reshape(y.shape)
        return self.values(predicted, y).reshape(len(y), -1).mean(axis=1)

    def of_constant(self, y):
        """Mean error of the better constant, of the mean of the targets and their median."""
        y = np.asarray(y, dtype=np.float64)
        guesses = y.mean(axis=0), np.median(y, axis=0)
        return min(self.of(np.broadcast_to(guess, y.shape), y).mean() for guess in guesses)


SQUARED_ERROR = RowError("squared error", lambda predicted, y: (predicted - y) ** 2)


def find_row_error(estimator, targets):
    """The error by which a regression is judged.

    That of a net's criterion where it is L1, smooth L1 or Huber; for Poisson's likelihood the
    deviance, as in scikit-learn, which is its loss less what depends on the target alone, twice;
    for everything else the squared one.

    Parameters
    ----------
    estimator : skorch net or scikit-learn estimator, fitted or not
    targets : iterable of ndarray
        Those of the rows that will be judged: of negative ones there is no deviance.

    Returns
    -------
    error : RowError
    """
    net = skorch_nets.unwrap(estimator)
    if not skorch_nets.is_net(net):
        return SQUARED_ERROR
    criterion = uncompiled(make_criterion(net))
    kind = type(criterion)  # a subclass may compute something else
    if kind is torch.nn.L1Loss or (kind is torch.nn.SmoothL1Loss and not criterion.beta):
        return RowError("absolute error", lambda predicted, y: np.abs(predicted - y))
    if kind is torch.nn.HuberLoss:
        delta = criterion.delta
        return RowError(f"Huber loss (delta={delta:g})", lambda p, y: huber(delta, p - y))
    if kind is torch.nn.SmoothL1Loss:
        beta = criterion.beta
        return RowError(f"smooth L1 loss (beta={beta:g})", lambda p, y: huber(beta, p - y) / beta)
    if kind is torch.nn.PoissonNLLLoss and all((y >= 0).all() for y in targets):
        # Predictions are counts where the net is told how to make them, see `inference.values`.
        logs = criterion.log_input and not callable(net.predict_nonlinearity)
        return RowError("Poisson deviance", lambda p, y: _deviance(np.exp(p) if logs else p, y))
    return SQUARED_ERROR


def _deviance(rate, y):
    rate = np.maximum(rate, np.finfo(np.float64).tiny)
    return np.maximum(2 * (xlogy(y, y) - xlogy(y, rate) - y + rate), 0)
