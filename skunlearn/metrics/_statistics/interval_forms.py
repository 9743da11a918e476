"""An estimate with its confidence interval, and the forms that intervals of an AUC take."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import t as student

__all__ = ["Interval"]


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes
    ----------
    estimate : float
        The figure.
    low : float
        Lower end of its interval.
    high : float
        Upper end.
    confidence : float
        Nominal coverage, 0.95 for a 95% interval.
    method : str
        "DeLong", "bootstrap" or "exact".
    se : float
        Standard error. Of the method "exact": the longer arm of the interval over the normal
        quantile, so that it is never 0.

    Examples
    --------
    >>> from skunlearn.metrics import Interval
    >>> interval = Interval(0.503, 0.47, 0.54, 0.95, "DeLong", 0.017)
    >>> print(interval)
    0.503 (95% interval 0.470–0.540, DeLong)
    >>> 0.5 in interval
    True
    """

    estimate: float
    low: float
    high: float
    confidence: float
    method: str
    se: float

    def __contains__(self, value):
        return self.low <= value <= self.high

    def __str__(self):
        return (
            f"{self.estimate:.3f} ({100 * self.confidence:g}% interval {self.low:.3f}–"
            f"{self.high:.3f}, {self.method})"
        )


def normal_interval(estimate, se, confidence, method):
    """Estimate ± z·se, clipped to [0, 1]."""
    z = quantile(confidence)
    low, high = np.clip([estimate - z * se, estimate + z * se], 0.0, 1.0)
    return Interval(estimate, float(low), float(high), confidence, method, se)


def logit_interval(estimate, se, rows, confidence, method):
    """logit(estimate) ± t·se."""
    arm = student.ppf(0.5 + confidence / 2, rows - 1) * se / (estimate * (1 - estimate))
    low, high = expit(logit(estimate) + np.array([-arm, arm]))
    return Interval(estimate, float(low), float(high), confidence, method, float(se))


def exact_interval(estimate, members, non_members, weights, confidence):
    """Conservative interval from disjoint pairs; see the notes of `auc_interval`."""
    alpha = 1 - confidence
    kish = weights.sum() ** 2 / (weights**2).sum()  # rows of equal weight that would say as much
    pairs = max(1, int(min(len(members), kish + 1e-9)))
    bound = (alpha / 2) ** (1 / pairs)
    if members.min() > non_members.max():
        estimate, low, high = 1.0, bound, 1.0
    elif members.max() < non_members.min():
        estimate, low, high = 0.0, 0.0, 1 - bound
    elif is_degenerate(members, non_members):
        estimate, low, high = 0.5, bound / 2, 1 - bound / 2
    else:
        arm = np.sqrt(np.log(2 / alpha) / (2 * pairs))
        low, high = np.clip([estimate - arm, estimate + arm], 0.0, 1.0)
    se = max(estimate - low, high - estimate) / quantile(confidence)
    return Interval(estimate, float(low), float(high), confidence, "exact", float(se))


def is_degenerate(members, non_members):
    """Whether the sides are separated perfectly, or every row ties with every other."""
    return (
        members.min() > non_members.max()
        or members.max() < non_members.min()
        or np.ptp(members) == np.ptp(non_members) == members[0] - non_members[0] == 0
    )


def quantile(confidence):
    """Normal quantile of a two-sided interval."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}.")
    return float(ndtri(0.5 + confidence / 2))
