"""What logits say about each row's own class, in float64 and without rounding to 0 or 1."""

import numpy as np
from scipy.special import expit

from skunlearn._torch.row_blocks import RowBlock, by_blocks
from skunlearn._unlearning import words
from skunlearn.metrics._arrays import to_array, warn_of_probabilities
from skunlearn.metrics._label_logits import check_label_logits, is_multilabel


def margin(logits, y):
    """Margin of each row: φ = log p_y − log(1 − p_y).

    It is the logit of the true class minus the log-sum-exp of the other logits, so that a row
    whose probability rounds to 1 keeps its place among the others.

    Parameters
    ----------
    logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities; both give the same margin. At least two classes.
    y : array-like of shape (n,), int
        Column of each row's true class, in [0, n_classes). Of rows with several labels an array of
        shape (n, n_labels), 0 or 1; `logits` then has a column for each label.

    Returns
    -------
    ndarray of shape (n,), or (n, n_labels) of several labels, float64
        In nats; positive where the true class has more than half of the probability.

    Raises
    ------
    TypeError
        If `y` does not hold integers.
    ValueError
        If shapes do not match, or a value is not finite or out of range.

    References
    ----------
    Carlini et al. (2022), "Membership inference attacks from first principles",
    https://arxiv.org/abs/2112.03570

    Examples
    --------
    >>> from skunlearn.metrics import margin
    >>> margin([[100.0, 0.0], [0.0, 2.0]], [0, 0])
    array([100.,  -2.])
    >>> margin([[3.0, -1.0, 2.0]], [[1, 0, 0]])  # three labels of one row
    array([[ 3.,  1., -2.]])
    """
    if is_multilabel(y):
        z, y = check_label_logits(logits, y)
        return np.where(y, z, -z)
    return by_blocks({"margin": RowBlock.margin}, *check_logits(logits, y))["margin"]


@words.explained(margin)
def cross_entropy(logits, y):
    """Cross-entropy of each row, −log p_y.

    The loss is log(1 + exp(−φ)), of the `margin` φ, which keeps its digits where −log p_y would
    round to 0. Errors are those of `margin`.

    Parameters
    ----------
    {logits, y}

    Returns
    -------
    ndarray of shape (n,), float64
        In nats.

    Examples
    --------
    >>> from skunlearn.metrics import cross_entropy
    >>> cross_entropy([[0.0, 0.0], [50.0, 0.0]], [0, 0])
    array([6.93147181e-01, 1.92874985e-22])
    """
    return np.logaddexp(0.0, -margin(logits, y))


@words.explained(margin)
def true_class_confidence(logits, y):
    """Probability that the model gives to each row's true class, p_y.

    Above a `margin` of about 37 the probability is 1 in float64 and rows tie: prefer `margin` for
    attacks. Errors are those of `margin`.

    Parameters
    ----------
    {logits, y}

    Returns
    -------
    ndarray of shape (n,), float64

    Examples
    --------
    >>> from skunlearn.metrics import true_class_confidence
    >>> true_class_confidence([[0.0, 0.0], [50.0, 0.0]], [0, 0])
    array([0.5, 1. ])
    """
    return expit(margin(logits, y))


def check_logits(logits, y, *, logits_name="logits", y_name="y"):
    """Float64 logits and the labels as int64, or an error that says which row."""
    z = to_array(logits, dtype=np.float64)
    if z.ndim == 1 or (z.ndim == 2 and z.shape[1] == 1):
        raise ValueError(
            f"{logits_name} needs one column per class and at least two, got shape {z.shape}. For "
            "one logit z of a binary classifier pass numpy.column_stack([0 * z, z])."
        )
    if z.ndim != 2 or z.shape[1] == 0:
        raise ValueError(f"{logits_name} must have shape (n, n_classes), got {z.shape}.")
    y = to_array(y)
    if y.shape != (len(z),):
        raise ValueError(
            f"{y_name} must have one entry per row of {logits_name}: expected shape ({len(z)},), "
            f"got {y.shape}."
        )
    if len(z) == 0:
        raise ValueError(f"{logits_name} has no rows.")
    if y.dtype.kind not in "iub":
        raise TypeError(
            f"{y_name} must hold the column of each row's true class as integers, got dtype "
            f"{y.dtype}. Encode labels first, for example numpy.searchsorted(classes_, {y_name})."
        )
    if not np.isfinite(z).all():
        bad = np.flatnonzero(~np.isfinite(z).all(axis=1))
        raise ValueError(
            f"{logits_name} holds NaN or infinity in {len(bad)} of {len(z)} rows, first in row "
            f"{bad[0]}. Logarithms of probabilities that were rounded to 0 are infinite: pass the "
            "model's logits instead."
        )
    bad = np.flatnonzero((y < 0) | (y >= z.shape[1]))
    if len(bad):
        raise ValueError(
            f"{y_name} must lie in [0, {z.shape[1]}), the columns of {logits_name}; row {bad[0]} "
            f"holds {y[bad[0]]}."
        )
    warn_of_probabilities(z, logits_name)
    return z, y.astype(np.int64, copy=False)
