"""Membership scores of rows with several labels: of each label, as of a binary classification."""

import numpy as np

from skunlearn.metrics._arrays import to_array


def is_multilabel(y):
    """Whether targets are an indicator matrix, one column a label."""
    return np.ndim(y) == 2


def check_label_logits(logits, y, *, logits_name="logits", y_name="y"):
    """Float64 logits and boolean labels of shape (n, n_labels), or an error that says which row."""
    z, y = np.array(to_array(logits, np.float64)), to_array(y)
    if y.shape[1] == 1 and z.ndim == 2 and z.shape[1] > 1:
        raise ValueError(
            f"{y_name} has shape {y.shape}, and {logits_name} {z.shape}: of one class per row pass "
            f"{y_name}[:, 0], the column of each row's true class."
        )
    if z.ndim != 2 or z.shape != y.shape or not z.size:
        raise ValueError(
            f"{logits_name} and {y_name} of several labels per row must have the same shape "
            f"(n, n_labels) and rows, got {z.shape} and {y.shape}."
        )
    bad = np.flatnonzero(~np.isfinite(z).all(axis=1))
    if len(bad):
        raise ValueError(
            f"{logits_name} holds NaN or infinity in {len(bad)} of {len(z)} rows, first in row "
            f"{bad[0]}."
        )
    bad = np.flatnonzero(~np.isin(y, [0, 1]).all(axis=1))
    if len(bad):
        raise ValueError(f"{y_name} must hold 0 and 1; row {bad[0]} holds {y[bad[0]].tolist()}.")
    return z, y.astype(bool)


def match_scores(members, y_members, others, y_others):
    """Scores of rows, each label compared with unseen rows that have it, or lack it, as well.

    From the score of a label its mean over the unseen rows of the same value is taken, so that
    a row does not look forgotten because its labels are rare. What matching by classes does for
    one class per row: there are too many sets of labels to weight rows by.

    Parameters
    ----------
    members, others : ndarray of shape (n, n_labels)
        By label, of forgotten and of unseen rows.
    y_members, y_others : bool ndarray of the same shapes

    Returns
    -------
    members, others : ndarray of the same shapes
        NaN where no unseen row has the same value of a label.
    """
    members, others = members.astype(np.float64), others.astype(np.float64)
    for label in range(members.shape[1]):
        for value in (False, True):
            ours, theirs = y_members[:, label] == value, y_others[:, label] == value
            mean = others[theirs, label].mean() if theirs.any() else np.nan
            members[ours, label] -= mean
            others[theirs, label] -= mean
    lost = np.flatnonzero(np.isnan(members).all(axis=1))
    if len(lost):
        raise ValueError(
            f"No unseen row has a label of forget row {lost[0]}, or lacks one that it lacks. Pass "
            "unseen rows with the labels of the forget rows, or match=None."
        )
    return members, others


def row_scores(by_label):
    """Mean over the labels of each row, of those that could be compared."""
    return np.nanmean(by_label, axis=1)
