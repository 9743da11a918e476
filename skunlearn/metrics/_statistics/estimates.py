"""AUCs of several scores of the same rows: each ranked once, for all that is asked of it."""

from numbers import Integral

import numpy as np
from sklearn.utils import check_random_state

from skunlearn.metrics._statistics.interval_forms import (
    exact_interval,
    is_degenerate,
    logit_interval,
    normal_interval,
    quantile,
)
from skunlearn.metrics._statistics.matching import check_weights
from skunlearn.metrics._statistics.ranking import rank
from skunlearn.metrics._statistics.resampling import resample
from skunlearn.metrics._statistics.strata import (
    are_equal,
    check_scores,
    check_strata,
    estimate_covariance,
    group,
)

# DeLong's variance is for large samples: beyond these the bootstrap takes over.
_DELONG_MIN_ROWS = 50
_DELONG_MIN_WEIGHTED = 300
_DELONG_MAX_AUC = 0.9
_DELONG_MAX_ARM = 0.2  # of the way from the AUC to 0 or 1, for one that is nearer to these


class Estimates:
    """AUCs of scores, which are added one by one.

    Parameters
    ----------
    n_members, n_non_members : int
    weights, strata, member_strata
        See `auc_interval`. Rows of weight 0 are dropped.

    Attributes
    ----------
    values : list of float
        AUC of each score, in the order in which they were added.
    """

    def __init__(self, n_members, n_non_members, *, weights=None, strata=None, member_strata=None):
        strata = check_strata(strata, n_non_members, "strata")
        self._used = slice(None)
        if weights is not None:
            weights = check_weights(weights, n_non_members, "weights")
            if not weights.all():
                self._used = np.flatnonzero(weights)
        else:
            weights = np.ones(n_non_members)
        self.weights = weights[self._used]
        self.strata = None if strata is None else strata[self._used]
        self.member_strata = check_strata(member_strata, n_members, "member_strata")
        self._n_members, self._n_given = n_members, n_non_members
        self._groups, self._covariance, self._resamples = None, None, {}
        self.members, self.non_members, self.rankings, self.values, self._shares = (
            [],
            [],
            [],
            [],
            [],
        )

    @classmethod
    def of(cls, members, non_members, **how):
        """Of one score, in any form."""
        members, others = check_scores(members, "members"), check_scores(non_members, "non_members")
        estimates = cls(len(members), len(others), **how)
        estimates.add(members, others)
        return estimates

    @property
    def rows(self):
        """Rows of the smaller side."""
        return min(self._n_members, len(self.weights))

    def add(self, members, non_members):
        """Rank one more score, and return its place."""
        members, others = check_scores(members, "members"), check_scores(non_members, "non_members")
        if (len(members), len(others)) != (self._n_members, self._n_given):
            raise ValueError("All scores must be of the same rows: they differ in their number.")
        others = others[self._used]
        ranking = rank(members, others, self.weights)
        shares = ranking.shares()
        self.members.append(members)
        self.non_members.append(others)
        self.rankings.append(ranking)
        self._shares.append(shares)
        self.values.append(float(shares[0].mean()))
        self._covariance = None
        return len(self.values) - 1

    def agrees(self, place, members, non_members):
        """Whether a score puts all rows in the order of one that was added, with the same ties."""
        ranking = self.rankings[place]
        scores = np.concatenate([members, np.asarray(non_members)[self._used]])
        # Some rows are nearly always enough to say no.
        some = np.linspace(0, len(scores) - 1, 50).astype(int)
        if np.any(np.diff(scores[ranking.order[some]]) < 0):
            return False
        scores = scores[ranking.order]
        return bool(
            np.all(scores[1:] >= scores[:-1])
            and np.array_equal(scores[1:] > scores[:-1], ranking.rises)
        )

    @property
    def covariance(self):
        """DeLong's covariance of the AUCs, of shape (k, k)."""
        if self._covariance is None:
            if self._groups is None:
                sides = (self.strata, len(self.weights)), (self.member_strata, self._n_members)
                self._groups = [group(*side) for side in sides]
            above, below = (np.stack(side) for side in zip(*self._shares, strict=True))
            self._covariance = estimate_covariance(above, below, self.weights, *self._groups)
        return self._covariance

    def interval(self, place, confidence, *, method="auto", random_state=None):
        """Interval of the AUC of one score; see `auc_interval` for the methods."""
        found = None if method == "bootstrap" else self._closed(place, confidence)
        if found is None or not (
            method == "DeLong" or found.method == "exact" or self._is_settled(found)
        ):
            return self.bootstrap(place, confidence, random_state=random_state)
        return found

    def bootstrap(self, place, confidence, *, n_resamples=2000, random_state=None):
        """Interval from resamples; see `bootstrap_interval`."""
        sides = self.members[place], self.non_members[place]
        quantile(confidence)
        if self.rows == 1 or is_degenerate(*sides):
            return self._exact(place, confidence)
        kept = None
        if isinstance(random_state, Integral):  # each score is asked of the same resamples
            kept = self._resamples.setdefault((random_state, n_resamples), {})
        rng, strata = check_random_state(random_state), (self.strata, self.member_strata)
        se = resample(*sides, self.weights, *strata, n_resamples, rng, kept).std()
        if se < 1e-12:  # all variation lies between strata
            return self._exact(place, confidence)
        return logit_interval(self.values[place], se, self.rows, confidence, "bootstrap")

    def _closed(self, place, confidence):
        """DeLong's interval, or the exact one where it has none."""
        quantile(confidence)
        if self.rows == 1 or is_degenerate(self.members[place], self.non_members[place]):
            return self._exact(place, confidence)
        estimate, se = self.values[place], float(np.sqrt(self.covariance[place, place]))
        if se < 1e-12:  # all variation lies between strata
            return self._exact(place, confidence)
        if not are_equal(self.weights) or any(len(groups) > 1 for groups in self._groups):
            return logit_interval(estimate, se, self.rows, confidence, "DeLong")
        return normal_interval(estimate, se, confidence, "DeLong")

    def _exact(self, place, confidence):
        sides = self.members[place], self.non_members[place]
        return exact_interval(self.values[place], *sides, self.weights, confidence)

    def _is_settled(self, interval):
        """Whether there are rows enough for an interval by the normal approximation."""
        needed = _DELONG_MIN_ROWS if are_equal(self.weights) else _DELONG_MIN_WEIGHTED
        room = min(interval.estimate, 1 - interval.estimate)
        near = room < 1 - _DELONG_MAX_AUC
        arm = quantile(interval.confidence) * interval.se
        return self.rows >= needed and (not near or arm <= _DELONG_MAX_ARM * room)
