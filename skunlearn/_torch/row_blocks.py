"""Scores of rows from one exponential of every logit, none rounded to 0 or 1."""

from functools import cached_property

import numpy as np
from scipy.special import logsumexp

_ENTRIES = 200_000  # of a block of rows: what is made of it stays in the cache
# Sums of exponentials below have lost digits.
_UNDERFLOW = {np.dtype(np.float64): 1e-290, np.dtype(np.float32): 1e-30}


def by_blocks(scores, z, y):
    """Several scores of every row.

    Parameters
    ----------
    scores : dict of str to callable
        Functions of a `RowBlock`.
    z : ndarray of shape (n, n_classes), float64 or float32
    y : ndarray of shape (n,), int64
        Both checked.

    Returns
    -------
    found : dict of str to ndarray of shape (n,), float64
    """
    found = {name: np.empty(len(z)) for name in scores}
    step = max(1, _ENTRIES // z.shape[1])
    for start in range(0, len(z), step):
        rows = slice(start, start + step)
        block = RowBlock(z[rows], y[rows])
        for name, score in scores.items():
            found[name][rows] = score(block)
    return found


class RowBlock:
    """What the scores of some rows share. Arrays are (n_classes, n), whose columns add up fast.

    Parameters
    ----------
    z : ndarray of shape (n, n_classes), float64 or float32
    y : ndarray of shape (n,), int64
    """

    def __init__(self, z, y):
        self.d = np.ascontiguousarray(z.T)
        self.d = self.d - self.d.max(axis=0)
        self.e = np.exp(self.d)
        self.own = y, np.arange(len(y))

    def margin(self):
        """log p_y − log(1 − p_y)."""
        others = self.e.copy()
        others[self.own] = 0.0
        return self.d[self.own] - self._log(others.sum(axis=0), self._is_own)

    def negative_entropy(self):
        """Σ p_i log p_i."""
        total = 1.0 + self.rest
        return np.einsum("ij,ij->j", self.e, self.d) / total - np.log1p(self.rest)

    def negative_modified_entropy(self):
        """(1 − p_y) log p_y + Σ_{i≠y} p_i log(1 − p_i)."""
        total, log_total = 1.0 + self.rest, np.log1p(self.rest)
        p = self.e / total
        # The complement of the largest cancels to nothing: there the others were added up.
        log_rest = np.log1p(-np.where(self.top, 0.0, p))
        np.copyto(log_rest, self.log_of_rest - log_total, where=self.top)
        p *= log_rest
        p[self.own] = 0.0
        own = self.own
        return np.exp(log_rest[own]) * (self.d[own] - log_total) + p.sum(axis=0)

    @cached_property
    def top(self):
        """Which are the largest of their row, several where they tie."""
        return self.d == 0.0

    @cached_property
    def rest(self):
        """Sum of the exponentials but for one of the largest, which is 1."""
        return np.where(self.top, 0.0, self.e).sum(axis=0) + (self.top.sum(axis=0) - 1)

    @cached_property
    def log_of_rest(self):
        return self._log(self.rest, lambda rows: self.top[:, rows])

    def _is_own(self, rows):
        return np.arange(len(self.d))[:, None] == self.own[0][rows]

    def _log(self, sums, is_out):
        """Logarithm of sums of exponentials; `is_out` tells which of some rows were left out."""
        least = _UNDERFLOW[sums.dtype]
        lost = np.flatnonzero(sums < least)
        found = np.log(np.maximum(sums, least))
        if len(lost):
            found[lost] = logsumexp(np.where(is_out(lost), -np.inf, self.d[:, lost]), axis=0)
        return found
