"""Gradient steps on a strongly convex objective: how much of a difference each step leaves."""

from dataclasses import dataclass

import numpy as np

from skunlearn.certified._logistic import lipschitz, smoothness


@dataclass(frozen=True)
class Contraction:
    """Constants of F over rows of norm up to a radius, for steps W ← W − step·∇F(W).

    Attributes
    ----------
    step : float
        2/(m + M), m = 1/C and M = n·smoothness + m.
    rate : float
        (M − m)/(M + m): two points are this much nearer after a step (Nesterov, theorem 2.1.15).
    shift : float
        Bound of the distance between the minimisers with and without one row, L/m: where the
        other gradient is zero, this one is that row's, and F grows by m in every direction. A
        request of k rows moves the minimiser by k times as much.
    """

    step: float
    rate: float
    shift: float

    @classmethod
    def of(cls, setting, n_rows):
        """The constants for a `Setting` and a number of rows."""
        m = setting.penalty
        high = n_rows * smoothness(setting.radius, setting.link) + m
        return cls(
            step=2 / (m + high),
            rate=(high - m) / (high + m),
            shift=lipschitz(setting.radius, setting.link) / m,
        )

    def steps_to(self, start, target):
        """Steps, at least one, that bring a distance of `start` to `target`."""
        if start <= target:
            return 1
        return max(1, int(np.ceil(np.log(target / start) / np.log(self.rate))))
