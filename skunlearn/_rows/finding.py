"""Which of the rows of `fit` a request names: found by what they hold, by name, by position."""

import numpy as np
from sklearn.utils.validation import check_array
from torch.utils.data import Subset

from skunlearn._rows.checking import refuse_forget_set, refuse_labels
from skunlearn._rows.containers import (
    align,
    find_repeated,
    is_dataset,
    label_digests,
    match,
    n_rows,
    name_digests,
    row_digests,
)
from skunlearn._rows.identifiers import list_names
from skunlearn._rows.row_names import advise_on, show_some
from skunlearn.exceptions import AlreadyForgottenError, UnknownRowsError

_LEAVE_OUT = "leave them out (the error's names attribute has all of them)."


def locate(record, X=None, y=None, *, ids=None, indices=None, groups=None):
    """Retained positions named in one of four ways; raises when anything else is named."""
    if ids is not None:
        return _find_names(record, record._ids, ids, "ids")
    if groups is not None:
        return _find_names(record, record._groups, groups, "groups")
    if indices is not None:
        return _check_indices(record, indices)
    if record.is_dataset:
        return _check_indices(record, _find_subset(record, X))
    if is_dataset(X):
        raise TypeError("X_forget is a torch Dataset, but the model was fitted on arrays.")
    if y is not None and len(y) != n_rows(X):
        raise ValueError(f"X_forget has {n_rows(X)} rows, but y_forget has {len(y)}.")
    return _keep_retained(record, record._table.match(record, X, y), "rows of X_forget", "row")


def find(record, X=None, y=None, **named):
    """As ``locate``, for rows to forget: neither none nor all of them."""
    positions = locate(record, X, y, **named)
    if len(positions) == 0:
        raise ValueError("The forget set is empty: name at least one row to forget.")
    if len(positions) == record.retained.sum():
        raise ValueError(
            "The request would forget every retained row; nothing would be left to train "
            "on. Delete the estimator instead."
        )
    if record.weights is not None and not np.nansum(record.without(positions).weights) > 0:
        raise ValueError(
            "The request would leave none but rows whose sample weight is zero; nothing would "
            "be left to train on. Delete the estimator instead."
        )
    return positions


def locate_brought(record, gone, X, y):
    """Retained positions beside `gone` of rows that came with a request, one for each row.

    Of equal rows with equal labels each stands for another one, in the order of `fit`.
    """
    left = record.retained.copy()
    left[gone] = False
    if record.is_dataset:
        found = _find_subset(record, X)
        more = np.flatnonzero(~left[_check_indices(record, found)])
    else:
        digests = label_digests(row_digests(X), y)
        hits = match(record.label_digests, digests)
        _keep_retained(record, hits, "rows of X_retain", "row")
        found, seen, more = np.empty(len(hits), np.intp), {}, []
        for row, (digest, hit) in enumerate(zip(digests, hits, strict=True)):
            hit = hit[left[hit]]
            count = seen.get(digest.tobytes(), 0)
            seen[digest.tobytes()] = count + 1
            if count < len(hit):
                found[row] = hit[count]
            else:
                more.append(row)
    if len(more):
        raise AlreadyForgottenError(
            f"X_retain holds rows of the forget set, or one more often than it is kept (rows "
            f"{show_some(list(more))}); leave them out.",
            more,
        )
    return found


def find_sources(record, positions, X, y):
    """Which row of `X` stands for each of `positions`: one may stand for all that equal it."""
    if record.is_dataset:
        subset = _find_subset(record, X)
        order = np.argsort(subset)
        return order[np.searchsorted(subset, positions, sorter=order)]
    hits = match(label_digests(row_digests(X), y), record.label_digests[positions])
    return np.array([hit[0] for hit in hits], np.intp)


def recall_labels(record, positions, codes):
    """Which of `codes` the rows at `positions` have as labels, told by their digests alone.

    -1 of rows that have none of them, and where nobody can say.
    """
    found = np.full(len(positions), -1)
    if record.is_dataset:
        return found
    rows, labels = record.digests[positions], record.label_digests[positions]
    for code in codes:
        rest = np.flatnonzero(found < 0)
        made = label_digests(rows[rest], np.full(len(rest), code, record.y_dtype))
        found[rest[(made == labels[rest]).all(axis=1)]] = code
    return found


def align_request(X, like, name):
    """Rows of a request in the form in which the record hashed its own.

    Raises UnknownRowsError for rows that no training row can equal.
    """
    arrays = type(X) is type(like) is np.ndarray and X.ndim and X.dtype == like.dtype
    if arrays and X.shape[1:] == like.shape[1:]:
        return X.copy()  # it has that form; whoever passed it may write to it
    X, exact = align(X, like, name)
    if not exact.all():
        wrong = np.flatnonzero(~exact).tolist()
        dtype = getattr(like, "dtype", "the training data")  # a frame or mapping has several
        if name == "X_new":
            raise ValueError(
                f"{len(wrong)} of {len(exact)} rows of X_new (rows {show_some(wrong)}) hold values "
                f"that {dtype} cannot: a word that is no category of its column, a fraction "
                "among whole numbers, or a finer time than its column's unit. Nothing was "
                "corrected. Fit anew on rows that hold them."
            )
        raise UnknownRowsError(
            f"{len(wrong)} of {len(exact)} rows of {name} hold values that {dtype} cannot "
            f"(rows {show_some(wrong)}), so this model never saw them. Nothing was forgotten. "
            "Check dtype and scaling: a row must equal the one that was passed to fit."
        )
    return X


def _find_subset(record, X):
    if isinstance(X, Subset):
        # A Subset of a Subset counts within the outer one.
        rows, base = np.asarray(X.indices), X.dataset
        while isinstance(base, Subset) and base is not record._X:
            rows, base = np.asarray(base.indices)[rows], base.dataset
        if not record.has_data or base is record._X:
            return rows
    raise TypeError(
        "The model was fitted on a torch Dataset, whose rows are known by position: pass "
        "indices=..., ids=..., groups=... or torch.utils.data.Subset(dataset, indices) of the very "
        "dataset that fit was given."
    )


def _find_names(record, table, names, kind):
    if table is None:
        raise ValueError(
            f"The request names {kind}, but fit was called without {kind}=. Pass "
            f"{kind}= to fit, one per row."
        )
    names = list_names(names)
    if kind == "ids" and len(find_repeated(name_digests(names))):
        raise ValueError("ids names a record more than once; name each record once.")
    return _keep_retained(record, table.match(names), kind, "name", names, table)


def _keep_retained(record, hits, kind, noun, names=None, table=None):
    unknown, gone = [], []
    for i, hit in enumerate(hits):
        if not record.retained[hit].any():
            (gone if len(hit) else unknown).append(i if names is None else names[i])
    if unknown:
        if names is None:
            record.check_unchanged(np.empty(0, np.intp))  # then this is what is wrong
        advice = (
            "Check dtype, scaling and labels: a row must equal the one that was passed to fit."
            if names is None
            else advise_on(unknown, table.digests, kind)
        )
        raise UnknownRowsError(
            f"{len(unknown)} of {len(hits)} {kind} were never seen by this model "
            f"({noun}s {show_some(unknown)}). Nothing was forgotten. {advice}",
            unknown,
        )
    if gone:
        raise AlreadyForgottenError(
            f"{len(gone)} of {len(hits)} {kind} were forgotten by an earlier request "
            f"({noun}s {show_some(gone)}). Nothing more was forgotten; {_LEAVE_OUT}",
            gone,
        )
    positions = np.unique(np.concatenate(hits)) if hits else np.empty(0, np.intp)
    return positions[record.retained[positions]]


def _check_indices(record, indices):
    if isinstance(indices, slice | set | frozenset):
        kind, way = type(indices).__name__, "sorted(...)"
        if isinstance(indices, slice):
            way = f"range{indices.indices(len(record))}"
        raise TypeError(f"indices must be a 1-D array of integers, got a {kind}. Pass {way}.")
    refuse_labels(indices, record.numbered)
    named, indices = indices, np.asarray(indices)
    if indices.dtype == bool:
        raise TypeError("indices must be integers, got a boolean mask. Pass np.flatnonzero(mask).")
    if indices.size == 0:
        return np.empty(0, np.intp)
    if indices.ndim != 1 or indices.dtype.kind not in "iu":
        refuse_forget_set(named, "indices", "indices=forget_set.indices")
        indices = check_array(
            indices, dtype=None, ensure_2d=False, ensure_min_samples=0, input_name="indices"
        )
        given = repr(indices.item()) if indices.ndim == 0 else f"{indices.dtype} {indices.shape}"
        one = indices.ndim == 0 and indices.dtype.kind in "iu"
        wish = f" Of one row pass [{given}]." if one else ""
        raise TypeError(f"indices must be a 1-D array of integers, got {given}.{wish}")
    wrong = indices[(indices < 0) | (indices >= len(record))]
    if len(wrong):
        raise UnknownRowsError(
            f"{len(wrong)} of {len(indices)} indices lie outside the {len(record)} training "
            f"rows ({show_some(wrong.tolist())}). Indices count the rows that fit was given.",
            wrong.tolist(),
        )
    if len(np.unique(indices)) < len(indices):
        raise ValueError("indices names a row more than once; name each row once.")
    gone = indices[~record.retained[indices]]
    if len(gone):
        raise AlreadyForgottenError(
            f"{len(gone)} of {len(indices)} rows were forgotten by an earlier request "
            f"(indices {show_some(gone.tolist())}). Nothing more was forgotten; {_LEAVE_OUT}",
            gone.tolist(),
        )
    return np.sort(indices).astype(np.intp)
