"""What Gaussian noise proves: the exact (ε, δ) of two equal Gaussians at a distance."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtr

# The roots are rounded to the safe side by more than the tolerance with which they are found.
_TOLERANCE = 1e-12
_SAFE = 1e-9


def delta_of(distance, epsilon):
    """Smallest δ for which N(0, I) and N(v, I), ‖v‖ = `distance`, are (ε, δ)-indistinguishable.

    Balle and Wang (ICML 2018), theorem 8: Φ(d/2 − ε/d) − e^ε Φ(−d/2 − ε/d). It falls in ε and
    rises in the distance, so that an upper bound of the distance may stand for it.
    """
    if distance == 0:
        return 0.0
    at = epsilon / distance
    value = ndtr(distance / 2 - at) - np.exp(epsilon + log_ndtr(-distance / 2 - at))
    return float(max(value, 0.0))


def epsilon_of(distance, delta):
    """Smallest ε for which two Gaussians at this distance are (ε, δ)-indistinguishable."""
    if delta_of(distance, 0.0) <= delta:
        return 0.0
    high = 1.0
    while delta_of(distance, high) > delta:
        high *= 2
    root = brentq(lambda e: delta_of(distance, e) - delta, 0.0, high, xtol=_TOLERANCE)
    return float(root * (1 + _SAFE / 10) + _TOLERANCE)


def largest_distance(epsilon, delta):
    """Largest distance, in standard deviations, that (ε, δ) allows."""
    high = 1.0
    while delta_of(high, epsilon) < delta:
        high *= 2
    low = high
    while delta_of(low, epsilon) > delta:
        low /= 2
    root = brentq(lambda d: delta_of(d, epsilon) - delta, low, high, xtol=_TOLERANCE * low)
    return float(root * (1 - _SAFE))
