"""What the nearest of other rows say of a row's label: how easy it is, whatever a model knows."""

import math

import numpy as np
import torch
from scipy import sparse
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from skunlearn._rows.containers import is_dataset, is_mapping
from skunlearn._rows.frames import is_frame, to_array

_ENTRIES = 20_000_000  # numbers of the rows that are asked, at most
_KNOWN = 2000  # rows among which neighbours are looked for, at most
_FEWEST = 50  # from which neighbours say anything
_VOTES = 10  # neighbours, of classes that are not small


def name_by_neighbours(rows, known, seed):
    """Labels that the nearest rows of others have by majority.

    Parameters
    ----------
    rows : Rows with one class each
    known : Rows or None
        Among some of these, drawn, neighbours are looked for; None looks among the `rows`
        themselves, of which none is its own neighbour.
    seed : int

    Returns
    -------
    named : ndarray of int, or None
        None where rows cannot be compared, or are too few.
    """
    asked = _ask(rows, known, seed)
    return None if asked is None else asked[0].predict(asked[1])


def count_agreeing(rows, known, seed):
    """Share of the nearest of other rows that have a row's own label; see `name_by_neighbours`."""
    asked = _ask(rows, known, seed)
    if asked is None:
        return None
    model, X = asked
    shares = model.predict_proba(X)
    places = np.searchsorted(model.classes_, rows.y).clip(max=len(model.classes_) - 1)
    found = model.classes_[places] == rows.y  # of other labels there is no neighbour
    return np.where(found, shares[np.arange(len(places)), places], 0.0)


def average_neighbours(rows):
    """Mean of the targets of each row's neighbours, or the share of them that has each label.

    None where rows cannot be compared, or are too few.
    """
    X = read_matrix(rows)
    if X is None or len(X) < _FEWEST or not np.isfinite(X).all():
        return None
    model = NearestNeighbors(n_neighbors=_VOTES, algorithm="brute").fit(X)
    return rows.y[model.kneighbors(return_distance=False)].mean(axis=1)


def find_contradicted(rows, known, seed, rarely=True):
    """Positions of rows whose neighbours have another label, and how far off the nearest is.

    See `name_by_neighbours`; None where rows cannot be compared. With `rarely` they have the row's
    own label no more often than rows have it anywhere, so that it is no small class among others.
    """
    asked = _ask(rows, known, seed)
    if asked is None:
        return None
    model, X = asked
    distances, places = model.kneighbors(X)
    kinds, counts = np.unique(model._y, return_counts=True)
    votes = (model._y[places][:, :, None] == kinds).mean(axis=1)
    own = (model.classes_ == rows.y[:, None]) * votes
    other = model.classes_[votes.argmax(axis=1)] != rows.y
    usual = (model.classes_ == rows.y[:, None]) * counts / counts.sum()
    found = np.flatnonzero(other & (own <= usual).all(axis=1) if rarely else other)
    return found, distances[found, 0]


def _ask(rows, known, seed):
    """Neighbours, and the rows of whose labels they are asked; None where these do not compare."""
    if known is not None:
        known = known.sample(_KNOWN, seed)
    there, asked = rows if known is None else known, None
    X = read_matrix(there)
    if X is None or len(X) < _FEWEST or not np.isfinite(X).all():
        return None
    if known is not None:
        asked = read_matrix(rows)
        if asked is None or asked.shape[1:] != X.shape[1:] or not np.isfinite(asked).all():
            return None
    counts = np.unique(there.y, return_counts=True)[1]
    votes = int(np.clip(np.median(counts) // 4, 1, _VOTES))
    return KNeighborsClassifier(votes, algorithm="brute").fit(X, there.y), asked


def read_matrix(rows):
    """The rows as a matrix of floats; None where they are not of that kind, or too large."""
    rows = rows if rows.reader is None else rows.reader.rows(rows)
    # Before they are taken: rows may lie in a file because no memory holds so many.
    shape = getattr(rows.source, "shape", None)
    if isinstance(shape, tuple) and len(rows) * math.prod(shape[1:]) > _ENTRIES:
        return None
    X = rows.X
    if is_mapping(X) or sparse.issparse(X) or not len(rows):
        return None
    if is_dataset(X):
        X = _read_items(X)
    elif is_frame(X):
        X = to_array(X)
    if isinstance(X, torch.Tensor):
        X = _to_array(X)
    X = None if X is None else np.asarray(X)
    if X is None or X.dtype.kind not in "fiub" or not 0 < X.size <= _ENTRIES:
        return None
    with np.errstate(over="ignore"):  # what is infinite then is not compared
        return X.reshape(len(X), -1).astype(np.float32)


def _to_array(values):
    """A tensor as an array; None where it is not dense, or too large."""
    if values.layout is not torch.strided or values.numel() > _ENTRIES:
        return None
    values = values.detach().cpu()
    # numpy has no bfloat16.
    return (values.float() if values.is_floating_point() else values).numpy()


def _read_items(data):
    """The inputs of a Dataset; None where they are no arrays of one shape."""
    inputs = []
    for i in range(len(data)):
        item = data[i]
        value = item[0] if isinstance(item, tuple | list) else item
        if not isinstance(value, torch.Tensor | np.ndarray):
            return None
        value = _to_array(value) if isinstance(value, torch.Tensor) else value
        if value is None:
            return None
        if i * value.size > _ENTRIES or (inputs and value.shape != inputs[0].shape):
            return None
        inputs.append(value)
    return np.stack(inputs)
