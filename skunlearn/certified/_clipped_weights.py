"""What noise hides of weights that are clipped after every step, by contraction."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from skunlearn.certified._gaussian import delta_of
from skunlearn.certified._iteration import ROUNDING

_TOLERANCE, _SAFE = 1e-10, 1e-8  # of a root, and by how much it is rounded to the safe side


@dataclass(frozen=True)
class ClippedWeights:
    """x ← clip(x − γ(g + λx), C₂) + N(0, σ²I), from any start.

    Attributes
    ----------
    weights : float
        C₂, norm to which the weights are clipped after every step.
    rate : float
        γ.
    decay : float
        λ.
    steps : int
        T.
    """

    weights: float
    rate: float
    decay: float
    steps: int

    kind = "model clipping; weights clipped after every step"
    start = gradient = np.inf  # which are not clipped

    def delta(self, sigma, epsilon):
        """δ for which the steps with this noise prove ε.

        Two runs whose weights were clipped are 2C₂ apart at most. A step of noise multiplies
        the δ that holds before it, at first 1, by θ(ε'), the δ of two Gaussians at that distance,
        at ε' = ln(1 + (e^ε − 1)/δ): the contraction of hockey-stick divergences by a kernel.
        """
        distance, delta = 2 * self.weights * (1 + ROUNDING) / sigma, 1.0
        for _ in range(self.steps):
            if delta < 1e-200:
                return delta
            # log1p would overflow for large ε.
            at = np.logaddexp(0.0, epsilon + np.log(-np.expm1(-epsilon)) - np.log(delta))
            delta *= delta_of(distance, at)
        return delta

    def sigma(self, epsilon, delta):
        """Smallest σ of a step that proves (ε, δ)."""
        high = self.weights
        while self.delta(high, epsilon) > delta:
            high *= 2
        low = high
        while self.delta(low, epsilon) <= delta:
            low /= 2
        root = brentq(lambda s: self.delta(s, epsilon) - delta, low, high, xtol=_TOLERANCE * low)
        return float(root * (1 + _SAFE))

    def epsilon(self, sigma, delta):
        """What noise of this σ proves."""
        low, high = 1e-12, 1.0
        if self.delta(sigma, low) <= delta:
            return 0.0
        while self.delta(sigma, high) > delta:
            high *= 2
        root = brentq(lambda e: self.delta(sigma, e) - delta, low, high, xtol=_TOLERANCE)
        return float(root * (1 + _SAFE) + _TOLERANCE)
