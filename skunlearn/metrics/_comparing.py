"""Scores of two sides compared: each score against its own reference, and the strongest."""

from dataclasses import replace

import numpy as np

from skunlearn.metrics._differences import bonferroni, correlations, shared_level
from skunlearn.metrics._held_out import widened
from skunlearn.metrics._thresholds import advantage, by_class, few_alarms, split_accuracy
from skunlearn.metrics.intervals import auc_interval, delong_covariance
from skunlearn.metrics.result import MembershipInference, ScoreDistance


def compare_sides(
    sides,
    weights,
    *,
    attack,
    references=None,
    reference_sides=None,
    kind="chance",
    note="",
    y_forget=None,
    y_unseen=None,
    matched=False,
    per_class=False,
    confidence=0.95,
    random_state=None,
):
    """Outcome of an attack by one or several scores of the same rows.

    Parameters
    ----------
    sides : dict of str to (ndarray of shape (n_forget,), ndarray of shape (n_unseen,))
        Scores, by name; all checked.
    weights : ndarray of shape (n_unseen,)
    attack : str
    references : dict of str to Interval or float, default=None
        What each score's AUC should be.
    reference_sides : dict like `sides`, default=None
        Or the scores of a reference model on the same rows, which err alike.
    kind, note : str
        See `MembershipInference`.
    """
    strata = {"strata": y_unseen, "member_strata": y_forget} if matched else {}
    n_forget, n_unseen = len(next(iter(sides.values()))[0]), int(np.count_nonzero(weights))
    level, shared = _joint(sides, reference_sides, weights, strata, confidence)

    def interval_of(found, name):
        for earlier, interval in found.items():
            if _same_order(found_sides[earlier], found_sides[name]):
                return interval
        interval = auc_interval(
            *found_sides[name],
            weights=weights,
            confidence=level,
            random_state=random_state,
            **strata,
        )
        if attack == "learned":
            interval = widened(interval)
        return replace(interval, confidence=confidence)

    intervals, theirs = {}, {}
    found_sides = sides
    for name in sides:
        intervals[name] = interval_of(intervals, name)
    if reference_sides is not None:
        found_sides = reference_sides
        for name in sides:
            theirs[name] = interval_of(theirs, name)
    scores = {}
    for name in sides:
        reference = theirs.get(name, (references or {}).get(name, 0.5))
        scores[name] = ScoreDistance.of(intervals[name], reference, shared[name])
    strongest = max(scores, key=lambda name: abs(scores[name].difference.estimate))
    best, (members, others) = scores[strongest], sides[strongest]
    classes, skipped = None, ()
    if per_class:
        classes, skipped = by_class(
            members, y_forget, others, y_unseen, weights, confidence, random_state
        )
    reach = advantage(members, others, weights)
    return MembershipInference(
        auc=best.interval.estimate,
        interval=best.interval,
        n_forget=n_forget,
        n_unseen=n_unseen,
        attack=attack,
        matched=matched,
        reference_auc=best.reference_auc,
        reference_kind=kind,
        score=-abs(best.difference.estimate),
        advantage=reach,
        best_threshold_accuracy=(1 + reach) / 2,
        attack_accuracy=split_accuracy(members, others, weights, y_forget, y_unseen, random_state),
        reference_interval=best.reference_interval,
        correlation=best.correlation,
        reference_note=note,
        strongest=strongest,
        scores=scores if len(scores) > 1 else None,
        per_class=classes,
        skipped_classes=skipped,
        tpr_at_1pct=few_alarms(members, others, weights, confidence),
    )


def _joint(sides, reference_sides, weights, strata, confidence):
    """Level of each interval, and the correlation of each AUC with its reference's."""
    names = list(sides)
    alone = dict.fromkeys(names, 0.0)
    if len(names) == 1 and reference_sides is None:
        return confidence, alone
    all_sides = [sides[name] for name in names]
    if reference_sides is not None:
        all_sides += [reference_sides[name] for name in names]
    rows = min(len(all_sides[0][0]), int(np.count_nonzero(weights)))
    if rows < 2:
        return bonferroni(confidence, len(names)), alone
    _, covariance = delong_covariance(*zip(*all_sides), weights=weights, **strata)
    k = len(names)
    if reference_sides is None:
        return shared_level(covariance, confidence, rows), alone
    shared = np.diag(correlations(covariance)[:k, k:])
    apart = np.hstack([np.eye(k), -np.eye(k)])
    level = shared_level(apart @ covariance @ apart.T, confidence, rows)
    return level, dict(zip(names, map(float, shared)))


def _same_order(first, second):
    """Whether two scores put all rows in the same order, with the same ties."""
    first, second = np.concatenate(first), np.concatenate(second)
    order = np.argsort(first)
    steps, others = np.diff(first[order]), np.diff(second[order])
    return bool(np.all(others >= 0) and np.array_equal(steps > 0, others > 0))
