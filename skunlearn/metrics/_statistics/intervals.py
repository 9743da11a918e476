"""Area under the ROC curve of members against non-members, and its confidence interval."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import t as student
from sklearn.utils import check_random_state

from skunlearn.metrics._statistics.resampling import resample
from skunlearn.metrics._statistics.strata import (
    are_equal,
    check_sides,
    check_strata,
    estimate_covariance,
    group,
    weigh_below,
)

# DeLong's variance is for large samples: beyond these the bootstrap takes over.
_DELONG_MIN_ROWS = 50
_DELONG_MIN_WEIGHTED = 300
_DELONG_MAX_AUC = 0.9
_DELONG_MAX_ARM = 0.2  # of the way from the AUC to 0 or 1, for one that is nearer to these


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


def auc(members, non_members, *, weights=None):
    """Probability that a member scores above a non-member; ties count one half.

    Parameters
    ----------
    members : array-like of shape (n_members,), float
    non_members : array-like of shape (n_non_members,), float
    weights : array-like of shape (n_non_members,), float, default=None
        Weights of the non-members, not negative; equal when None.

    Returns
    -------
    float
        In [0, 1]; 0.5 where the scores say nothing about membership.

    Raises
    ------
    ValueError
        If a side is empty, or a value is not finite.

    Notes
    -----
    O(n log n) by sorting the non-members.

    Examples
    --------
    >>> from skunlearn.metrics import auc
    >>> auc([2.0, 3.0], [1.0, 2.0])
    0.875
    """
    members, non_members, weights, _ = check_sides(members, non_members, weights)
    return _auc(members, non_members, weights)


def delong_interval(
    members, non_members, *, weights=None, strata=None, member_strata=None, confidence=0.95
):
    """DeLong's interval of the (weighted) AUC, in closed form.

    Parameters
    ----------
    members : array-like of shape (n_members,), float
    non_members : array-like of shape (n_non_members,), float
    weights : array-like of shape (n_non_members,), float, default=None
        Weights of the non-members, not negative; equal when None.
    strata : array-like of shape (n_non_members,), default=None
        Class labels of the non-members, of which the proportions are fixed.
    member_strata : array-like of shape (n_members,), default=None
        Class labels of the members.
    confidence : float in (0, 1), default=0.95

    Returns
    -------
    Interval
        Of rows without weights and strata, DeLong's AUC ± z·se, clipped to [0, 1]. With them, that
        of `bootstrap_interval` without its resamples: logit(AUC) ± t·se. DeLong's variance is 0
        where the scores separate the sides perfectly or are all equal, or rows vary only between
        strata, and undefined for a single row; the interval is then the "exact" one of
        `auc_interval`.

    Raises
    ------
    ValueError
        If a side is empty, a value is not finite, or weights or strata do not fit.

    See Also
    --------
    delong_covariance : Of the AUCs of several scores of the same rows.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988), "Comparing the areas under two or more correlated
    receiver operating characteristic curves: a nonparametric approach", Biometrics 44, 837–845.

    Sun and Xu (2014), "Fast implementation of DeLong's algorithm for comparing the areas under
    correlated receiver operating characteristic curves", IEEE Signal Processing Letters 21.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import delong_interval
    >>> rng = np.random.default_rng(0)
    >>> print(delong_interval(rng.normal(size=500), rng.normal(size=1000)))
    0.495 (95% interval 0.464–0.526, DeLong)
    """
    members, non_members, weights, strata = check_sides(members, non_members, weights, strata)
    member_strata = check_strata(member_strata, len(members), "member_strata")
    _quantile(confidence)
    if min(len(members), len(non_members)) == 1 or _is_degenerate(members, non_members):
        return _exact_interval(members, non_members, weights, confidence)
    groups, member_groups = group(strata, len(non_members)), group(member_strata, len(members))
    return _closed_interval(members, non_members, weights, groups, member_groups, confidence)


def delong_covariance(members, non_members, *, weights=None, strata=None, member_strata=None):
    """AUCs of several scores of the same rows, and how they vary together.

    Two attacks on the same rows err alike, so that their AUCs differ by less than two intervals
    would say: the variance of a difference, or of a maximum, takes the covariance.

    Parameters
    ----------
    members : array-like of shape (n_scores, n_members), float
        One row for each score.
    non_members : array-like of shape (n_scores, n_non_members), float
    weights, strata, member_strata
        See `delong_interval`.

    Returns
    -------
    estimates : ndarray of shape (n_scores,), float64
        As `auc` gives them.
    covariance : ndarray of shape (n_scores, n_scores), float64
        Of the estimates; its diagonal holds the squares of the standard errors.

    Raises
    ------
    ValueError
        If the numbers of scores differ, a side has fewer than two rows, a value is not finite, or
        weights or strata do not fit.

    References
    ----------
    DeLong, DeLong and Clarke-Pearson (1988), Biometrics 44, 837–845; see `delong_interval`.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import delong_covariance
    >>> rng = np.random.default_rng(0)
    >>> members, others = rng.normal(0.5, 1, 500), rng.normal(0.0, 1, 1000)
    >>> aucs, covariance = delong_covariance(
    ...     [members, members + rng.normal(size=500)], [others, others + rng.normal(size=1000)]
    ... )
    >>> gap = aucs[0] - aucs[1]
    >>> se = np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    >>> print(f"{gap:.3f} ± {se:.3f}, not {np.sqrt(np.trace(covariance)):.3f}")
    0.038 ± 0.013, not 0.022
    """
    if len(members) != len(non_members) or len(members) == 0:
        raise ValueError(
            f"members have {len(members)} scores and non_members {len(non_members)}: pass the same "
            "scores, at least one, of both sides."
        )
    sides = [check_sides(m, o, weights, strata) for m, o in zip(members, non_members, strict=True)]
    if len({len(m) for m, *_ in sides}) > 1 or len({len(o) for _, o, *_ in sides}) > 1:
        raise ValueError("All scores must be of the same rows: they differ in their number.")
    _, _, weights, strata = sides[0]
    members, non_members = (np.stack([side[i] for side in sides]) for i in (0, 1))
    rows, others = members.shape[1], non_members.shape[1]
    if min(rows, others) < 2:
        raise ValueError(f"{rows} members and {others} non-members: a variance takes two of each.")
    member_groups = group(check_strata(member_strata, rows, "member_strata"), rows)
    return estimate_covariance(members, non_members, weights, group(strata, others), member_groups)


def bootstrap_interval(
    members,
    non_members,
    *,
    weights=None,
    strata=None,
    member_strata=None,
    confidence=0.95,
    n_resamples=2000,
    random_state=None,
):
    """Stratified bootstrap interval of the (weighted) AUC.

    Members and non-members are resampled separately, and within strata where these are given, so
    that class proportions stay as they were matched.

    Parameters
    ----------
    members : array-like of shape (n_members,), float
    non_members : array-like of shape (n_non_members,), float
    weights : array-like of shape (n_non_members,), float, default=None
        Weights of the non-members, not negative; equal when None.
    strata : array-like of shape (n_non_members,), default=None
        Class labels of the non-members.
    member_strata : array-like of shape (n_members,), default=None
        Class labels of the members.
    confidence : float in (0, 1), default=0.95
    n_resamples : int, default=2000
    random_state : int, RandomState instance or None, default=None
        Seeds the resamples.

    Returns
    -------
    Interval
        On the logit scale, logit(AUC) ± t·se, with t of min(n_members, n_non_members) − 1 degrees
        of freedom. Of the method "exact" (see `auc_interval`) where resampling shows no variation.

    Notes
    -----
    One row fewer than there are is drawn from each stratum, which makes the variance unbiased in
    small strata (Rao and Wu); strata of a single row are pooled. The logit scale is used because
    percentile intervals were too short near 0 and 1: at a true AUC of 0.99 with 40 members and 200
    non-members they covered 87.3% of 600 simulated truths at a nominal 95%, this one 93.7%.

    References
    ----------
    Rao and Wu (1988), "Resampling inference with complex survey data", JASA 83, 231–241.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import bootstrap_interval
    >>> rng = np.random.default_rng(0)
    >>> print(bootstrap_interval(rng.normal(size=30), rng.normal(size=60), random_state=0))
    0.399 (95% interval 0.284–0.526, bootstrap)
    """
    members, non_members, weights, strata = check_sides(members, non_members, weights, strata)
    member_strata = check_strata(member_strata, len(members), "member_strata")
    _quantile(confidence)
    if not n_resamples >= 2:
        raise ValueError(f"n_resamples must be at least 2, got {n_resamples!r}.")
    rows = min(len(members), len(non_members))
    if rows == 1 or _is_degenerate(members, non_members):
        return _exact_interval(members, non_members, weights, confidence)
    estimate = _auc(members, non_members, weights)
    rng = check_random_state(random_state)
    se = resample(members, non_members, weights, strata, member_strata, n_resamples, rng).std()
    if se < 1e-12:  # all variation lies between strata
        return _exact_interval(members, non_members, weights, confidence)
    return _logit_interval(estimate, se, rows, confidence, "bootstrap")


def auc_interval(
    members,
    non_members,
    *,
    weights=None,
    strata=None,
    member_strata=None,
    confidence=0.95,
    method="auto",
    random_state=None,
):
    """The (weighted) AUC with a confidence interval suited to the sample.

    Parameters
    ----------
    members : array-like of shape (n_members,), float
    non_members : array-like of shape (n_non_members,), float
    weights : array-like of shape (n_non_members,), float, default=None
        Weights of the non-members, such as those of `match_weights`; equal when None. Rows of
        weight 0 are dropped.
    strata : array-like of shape (n_non_members,), default=None
        Class labels of the non-members, of which the proportions are fixed.
    member_strata : array-like of shape (n_members,), default=None
        Class labels of the members.
    confidence : float in (0, 1), default=0.95
    method : {"auto", "DeLong", "bootstrap"}, default="auto"
        "auto" is DeLong where rows are enough for it, and else the bootstrap: for fewer than 50
        rows on a side, or 300 where weights are unequal; and for an AUC outside [0.1, 0.9] unless
        it lies five times as far from 0 and 1 as the interval reaches.
    random_state : int, RandomState instance or None, default=None
        Seeds the bootstrap.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If a side is empty, a value is not finite, or weights or strata do not fit.

    Notes
    -----
    Both methods would give an interval of width 0 where the scores separate the sides perfectly
    or are all equal. There the interval is conservative and holds for any sample size (method
    "exact"): among k = min(n_members, n_non_members) disjoint pairs, all would be in order with
    probability AUC^k, so perfect separation gives [(α/2)^(1/k), 1], the Clopper–Pearson bound for
    k successes in k trials. Scores that are all equal give 0.5 ± (1 − (α/2)^(1/k))/2. Where rows
    vary only between strata, or a side has one row, it is Hoeffding's
    AUC ± sqrt(log(2/α)/(2k)). With weights, k uses Kish's effective number of non-members.

    Examples
    --------
    >>> from skunlearn.metrics import auc_interval
    >>> print(auc_interval(range(100, 160), range(100)))
    1.000 (95% interval 0.940–1.000, exact)
    """
    if method not in ("auto", "DeLong", "bootstrap"):
        raise ValueError(f"method must be 'auto', 'DeLong' or 'bootstrap', got {method!r}.")
    members, non_members, weights, strata = check_sides(members, non_members, weights, strata)
    member_strata = check_strata(member_strata, len(members), "member_strata")
    sides = {"weights": weights, "strata": strata, "member_strata": member_strata}
    if method != "bootstrap":
        found = delong_interval(members, non_members, confidence=confidence, **sides)
        if method == "DeLong" or found.method == "exact" or _is_settled(found, members, weights):
            return found
    return bootstrap_interval(
        members, non_members, confidence=confidence, random_state=random_state, **sides
    )


def _is_settled(interval, members, weights):
    """Whether there are rows enough for an interval by the normal approximation."""
    needed = _DELONG_MIN_ROWS if are_equal(weights) else _DELONG_MIN_WEIGHTED
    few = min(len(members), len(weights)) < needed
    room = min(interval.estimate, 1 - interval.estimate)
    near = room < 1 - _DELONG_MAX_AUC
    arm = _quantile(interval.confidence) * interval.se
    return not few and (not near or arm <= _DELONG_MAX_ARM * room)


def _closed_interval(members, non_members, weights, groups, member_groups, confidence):
    """DeLong's interval of sides that are not degenerate."""
    (estimate,), ((variance,),) = estimate_covariance(
        members[None], non_members[None], weights, groups, member_groups
    )
    estimate, se = float(estimate), float(np.sqrt(variance))
    if se < 1e-12:  # all variation lies between strata
        return _exact_interval(members, non_members, weights, confidence)
    if not are_equal(weights) or len(groups) > 1 or len(member_groups) > 1:
        rows = min(len(members), len(non_members))
        return _logit_interval(estimate, se, rows, confidence, "DeLong")
    z = _quantile(confidence)
    low, high = np.clip([estimate - z * se, estimate + z * se], 0.0, 1.0)
    return Interval(estimate, float(low), float(high), confidence, "DeLong", se)


def _logit_interval(estimate, se, rows, confidence, method):
    arm = student.ppf(0.5 + confidence / 2, rows - 1) * se / (estimate * (1 - estimate))
    low, high = expit(logit(estimate) + np.array([-arm, arm]))
    return Interval(estimate, float(low), float(high), confidence, method, float(se))


def _quantile(confidence):
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}.")
    return float(ndtri(0.5 + confidence / 2))


def _auc(members, non_members, weights):
    return float(weigh_below(members, non_members, weights).mean())


def _is_degenerate(members, non_members):
    """Whether the sides are separated perfectly, or every row ties with every other."""
    return (
        members.min() > non_members.max()
        or members.max() < non_members.min()
        or np.ptp(members) == np.ptp(non_members) == members[0] - non_members[0] == 0
    )


def _exact_interval(members, non_members, weights, confidence):
    """Conservative interval from disjoint pairs; see the notes of `auc_interval`."""
    estimate = _auc(members, non_members, weights)
    alpha = 1 - confidence
    kish = weights.sum() ** 2 / (weights**2).sum()  # rows of equal weight that would say as much
    pairs = max(1, int(min(len(members), kish + 1e-9)))
    bound = (alpha / 2) ** (1 / pairs)
    if members.min() > non_members.max():
        estimate, low, high = 1.0, bound, 1.0
    elif members.max() < non_members.min():
        estimate, low, high = 0.0, 0.0, 1 - bound
    elif _is_degenerate(members, non_members):
        estimate, low, high = 0.5, bound / 2, 1 - bound / 2
    else:
        arm = np.sqrt(np.log(2 / alpha) / (2 * pairs))
        low, high = np.clip([estimate - arm, estimate + arm], 0.0, 1.0)
    se = max(estimate - low, high - estimate) / _quantile(confidence)
    return Interval(estimate, float(low), float(high), confidence, "exact", float(se))
