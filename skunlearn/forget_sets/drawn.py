"""Forget sets that are drawn, or named by class, attribute or neighbourhood."""

import numpy as np
from sklearn.metrics import pairwise_distances
from sklearn.utils import check_random_state

from skunlearn._rows.containers import n_rows, take
from skunlearn.forget_sets._drawing import (
    as_mask,
    draw,
    find_strata,
    is_discrete,
    list_values,
    resolve_size,
)
from skunlearn.forget_sets.results import ForgetSet
from skunlearn.metrics._statistics.matching import check_labels

__all__ = [
    "class_forget_set",
    "nearest_forget_set",
    "random_forget_set",
    "subpopulation_forget_set",
]


def random_forget_set(y, size=0.1, *, stratify=True, random_state=None):
    """Rows drawn at random, each class in its share.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels or targets of all training rows.
    size : int or float, default=0.1
        Number of rows, or their share. A tenth is the usual size in published tables.
    stratify : bool or array-like of shape (n,), default=True
        Whether each class of `y` gives its share of the set (targets of a regression have no
        classes); an array names other strata.
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    forget_set : ForgetSet

    Raises
    ------
    ValueError, TypeError
        When `size` does not fit, or would leave nothing to retain.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.forget_sets import random_forget_set
    >>> y = np.repeat(["a", "b"], [60, 40])
    >>> forget_set = random_forget_set(y, size=10, random_state=0)
    >>> np.unique(y[forget_set.mask], return_counts=True)[1]
    array([6, 4])
    """
    y = check_labels(y, "y")
    n = len(y)
    k = resolve_size(size, n)
    strata = find_strata(stratify, y, n)
    mask = as_mask(draw(check_random_state(random_state), np.arange(n), k, strata), n)
    how = "" if strata is None else ", each class" if stratify is True else ", each stratum"
    how += " in its share" if how else ""
    return ForgetSet(
        mask,
        "random",
        f"{k} of {n} rows drawn at random{how}.",
        {"size": k, "stratified": strata is not None},
    )


def class_forget_set(y, classes, *, size=None, random_state=None):
    """All rows of one or several classes, or some of them.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels of all training rows.
    classes : label or sequence of labels
        One or more of the labels in `y`.
    size : int, float or None, default=None
        Number of rows, or their share of the rows of these classes, drawn at random and each
        class in its share; None takes all.
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    forget_set : ForgetSet

    Raises
    ------
    ValueError
        When a class is unknown, or nothing would be left to retain.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.forget_sets import class_forget_set
    >>> y = np.array([0, 1, 2, 1, 0])
    >>> class_forget_set(y, 1).mask
    array([False,  True, False,  True, False])
    >>> print(class_forget_set(y, [0, 2]))
    class: all 3 rows of the classes 0, 2.
    """
    y = check_labels(y, "y")
    wanted = _as_list(classes)
    rows = _rows_with(y, wanted, "y", "classes")
    chosen = _some(rows, size, y, random_state)
    many = "classes" if len(wanted) > 1 else "class"
    share = "all " if size is None else ""
    of = f" of {len(rows)}" if size is not None else ""
    return ForgetSet(
        as_mask(chosen, len(y)),
        "class" if size is None else "part of a class",
        f"{share}{len(chosen)}{of} rows of the {many} {list_values(wanted)}.",
        {"classes": wanted, "size": len(chosen)},
    )


def subpopulation_forget_set(
    attribute, values=None, *, n_values=None, size=None, random_state=None
):
    """Rows that have an attribute in common: a person, a hospital, an age group.

    Parameters
    ----------
    attribute : array-like of shape (n,)
        The attribute, or the group, of every training row.
    values : value, sequence of values or callable, default=None
        Which to forget. A callable is given the whole array and returns a boolean mask:
        ``lambda age: age >= 65``.
    n_values : int, default=None
        Instead of `values`: forget that many values, drawn at random.
    size : int, float or None, default=None
        Number of rows, or their share of the sub-population, drawn at random; None takes all.
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    forget_set : ForgetSet

    Raises
    ------
    ValueError, TypeError
        When no row has a value, or both or neither of `values` and `n_values` are given.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.forget_sets import subpopulation_forget_set
    >>> person = np.array(["ann", "bob", "ann", "eve"])
    >>> subpopulation_forget_set(person, "ann").mask
    array([ True, False,  True, False])
    >>> age = np.array([20, 70, 45, 66])
    >>> subpopulation_forget_set(age, lambda age: age >= 65).indices
    array([1, 3])
    """
    attribute = check_labels(attribute, "attribute")
    n, rng = len(attribute), check_random_state(random_state)
    if (values is None) == (n_values is None):
        raise TypeError("Pass either values= or n_values=.")
    if callable(values):
        rows = np.asarray(values(attribute))
        if rows.dtype != bool or rows.shape != (n,):
            raise ValueError(
                f"values must return a boolean mask of shape ({n},), got {rows.dtype} of shape "
                f"{rows.shape}."
            )
        rows, wanted = np.flatnonzero(rows), None
        if not len(rows):
            raise ValueError("values marks no row.")
    else:
        if values is None:
            present = np.unique(attribute)
            k = resolve_size(n_values, len(present), name="n_values", of="values")
            values = present[draw(rng, np.arange(len(present)), k)]
        wanted = _as_list(values)
        rows = _rows_with(attribute, wanted, "attribute", "values")
    chosen = _some(rows, size, None, rng)
    of = f" of {len(rows)}" if size is not None else ""
    whose = "for which the condition holds" if wanted is None else f"with {list_values(wanted)}"
    return ForgetSet(
        as_mask(chosen, n),
        "sub-population",
        f"{len(chosen)}{of} rows {whose}.",
        {"values": wanted, "size": len(chosen)},
    )


def nearest_forget_set(X, row, size=0.1, *, y=None, metric="euclidean"):
    """A row and its nearest neighbours.

    Neighbours share what a model knows of them, so that forgetting all of them takes more than
    forgetting as many rows here and there.

    Parameters
    ----------
    X : array-like of shape (n, ...)
        All training rows, or features of them: rows are flattened.
    row : int or array-like of the shape of a row
        Position of the row, which is then in the set; or a row that need not be in `X`.
    size : int or float, default=0.1
        Number of rows, or their share.
    y : array-like of shape (n,), default=None
        Labels: with them only rows of the class of `row`, an int then, are taken, and `size` is
        counted among these.
    metric : str or callable, default="euclidean"
        A distance of :func:`sklearn.metrics.pairwise_distances`, by name or as a function of two
        rows; Euclidean is its default too.

    Returns
    -------
    forget_set : ForgetSet
        Its details hold the "distances" of the rows at ``forget_set.indices``.

    Raises
    ------
    ValueError, TypeError
        When the row does not fit, or `size` does not.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.forget_sets import nearest_forget_set
    >>> X = np.array([[0.0], [5.0], [0.2], [4.0]])
    >>> nearest_forget_set(X, 0, size=2).indices
    array([0, 2])
    """
    n = n_rows(X)
    at = None
    if np.ndim(row) == 0:
        if isinstance(row, (bool, np.bool_)) or not np.issubdtype(
            np.asarray(row).dtype, np.integer
        ):
            raise TypeError(f"row must be a position or a row, got {row!r}.")
        at = int(row)
        if not 0 <= at < n:
            raise ValueError(f"row={at} is no position among {n} rows.")
    flat = _flat(X, "X")
    point = flat[at : at + 1] if at is not None else _flat(np.asarray(row)[None], "row")
    if point.shape[1] != flat.shape[1]:
        raise ValueError(
            f"row has {point.shape[1]} values, but the rows of X have {flat.shape[1]}."
        )
    pool = np.arange(n)
    if y is not None:
        if at is None:
            raise TypeError("y needs row as a position, whose class is then taken.")
        y = check_labels(y, "y")
        if len(y) != n:
            raise ValueError(f"X has {n} rows, but y has {len(y)}.")
        pool = np.flatnonzero(y == y[at])
    k = resolve_size(size, len(pool))
    distance = pairwise_distances(point, flat[pool], metric=metric)[0]
    order = np.argsort(distance, kind="stable")[:k]
    mask = as_mask(pool[order], n)
    whose = f"row {at}" if at is not None else "a given row"
    of = "" if y is None else " of its class"
    return ForgetSet(
        mask,
        "nearest neighbours",
        f"the {k} rows{of} nearest to {whose}.",
        {"row": at, "metric": metric, "distances": distance[np.sort(order)], "size": k},
    )


def _some(rows, size, y, random_state):
    """`size` of the rows, stratified by `y` where that holds classes."""
    if size is None:
        return rows
    strata = y if y is not None and is_discrete(y) else None
    k = resolve_size(size, len(rows))
    return draw(check_random_state(random_state), rows, k, strata)


def _as_list(values):
    if np.ndim(values) == 0:
        return [values]
    values = list(values)
    if not values:
        raise ValueError("name at least one value.")
    return values


def _rows_with(labels, wanted, name, what):
    present = np.unique(labels)
    # One by one: numpy would turn a mix of types into strings.
    missing = [value for value in wanted if not np.any(present == value)]
    if missing:
        raise ValueError(
            f"{what} {list_values(missing)} do not occur in {name}, which holds "
            f"{list_values(present)}."
        )
    return np.flatnonzero(np.logical_or.reduce([labels == value for value in wanted]))


def _flat(X, name):
    X = np.asarray(take(X, slice(None)))
    if X.ndim < 2:
        raise ValueError(f"{name} must hold rows of at least one value, got shape {X.shape}.")
    if X.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold numbers, got {X.dtype}.")
    return X.reshape(len(X), -1)  # scikit-learn makes floats of integers
