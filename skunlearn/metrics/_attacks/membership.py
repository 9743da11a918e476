"""Threshold attacks: can rows that were forgotten be told from rows that were never seen?"""

from dataclasses import replace

import numpy as np

from skunlearn._unlearning import words
from skunlearn.metrics._arrays import to_array
from skunlearn.metrics._attacks.comparing import compare_sides
from skunlearn.metrics._attacks.result import MembershipInference
from skunlearn.metrics._attacks.scores import attack_scores, check_attack, scores_by_label
from skunlearn.metrics._attacks.thresholds import auc_by_label
from skunlearn.metrics._label_logits import check_label_logits, is_multilabel
from skunlearn.metrics._logits import check_logits
from skunlearn.metrics._statistics.interval_forms import Interval
from skunlearn.metrics._statistics.matching import (
    check_labels,
    check_weights,
    match_weights,
    weigh,
)


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
        Column of each unseen row's true class, as `y_forget`.
    attack : str, default="margin"
        A score of `membership_scores`; "strongest" for the one of them that lies farthest from its
        reference, with intervals that hold for all of them together; or "learned" for a logistic
        regression on all of them, cross-validated, whose interval is widened as that of
        `blind_attack`. With a hundred forgotten digits "entropy" by itself and "learned" are weak
        on nets that were fine-tuned afterwards, which "margin" and "strongest" tell from retrained
        ones (``benchmarks/bench_metrics.py``).
    match : {"class"} or None, default="class"
        "class" weights the unseen rows to the class proportions of the forget set
        (`match_weights`). None compares with all unseen rows as they are: where the classes
        differ, the figure then measures the classes and not membership. With several labels per
        row, "class" compares each label with unseen rows that have it, or lack it, as well.
    reference : float, Interval, MembershipInference, dict or None, default=None
        AUC of the same attack on a model retrained without the forget set, which is the value to
        reach. None stands for chance, 0.5. Of "strongest" the outcome of the same attack on that
        model, or a dict with a value for each score.
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
    several = is_multilabel(y_forget)
    check = check_label_logits if several else check_logits
    forget_logits, y_forget = check(
        forget_logits, y_forget, logits_name="forget_logits", y_name="y_forget"
    )
    unseen_logits, y_unseen = check(
        unseen_logits, y_unseen, logits_name="unseen_logits", y_name="y_unseen"
    )
    if forget_logits.shape[1] != unseen_logits.shape[1]:
        raise ValueError(
            f"forget_logits have {forget_logits.shape[1]} "
            f"{'labels' if several else 'classes'} and unseen_logits "
            f"{unseen_logits.shape[1]}: both must come from the same model."
        )
    return compare_attacks(
        (forget_logits, y_forget),
        (unseen_logits, y_unseen),
        attack,
        match=match,
        reference=reference,
        per_class=per_class,
        confidence=confidence,
        random_state=random_state,
    )


def compare_attacks(
    forget,
    unseen,
    attack,
    *,
    names=None,
    match="class",
    reference=None,
    reference_outputs=None,
    kind=None,
    note="",
    per_class=False,
    confidence=0.95,
    random_state=None,
):
    """`membership_inference`, with the outputs of a reference model on the same rows.

    Parameters
    ----------
    forget, unseen : (logits, encoded labels)
    attack : str
    names : ndarray, default=None
        What encoded labels are called; as they are when None.
    reference_outputs : (logits of forgotten rows, logits of unseen rows), default=None
    """
    if match not in ("class", None):
        raise ValueError(f"match must be 'class' or None, got {match!r}.")
    seed = 0 if random_state is None else random_state
    sides = attack_scores(forget, unseen, attack, match=match, random_state=seed)
    theirs, references = None, None
    if reference_outputs is None:
        references = _check_references(reference, tuple(sides))
    else:
        others = ((z, y) for z, (_, y) in zip(reference_outputs, (forget, unseen), strict=True))
        theirs = attack_scores(*others, attack, match=match, random_state=seed)
    how = {
        "attack": attack,
        "references": references,
        "reference_sides": theirs,
        "kind": kind or ("chance" if theirs is None and reference is None else "retrained"),
        "note": note,
        "confidence": confidence,
        "random_state": random_state,
    }
    if is_multilabel(forget[1]):  # these were matched label by label
        result = compare_sides(sides, np.ones(len(unseen[1])), **how)
        result = replace(result, matched=match == "class")
        if not per_class:
            return result
        score = "margin" if attack == "learned" else result.strongest
        both = scores_by_label(forget, unseen, (score,), match)[score]
        classes, skipped = auc_by_label(*both, confidence, random_state)
        return replace(result, per_class=classes, skipped_classes=skipped)
    y_forget, y_unseen = forget[1], unseen[1]
    result = compare_sides(
        sides,
        weigh(y_forget, y_unseen, names=names) if match else np.ones(len(y_unseen)),
        y_forget=y_forget,
        y_unseen=y_unseen,
        matched=match == "class",
        per_class=per_class,
        **how,
    )
    if result.per_class is None or names is None:
        return result
    named = names.tolist()
    return replace(
        result,
        per_class={named[y]: found for y, found in result.per_class.items()},
        skipped_classes=tuple(named[y] for y in result.skipped_classes),
    )


@words.explained(membership_inference)
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
        The same score of rows that were in no training set.
    y_forget : array-like of shape (n_forget,), default=None
        Class labels, for `match` and `per_class`.
    y_unseen : array-like of shape (n_unseen,), default=None
        The same of the unseen rows.
    match : {"class"} or None, default="class"
        Regression targets have no classes to match: pass None.
    sample_weight : array-like of shape (n_unseen,), float, default=None
        Weights of the unseen rows, before matching.
    attack : str, default="score"
        Name of the attack, for the report.
    {reference, per_class, confidence, random_state}

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
    forget_scores, unseen_scores = to_array(forget_scores), to_array(unseen_scores)
    y_forget = _check_side(y_forget, forget_scores, "y_forget", match or per_class)
    y_unseen = _check_side(y_unseen, unseen_scores, "y_unseen", match or per_class)
    if match == "class":
        weights = match_weights(y_forget, y_unseen, sample_weight=sample_weight)
    elif sample_weight is not None:
        weights = check_weights(sample_weight, len(unseen_scores), "sample_weight")
    else:
        weights = np.ones(len(unseen_scores))
    return compare_sides(
        {attack: (forget_scores, unseen_scores)},
        weights,
        attack=attack,
        references=_check_references(reference, (attack,)),
        kind="chance" if reference is None else "retrained",
        y_forget=y_forget,
        y_unseen=y_unseen,
        matched=match == "class",
        per_class=per_class,
        confidence=confidence,
        random_state=random_state,
    )


def _check_references(reference, names):
    """What the AUC of each score should be: an Interval or a float."""
    if isinstance(reference, MembershipInference) and reference.scores is not None:
        reference = {name: found.interval for name, found in reference.scores.items()}
    if not isinstance(reference, dict):
        if reference is not None and len(names) > 1:
            raise ValueError(
                "attack='strongest' sets each score against its own reference: pass reference= a "
                f"dict with the keys {list(names)}, or the outcome of the same attack on a "
                "retrained model."
            )
        reference = dict.fromkeys(names, reference)
    missing = [name for name in names if name not in reference]
    if missing:
        raise ValueError(f"reference lacks the scores {missing}; it has {list(reference)}.")
    return {name: _check_reference(reference[name]) for name in names}


def _check_reference(reference):
    """An Interval, or a float in [0, 1]."""
    if reference is None:
        return 0.5
    if isinstance(reference, MembershipInference):
        reference = reference.interval
    if isinstance(reference, Interval):
        return reference
    try:
        value = float(reference)
    except (TypeError, ValueError):
        raise TypeError(
            "reference must be an AUC, an Interval, a MembershipInference or None, got "
            f"{type(reference).__name__}."
        ) from None
    if not 0 <= value <= 1:
        raise ValueError(f"reference must be an AUC in [0, 1], got {reference!r}.")
    return value


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
