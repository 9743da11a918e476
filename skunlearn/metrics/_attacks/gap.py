"""The gap attack: whoever is predicted rightly was a member."""

import numpy as np

from skunlearn._unlearning import words
from skunlearn.metrics._attacks.membership import compare_scores, membership_inference
from skunlearn.metrics._statistics.matching import check_labels, refuse_other_types

__all__ = ["gap_attack"]


@words.explained(membership_inference)
def gap_attack(
    forget_predictions,
    y_forget,
    unseen_predictions,
    y_unseen,
    *,
    match="class",
    reference=None,
    per_class=False,
    confidence=0.95,
    random_state=None,
):
    """Attack by predicted labels alone: a row that is predicted rightly is called a member.

    Its AUC is 1/2 + (accuracy on forgotten − accuracy on unseen rows) / 2, the attack accuracy
    of the label-only baseline. What it finds is plain over-fitting; more than that it cannot see.

    Parameters
    ----------
    forget_predictions, unseen_predictions : array-like of shape (n,)
        Predicted labels, of any type.
    y_forget, y_unseen : array-like of shape (n,)
        True labels.
    {match, reference, per_class, confidence, random_state}

    Returns
    -------
    MembershipInference

    Raises
    ------
    TypeError
        If labels are text and predictions numbers, or the other way round.
    ValueError
        If labels and predictions do not fit, or a class of the forget set has no unseen row.

    References
    ----------
    Yeom et al. (2018), "Privacy risk in machine learning: analyzing the connection to
    overfitting", https://arxiv.org/abs/1709.01604

    Examples
    --------
    >>> from skunlearn.metrics import gap_attack
    >>> gap_attack([1, 1, 0, 0], [1, 1, 0, 0], [1, 0, 0, 1], [1, 1, 0, 0]).auc
    0.75
    """
    right = []
    for name, predicted, y in (
        ("forget", forget_predictions, y_forget),
        ("unseen", unseen_predictions, y_unseen),
    ):
        predicted, y = check_labels(predicted, f"{name}_predictions"), check_labels(y, f"y_{name}")
        if predicted.shape != y.shape:
            raise ValueError(
                f"{name}_predictions and y_{name} must have one label per row, got "
                f"{len(predicted)} and {len(y)}."
            )
        refuse_other_types(**{f"{name}_predictions": predicted, f"y_{name}": y})
        right.append((predicted == y).astype(np.float64))
    return compare_scores(
        *right,
        y_forget=y_forget,
        y_unseen=y_unseen,
        match=match,
        attack="gap",
        reference=reference,
        per_class=per_class,
        confidence=confidence,
        random_state=random_state,
    )
