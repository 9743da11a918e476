"""Draws of rows for attacks that cannot take weights."""

import numpy as np

from skunlearn.metrics._statistics.matching import check_labels, match_weights


def balance_rows(y_forget, y_unseen, rng, *, match=True):
    """As many forgotten as unseen rows, in the same class proportions.

    Where unseen rows of a class are fewer than forgotten ones, both sides shrink.

    Parameters
    ----------
    y_forget, y_unseen : array-like of shape (n,)
        Class labels.
    rng : RandomState
    match : bool, default=True
        False equalises the numbers only.

    Returns
    -------
    forget, unseen : ndarray of int, positions
    """
    y_forget, y_unseen = check_labels(y_forget, "y_forget"), check_labels(y_unseen, "y_unseen")
    if not match:
        n = min(len(y_forget), len(y_unseen))
        return rng.permutation(len(y_forget))[:n], rng.permutation(len(y_unseen))[:n]
    match_weights(y_forget, y_unseen)  # says which class has no unseen row
    classes, wanted = np.unique(y_forget, return_counts=True)
    share = min(1.0, min(np.sum(y_unseen == c) / w for c, w in zip(classes, wanted, strict=True)))
    forget, unseen = [], []
    for label, w in zip(classes, wanted, strict=True):
        n = max(1, int(share * w + 1e-9))
        forget.append(rng.permutation(np.flatnonzero(y_forget == label))[:n])
        unseen.append(rng.permutation(np.flatnonzero(y_unseen == label))[:n])
    return np.concatenate(forget), np.concatenate(unseen)


def unseen_in_proportion(y_forget, y_unseen, rng):
    """Positions of as many unseen rows as keep the class proportions of the forget set."""
    y_forget, y_unseen = check_labels(y_forget, "y_forget"), check_labels(y_unseen, "y_unseen")
    match_weights(y_forget, y_unseen)
    classes, wanted = np.unique(y_forget, return_counts=True)
    rows = [rng.permutation(np.flatnonzero(y_unseen == label)) for label in classes]
    share = min(len(r) / w for r, w in zip(rows, wanted, strict=True))
    return np.concatenate(
        [r[: max(1, int(share * w + 1e-9))] for r, w in zip(rows, wanted, strict=True)]
    )
