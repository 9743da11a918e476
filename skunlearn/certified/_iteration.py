"""Privacy amplification by iteration, for steps of any loss whose gradients are clipped."""

from dataclasses import dataclass

import numpy as np

from skunlearn.certified import _gaussian

ROUNDING = 1e-4  # of lengths that were clipped in the numbers of a net


@dataclass(frozen=True)
class ClippedGradients:
    """x ← (1 − γλ)x − γ·clip(g) + N(0, σ²I), from any start that was clipped.

    Attributes
    ----------
    start : float
        C₀, norm to which the start is clipped.
    gradient : float
        C₁, norm to which every gradient is clipped.
    rate : float
        γ.
    decay : float
        λ, with γλ < 1.
    steps : int
        T.
    """

    start: float
    gradient: float
    rate: float
    decay: float
    steps: int

    kind = "gradient clipping; clipped weights and gradients"
    weights = np.inf  # which are clipped before the first step only

    def spread(self):
        """Bound of the distance of two runs, in units of σ = 1.

        Two starts are within 2C₀, and each step adds 2γC₁ at most, wherever the two stand. The
        distance that is left after a step is c = 1 − γλ times that before it: B = 2C₀c^T +
        2γC₁Σc^k in all. Shifts of a_t = B·c^(T−1−t)/Σc^(2k) in the noise of step t make the two
        equal at the end, and cost √Σa_t² = B/√Σc^(2k) standard deviations together.
        """
        powers = (1 - self.rate * self.decay) ** np.arange(self.steps + 1.0)
        between = 2 * self.start * powers[-1] + 2 * self.rate * self.gradient * powers[:-1].sum()
        return float(between * (1 + ROUNDING) / np.sqrt(np.square(powers[:-1]).sum()))

    def sigma(self, epsilon, delta):
        """Smallest σ of a step that proves (ε, δ)."""
        return self.spread() / _gaussian.largest_distance(epsilon, delta)

    def epsilon(self, sigma, delta):
        """What noise of this σ proves."""
        return _gaussian.epsilon_of(self.spread() / sigma, delta)
