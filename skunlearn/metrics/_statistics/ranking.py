"""One score of two sides, sorted once, and what of the AUC each row accounts for."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Ranking:
    """All rows in the order of a score; ties stand together.

    Attributes
    ----------
    n : int
        Members, which come before the non-members where rows are numbered.
    order : ndarray of shape (n_rows,), int
        Rows, from the lowest score to the highest.
    rises : ndarray of shape (n_rows - 1,), bool
        Whether a score is larger than the one before.
    thresholds : ndarray of shape (n_distinct,)
        Distinct scores.
    missed, passed : ndarray of shape (n_distinct + 1,)
        Share of the members, and of the mass of the non-members, that lies below each of them;
        and below infinity, 1.
    """

    n: int
    order: np.ndarray
    rises: np.ndarray
    thresholds: np.ndarray
    missed: np.ndarray
    passed: np.ndarray
    sizes: np.ndarray | None

    def shares(self):
        """What each member surpasses of the non-members, and each non-member does not of members.

        Ties count one half.

        Returns
        -------
        above : ndarray of shape (n,)
        below : ndarray of shape (n_rows - n,)
        """
        missed, passed = ((low[:-1] + low[1:]) / 2 for low in (self.missed, self.passed))
        if self.sizes is not None:
            missed, passed = np.repeat(missed, self.sizes), np.repeat(passed, self.sizes)
        found = np.empty(len(self.order))
        found[self.order] = np.where(self.order < self.n, passed, 1.0 - missed)
        return found[: self.n], found[self.n :]


def rank(members, non_members, weights):
    """`Ranking` of scores, of shape (n,) and (m,), with the weights of the latter."""
    n = len(members)
    scores = np.concatenate([members, non_members])
    order = np.argsort(scores)
    scores = scores[order]
    rises = scores[1:] > scores[:-1]
    mass = np.concatenate([np.zeros(n), weights])[order]
    missed, passed = np.cumsum(order < n) / n, np.cumsum(mass)
    passed /= passed[-1]
    sizes = None
    if not rises.all():
        last = np.append(np.flatnonzero(rises), len(order) - 1)
        sizes = np.diff(last, prepend=-1)
        scores, missed, passed = scores[last], missed[last], passed[last]
    missed, passed = (np.concatenate([[0.0], shares]) for shares in (missed, passed))
    return Ranking(n, order, rises, scores, missed, passed, sizes)
