"""Scores of two sides and their strata: checks, and what of the AUC each row accounts for."""

import numpy as np

from skunlearn.metrics._statistics.matching import check_labels, check_weights


def check_sides(members, non_members, weights, strata=None):
    """Both sides as float64, without the non-members of weight 0."""
    members = check_scores(members, "members")
    non_members = check_scores(non_members, "non_members")
    if strata is not None:
        strata = check_strata(strata, len(non_members), "strata")
    if weights is None:
        return members, non_members, np.ones(len(non_members)), strata
    weights = check_weights(weights, len(non_members), "weights")
    used = weights > 0
    return members, non_members[used], weights[used], None if strata is None else strata[used]


def check_strata(strata, n, name):
    """Labels of n rows, or None."""
    if strata is None:
        return None
    strata = check_labels(strata, name)
    if len(strata) != n:
        raise ValueError(f"{name} must have shape ({n},), got {strata.shape}.")
    return strata


def check_scores(scores, name):
    """Scores as a 1-D float64 array, finite and not empty."""
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


def are_equal(weights):
    """Whether weights differ by no more than rounding."""
    return bool(np.ptp(weights) <= 1e-9 * weights.max())


def group(strata, n):
    """Positions of each stratum's rows; no stratum is left with a single row."""
    if strata is None:
        return [np.arange(n)]
    codes, sizes = np.unique(strata, return_inverse=True, return_counts=True)[1:]
    codes = np.where((sizes == 1)[codes], len(sizes), codes)
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    groups.sort(key=len)
    if len(groups) > 1 and len(groups[0]) == 1:
        groups[:2] = [np.sort(np.concatenate(groups[:2]))]
    return groups


def find_places(scores, ordered):
    """How many of the `ordered` scores lie below each score, and how many do or tie with it."""
    return np.searchsorted(ordered, scores, "left"), np.searchsorted(ordered, scores, "right")


def weigh_below(scores, others, weights):
    """Share of the weight of `others` that lies below each score; ties count one half."""
    order = np.argsort(others)
    return _weigh_below(scores, others[order], weights[order])


def _weigh_below(scores, ordered, weights):
    mass = np.concatenate([[0.0], np.cumsum(weights)])
    left, right = find_places(scores, ordered)
    return (mass[left] + mass[right]) / (2 * mass[-1])


def estimate_covariance(members, non_members, weights, groups, member_groups):
    """AUC of each of k scores, and DeLong's covariance of them, in O(k n log n).

    The AUC is a mean over members, and a weighted one over non-members, of each row's share of
    the other side that it stands on the right side of. What these shares vary by within strata
    is what it varies by: the limit of a bootstrap of ever more resamples within strata.

    Parameters
    ----------
    members : ndarray of shape (k, n_members)
    non_members : ndarray of shape (k, n_non_members)
    weights : ndarray of shape (n_non_members,), positive
    groups, member_groups : list of ndarray of int
        Positions of each stratum's rows, from `group`.

    Returns
    -------
    estimates : ndarray of shape (k,)
    covariance : ndarray of shape (k, k)
    """
    own = np.ones(members.shape[1])
    above, below = np.empty(members.shape), np.empty(non_members.shape)
    for k, (m, o) in enumerate(zip(members, non_members, strict=True)):
        # Sorted, as looking up a sorted row after another takes a third of the time.
        by_m, by_o = np.argsort(m), np.argsort(o)
        above[k, by_m] = _weigh_below(m[by_m], o[by_o], weights[by_o])
        below[k, by_o] = 1 - _weigh_below(o[by_o], m[by_m], own)
    estimates = above.mean(axis=1)
    spread = np.zeros((len(members),) * 2)
    for shares, mass, rows in ((above, own, member_groups), (below, weights, groups)):
        spread += _within((shares - estimates[:, None]) * (mass / mass.sum()), rows)
    return estimates, spread


def _within(parts, groups):
    """Covariance of the sums of independent parts, from their spread within strata."""
    total = np.zeros((len(parts),) * 2)
    for rows in groups:
        n = len(rows)
        if n > 1:
            apart = parts[:, rows] - parts[:, rows].mean(axis=1, keepdims=True)
            total += n / (n - 1) * (apart @ apart.T)
    return total
