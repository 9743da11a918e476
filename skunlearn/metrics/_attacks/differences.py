"""Differences of AUCs to their references: intervals of one, and of several that hold together."""

import numpy as np
from scipy.stats import t as student

from skunlearn.metrics._statistics.interval_forms import Interval

_DRAWS = 20_000  # of the largest of several correlated differences


def difference_interval(ours, reference, correlation=0.0):
    """Interval of an AUC less its reference, an Interval or a float, from those of the two.

    Arms are added in squares, less what the two share (Zou, 2007, Psychological Methods 12,
    399–413, for correlated estimates): intervals of any form, also of skewed ones.
    """
    if not isinstance(reference, Interval):
        return Interval(
            ours.estimate - reference,
            ours.low - reference,
            ours.high - reference,
            ours.confidence,
            ours.method,
            ours.se,
        )
    down, up = ours.estimate - ours.low, ours.high - ours.estimate
    their_down = reference.estimate - reference.low
    their_up = reference.high - reference.estimate
    d = ours.estimate - reference.estimate
    low = d - _add(down, their_up, correlation)
    high = d + _add(up, their_down, correlation)
    se = _add(ours.se, reference.se, correlation)
    return Interval(d, float(low), float(high), ours.confidence, ours.method, float(se))


def _add(a, b, correlation):
    return np.sqrt(max(0.0, a**2 + b**2 - 2 * correlation * a * b))


def correlations(covariance):
    """Correlations; estimates that do not vary have none."""
    se = np.sqrt(np.diag(covariance))
    varies = se > 1e-12
    found = covariance / np.outer(np.where(varies, se, 1.0), np.where(varies, se, 1.0))
    found[~varies], found[:, ~varies] = 0.0, 0.0
    np.fill_diagonal(found, 1.0)
    return np.clip(found, -1.0, 1.0)


def shared_level(covariance, confidence, rows):
    """Level at which each of several intervals must stand for all to hold with `confidence`.

    The largest of several differences lies farther from 0 than one by itself does. How far follows
    from their joint distribution, Student's with ``rows - 1`` degrees of freedom: scores that say
    the same cost nothing, independent ones what Bonferroni's correction takes.
    """
    k = len(covariance)
    if k == 1:
        return confidence
    values, vectors = np.linalg.eigh(correlations(covariance))
    # Seeded: the same figures have the same interval.
    rng = np.random.default_rng(0)
    draws = rng.normal(size=(_DRAWS, k)) * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    draws /= np.sqrt(rng.chisquare(rows - 1, size=(_DRAWS, 1)) / (rows - 1))
    reach = np.quantile(np.abs(draws).max(axis=1), confidence)
    level = 1 - 2 * student.sf(reach, rows - 1)
    return float(np.clip(level, confidence, bonferroni(confidence, k)))


def bonferroni(confidence, k):
    """Level of each of k intervals that hold together whatever their joint distribution."""
    return 1 - (1 - confidence) / k
