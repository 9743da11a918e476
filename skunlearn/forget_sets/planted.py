"""Forget sets of rows whose labels are wrong, and of poison that is known in part."""

from dataclasses import replace

import numpy as np
from sklearn.utils import check_random_state

from skunlearn.forget_sets._drawing import as_mask, draw, is_discrete, list_values, resolve_size
from skunlearn.forget_sets.results import PlantedForgetSet
from skunlearn.metrics._statistics.matching import check_labels

__all__ = [
    "interclass_confusion_forget_set",
    "mislabelled_forget_set",
    "partly_known_forget_set",
]


def mislabelled_forget_set(y, size=0.1, *, to=None, known=1.0, random_state=None):
    """Rows that are given wrong labels before the training.

    A model learns wrong labels by heart only, so that forgetting these rows is what a membership
    attack sees best, and what the accuracy on unseen rows should gain by.

    Parameters
    ----------
    y : array-like of shape (n,)
        True labels of all training rows.
    size : int or float, default=0.1
        Number of rows, or their share; each class gives its share.
    to : label or mapping of label to label, default=None
        The wrong label: one for all rows, or one for each class that is to be mislabelled. None
        draws one of the other classes for each row.
    known : int or float, default=1.0
        Number, or share, of the planted rows that are in the ``mask``, drawn at random; 1.0 takes
        all of them. The others are planted all the same, as in an attack of which only a part was
        found (`partly_known_forget_set`).
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    forget_set : PlantedForgetSet
        Train on its ``y``; what the rows truly are stays with you.

    Raises
    ------
    ValueError, TypeError
        When `y` holds no classes, a label of `to` is unknown or maps to itself, or `size` does
        not fit.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.forget_sets import mislabelled_forget_set
    >>> y = np.repeat([0, 1, 2], 20)
    >>> wrong = mislabelled_forget_set(y, size=6, random_state=0)
    >>> int((wrong.y != y).sum()), np.array_equal(wrong.y != y, wrong.planted)
    (6, True)
    """
    y, classes = _classes_of(y)
    rng = check_random_state(random_state)
    target = _targets(to, classes)
    source = np.ones(len(y), bool) if target is None else np.isin(y, list(target))
    pool = np.flatnonzero(source)
    rows = draw(rng, pool, resolve_size(size, len(pool)), y)
    codes = np.searchsorted(classes, y[rows])
    if target is None:
        codes = (codes + rng.randint(1, len(classes), size=len(rows))) % len(classes)
        wrong = classes[codes]
    else:
        wrong = np.array([target[label] for label in classes[codes].tolist()])
    how = "another class at random" if target is None else list_values(sorted(set(wrong.tolist())))
    return _make_planted(
        "mislabelled",
        f"{len(rows)} of {len(pool)} rows labelled as {how}",
        y,
        rows,
        {"size": len(rows), "to": to},
        known,
        rng,
        y=_change(y, rows, wrong),
    )


def interclass_confusion_forget_set(y, classes, size=0.1, *, known=1.0, random_state=None):
    """Rows of two classes that are labelled as the other of the two before the training.

    What is left of the confusion after forgetting is told by
    `skunlearn.metrics.interclass_confusion` on unseen rows of the two classes.

    Parameters
    ----------
    y : array-like of shape (n,)
        True labels of all training rows.
    classes : pair of labels
        Two different labels in `y`, which are swapped.
    size : int or float, default=0.1
        Number of rows, or their share of those of the two classes; each class gives its share.
        [1]_ swaps a fixed number of each class.
    known : int or float, default=1.0
        Number, or share, of the planted rows that are in the ``mask``, drawn at random; 1.0 takes
        all of them. The others are planted all the same, as in an attack of which only a part was
        found (`partly_known_forget_set`).
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    forget_set : PlantedForgetSet
        Train on its ``y``.

    Raises
    ------
    ValueError, TypeError
        When a class is unknown, both are the same, or `size` does not fit.

    References
    ----------
    .. [1] S. Goel et al., "Towards adversarial evaluations for inexact machine unlearning", 2022,
       https://arxiv.org/abs/2201.06640

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.forget_sets import interclass_confusion_forget_set
    >>> y = np.repeat(["cat", "dog", "car"], 20)
    >>> swapped = interclass_confusion_forget_set(y, ("cat", "dog"), size=10, random_state=0)
    >>> [int((swapped.y[y == c] != c).sum()) for c in ("cat", "dog", "car")]
    [5, 5, 0]
    """
    y, present = _classes_of(y)
    pair = list(classes) if np.ndim(classes) == 1 else [classes]
    if len(pair) != 2 or pair[0] == pair[1]:
        raise ValueError(f"classes must be two different labels, got {classes!r}.")
    _refuse_unknown(pair, present, "classes")
    rng = check_random_state(random_state)
    pool = np.flatnonzero((y == pair[0]) | (y == pair[1]))
    rows = draw(rng, pool, resolve_size(size, len(pool)), y)
    a, b = np.asarray(pair, dtype=y.dtype)
    return _make_planted(
        "interclass confusion",
        f"{len(rows)} of {len(pool)} rows of {list_values(pair)} labelled as the other of the two",
        y,
        rows,
        {"size": len(rows), "classes": pair},
        known,
        rng,
        y=_change(y, rows, np.where(y[rows] == a, b, a)),
    )


def partly_known_forget_set(planted, known=0.5, *, random_state=None):
    """The same planted rows, of which only some are known.

    Whoever finds poison in their data seldom finds all of it. Forget the known rows, and see how
    much of the effect of all planted rows goes with them (corrective unlearning, [1]_).

    Parameters
    ----------
    planted : PlantedForgetSet
        From `mislabelled_forget_set`, `backdoor_forget_set` and the like.
    known : int or float, default=0.5
        Number, or share, of the planted rows that are known, drawn at random.
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    forget_set : PlantedForgetSet
        With another ``mask``; what was planted is shared with `planted`, not copied.

    Raises
    ------
    TypeError, ValueError
        When `planted` is none, or `known` does not fit.

    References
    ----------
    .. [1] S. Goel et al., "Corrective Machine Unlearning", TMLR 2024,
       https://arxiv.org/abs/2402.14015

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.forget_sets import mislabelled_forget_set, partly_known_forget_set
    >>> wrong = mislabelled_forget_set(np.repeat([0, 1], 50), size=20, random_state=0)
    >>> half = partly_known_forget_set(wrong, 0.5, random_state=0)
    >>> len(half), int(half.planted.sum())
    (10, 20)
    """
    if not isinstance(planted, PlantedForgetSet):
        raise TypeError(f"planted must be a PlantedForgetSet, got {type(planted).__name__}.")
    rows = np.flatnonzero(planted.planted)
    chosen = draw(
        check_random_state(random_state),
        rows,
        resolve_size(known, len(rows), name="known", of="planted rows"),
    )
    text = planted.description.split("; known")[0].rstrip(".")
    if len(chosen) < len(rows):
        text += f"; known are {len(chosen)} of them"
    return replace(
        planted,
        mask=as_mask(chosen, len(planted.mask)),
        description=f"{text}.",
        details=planted.details | {"known": len(chosen)},
    )


def _make_planted(kind, description, like, rows, details, known, rng, **changed):
    """A `PlantedForgetSet` of which `known` rows are known."""
    mask = as_mask(rows, len(like))
    whole = PlantedForgetSet(
        mask, kind, f"{description}.", details | {"known": len(rows)}, planted=mask, **changed
    )
    # The float 1.0 is the share of all.
    if isinstance(known, float) and known == 1.0:
        return whole
    return partly_known_forget_set(whole, known, random_state=rng)


def _classes_of(y):
    y = check_labels(y, "y")
    if not is_discrete(y):
        raise ValueError("y must hold class labels; wrong labels need at least two classes.")
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(
            f"y holds one class only, {list_values(classes)}: no label would be wrong."
        )
    return y, classes


def _targets(to, classes):
    """Wrong label of every class that gets one; None for random ones."""
    if to is None:
        return None
    known = classes.tolist()
    mapping = dict(to) if hasattr(to, "keys") else {c: to for c in known if c != to}
    _refuse_unknown([*mapping, *mapping.values()], classes, "to")
    same = [label for label, wrong in mapping.items() if label == wrong]
    if same:
        raise ValueError(f"to maps {list_values(same)} to itself, which is no wrong label.")
    return mapping


def _refuse_unknown(labels, classes, name):
    unknown = [label for label in dict.fromkeys(labels) if not np.any(classes == label)]
    if unknown:
        raise ValueError(
            f"{name} names {list_values(unknown)}, which y does not hold; its classes are "
            f"{list_values(classes)}."
        )


def _change(y, rows, labels):
    y = y.copy()
    y[rows] = labels
    return y
