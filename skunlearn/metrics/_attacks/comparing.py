"""Scores of two sides compared: each score against its own reference, and the strongest."""

from dataclasses import replace

import numpy as np

from skunlearn.metrics._attacks.cross_scoring import widened
from skunlearn.metrics._attacks.differences import bonferroni, correlations, shared_level
from skunlearn.metrics._attacks.result import MembershipInference, ScoreDistance
from skunlearn.metrics._attacks.thresholds import accuracies, by_class, few_alarms
from skunlearn.metrics._statistics.intervals import auc_interval, delong_covariance


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
    alike = _representatives(sides, reference_sides)
    distinct = list(dict.fromkeys(alike.values()))
    level, shared = _joint(distinct, sides, reference_sides, weights, strata, confidence)

    def intervals(all_sides):
        found = {}
        for name in distinct:
            interval = auc_interval(
                *all_sides[name],
                weights=weights,
                confidence=level,
                random_state=random_state,
                **strata,
            )
            if attack == "learned":
                interval = widened(interval)
            found[name] = replace(interval, confidence=confidence)
        return found

    ours = intervals(sides)
    theirs = {} if reference_sides is None else intervals(reference_sides)
    scores = {}
    for name, same in alike.items():
        reference = theirs.get(same, (references or {}).get(name, 0.5))
        scores[name] = ScoreDistance.of(ours[same], reference, shared[same])
    strongest = max(scores, key=lambda name: abs(scores[name].difference.estimate))
    best, (members, others) = scores[strongest], sides[strongest]
    classes, skipped = None, ()
    if per_class:
        classes, skipped = by_class(
            members, y_forget, others, y_unseen, weights, confidence, random_state
        )
    reach, found = accuracies(members, others, weights, y_forget, y_unseen, random_state)
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
        attack_accuracy=found,
        reference_interval=best.reference_interval,
        correlation=best.correlation,
        reference_note=note,
        strongest=strongest,
        scores=scores if len(scores) > 1 else None,
        per_class=classes,
        skipped_classes=skipped,
        tpr_at_1pct=few_alarms(members, others, weights, confidence),
    )


def _representatives(sides, reference_sides):
    """For each score the first that puts all rows in the same order, which has the same AUC."""
    alike = {}
    for name in sides:
        for first in dict.fromkeys(alike.values()):
            if all(
                _same_order(both[first], both[name])
                for both in (sides, reference_sides)
                if both is not None
            ):
                alike[name] = first
                break
        else:
            alike[name] = name
    return alike


def _joint(names, sides, reference_sides, weights, strata, confidence):
    """Level of each interval, and the correlation of each AUC with its reference's."""
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
    few = np.linspace(0, len(first) - 1, 50).astype(int)  # nearly always enough to say no
    for rows in (few, slice(None)):
        some, others = first[rows], second[rows]
        order = np.argsort(some)
        steps, others = np.diff(some[order]), np.diff(others[order])
        if not (np.all(others >= 0) and np.array_equal(steps > 0, others > 0)):
            return False
    return True
