"""Threshold attacks: can rows that were forgotten be told from rows that were never seen?"""

from dataclasses import replace

import numpy as np
from sklearn.utils import check_random_state

from skunlearn.metrics._labels import (
    check_label_logits,
    is_multilabel,
    matched_scores,
    row_scores,
)
from skunlearn.metrics._logits import check_logits
from skunlearn.metrics.intervals import Interval, auc_interval
from skunlearn.metrics.matching import check_labels, check_weights, match_weights
from skunlearn.metrics.rates import tpr_at_fpr
from skunlearn.metrics.result import MembershipInference
from skunlearn.metrics.scores import check_attack, label_scores, membership_scores

_MIN_CLASS_ROWS = 10  # per side, for a figure of one class
_FEW = 0.01  # false-positive rate of an attacker who must not err


def membership_inference(
    forget_logits,
    y_forget,
    unseen_logits,
    y_unseen,
    *,
    attack="margin",
    match="class",
    reference=None,
    per_class=False,
    confidence=0.95,
    random_state=None,
):
    """Attack a model: can the rows that it forgot be told from rows that it never saw?

    Parameters
    ----------
    forget_logits : array-like of shape (n_forget, n_classes), float
        Logits (or log-probabilities) of the model for the rows that it was to forget.
    y_forget : array-like of shape (n_forget,), int
        Column of each row's true class. Of rows with several labels an array of shape
        (n_forget, n_labels), 0 or 1, with a logit for each label; see `membership_scores`.
    unseen_logits : array-like of shape (n_unseen, n_classes), float
        The same for rows that were in no training set.
    y_unseen : array-like of shape (n_unseen,), int
    attack : str, default="margin"
        See `membership_scores`.
    match : {"class"} or None, default="class"
        "class" weights the unseen rows to the class proportions of the forget set
        (`match_weights`). None compares with all unseen rows as they are: where the classes
        differ, the figure then measures the classes and not membership. With several labels per
        row, "class" compares each label with unseen rows that have it, or lack it, as well.
    reference : float, Interval, MembershipInference or None, default=None
        AUC of the same attack on a model retrained without the forget set, which is the value to
        reach. None stands for chance, 0.5.
    per_class : bool, default=False
        Whether to compute the AUC within each class, or of each label, as well.
    confidence : float in (0, 1), default=0.95
        Coverage of the intervals.
    random_state : int, RandomState instance or None, default=None
        Seeds the bootstrap, where it is used (`auc_interval`).

    Returns
    -------
    MembershipInference

    Raises
    ------
    TypeError
        If labels are not integers.
    ValueError
        If shapes do not match, a value is not finite or out of range, or a class of the forget
        set has no unseen row.

    References
    ----------
    Carlini et al. (2022), "Membership inference attacks from first principles",
    https://arxiv.org/abs/2112.03570

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import membership_inference
    >>> rng = np.random.default_rng(0)
    >>> y_forget, y_unseen = rng.integers(3, size=200), rng.integers(3, size=400)
    >>> logits = rng.normal(size=(600, 3))
    >>> result = membership_inference(
    ...     logits[:200], y_forget, logits[200:], y_unseen, random_state=0
    ... )
    >>> print(result)
    matched margin attack: AUC 0.489 (95% interval 0.440–0.537, bootstrap, 200 forgotten vs 400
    unseen); reference: chance 0.500; not distinguishable at this sample size. Closer to the
    reference is better; both sides count (AUC below 0.5 is a leak too).
    """
    check_attack(attack)
    if is_multilabel(y_forget):
        return compare_labels(
            forget_logits,
            y_forget,
            unseen_logits,
            y_unseen,
            attack=attack,
            match=match,
            reference=reference,
            per_class=per_class,
            confidence=confidence,
            random_state=random_state,
        )
    forget_logits, y_forget = check_logits(
        forget_logits, y_forget, logits_name="forget_logits", y_name="y_forget"
    )
    unseen_logits, y_unseen = check_logits(
        unseen_logits, y_unseen, logits_name="unseen_logits", y_name="y_unseen"
    )
    if forget_logits.shape[1] != unseen_logits.shape[1]:
        raise ValueError(
            f"forget_logits have {forget_logits.shape[1]} classes and unseen_logits "
            f"{unseen_logits.shape[1]}: both must come from the same model."
        )
    return compare_scores(
        membership_scores(forget_logits, y_forget, attack),
        membership_scores(unseen_logits, y_unseen, attack),
        y_forget=y_forget,
        y_unseen=y_unseen,
        match=match,
        attack=attack,
        reference=reference,
        per_class=per_class,
        confidence=confidence,
        random_state=random_state,
    )


def compare_labels(
    forget_logits,
    y_forget,
    unseen_logits,
    y_unseen,
    *,
    attack="margin",
    match="class",
    per_class=False,
    **options,
):
    """`membership_inference` of rows with several labels."""
    if match not in ("class", None):
        raise ValueError(f"match must be 'class' or None, got {match!r}.")
    forget = check_label_logits(
        forget_logits, y_forget, logits_name="forget_logits", y_name="y_forget"
    )
    unseen = check_label_logits(
        unseen_logits, y_unseen, logits_name="unseen_logits", y_name="y_unseen"
    )
    if forget[0].shape[1] != unseen[0].shape[1]:
        raise ValueError(
            f"forget_logits have {forget[0].shape[1]} labels and unseen_logits "
            f"{unseen[0].shape[1]}: both must come from the same model."
        )
    members, others = _by_label(*forget, *unseen, attack, match)
    result = compare_scores(
        row_scores(members), row_scores(others), match=None, attack=attack, **options
    )
    if not per_class:
        return replace(result, matched=bool(match))
    intervals, skipped = {}, []
    options = {key: options.get(key) for key in ("confidence", "random_state") if key in options}
    for label in range(members.shape[1]):
        sides = [side[~np.isnan(side[:, label]), label] for side in (members, others)]
        if min(map(len, sides)) < _MIN_CLASS_ROWS:
            skipped.append(label)
        else:
            intervals[label] = auc_interval(*sides, **options)
    return replace(result, matched=bool(match), per_class=intervals, skipped_classes=tuple(skipped))


def compared_scores(
    forget_logits, y_forget, unseen_logits, y_unseen, attack="margin", match="class"
):
    """Scores of forgotten and of unseen rows with several labels, one a row."""
    both = _by_label(forget_logits, y_forget, unseen_logits, y_unseen, attack, match)
    return tuple(map(row_scores, both))


def _by_label(forget_logits, y_forget, unseen_logits, y_unseen, attack, match):
    members = label_scores(forget_logits, y_forget, attack)
    others = label_scores(unseen_logits, y_unseen, attack)
    if match is None:
        return members, others
    return matched_scores(members, np.asarray(y_forget), others, np.asarray(y_unseen))


def compare_scores(
    forget_scores,
    unseen_scores,
    *,
    y_forget=None,
    y_unseen=None,
    match="class",
    sample_weight=None,
    attack="score",
    reference=None,
    per_class=False,
    confidence=0.95,
    random_state=None,
):
    """`membership_inference` for scores of any attack, and for regression.

    Parameters
    ----------
    forget_scores : array-like of shape (n_forget,), float
        Higher looks more like a member.
    unseen_scores : array-like of shape (n_unseen,), float
    y_forget : array-like of shape (n_forget,), default=None
        Class labels, for `match` and `per_class`.
    y_unseen : array-like of shape (n_unseen,), default=None
    match : {"class"} or None, default="class"
        Regression targets have no classes to match: pass None.
    sample_weight : array-like of shape (n_unseen,), float, default=None
        Weights of the unseen rows, before matching.
    attack : str, default="score"
        Name of the attack, for the report.
    reference, per_class, confidence, random_state
        See `membership_inference`.

    Returns
    -------
    MembershipInference

    Raises
    ------
    TypeError
        If `reference` is of none of these types.
    ValueError
        If labels are missing or do not fit the scores, a score is not finite, or a class of the
        forget set has no unseen row.

    Examples
    --------
    >>> from skunlearn.metrics import compare_scores
    >>> result = compare_scores([0.1, 0.2], [0.9, 0.8, 0.7], match=None)
    >>> result.auc, result.score
    (0.0, -0.5)
    """
    if match not in ("class", None):
        raise ValueError(f"match must be 'class' or None, got {match!r}.")
    reference_auc, reference_interval = _check_reference(reference)
    forget_scores, unseen_scores = np.asarray(forget_scores), np.asarray(unseen_scores)
    y_forget = _check_side(y_forget, forget_scores, "y_forget", match or per_class)
    y_unseen = _check_side(y_unseen, unseen_scores, "y_unseen", match or per_class)
    if match == "class":
        weights = match_weights(y_forget, y_unseen, sample_weight=sample_weight)
    elif sample_weight is not None:
        weights = check_weights(sample_weight, len(unseen_scores), "sample_weight")
    else:
        weights = np.ones(len(unseen_scores))
    interval = auc_interval(
        forget_scores,
        unseen_scores,
        weights=weights,
        strata=y_unseen if match else None,
        member_strata=y_forget if match else None,
        confidence=confidence,
        random_state=random_state,
    )
    classes, skipped = None, ()
    if per_class:
        classes, skipped = _by_class(
            forget_scores, y_forget, unseen_scores, y_unseen, weights, confidence, random_state
        )
    advantage, attack_accuracy = _accuracies(
        forget_scores, unseen_scores, weights, y_forget, y_unseen, random_state
    )
    return MembershipInference(
        auc=interval.estimate,
        interval=interval,
        n_forget=len(forget_scores),
        n_unseen=int(np.count_nonzero(weights)),
        attack=attack,
        matched=match == "class",
        reference_auc=reference_auc,
        reference_kind="chance" if reference is None else "retrained",
        score=-abs(interval.estimate - reference_auc),
        advantage=advantage,
        best_threshold_accuracy=(1 + advantage) / 2,
        attack_accuracy=attack_accuracy,
        reference_interval=reference_interval,
        per_class=classes,
        skipped_classes=skipped,
        tpr_at_1pct=_few_alarms(forget_scores, unseen_scores, weights, confidence),
    )


def _few_alarms(forget_scores, unseen_scores, weights, confidence):
    if np.count_nonzero(weights) < 1 / _FEW:
        return None
    return tpr_at_fpr(
        forget_scores, unseen_scores, fpr=_FEW, weights=weights, confidence=confidence
    )


def _check_reference(reference):
    """AUC of the reference and its interval."""
    if reference is None:
        return 0.5, None
    if isinstance(reference, MembershipInference):
        reference = reference.interval
    if isinstance(reference, Interval):
        return reference.estimate, reference
    try:
        value = float(reference)
    except (TypeError, ValueError):
        raise TypeError(
            "reference must be an AUC, an Interval, a MembershipInference or None, got "
            f"{type(reference).__name__}."
        ) from None
    if not 0 <= value <= 1:
        raise ValueError(f"reference must be an AUC in [0, 1], got {reference!r}.")
    return value, None


def _check_side(y, scores, name, needed):
    if y is None:
        if needed:
            raise ValueError(
                f"{name} is missing: match='class' and per_class need the class labels of both "
                "sides. Regression targets have no classes: pass match=None."
            )
        return None
    y = check_labels(y, name)
    if y.shape != scores.shape:
        raise ValueError(
            f"{name} must have one label per score: expected shape {scores.shape}, got {y.shape}."
        )
    return y


def _by_class(forget_scores, y_forget, unseen_scores, y_unseen, weights, confidence, random_state):
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


def _accuracies(forget_scores, unseen_scores, weights, y_forget, y_unseen, random_state):
    """Largest advantage of a threshold, and the accuracy of one that was chosen on other rows.

    The second is balanced: the threshold that is best on one half of the rows, on the other half.
    """
    n = len(forget_scores)
    scores = np.concatenate([forget_scores, unseen_scores])
    masses = np.concatenate([np.zeros(n), weights])
    order = np.argsort(scores)  # the only one: halves keep it
    is_member = order < n
    advantage = np.abs(_gaps(scores[order], masses[order], is_member)[1]).max()

    used = np.flatnonzero(weights)
    if min(n, len(used)) < 2:
        return float(advantage), None
    # Without a seed always the same halves: a metric draws from no global generator.
    rng = check_random_state(0 if random_state is None else random_state)
    half = np.full(len(scores), -1)
    half[_every_other(np.arange(n), y_forget, rng)] = 0
    half[n + _every_other(used, y_unseen, rng)] = 0
    half[n + used] += 1
    half[:n] += 1
    gaps = []
    for here in (0, 1):
        seen = order[half[order] == here]
        threshold, side = _best_threshold(scores[seen], masses[seen], seen < n)
        other = half == 1 - here
        passed = scores >= threshold
        found = np.mean(passed[:n][other[:n]])
        alarms = np.average(passed[n:][other[n:]], weights=weights[other[n:]])
        gaps.append(side * (found - alarms))
    return float(advantage), float((1 + np.mean(gaps)) / 2)


def _every_other(rows, y, rng):
    """Half of the rows, and of every class among them."""
    rows = rng.permutation(rows)
    if y is not None:
        rows = rows[np.argsort(y[rows], kind="stable")]
    return rows[::2]


def _best_threshold(scores, masses, is_member):
    """Where |TPR − FPR| is largest, half-way to the next lower score; and the sign of it."""
    thresholds, gaps = _gaps(scores, masses, is_member)
    best = np.abs(gaps).argmax()
    return thresholds[max(best - 1, 0) : best + 1].mean(), np.sign(gaps[best])


def _gaps(scores, masses, is_member):
    """TPR − FPR at every score as the threshold, and these scores; all sorted by score."""
    first = np.flatnonzero(np.concatenate([[True], scores[1:] != scores[:-1]]))
    # What lies below each score.
    missed = np.concatenate([[0], np.cumsum(is_member)])
    passed = np.concatenate([[0.0], np.cumsum(masses)])
    return scores[first], passed[first] / passed[-1] - missed[first] / missed[-1]
