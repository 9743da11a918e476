"""Whether rows that lie side by side are like any others: whether a first fifth stands for all."""

import numpy as np

from skunlearn._rows.neighbours import read_matrix

_RUN, _RUNS = 50, 20  # rows side by side that are read, and how often, of many
_FEWEST = 20  # from which that says anything
_CLOSER = 0.05  # of them, beyond half and two standard errors, that are closer to it
_SHIFT = 0.02  # mean square by which features lie apart, in units of their variance
_CHANCE = 1.5  # times what chance makes of it, beside that


def is_in_no_order(rows, apart):
    """Whether rows in the order of ``fit`` come as if drawn, so that those `apart` are as any.

    Rows that were sorted, by time say, or lie beside their copies, do not: those at one end know
    nothing of the others. Of a class at a time: that classes come one after another does no harm.

    Parameters
    ----------
    rows : Rows with one label each, or a number
    apart : ndarray of bool, shape (len(rows),)

    Returns
    -------
    drawn : bool
        False, too, where rows cannot be compared.
    """
    if len(rows) > _RUN * _RUNS:
        starts = np.random.default_rng(0).choice(len(rows) // _RUN, _RUNS, replace=False)
        places = (np.sort(starts)[:, None] * _RUN + np.arange(_RUN)).ravel()
        rows, apart = rows.take(places), apart[places]
    X = read_matrix(rows)
    if X is None or not np.isfinite(X).all():
        return False
    kinds = rows.y if rows.y.ndim == 1 and rows.y.dtype.kind in "iu" else np.zeros(len(X))
    X = X.astype(np.float64)  # in which squares of no float32 overflow
    X = X[:, X.std(axis=0) > 0]
    if not X.shape[1]:
        return False
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    return not (_clings(X, kinds) or _lies_apart(X, kinds, apart))


def _clings(X, kinds):
    """Whether more rows than by chance are closer to the next of their class than to any other."""
    rng, order = np.random.default_rng(0), np.argsort(kinds, kind="stable")
    places = np.flatnonzero(kinds[order][1:] == kinds[order][:-1])
    if len(places) < _FEWEST:
        return True  # nobody can say
    ours, following = order[places], order[places + 1]
    others = np.empty_like(ours)
    for kind in np.unique(kinds[ours]):
        here = kinds[ours] == kind
        others[here] = rng.choice(order[kinds[order] == kind], here.sum())
    asked = (others != ours) & (others != following)
    ours, following, others = ours[asked], following[asked], others[asked]
    if len(ours) < _FEWEST:
        return True
    closer = np.square(X[ours] - X[following]).sum(1) < np.square(X[ours] - X[others]).sum(1)
    return closer.mean() > 0.5 + _CLOSER + 1 / np.sqrt(len(closer))


def _lies_apart(X, kinds, apart):
    """Whether the means of the rows `apart` are not those of the others of their classes."""
    found = chance = weight = 0.0
    for kind in np.unique(kinds):
        ours, theirs = X[(kinds == kind) & apart], X[(kinds == kind) & ~apart]
        if min(len(ours), len(theirs)) < 2:
            continue
        n = len(ours)
        found += n * np.square(ours.mean(axis=0) - theirs.mean(axis=0)).mean()
        chance += n * X[kinds == kind].var(axis=0).mean() * (1 / n + 1 / len(theirs))
        weight += n
    return not weight or found > _SHIFT * weight + _CHANCE * chance
