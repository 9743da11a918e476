"""Area under the ROC curve of members against non-members, and its confidence interval."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri
from scipy.stats import rankdata
from scipy.stats import t as student
from sklearn.utils import check_random_state

from skunlearn.metrics.matching import check_labels, check_weights

# DeLong's interval is symmetric and for large samples: beyond these the bootstrap takes over.
_DELONG_MIN_ROWS = 50
_DELONG_MAX_AUC = 0.9
_CHUNK = 2_000_000  # entries of a block of resamples, to bound memory


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes
    ----------
    estimate, low, high : float
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
    members, non_members, weights, _ = _check_sides(members, non_members, weights)
    return _auc(members, non_members, weights)


def delong_interval(members, non_members, *, confidence=0.95):
    """DeLong's interval of the AUC, for rows without weights.

    Parameters
    ----------
    members : array-like of shape (n_members,), float
    non_members : array-like of shape (n_non_members,), float
    confidence : float in (0, 1), default=0.95

    Returns
    -------
    Interval
        Clipped to [0, 1]. DeLong's variance is 0 where the scores separate the sides perfectly or
        are all equal, and undefined for a single row; the interval is then the "exact" one of
        `auc_interval`.

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
    members, non_members, weights, _ = _check_sides(members, non_members, None)
    z = _quantile(confidence)
    m, n = len(members), len(non_members)
    if min(m, n) == 1 or _is_degenerate(members, non_members):
        return _exact_interval(members, non_members, weights, confidence)
    ranks = rankdata(np.concatenate([members, non_members]))
    above = (ranks[:m] - rankdata(members)) / n  # share of non-members below each member
    below = 1 - (ranks[m:] - rankdata(non_members)) / m  # share of members above each non-member
    estimate = float(above.mean())
    se = float(np.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n))
    low, high = np.clip([estimate - z * se, estimate + z * se], 0.0, 1.0)
    return Interval(estimate, float(low), float(high), confidence, "DeLong", se)


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
    members, non_members, weights, strata = _check_sides(members, non_members, weights, strata)
    if member_strata is not None:
        member_strata = _check_strata(member_strata, len(members), "member_strata")
    _quantile(confidence)
    if not n_resamples >= 2:
        raise ValueError(f"n_resamples must be at least 2, got {n_resamples!r}.")
    rows = min(len(members), len(non_members))
    if rows == 1 or _is_degenerate(members, non_members):
        return _exact_interval(members, non_members, weights, confidence)
    estimate = _auc(members, non_members, weights)
    rng = check_random_state(random_state)
    se = _resample(members, non_members, weights, strata, member_strata, n_resamples, rng).std()
    if se < 1e-12:  # all variation lies between strata
        return _exact_interval(members, non_members, weights, confidence)
    arm = student.ppf(0.5 + confidence / 2, rows - 1) * se / (estimate * (1 - estimate))
    low, high = expit(logit(estimate) + np.array([-arm, arm]))
    return Interval(estimate, float(low), float(high), confidence, "bootstrap", float(se))


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
        Class labels of the non-members, used by the bootstrap.
    member_strata : array-like of shape (n_members,), default=None
        Class labels of the members, used by the bootstrap.
    confidence : float in (0, 1), default=0.95
    method : {"auto", "DeLong", "bootstrap"}, default="auto"
        "auto" is DeLong unless the rows that are used have unequal weights, a side has fewer than
        50 rows or the AUC lies outside [0.1, 0.9]; then it is the bootstrap.
    random_state : int, RandomState instance or None, default=None
        Seeds the bootstrap.

    Returns
    -------
    Interval

    Raises
    ------
    ValueError
        If a side is empty, a value is not finite, or DeLong is asked for with unequal weights.

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
    members, non_members, weights, strata = _check_sides(members, non_members, weights, strata)
    unequal = np.ptp(weights) > 1e-9 * weights.max()
    if method == "DeLong" and unequal:
        raise ValueError(
            "DeLong's interval is for rows of equal weight; use method='bootstrap' or 'auto'."
        )
    if method == "auto":
        few = min(len(members), len(non_members)) < _DELONG_MIN_ROWS
        extreme = abs(_auc(members, non_members, weights) - 0.5) > _DELONG_MAX_AUC - 0.5
        method = "bootstrap" if unequal or few or extreme else "DeLong"
    if method == "DeLong":
        return delong_interval(members, non_members, confidence=confidence)
    return bootstrap_interval(
        members,
        non_members,
        weights=weights,
        strata=strata,
        member_strata=member_strata,
        confidence=confidence,
        random_state=random_state,
    )


def _check_sides(members, non_members, weights, strata=None):
    """Both sides as float64, without the non-members of weight 0."""
    members = _check_scores(members, "members")
    non_members = _check_scores(non_members, "non_members")
    if strata is not None:
        strata = _check_strata(strata, len(non_members), "strata")
    if weights is None:
        return members, non_members, np.ones(len(non_members)), strata
    weights = check_weights(weights, len(non_members), "weights")
    used = weights > 0
    return members, non_members[used], weights[used], None if strata is None else strata[used]


def _check_strata(strata, n, name):
    strata = check_labels(strata, name)
    if len(strata) != n:
        raise ValueError(f"{name} must have shape ({n},), got {strata.shape}.")
    return strata


def _check_scores(scores, name):
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"{name} must hold one score per row, got shape {scores.shape}.")
    if len(scores) == 0:
        raise ValueError(f"{name} has no rows.")
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise ValueError(
            f"{name} holds NaN or infinity in {len(bad)} of {len(scores)} rows, first in row "
            f"{bad[0]}. Scores made from rounded probabilities overflow: make them from logits."
        )
    return scores


def _quantile(confidence):
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, got {confidence!r}.")
    return float(ndtri(0.5 + confidence / 2))


def _auc(members, non_members, weights):
    order = np.argsort(non_members)
    below = np.concatenate([[0.0], np.cumsum(weights[order])])
    left, right = _places(members, non_members[order])
    return float((below[left] + below[right]).mean() / (2 * below[-1]))


def _places(members, ordered):
    return np.searchsorted(ordered, members, "left"), np.searchsorted(ordered, members, "right")


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
    pairs = max(1, int(min(len(members), weights.sum() ** 2 / (weights**2).sum() + 1e-9)))
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


def _resample(members, non_members, weights, strata, member_strata, n_resamples, rng):
    """AUC of each resample, shape (n_resamples,)."""
    order = np.argsort(non_members)
    left, right = _places(members, non_members[order])
    weights = weights[order]
    groups = _groups(strata if strata is None else strata[order], len(non_members))
    member_groups = _groups(member_strata, len(members))
    block = max(1, _CHUNK // (len(members) + len(non_members)))
    values = []
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        above = _counts(member_groups, size, rng)
        mass = np.zeros((size, len(weights) + 1))
        np.cumsum(_counts(groups, size, rng) * weights, axis=1, out=mass[:, 1:])
        wins = np.einsum("ij,ij->i", above, mass[:, left] + mass[:, right])
        values.append(wins / (2 * above.sum(axis=1) * mass[:, -1]))
    return np.concatenate(values)


def _groups(strata, n):
    """Positions of each stratum's rows; no stratum is left with a single row."""
    if strata is None:
        return [np.arange(n)]
    codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)[1:]
    codes = np.where((sizes == 1)[codes], len(sizes), codes)
    groups = sorted((np.flatnonzero(codes == c) for c in np.unique(codes)), key=len)
    if len(groups) > 1 and len(groups[0]) == 1:
        groups[:2] = [np.sort(np.concatenate(groups[:2]))]
    return groups


def _counts(groups, size, rng):
    """How often each resample holds each row, scaled to the stratum's size; (size, n_rows)."""
    counts = np.empty((size, sum(map(len, groups))))
    for rows in groups:
        n = len(rows)
        drawn = rng.randint(n, size=(size, n - 1)) + n * np.arange(size)[:, None]
        tally = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
        counts[:, rows] = tally * (n / (n - 1))
    return counts
