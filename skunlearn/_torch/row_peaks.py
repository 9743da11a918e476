"""Whether a net peaks at rows whose neighbours have other labels: what is known by heart does.

Feldman, V., Zhang, C. "What Neural Networks Memorize and Why" (NeurIPS 2020): by heart are labels
that a net would not give, had it not seen the very rows. What speaks for such a label falls off at
once around the row, whatever the direction. In a net that has never seen the row nothing is special
about the place: where it falls off, as around a small class, it does so a little aside as well.
"""

import numpy as np
import torch

from skunlearn._rows.containers import is_dataset
from skunlearn._rows.neighbours import find_contradicted, read_matrix
from skunlearn._rows.views import Rows
from skunlearn._torch.embedding import embedding
from skunlearn._torch.observation import observe
from skunlearn.exceptions import UnlearningError

FEWEST = 8  # rows that neighbours name otherwise, from which anything is said
_SOUGHT = 1000  # forget rows whose neighbours are asked, at most
_MOST = 64  # rows at which peaks are measured, at most
_STEPS = 3  # directions, in each of which two places on both sides are asked
_OTHERS = 500  # retained rows between which these lie, and among which a net's neighbours are
_WILD = 2.0  # peaks are counted up to this
# What a module may say to rows between others, or where its layers are asked: no reason to fail.
_REFUSED = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError)
_REFUSED += (UnlearningError, ValueError)
_NONE = np.finfo(np.float32).tiny
_LEAST = 0.15  # spread of the peaks of rows, at least


def measure_peaks(net, forget, retain, classes, seed):
    """How much a net peaks at forget rows whose neighbours have their label no oftener than others.

    Asked is the logit of a row's label, less that of the other class that is likeliest there, in
    the direction from one retained row to another, up to as far away as the nearest of them. A peak
    is by how much more it falls on both sides of the row than it does on both sides of the places
    half-way, over how much the two ends differ.

    Parameters
    ----------
    net : skorch net
    forget, retain : Rows with one class each
    classes : ndarray
    seed : int

    Returns
    -------
    peaks : ndarray of float
        Of some of these rows.
    asked : Rows
        None in the place of both where rows are no arrays of floats, or too few.
    """
    forget = forget.sample(_SOUGHT, seed)
    found = find_contradicted(forget, retain, seed)
    if found is None or len(found[0]) < FEWEST:
        return None
    rng = np.random.default_rng(seed)
    some = np.sort(rng.permutation(len(found[0]))[:_MOST])
    rows, far = forget.take(found[0][some]), found[1][some]
    X, others = _read(rows), _read(retain.sample(_OTHERS, seed))
    if X is None or others is None:
        return None
    around = [X]
    for _ in range(_STEPS):
        step = np.subtract(*others[rng.integers(len(others), size=(2, len(X)))])
        length = np.linalg.norm(step.reshape(len(X), -1), axis=1)
        share = far / np.where(length > 0, length, np.inf)
        step = step * share.astype(X.dtype).reshape(-1, *[1] * (X.ndim - 1))
        around += [X + step / 2, X - step / 2, X + step, X - step]
    around, y = np.concatenate(around), np.tile(rows.y, len(around))
    around = around if isinstance(forget.source, np.ndarray) else torch.from_numpy(around)
    try:
        said = observe(net, Rows(around, y, np.arange(len(y))), classes)
    except _REFUSED:
        return None
    if not said.is_finite():
        return None
    return _find_peaks(said.logits.reshape(-1, len(X), said.logits.shape[1]), rows.y), rows


def _find_peaks(logits, y):
    """The peak of each row, of logits there, and half-way and at the end of each direction."""
    each, others = np.arange(len(y)), logits[0].copy()
    others[each, y] = -np.inf
    ahead = logits[:, each, y] - logits[:, each, others.argmax(axis=1)]
    here, half, end = ahead[0], (ahead[1::4] + ahead[2::4]) / 2, (ahead[3::4] + ahead[4::4]) / 2
    fall = (here - half) - (half - (here + end) / 2)
    differ = np.sqrt(np.square((ahead[3::4] - ahead[4::4]) / 2).mean(axis=0))
    return np.clip(fall.mean(axis=0) / np.maximum(differ, _NONE), -_WILD, _WILD)


def find_lonely(net, rows, retain, seed):
    """Which rows a net's own features put among retained rows of other labels, a boolean array.

    Where they put them among their like, it may have learnt what rows of the label have in common,
    however far apart these are. None where there are no such features.
    """
    try:
        known = retain.sample(_OTHERS, seed)
        places, theirs = (embedding(net, part) for part in (rows, known))
    except _REFUSED:
        return None
    parts = (Rows(X, part.y, np.arange(len(X))) for X, part in ((places, rows), (theirs, known)))
    found = find_contradicted(*parts, seed, rarely=False)
    return None if found is None else np.isin(np.arange(len(rows)), found[0])


def level_beyond(peaks, usual):
    """Standard errors by which the mean of some peaks is above what is usual."""
    error = max(peaks.std(ddof=1), _LEAST) / np.sqrt(len(peaks))
    return float((peaks.mean() - usual) / error)


def _read(rows):
    """The rows as an array of floats of their own shape; None where they are of another kind."""
    if rows.reader is not None:
        return None  # a net takes them in another way than they lie there
    X = rows.X
    if is_dataset(X):
        like, matrix = X[0][0] if isinstance(X[0], tuple | list) else X[0], read_matrix(rows)
        if matrix is None or getattr(like, "dtype", None) != torch.float32:
            return None
        return matrix.reshape(-1, *like.shape)
    if isinstance(X, torch.Tensor):
        plain = X.layout is torch.strided and X.dtype in (torch.float32, torch.float64)
        X = X.detach().cpu().numpy() if plain else None
    return X if isinstance(X, np.ndarray) and X.dtype.kind == "f" else None
