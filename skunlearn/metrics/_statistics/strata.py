"""Scores of two sides and their strata: checks, and how they vary within strata."""

import numpy as np

from skunlearn.metrics._arrays import to_array
from skunlearn.metrics._statistics.matching import check_labels


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
    scores = to_array(scores, dtype=np.float64)
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


def encode(labels):
    """Place of each label among the distinct ones, and how often each of these occurs."""
    if labels.dtype.kind in "iub":
        low, span = int(labels.min()), int(labels.max()) - int(labels.min())
        if span < max(1000, len(labels)):  # counted, and not sorted
            labels = labels.astype(np.int64) - low
            sizes = np.bincount(labels)
            present = sizes > 0
            place = np.cumsum(present) - 1
            # Small integers sort faster.
            place = place.astype(np.min_scalar_type(len(place) + 1))
            return place[labels], sizes[present]
    return np.unique(labels, return_inverse=True, return_counts=True)[1:]


def group(strata, n):
    """Positions of each stratum's rows; no stratum is left with a single row."""
    if strata is None:
        return [np.arange(n)]
    codes, sizes = encode(strata)
    if (sizes == 1).any():
        codes = np.where((sizes == 1)[codes], len(sizes), codes)
    order = np.argsort(codes, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
    groups.sort(key=len)
    if len(groups) > 1 and len(groups[0]) == 1:
        groups[:2] = [np.sort(np.concatenate(groups[:2]))]
    return groups


def estimate_covariance(above, below, weights, groups, member_groups):
    """DeLong's covariance of the AUCs of k scores.

    The AUC is a mean over members, and a weighted one over non-members, of each row's share of
    the other side that it stands on the right side of. What these shares vary by within strata
    is what it varies by: the limit of a bootstrap of ever more resamples within strata.

    Parameters
    ----------
    above : ndarray of shape (k, n_members)
    below : ndarray of shape (k, n_non_members)
        The shares, from `Ranking.shares`.
    weights : ndarray of shape (n_non_members,), positive
    groups, member_groups : list of ndarray of int
        Positions of each stratum's rows, from `group`.

    Returns
    -------
    covariance : ndarray of shape (k, k)
    """
    estimates = above.mean(axis=1, keepdims=True)
    spread = _within((above - estimates) / above.shape[1], member_groups)
    return spread + _within((below - estimates) * (weights / weights.sum()), groups)


def _within(parts, groups):
    """Covariance of the sums of independent parts, from their spread within strata."""
    total = np.zeros((len(parts),) * 2)
    for rows in groups:
        n = len(rows)
        if n > 1:
            some = parts if len(groups) == 1 else parts[:, rows]
            apart = some - some.mean(axis=1, keepdims=True)
            total += n / (n - 1) * (apart @ apart.T)
    return total
