"""Sizes, draws and rankings that the makers of forget sets share."""

from numbers import Integral, Real

import numpy as np
from sklearn.utils.multiclass import type_of_target

from skunlearn._rows import checking
from skunlearn._rows.row_names import join_names
from skunlearn.metrics._statistics.matching import check_labels


def resolve_size(size, n, *, name="size", of="rows"):
    """Number of rows that `size`, an int or a share of `n`, stands for."""
    if isinstance(size, (bool, np.bool_)) or not isinstance(size, Real):
        raise TypeError(f"{name} must be a number of {of} or a share of them, got {size!r}.")
    if isinstance(size, Integral):
        if not 1 <= size <= n:
            raise ValueError(f"{name}={size} does not fit: there are {n} {of} to choose from.")
        return int(size)
    if not 0 < size <= 1:
        raise ValueError(f"{name} as a share must be in (0, 1], got {size!r}; counts are integers.")
    return max(1, round(float(size) * n))


def find_candidates(record, candidates, size):
    """Positions of the retained rows of a record that a mask marks, and how many `size` is."""
    pool = record.retained
    if candidates is not None:
        pool = pool & checking.check_mask(candidates, len(record), "candidates")
    positions = np.flatnonzero(pool)
    return positions, resolve_size(size, len(positions), of="candidates")


def as_mask(rows, n):
    """Boolean mask of `rows`; refuses one that leaves nothing to retain."""
    mask = np.zeros(n, dtype=bool)
    mask[rows] = True
    if mask.all():
        raise ValueError(
            f"the forget set would hold all {n} rows; nothing would be left to retain. Take fewer."
        )
    return mask


def find_strata(stratify, y, n):
    """Strata as an array: classes of `y`, another array of labels, or None."""
    if stratify is None or stratify is False:
        return None
    if stratify is True:
        if y is None:
            raise TypeError("stratify must be an array of labels here, got True.")
        return y if is_discrete(y) else None
    strata = check_labels(stratify, "stratify")
    if len(strata) != n:
        raise ValueError(f"stratify must have one label per row: {n} rows, got {len(strata)}.")
    return strata


def is_discrete(y):
    """Whether `y` holds class labels."""
    return type_of_target(y) in ("binary", "multiclass")


def draw(rng, pool, k, strata=None):
    """`k` of the rows in `pool` at random, each stratum in its share of the pool; sorted."""
    if strata is None:
        return np.sort(rng.choice(pool, k, replace=False))
    return _by_stratum(pool, k, strata, rng, lambda rows, m: rng.choice(rows, m, replace=False))


def pick_top(scores, pool, k, strata=None):
    """The `k` rows of `pool` with the highest scores; equal ones in their order; sorted."""

    def best(rows, m):
        return rows[np.argsort(-scores[rows], kind="stable")[:m]]

    if strata is None:
        return np.sort(best(pool, k))
    return _by_stratum(pool, k, strata, None, best)


def _by_stratum(pool, k, strata, rng, choose):
    _, place, counts = np.unique(strata[pool], return_inverse=True, return_counts=True)
    quota = _shares(counts, k, rng)
    parts = [choose(pool[place == s], m) for s, m in enumerate(quota) if m]
    return np.sort(np.concatenate(parts))


def _shares(counts, k, rng):
    """`k` split in proportion to `counts`: largest remainders, ties at random under an `rng`."""
    quota, rest = (k * counts) // counts.sum(), (k * counts) % counts.sum()
    order = np.arange(len(counts)) if rng is None else rng.permutation(len(counts))
    order = order[np.argsort(-rest[order], kind="stable")]
    quota[order[: k - quota.sum()]] += 1
    return quota


def list_values(values):
    """Values in words."""
    values = [v.item() if isinstance(v, np.generic) else v for v in values]
    return join_names(list(map(repr, values)), 10)
