"""Weights that give unseen rows the class proportions of the forget set."""

import numpy as np

from skunlearn.metrics._arrays import to_array


def match_weights(y_forget, y_unseen, *, sample_weight=None):
    """Weights of the unseen rows that match the class proportions of the forget set.

    An attack that compares forgotten rows of one class with unseen rows of all classes measures
    how that class differs from the others, not what the model remembers. The same set of classes
    is not enough either: their proportions must agree.

    Parameters
    ----------
    y_forget : array-like of shape (n_forget,)
        Class labels of the forgotten rows, of any type that sorts.
    y_unseen : array-like of shape (n_unseen,)
        Class labels of rows that the model never saw.
    sample_weight : array-like of shape (n_unseen,), float, default=None
        Weights of the unseen rows within their class, not negative; equal when None.

    Returns
    -------
    ndarray of shape (n_unseen,), float64
        Weights with a mean of 1 over the rows that are used; 0 for classes that are absent from
        the forget set.

    Raises
    ------
    TypeError
        If the two sides hold labels of different types.
    ValueError
        If a class of the forget set has no unseen row (of positive weight).

    Examples
    --------
    >>> from skunlearn.metrics import match_weights
    >>> match_weights(["a", "a", "a", "b"], ["a", "b", "b", "c"])
    array([2.25 , 0.375, 0.375, 0.   ])
    """
    y_forget = check_labels(y_forget, "y_forget")
    y_unseen = check_labels(y_unseen, "y_unseen")
    refuse_other_types(y_forget=y_forget, y_unseen=y_unseen)
    return weigh(y_forget, y_unseen, sample_weight=sample_weight)


def weigh(y_forget, y_unseen, *, sample_weight=None, names=None):
    """`match_weights` of checked labels; `names` are what encoded ones stand for."""
    base = (
        np.ones(len(y_unseen))
        if sample_weight is None
        else check_weights(sample_weight, len(y_unseen), "sample_weight")
    )
    classes, wanted = np.unique(y_forget, return_counts=True)
    place = np.minimum(np.searchsorted(classes, y_unseen), len(classes) - 1)
    base = np.where(classes[place] == y_unseen, base, 0.0)
    found = np.bincount(place, weights=base, minlength=len(classes))
    _check_all_found(classes if names is None else names[classes], wanted, found)
    weights = base * (wanted / found)[place]
    return weights * (np.count_nonzero(weights) / weights.sum())


def _check_all_found(classes, wanted, found):
    missing = np.flatnonzero(found == 0)
    if len(missing) == 0:
        return
    named = ", ".join(f"{classes[i]} ({wanted[i]} forgotten, 0 unseen)" for i in missing[:10])
    more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
    raise ValueError(
        f"{len(missing)} of the {len(classes)} classes in the forget set have no unseen row to "
        f"compare with: {named}{more}. Hold out some rows of each forgotten class before training "
        "and pass them as unseen rows, leave these classes out of the forgotten rows, or pass "
        "match=None and read the figure as a comparison of classes, not of membership."
    )


def check_labels(y, name):
    """Labels as a 1-D array that is not empty."""
    y = to_array(y)
    if y.ndim != 1:
        raise ValueError(f"{name} must have one class label per row, got shape {y.shape}.")
    if len(y) == 0:
        raise ValueError(f"{name} has no rows.")
    if y.dtype.kind == "f" and not np.isfinite(y).all():
        raise ValueError(f"{name} holds NaN or infinity in row {np.flatnonzero(y * 0 != 0)[0]}.")
    return y


def refuse_other_types(**named):
    """Raise TypeError where some labels are text and others numbers, which never are equal.

    `named` are arrays; what arrays of objects hold is not looked at.
    """
    known = {name: labels for name, labels in named.items() if labels.dtype.kind != "O"}
    if len({labels.dtype.kind in "US" for labels in known.values()}) > 1:
        held = " and ".join(f"{name} of {labels.dtype}" for name, labels in known.items())
        raise TypeError(f"Labels of different types equal none: {held}. Give all in the same type.")


def check_weights(weights, n, name):
    """Weights as float64: one per row, finite, not negative, not all 0."""
    weights = to_array(weights, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(f"{name} must have shape ({n},), got {weights.shape}.")
    bad = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(bad):
        raise ValueError(
            f"{name} must be finite and not negative; row {bad[0]} holds {weights[bad[0]]}."
        )
    if not weights.any():
        raise ValueError(f"{name} is 0 for every row: nothing is left to compare with.")
    return weights
