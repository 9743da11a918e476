"""Figures of an attack that sets a threshold: classes, few false alarms, accuracy, advantage."""

import numpy as np
from sklearn.utils import check_random_state

from skunlearn.metrics._statistics.intervals import auc_interval
from skunlearn.metrics._statistics.true_positives import tpr_at_fpr

_MIN_CLASS_ROWS = 10  # per side, for a figure of one class
_FEW = 0.01  # false-positive rate of an attacker who must not err


def few_alarms(forget_scores, unseen_scores, weights, confidence):
    if np.count_nonzero(weights) < 1 / _FEW:
        return None
    return tpr_at_fpr(
        forget_scores, unseen_scores, fpr=_FEW, weights=weights, confidence=confidence
    )


def by_class(forget_scores, y_forget, unseen_scores, y_unseen, weights, confidence, random_state):
    """Interval of each class of the forget set, and the classes with too few rows for one."""
    intervals, skipped = {}, []
    for label in np.unique(y_forget):
        members = y_forget == label
        others = (y_unseen == label) & (weights > 0)
        if min(members.sum(), others.sum()) < _MIN_CLASS_ROWS:
            skipped.append(label.item() if isinstance(label, np.generic) else label)
            continue
        intervals[label.item() if isinstance(label, np.generic) else label] = auc_interval(
            forget_scores[members],
            unseen_scores[others],
            weights=weights[others],
            confidence=confidence,
            random_state=random_state,
        )
    return intervals, tuple(skipped)


def auc_by_label(members, others, confidence, random_state):
    """The same of each label, from scores of shape (n_rows, n_labels), NaN where it has none."""
    intervals, skipped = {}, []
    for label in range(members.shape[1]):
        sides = [side[~np.isnan(side[:, label]), label] for side in (members, others)]
        if min(map(len, sides)) < _MIN_CLASS_ROWS:
            skipped.append(label)
        else:
            how = {"confidence": confidence, "random_state": random_state}
            intervals[label] = auc_interval(*sides, **how)
    return intervals, tuple(skipped)


def accuracies(estimates, place, y_forget, y_unseen, random_state):
    """Largest advantage of a threshold, and the accuracy of one that was chosen on other rows.

    The second is balanced: the threshold that is best on one half of the rows, on the other half.

    Parameters
    ----------
    estimates : Estimates
    place : int
        Of the score among them.
    y_forget, y_unseen : ndarray of the rows that it compares, or None
        Class labels, to halve the rows within.
    random_state : int, RandomState instance or None
    """
    ranking, weights = estimates.rankings[place], estimates.weights
    advantage = float(np.abs(ranking.passed - ranking.missed).max())
    if estimates.rows < 2:
        return advantage, None
    scores = np.concatenate([estimates.members[place], estimates.non_members[place]])
    n, order = ranking.n, ranking.order  # the only one: halves keep it
    masses = np.concatenate([np.zeros(n), weights])
    # Without a seed always the same halves: a metric draws from no global generator.
    rng = check_random_state(0 if random_state is None else random_state)
    first = np.zeros(len(scores), dtype=bool)
    first[_every_other(n, y_forget, rng)] = True
    first[n + _every_other(len(weights), y_unseen, rng)] = True
    gaps = []
    for half in (first, ~first):
        seen = order[half[order]]
        threshold, side = _best_threshold(scores[seen], masses[seen], seen < n)
        passed = (scores >= threshold) & ~half
        found = np.count_nonzero(passed[:n]) / np.count_nonzero(~half[:n])
        alarms = weights[passed[n:]].sum() / weights[~half[n:]].sum()
        gaps.append(side * (found - alarms))
    return advantage, float((1 + np.mean(gaps)) / 2)


def _every_other(n, y, rng):
    """Half of n rows, and of every class among them."""
    rows = rng.permutation(n)
    if y is not None:
        rows = rows[np.argsort(y[rows], kind="stable")]
    return rows[::2]


def _best_threshold(scores, masses, is_member):
    """Where |TPR − FPR| is largest, half-way to the next lower score; and the sign of it.

    `scores` are sorted.
    """
    first = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    # What lies below each score.
    missed = np.concatenate([[0], np.cumsum(is_member)])
    passed = np.concatenate([[0.0], np.cumsum(masses)])
    gaps = passed[first] / passed[-1] - missed[first] / missed[-1]
    best = np.abs(gaps).argmax()
    return scores[first][max(best - 1, 0) : best + 1].mean(), np.sign(gaps[best])
