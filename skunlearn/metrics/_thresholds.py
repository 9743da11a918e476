"""Figures of an attack that sets a threshold: classes, few false alarms, accuracy, advantage."""

import numpy as np
from sklearn.utils import check_random_state

from skunlearn.metrics.intervals import auc_interval
from skunlearn.metrics.rates import tpr_at_fpr

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


def split_accuracy(forget_scores, unseen_scores, weights, y_forget, y_unseen, random_state):
    """Balanced accuracy of the threshold that is best on one half of the rows, on the other."""
    # Without a seed always the same halves: a metric draws from no global generator.
    rng = check_random_state(0 if random_state is None else random_state)
    used = np.flatnonzero(weights)
    if min(len(forget_scores), len(used)) < 2:
        return None
    members = _halves(np.arange(len(forget_scores)), y_forget, rng)
    others = _halves(used, y_unseen, rng)
    gaps = []
    for here, there in ((0, 1), (1, 0)):
        threshold, side = _best_threshold(
            forget_scores[members[here]],
            unseen_scores[others[here]],
            weights[others[here]],
        )
        passed = np.average(
            unseen_scores[others[there]] >= threshold, weights=weights[others[there]]
        )
        gaps.append(side * (np.mean(forget_scores[members[there]] >= threshold) - passed))
    return float((1 + np.mean(gaps)) / 2)


def _halves(rows, y, rng):
    """The rows in two halves, of which each has half of every class."""
    rows = rng.permutation(rows)
    if y is not None:
        rows = rows[np.argsort(y[rows], kind="stable")]
    return rows[::2], rows[1::2]


def advantage(forget_scores, unseen_scores, weights):
    """Largest |TPR − FPR| over thresholds (the two-sample Kolmogorov–Smirnov distance)."""
    return float(np.abs(_gaps(forget_scores, unseen_scores, weights)[1]).max())


def _best_threshold(forget_scores, unseen_scores, weights):
    """Where |TPR − FPR| is largest, half-way to the next lower score; and the sign of it."""
    thresholds, gaps = _gaps(forget_scores, unseen_scores, weights)
    best = np.abs(gaps).argmax()
    return thresholds[max(best - 1, 0) : best + 1].mean(), np.sign(gaps[best])


def _gaps(forget_scores, unseen_scores, weights):
    """TPR − FPR at every score as the threshold, and these scores."""
    thresholds = np.unique(np.concatenate([forget_scores, unseen_scores]))
    order = np.argsort(unseen_scores)
    mass = np.concatenate([[0.0], np.cumsum(weights[order])])
    missed = np.searchsorted(np.sort(forget_scores), thresholds, "left") / len(forget_scores)
    passed = mass[np.searchsorted(unseen_scores[order], thresholds, "left")] / mass[-1]
    return thresholds, passed - missed
