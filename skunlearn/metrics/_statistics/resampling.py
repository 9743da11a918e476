"""Stratified resamples of the AUC."""

import numpy as np

from skunlearn.metrics._statistics.strata import group

_CHUNK = 2_000_000  # entries of a block of resamples, to bound memory


def resample(members, non_members, weights, strata, member_strata, n_resamples, rng, kept=None):
    """AUC of each resample, shape (n_resamples,).

    `kept`, a dict, holds the resamples for the next score of the same rows, where they are few.
    """
    order = np.argsort(non_members)
    left, right = (np.searchsorted(non_members[order], members, s) for s in ("left", "right"))
    weights = weights[order]
    groups = group(strata if strata is None else strata[order], len(non_members))
    member_groups = group(member_strata, len(members))
    block = max(1, _CHUNK // (len(members) + len(non_members)))
    if block < n_resamples:
        kept = None
    values = []
    for start in range(0, n_resamples, block):
        size = min(block, n_resamples - start)
        above = _draw_counts(member_groups, size, rng, kept, "members")
        mass = np.zeros((size, len(weights) + 1))
        counts = _draw_counts(groups, size, rng, kept, "non-members")
        np.cumsum(counts * weights, axis=1, out=mass[:, 1:])
        wins = np.einsum("ij,ij->i", above, mass[:, left] + mass[:, right])
        values.append(wins / (2 * above.sum(axis=1) * mass[:, -1]))
    return np.concatenate(values)


def _draw_counts(groups, size, rng, kept, side):
    """How often each resample holds each row, scaled to the stratum's size; (size, n_rows)."""
    counts = np.empty((size, sum(map(len, groups))))
    for i, rows in enumerate(groups):
        scaled = None if kept is None else kept.get((side, i))
        if scaled is None:
            n = len(rows)
            drawn = rng.randint(n, size=(size, n - 1)) + n * np.arange(size)[:, None]
            tally = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n)
            scaled = tally * (n / (n - 1))
            if kept is not None:
                kept[side, i] = scaled
        counts[:, rows] = scaled
    return counts
