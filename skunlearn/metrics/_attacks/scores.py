"""Scores of single rows: how much each looks like a member of the training set."""

import numpy as np
from scipy.special import expit

from skunlearn._torch.row_blocks import RowBlock, by_blocks
from skunlearn.metrics._arrays import to_array
from skunlearn.metrics._attacks.learned import learn_scores
from skunlearn.metrics._label_logits import (
    check_label_logits,
    is_multilabel,
    match_scores,
    row_scores,
)
from skunlearn.metrics._logits import check_logits

__all__ = ["membership_scores", "squared_error"]


def membership_scores(logits, y, attack="margin"):
    """Score of each row; higher looks more like a member.

    Parameters
    ----------
    logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model under attack.
    y : array-like of shape (n,), int
        Column of each row's true class. Of rows with several labels an array of shape
        (n, n_labels), 0 or 1, and a logit for each label: each is scored as a binary
        classification, and a row's score is the mean over its labels.
    attack : {"margin", "loss", "confidence", "entropy", "modified_entropy"}, default="margin"
        "margin", log p_y − log(1 − p_y) [1]_; "loss", log p_y [2]_; "confidence", p_y. Each grows
        with the others, so that they give the same AUC, except that the confidence of well-fitted
        rows rounds to 1 and ties. "entropy" is minus the entropy of the prediction, which ignores
        `y`; "modified_entropy" [3]_ is minus
        −(1 − p_y) log p_y − Σ_{i≠y} p_i log(1 − p_i), which a confident error makes large.

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
    .. [1] Carlini et al. (2022), "Membership inference attacks from first principles",
       https://arxiv.org/abs/2112.03570
    .. [2] Yeom et al. (2018), "Privacy risk in machine learning: analyzing the connection to
       overfitting", https://arxiv.org/abs/1709.01604
    .. [3] Song and Mittal (2021), "Systematic evaluation of privacy risks of machine learning
       models", https://arxiv.org/abs/2003.10595

    Examples
    --------
    >>> from skunlearn.metrics import membership_scores
    >>> membership_scores([[3.0, 0.0], [0.0, 2.0]], [0, 0])
    array([ 3., -2.])
    >>> membership_scores([[3.0, 0.0], [0.0, 2.0]], [0, 0], "modified_entropy").round(3)
    array([-0.005, -3.747])
    """
    check_attack(attack, several=False)
    if is_multilabel(y):
        return label_scores(logits, y, attack).mean(axis=1)
    return scores_of_rows(*check_logits(logits, y), (attack,))[attack]


def label_scores(logits, y, attack):
    """Score of each label of rows that have several, of shape (n, n_labels)."""
    check_attack(attack, several=False)
    return _of_labels(*check_label_logits(logits, y), (attack,))[attack]


def scores_by_label(forget, unseen, names, match="class"):
    """`label_scores` of forgotten and of unseen rows by name, matched label by label."""
    ours, theirs = (_of_labels(*check_label_logits(*side), names) for side in (forget, unseen))
    sides = {name: (ours[name], theirs[name]) for name in names}
    if match is None:
        return sides
    y = to_array(forget[1]), to_array(unseen[1])
    return {name: match_scores(m, y[0], o, y[1]) for name, (m, o) in sides.items()}


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
    prediction = to_array(prediction, dtype=np.float64)
    y = to_array(y, dtype=np.float64)
    # (n, 1) against (n,) would broadcast to (n, n).
    flat = [a[:, 0] if a.ndim == 2 and a.shape[1] == 1 else a for a in (prediction, y)]
    if flat[0].shape != flat[1].shape or flat[0].ndim not in (1, 2):
        raise ValueError(
            "prediction and y must both have shape (n,) or (n, n_outputs), got "
            f"{prediction.shape} and {y.shape}."
        )
    error = (flat[0] - flat[1]) ** 2
    return error if error.ndim == 1 else error.mean(axis=1)


def check_attack(attack, *, several=True):
    """Raise unless `attack` names a score, or an attack by several of them."""
    known = sorted(_SCORES) + (["learned", "strongest"] if several else [])
    if attack not in known:
        raise ValueError(f"attack must be one of {known}, got {attack!r}.")


def attack_scores(forget, unseen, attack, *, match="class", random_state=0):
    """Scores of both sides by each score of an attack.

    Parameters
    ----------
    forget, unseen : (logits, labels)
    attack : str
        The name of a score, "strongest" for all of them, or "learned" for one made of all.
    match : {"class"} or None
    random_state : int, RandomState instance or None, default=0
        Of the folds of "learned".

    Returns
    -------
    sides : dict of str to (scores of forgotten rows, scores of unseen rows)
    """
    check_attack(attack)
    single = attack in _SCORES
    names = (attack,) if single else ALL_SCORES if attack == "strongest" else _LEARNT_FROM
    several = is_multilabel(forget[1])
    if several:
        by_name = scores_by_label(forget, unseen, names, match)
        sides = {name: tuple(map(row_scores, both)) for name, both in by_name.items()}
    else:
        ours, theirs = (scores_of_rows(*check_logits(*side), names) for side in (forget, unseen))
        sides = {name: (ours[name], theirs[name]) for name in names}
    if attack != "learned":
        return sides
    both, match = zip(*sides.values(), strict=True), None if several else match
    scores = learn_scores(*both, forget[1], unseen[1], match=match, random_state=random_state)
    return {attack: scores}


def scores_of_rows(z, y, names):
    """Scores of checked rows by name, from one softmax."""
    direct = {_SCORES[name][0].__name__: _SCORES[name][0] for name in names}
    found = by_blocks(direct, z, y)
    return {name: _SCORES[name][1](found[_SCORES[name][0].__name__]) for name in names}


def _of_labels(logits, y, names):
    """The same of every label as of a binary classification: each of shape (n, n_labels)."""
    z = np.column_stack([np.zeros(logits.size), logits.ravel()])
    found = scores_of_rows(z, y.ravel().astype(np.int64), names)
    return {name: values.reshape(logits.shape) for name, values in found.items()}


def _as_it_is(values):
    return values


# What is taken of a block of rows, and what is made of it.
_SCORES = {
    "margin": (RowBlock.margin, _as_it_is),
    "loss": (RowBlock.margin, lambda margins: -np.logaddexp(0.0, -margins)),
    "confidence": (RowBlock.margin, expit),
    "entropy": (RowBlock.negative_entropy, _as_it_is),
    "modified_entropy": (RowBlock.negative_modified_entropy, _as_it_is),
}
ALL_SCORES = tuple(_SCORES)
# The others order rows as the margin does.
_LEARNT_FROM = ("margin", "entropy", "modified_entropy")
