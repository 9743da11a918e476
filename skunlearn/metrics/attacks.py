"""Threshold attacks: can rows that were forgotten be told from rows that were never seen?"""

from dataclasses import dataclass, field

import numpy as np

from skunlearn.metrics._logits import check_logits, cross_entropy, margin, true_class_confidence
from skunlearn.metrics.intervals import Interval, auc_interval
from skunlearn.metrics.matching import check_labels, check_weights, match_weights

_SCORES = {
    "margin": margin,
    "loss": lambda logits, y: -cross_entropy(logits, y),
    "confidence": true_class_confidence,
}
_MIN_CLASS_ROWS = 10  # per side, for a figure of one class


@dataclass(frozen=True)
class MembershipInference:
    """Outcome of a membership-inference attack on forgotten against unseen rows.

    Attributes
    ----------
    auc : float
        Chance that a forgotten row looks more like a member than an unseen row does.
    interval : Interval
        Of `auc`.
    n_forget, n_unseen : int
        Rows compared; unseen rows of weight 0 do not count.
    attack : str
    matched : bool
        Whether the unseen rows were weighted to the class proportions of the forget set.
    reference_auc : float
        The AUC of a model that never saw the forget set, or 0.5 where none is at hand.
    reference_kind : {"chance", "retrained"}
    reference_interval : Interval or None
        Of `reference_auc`, where it was given.
    score : float
        −|auc − reference_auc|; higher is better, 0 is best.
    advantage : float
        Largest |TPR − FPR| over all thresholds. The threshold is chosen on the rows that it is
        judged on, so that the figure lies above 0 even without any leak.
    attack_accuracy : float
        Balanced accuracy at that threshold, (1 + advantage) / 2. Without any leak it was 0.524 on
        average over 500 simulations of 500 forgotten and 1000 unseen rows.
    per_class : dict of label to Interval, or None
        AUC within each class, when asked for.
    skipped_classes : tuple
        Classes of the forget set with fewer than 10 rows on a side, left out of `per_class`.
    """

    auc: float
    interval: Interval
    n_forget: int
    n_unseen: int
    attack: str
    matched: bool
    reference_auc: float
    reference_kind: str
    score: float
    advantage: float
    attack_accuracy: float
    reference_interval: Interval | None = None
    per_class: dict | None = field(default=None, hash=False)
    skipped_classes: tuple = ()

    @property
    def distinguishable(self):
        """Whether the reference lies outside the interval.

        A reference with an interval of its own must differ by more than both half-widths, added
        in squares (Zou and Donner, 2008, Statistics in Medicine 27, 1693–1702). Two models judged
        on the same rows err alike, which makes this cautious.
        """
        low, high = self.interval.low, self.interval.high
        if self.reference_interval is not None:
            reference = self.reference_interval
            low = self.auc - np.hypot(self.auc - low, reference.high - self.reference_auc)
            high = self.auc + np.hypot(high - self.auc, self.reference_auc - reference.low)
        return not low <= self.reference_auc <= high

    def __str__(self):
        i = self.interval
        matched = "matched" if self.matched else "unmatched"
        return (
            f"{matched} {self.attack} attack: AUC {i.estimate:.3f} ({100 * i.confidence:g}% "
            f"interval {i.low:.3f}–{i.high:.3f}, {i.method}, {self.n_forget} forgotten vs "
            f"{self.n_unseen} unseen); reference: {self._reference()}; {self._verdict()} "
            f"{self._direction()}"
        )

    def _reference(self):
        if self.reference_kind == "chance":
            return "chance 0.500"
        return f"retrained model {self.reference_interval or format(self.reference_auc, '.3f')}"

    def _verdict(self):
        if not self.distinguishable:
            return "not distinguishable at this sample size."
        side = "above" if self.auc > self.reference_auc else "below"
        return f"distinguishable: it lies {side} the reference."

    def _direction(self):
        if self.attack == "blind":
            return (
                "This attack never asks the model: away from 0.5 on either side, the two sets "
                "differ in distribution and an attack on the model says nothing about membership."
            )
        return (
            "Closer to the reference is better; both sides count (AUC below "
            f"{'0.5' if self.reference_kind == 'chance' else 'the reference'} is a leak too)."
        )


def membership_scores(logits, y, attack="margin"):
    """Score of each row; higher looks more like a member.

    Parameters
    ----------
    logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model under attack.
    y : array-like of shape (n,), int
        Column of each row's true class.
    attack : {"margin", "loss", "confidence"}, default="margin"
        log p_y − log(1 − p_y); log p_y; or p_y. Each grows with the others, so that they give the
        same AUC, except that the confidence of well-fitted rows rounds to 1 and ties.

    Returns
    -------
    ndarray of shape (n,), float64

    Raises
    ------
    TypeError
        If `y` does not hold integers.
    ValueError
        If the attack is unknown, shapes do not match, or a value is not finite or out of range.

    References
    ----------
    Yeom et al. (2018), "Privacy risk in machine learning: analyzing the connection to
    overfitting", https://arxiv.org/abs/1709.01604

    Examples
    --------
    >>> from skunlearn.metrics import membership_scores
    >>> membership_scores([[3.0, 0.0], [0.0, 2.0]], [0, 0])
    array([ 3., -2.])
    """
    _check_attack(attack)
    return _SCORES[attack](logits, y)


def squared_error(prediction, y):
    """Squared error of each row of a regression, averaged over its outputs.

    Its negative is a membership score for `compare_scores`.

    Parameters
    ----------
    prediction, y : array-like of shape (n,) or (n, n_outputs), float
        In the units of the target.

    Returns
    -------
    ndarray of shape (n,), float64
        In squared units of the target.

    Raises
    ------
    ValueError
        If the shapes differ, after columns of one output are flattened.

    Examples
    --------
    >>> from skunlearn.metrics import compare_scores, squared_error
    >>> unseen = -squared_error([1.0, 2.5, 0.0], [0.0, 1.0, 0.5])
    >>> forgotten = -squared_error([[1.0], [2.0]], [1.1, 1.8])
    >>> result = compare_scores(forgotten, unseen, match=None, attack="squared-error")
    >>> print(result.interval)
    1.000 (95% interval 0.158–1.000, exact)
    """
    prediction = np.asarray(prediction, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64)
    # (n, 1) against (n,) would broadcast to (n, n).
    flat = [a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in (prediction, y)]
    if flat[0].shape != flat[1].shape or flat[0].ndim not in (1, 2):
        raise ValueError(
            "prediction and y must both have shape (n,) or (n, n_outputs), got "
            f"{prediction.shape} and {y.shape}."
        )
    error = (flat[0] - flat[1]) ** 2
    return error if error.ndim == 1 else error.mean(axis=1)


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
        Column of each row's true class.
    unseen_logits : array-like of shape (n_unseen, n_classes), float
        The same for rows that were in no training set.
    y_unseen : array-like of shape (n_unseen,), int
    attack : {"margin", "loss", "confidence"}, default="margin"
        See `membership_scores`.
    match : {"class"} or None, default="class"
        "class" weights the unseen rows to the class proportions of the forget set
        (`match_weights`). None compares with all unseen rows as they are: where the classes
        differ, the figure then measures the classes and not membership.
    reference : float, Interval, MembershipInference or None, default=None
        AUC of the same attack on a model retrained without the forget set, which is the value to
        reach. None stands for chance, 0.5.
    per_class : bool, default=False
        Whether to compute the AUC within each class as well.
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
    _check_attack(attack)
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
    advantage = _advantage(forget_scores, unseen_scores, weights)
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
        attack_accuracy=(1 + advantage) / 2,
        reference_interval=reference_interval,
        per_class=classes,
        skipped_classes=skipped,
    )


def _check_attack(attack):
    if attack not in _SCORES:
        raise ValueError(f"attack must be one of {sorted(_SCORES)}, got {attack!r}.")


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


def _advantage(forget_scores, unseen_scores, weights):
    """Largest |TPR − FPR| over thresholds (the two-sample Kolmogorov–Smirnov distance)."""
    thresholds = np.unique(np.concatenate([forget_scores, unseen_scores]))
    order = np.argsort(unseen_scores)
    mass = np.concatenate([[0.0], np.cumsum(weights[order])])
    missed = np.searchsorted(np.sort(forget_scores), thresholds, "left") / len(forget_scores)
    passed = mass[np.searchsorted(unseen_scores[order], thresholds, "left")] / mass[-1]
    return float(np.abs(passed - missed).max())
