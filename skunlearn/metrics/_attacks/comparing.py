"""Scores of two sides compared: each score against its own reference, and the strongest."""

from dataclasses import replace

import numpy as np

from skunlearn.metrics._attacks.cross_scoring import widen
from skunlearn.metrics._attacks.differences import bonferroni, correlations, shared_level
from skunlearn.metrics._attacks.result import MembershipInference, ScoreDistance
from skunlearn.metrics._attacks.thresholds import accuracies, by_class, few_alarms
from skunlearn.metrics._statistics.estimates import Estimates
from skunlearn.metrics._statistics.strata import encode


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
    codes = [None if y is None else encode(y)[0] for y in (y_forget, y_unseen)]
    n_forget, n_unseen = len(next(iter(sides.values()))[0]), len(weights)
    strata = {"member_strata": codes[0], "strata": codes[1]} if matched else {}
    estimates = Estimates(n_forget, n_unseen, weights=weights, **strata)
    places = _places(estimates, [sides] if reference_sides is None else [sides, reference_sides])
    distinct = list(dict.fromkeys(places.values()))
    level, shared = _joint(estimates, distinct, reference_sides is not None, confidence)

    def interval(place):
        found = estimates.interval(place, level, random_state=random_state)
        if attack == "learned":
            found = widen(found)
        return replace(found, confidence=confidence)

    scores = {}
    for place in distinct:
        ours, theirs = interval(place), None
        if reference_sides is not None:
            theirs = interval(place + 1)
        for name in (name for name in places if places[name] == place):
            reference = theirs or (references or {}).get(name, 0.5)
            scores[name] = ScoreDistance.of(ours, reference, shared[place])
    scores = {name: scores[name] for name in sides}
    strongest = max(scores, key=lambda name: abs(scores[name].difference.estimate))
    best, (members, others) = scores[strongest], sides[strongest]
    classes, skipped = None, ()
    if per_class:
        classes, skipped = by_class(
            members, y_forget, others, y_unseen, weights, confidence, random_state
        )
    codes[1] = None if codes[1] is None else codes[1][weights > 0]
    reach, found = accuracies(estimates, places[strongest], *codes, random_state)
    return MembershipInference(
        auc=best.interval.estimate,
        interval=best.interval,
        n_forget=n_forget,
        n_unseen=len(estimates.weights),
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


def aucs_by_name(sides, weights=None):
    """AUC of each score of the same rows, by name."""
    first = next(iter(sides.values()))
    estimates = Estimates(*map(len, first), weights=weights)
    return {name: estimates.values[place] for name, place in _places(estimates, [sides]).items()}


def _places(estimates, models):
    """Place of each score among the `estimates`, where each model's stand one after the other.

    Scores that put all rows in the same order, in every model, share a place: their AUC is one.
    """
    places = {}
    for name in models[0]:
        for place in dict.fromkeys(places.values()):
            if all(estimates.agrees(place + i, *sides[name]) for i, sides in enumerate(models)):
                places[name] = place
                break
        else:
            added = [estimates.add(*sides[name]) for sides in models]
            places[name] = added[0]
    return places


def _joint(estimates, places, referenced, confidence):
    """Level of each interval, and the correlation of each AUC with its reference's, by place."""
    alone, k = dict.fromkeys(places, 0.0), len(places)
    if k == 1 and not referenced:
        return confidence, alone
    if estimates.rows < 2:
        return bonferroni(confidence, k), alone
    covariance = estimates.covariance
    if not referenced:
        return shared_level(covariance, confidence, estimates.rows), alone
    ours = np.array(places)
    shared = correlations(covariance)[ours, ours + 1]
    apart = np.zeros((k, len(covariance)))
    apart[np.arange(k), ours], apart[np.arange(k), ours + 1] = 1.0, -1.0
    level = shared_level(apart @ covariance @ apart.T, confidence, estimates.rows)
    return level, dict(zip(places, map(float, shared)))
