"""Which rows that are said to be unseen are training rows."""

import numpy as np
import torch
from torch.utils.data import ConcatDataset, Subset, TensorDataset

from skunlearn._rows import items
from skunlearn._rows.containers import align, is_dataset, match, n_rows, row_digests, take, to_numpy
from skunlearn._rows.seeding import seeded

_PROBE = 1000  # items that are read of each side; all of both where one is found on the other
_AT_ONCE = 64  # items in memory


def mark_seen(record, X, *, ever=False):
    """Which rows of `X` are retained training rows, a boolean array.

    With `ever` those too that are forgotten, and what corrected rows held before.

    Items of torch Datasets are known by their places in that of ``fit``, or in the one by which its
    rows are measured, whatever Subsets and ConcatDatasets they are seen through; those of another
    Dataset, and rows that are no items, by what they hold. Of many items some are read, and all
    where one of these is found.
    """
    if record.is_dataset or is_dataset(X):
        seen, known = _mark_places(record, X, ever)
        return seen | _mark_equal(record, X, np.flatnonzero(~known), ever)
    X, exact = align(X, record.like, "X")
    hits = record._table.match(record, X)
    counts = record.retained | ever
    seen = np.array([counts[hit].any() for hit in hits], dtype=bool)
    if ever and record.old_digests is not None:
        seen |= _are_in(record.old_digests, row_digests(X))
    return exact & seen


def mark_forgotten(record, X):
    """Which rows of `X` equal one that was forgotten; of Datasets, all that are not retained.

    What corrected rows held before was forgotten too. Nothing is kept of forgotten items by which
    they would be known.
    """
    if record.is_dataset or is_dataset(X):
        return ~mark_seen(record, X)
    X, exact = align(X, record.like, "X")
    return exact & _are_in(record.digests_gone, row_digests(X))


def share_alike(record, X):
    """Share of retained rows that equal another one, and the most of the rows of `X` that may.

    A table of words and whole numbers holds rows twice, and unseen rows equal training rows as
    often as these equal each other. Three standard errors are left to chance. An item of a Dataset
    that is itself among the training rows is not there by chance.
    """
    if record.is_dataset and (not record.has_data or _mark_places(record, X)[0].any()):
        return 0.0, 0.0
    digests = _digest_training(record)
    if digests is None:
        return 0.0, 0.0
    held = np.ascontiguousarray(digests).view("V16").ravel()
    times = np.unique(held, return_counts=True)[1]
    share = float(times[times > 1].sum() / max(1, times.sum()))
    return share, share + 3 * np.sqrt(share * (1 - share) / _count(X))


def _count(X):
    return len(X) if is_dataset(X) else n_rows(X)


def _are_in(table, wanted):
    return np.array([len(hit) > 0 for hit in match(table, wanted)], dtype=bool)


# ------------------------------------------------------------------ by their places


def _mark_places(record, X, ever=False):
    """Which items of `X` are training items, and which are of the same data sets as these."""
    seen, known = np.zeros((2, _count(X)), dtype=bool)
    if record.is_dataset and record.has_data and is_dataset(X):
        theirs, asked = list_places(X)
        for data in (record._X, getattr(record.reader, "dataset", None)):
            if data is not None:
                ours, held = list_places(data)
                kept = np.column_stack([ours, held])[record.retained | ever]
                places = np.column_stack([theirs, asked])
                known |= np.isin(theirs, ours)
                seen |= np.isin(_as_one(places), _as_one(kept))
    return seen, known


def _as_one(pairs):
    return np.ascontiguousarray(pairs, dtype=np.int64).view("V16").ravel()


def list_places(X):
    """The data set of which each item is, by its identity, and its place in that.

    Of Subsets and ConcatDatasets, of these too, the data sets behind them.
    """
    return _list_places(X, np.arange(len(X)))


def _list_places(X, places):
    while isinstance(X, Subset):
        places, X = np.asarray(X.indices, dtype=np.int64)[places], X.dataset
    if not isinstance(X, ConcatDataset):
        return np.full(len(places), id(X)), places
    ends, found = np.asarray(X.cumulative_sizes), np.empty((2, len(places)), dtype=np.int64)
    part = np.searchsorted(ends, places, side="right")
    for k in np.unique(part):
        at = np.flatnonzero(part == k)
        found[:, at] = _list_places(X.datasets[k], places[at] - (ends[k - 1] if k else 0))
    return found[0], found[1]


def mark_items(data, X):
    """Which items of `X` are items of the Dataset `data`, by their places alone."""
    if not is_dataset(X):
        return np.zeros(_count(X), dtype=bool)
    ours, theirs = (_as_one(np.column_stack(list_places(items))) for items in (data, X))
    return np.isin(theirs, ours)


# ------------------------------------------------------------------ by what they hold


def _mark_equal(record, X, asked, ever=False):
    """Which of the rows `asked` of `X`, that are of no training data set, equal a training row.

    Forgotten items of a Dataset are not read any more.
    """
    found = np.zeros(_count(X), dtype=bool)
    if not len(asked) or (record.is_dataset and not record.has_data):
        return found
    if record.is_dataset:
        data, held = _list_training(record)
        values = _read(data, held[:1])
        like = values[:0] if isinstance(values, np.ndarray) else None
        if like is None and not is_dataset(X):
            return found

        def digest_ours(places):
            return _digest(data, places, like)

        some, all_ours = _draw_some(data, held), held
    else:
        like, table = record.like, record.digests[record.retained | ever]
        if not isinstance(like, np.ndarray | torch.Tensor):
            return found

        def digest_ours(places):
            return table

        some = all_ours = np.arange(len(table))
    few = _draw_some(X, asked)
    hits = _find(digest_ours(some), _digest(X, few, like))
    if hits.any() and len(some) + len(few) < len(all_ours) + len(asked):
        few, hits = asked, _find(digest_ours(all_ours), _digest(X, asked, like))
    found[few] = hits
    return found


def _digest_training(record):
    """Digests of the retained rows; None of items that have none."""
    if not record.is_dataset:
        return record.digests[record.retained]
    data, held = _list_training(record)
    if isinstance(data, TensorDataset):
        return _digest(data, held, data.tensors[0][:0].numpy(force=True))
    return _digest(data, held, None)


def _list_training(record):
    """The data set of the training rows, as they are measured, and the places of retained ones."""
    plain = getattr(record.reader, "dataset", None)
    return record._X if plain is None else plain, np.flatnonzero(record.retained)


def _find(ours, theirs):
    """Which of their digests are among ours; none where there are none to compare."""
    if ours is None or theirs is None:
        return np.zeros(1, dtype=bool)
    return _are_in(ours, theirs)


def _draw_some(X, places):
    """Some places, where they are many and an item is read by itself."""
    if not is_dataset(X) or isinstance(X, TensorDataset) or len(places) <= _PROBE:
        return places
    drawn = np.random.default_rng(0).choice(len(places), _PROBE, replace=False)
    return places[np.sort(drawn)]


def _digest(X, places, like):
    """Digests of what items begin with, or of rows, or None.

    `like` is an empty array in the form of the rows that they are compared with; None of items
    that are no arrays.
    """
    size = _AT_ONCE if is_dataset(X) and not isinstance(X, TensorDataset) else 64 * _AT_ONCE
    found = []
    for i in range(0, len(places), size):
        values = _read(X, places[i : i + size])
        found.append(items.digest_all(values) if like is None else _digest_like(values, like))
        if found[-1] is None:
            return None
    return np.concatenate(found)


def _digest_like(values, like):
    try:
        values, exact = align(to_numpy(values), like, "X")
    except (TypeError, ValueError):  # rows of another shape, or none
        return None
    digests = row_digests(values).copy()
    digests[~exact] = 0
    return digests


def _read(X, places):
    """What items at these places begin with, or rows: an array, or a list where they make none."""
    if isinstance(X, TensorDataset):
        return X.tensors[0][torch.as_tensor(places)].numpy(force=True)
    if not is_dataset(X):
        return np.asarray(X)[places] if isinstance(X, list | tuple) else take(X, places)
    with seeded(0):
        values = [items.split_item(X[int(i)])[0] for i in places]
    arrays = [v.numpy(force=True) if isinstance(v, torch.Tensor) else v for v in values]
    kinds = {
        (v.shape, v.dtype) if isinstance(v, np.ndarray) and v.dtype.kind in "biufc" else None
        for v in arrays
    }
    return np.stack(arrays) if len(kinds) == 1 and None not in kinds else values
