"""Digests of the rows of `fit`, each computed when it is first asked for.

Until then a sketch stands for a row: a number by which a change is noticed, quickly and by no
adversary. Rows are compared with what is known of them before they are used.
"""

import functools
import hashlib

import numpy as np
import torch

from skunlearn._rows.cells import write_cell
from skunlearn._rows.containers import (
    DIGEST_SIZE,
    label_digests,
    match,
    n_rows,
    read_in_parts,
    row_digests,
    take,
    to_numpy,
)
from skunlearn._rows.frames import is_plain_frame, number_values
from skunlearn.exceptions import DataChangedError

_CHUNK_BYTES = 2**22  # of rows that are looked at at a time, which bounds the memory
_SKETCHED = 2**18  # bytes at a time, which stay in the processor's cache through all steps
_SEED = 0x736B756E  # of the multipliers: sketches of equal rows are equal in every process
_LOOK = 2**19  # bytes of retained rows that are compared before a request
_GLANCE = 2**16  # and whenever rows are taken for something else
_FEWEST = 4  # rows that are compared however large they are


class RowTable:
    """Digests of rows and of rows with their labels, by position.

    Of numbers in arrays and tensors, and of most frames of pandas, a sketch of every row is made at
    once, which takes a fraction of the time. It tells whether a row still is what it was when its
    digest is asked for at last.

    Parameters
    ----------
    digests, labels : uint8 ndarrays of shape (n, 16)
        Where they are known.
    sketches : pair of uint64 ndarrays of shape (n,), or None
        Of rows and of labels; None where there are none, and every digest is known.
    known : bool ndarray of shape (n,)
        Beside sketches: which digests are known; by default none is.
    """

    def __init__(self, digests, labels, sketches=None, known=None):
        self._digests, self._labels, self._sketches = digests, labels, sketches
        if sketches is not None and known is None:
            known = np.zeros(len(digests), dtype=bool)
        self._known = known

    @classmethod
    def of(cls, X, y, digests=None, sketches=None):
        """The table of rows and labels as they are now, or as `digests` or `sketches` knew rows."""
        if digests is None and can_sketch(X) and can_sketch(y):
            # Zeros take no memory before they are written to.
            empty = (np.zeros((n_rows(X), DIGEST_SIZE), np.uint8) for _ in range(2))
            rows = row_sketches(X) if sketches is None else sketches
            return cls(*empty, (rows, row_sketches(y)))
        digests = row_digests(X) if digests is None else digests
        return cls(digests, label_digests(digests, y))

    @classmethod
    def from_arrays(cls, arrays):
        """A table from what `arrays` made of another; None where it is not among them."""
        if arrays.get("digests") is None:
            return None
        known = arrays.get("digests_known")
        if known is None:
            return cls(arrays["digests"], arrays["label_digests"])
        sketches = tuple(arrays[name].view(np.uint64) for name in ("sketches", "label_sketches"))
        return cls(arrays["digests"], arrays["label_digests"], sketches, known)

    def arrays(self):
        """What a file holds of the table."""
        arrays = {"digests": self._digests, "label_digests": self._labels}
        if self._known is not None:
            rows, labels = (table.view(np.int64) for table in self._sketches)  # which files take
            arrays |= {"sketches": rows, "label_sketches": labels, "digests_known": self._known}
        return arrays

    def complete(self, record, positions=None):
        """Digests of the rows at `positions`, and of these with their labels; of all when None.

        Those that nobody has asked for yet are computed from the rows that `record` holds. Rows
        that are not what they were raise DataChangedError.
        """
        for part, X, y in self._missing(record, positions):
            _refuse_changed(part, *self.differ(part, X, y))
            self._write(part, X, y)
        if positions is None:
            return self._digests, self._labels
        return self._digests[positions], self._labels[positions]

    def match(self, record, X, y=None):
        """Positions of the rows that equal each row of `X`, with their labels where `y` is given.

        X : rows of the kind of those in the record, see `align`
        y : array of shape (n,), default=None

        Of rows that are known by sketches those are hashed that have the sketch of one of these.
        """
        wanted = row_digests(X) if y is None else label_digests(row_digests(X), y)
        where = None
        if self._known is not None and record._X is not None:
            ours, theirs = to_numpy(record._X[:0]), to_numpy(X[:0])  # a tensor is as an array is
            if (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape):
                where = np.flatnonzero(np.isin(self._sketches[0], row_sketches(X), kind="sort"))
        hits = match(self.complete(record, where)[0 if y is None else 1], wanted)
        return hits if where is None else [where[hit] for hit in hits]

    def take_leave(self, record, positions=None):
        """Complete the table before `record` lets go of rows, whatever became of them.

        Rows that were changed go on being known by their sketches.
        """
        for part, X, y in self._missing(record, positions):
            changed = np.logical_or(*self.differ(part, X, y))
            same = np.flatnonzero(~changed)
            self._write(part[same], take(X, same), y[same])
            sketches = np.column_stack([table[part[changed]] for table in self._sketches])
            self._digests[part[changed]] = self._labels[part[changed]] = sketches.view(np.uint8)

    def learn(self, X, y):
        """Take the digests of rows that are known by their sketches from `X`, where they are."""
        if self._known is None or not (can_sketch(X) and can_sketch(y)):
            return
        unknown = np.flatnonzero(~self._known)
        wanted = zip(*(known[unknown].tolist() for known in self._sketches))
        sketches = zip(row_sketches(X).tolist(), row_sketches(y).tolist())
        given = {sketch: row for row, sketch in enumerate(sketches)}
        pairs = [(at, given[sketch]) for at, sketch in zip(unknown, wanted) if sketch in given]
        if pairs:
            at, rows = np.array(pairs).T
            self._write(at, take(X, rows), y[rows])

    def differ(self, positions, X, y):
        """Which of these rows are not those of `positions`, and of which the labels are not."""
        if self._sketches is not None:
            rows, labels = self._sketches
            return row_sketches(X) != rows[positions], row_sketches(y) != labels[positions]
        digests = row_digests(X)
        rows = digests != self._digests[positions]
        return rows.any(axis=1), (label_digests(digests, y) != self._labels[positions]).any(axis=1)

    def _missing(self, record, positions=None):
        """Those of `positions` whose digests are not known, with rows and labels, part by part."""
        if self._known is None or not record.has_data:
            return
        asked = np.arange(len(self._known)) if positions is None else np.asarray(positions)
        missing = asked[~self._known[asked]]
        step = max(1, _CHUNK_BYTES // record.row_bytes)
        for i in range(0, len(missing), step):
            yield missing[i : i + step], *record.read(missing[i : i + step])

    def _write(self, positions, X, y):
        self._digests[positions] = digests = row_digests(X)
        self._labels[positions] = label_digests(digests, y)
        if self._known is not None:
            self._known[positions] = True
            self._known = None if self._known.all() else self._known


def count_equal_left(record, positions):
    """How many retained rows equal one of those at `positions`; None where that is not known.

    They may have other labels, or other names.
    """
    table = record._table
    if table is None:
        return None
    if table._sketches is not None:
        keys = table._sketches[0]
    else:
        keys = np.ascontiguousarray(table._digests).view(np.uint64)[:, 0]
    equal = np.isin(keys, keys[positions], kind="sort")
    return int(np.count_nonzero(equal & record.retained))


# ------------------------------------------------------------------ unchanged rows


def check_unchanged(record, named):
    """Raise DataChangedError where rows lie otherwise than ``fit`` was given them.

    The rows at the positions `named` are compared, and a sample of the retained ones.
    """
    if not record.has_data or record.owned:
        return
    if not record.is_dataset:
        named = np.union1d(named, draw_retained(record)).astype(np.intp)
    _compare(record, named)
    changed = record.items.differs(record._X, record.retained) if record.items else None
    if changed is not None:
        raise _make_error(
            f"item {changed} of the Dataset, the first of those compared that differs, is "
            "another one or goes through another transform"
        )


def draw_retained(record):
    """Positions of some retained rows, others before every request."""
    size = max(_FEWEST, min(_LOOK // record.row_bytes, 256))
    left = int(record.retained.sum())
    rng = np.random.default_rng(left)
    if left < len(record) // 2:
        return np.flatnonzero(record.retained)[rng.integers(left, size=size)]
    drawn = rng.integers(len(record), size=2 * size)  # quicker than to list a million rows
    return drawn[record.retained[drawn]][:size]


def glance(record, positions):
    """Raise where one of a few rows at these positions has changed."""
    size = max(_FEWEST, min(_GLANCE // record.row_bytes, 32))
    _compare(record, positions[:: max(1, len(positions) // size)])


def _compare(record, positions):
    """Raise where the rows at `positions` are not those of ``fit`` any more."""
    if record.owned:
        return
    n = len(record._X) if record.is_dataset else n_rows(record._X)
    if n != record._n_stored:
        raise _make_error(f"it has {n} rows now, and had {record._n_stored}")
    if record.is_dataset or not len(positions):
        return
    step = max(1, _CHUNK_BYTES // record.row_bytes)  # they are copied to be read
    for i in range(0, len(positions), step):
        part = positions[i : i + step]
        _refuse_changed(part, *record._table.differ(part, *record.read(part)))


def _refuse_changed(positions, rows, labels):
    """Raise DataChangedError where one of the masks `rows` and `labels` is True."""
    if rows.any():
        first = positions[rows.argmax()]
        raise _make_error(f"row {first}, the first of those compared that differs, is another")
    if labels.any():
        first = positions[labels.argmax()]
        raise _make_error(f"the target of row {first}, the first that differs, is another", "y")


def _make_error(what, side="X"):
    return DataChangedError(
        f"{side} has changed since fit: {what}. The estimator refers to the rows that fit was "
        "given, so that a request would forget others. Nothing was forgotten. Put them back as "
        "they were, or call detach() and attach(X, y) with the retained rows as fit saw them. "
        "Before sorting, shuffling or scaling in place, give fit a copy."
    )


# ------------------------------------------------------------------ sketches


def can_sketch(X):
    """Whether `X` is an array or tensor of numbers, or a frame as of `is_plain_frame`."""
    if hasattr(X, "iloc"):
        return is_plain_frame(X)
    if isinstance(X, torch.Tensor):
        return X.device.type == "cpu" and X.layout is torch.strided and X.dtype in _DTYPES
    is_array = type(X) in (np.ndarray, np.memmap) and X.ndim > 0
    return is_array and X.dtype.kind in "biuf" and X.dtype.itemsize <= 8  # long doubles have gaps


def row_sketches(X):
    """A 64-bit number for every row.

    Parameters
    ----------
    X : ndarray, tensor or data frame as of `can_sketch`, of n rows

    Returns
    -------
    sketches : ndarray of shape (n,), uint64
        Equal rows have equal sketches, 0.0 and -0.0 counting as equal, and all NaN; a row that was
        changed keeps its sketch with a chance of about 2**-64.
    """
    if hasattr(X, "iloc") and len(X):
        parts = read_in_parts(X, 8 * X.shape[1], _CHUNK_BYTES)
        return np.concatenate([row_sketches(_encode_frame(part)) for part in parts])
    n = len(X)
    sketches = np.zeros(n, dtype=np.uint64)
    if not n:
        return sketches
    width = X[:1].nbytes
    if not width:
        return sketches
    words = -(-width // 8)
    keys = _draw_keys(words)
    step = max(1, min(n, _SKETCHED // width))
    table, shifted = np.tile(keys, (step, 1)), np.empty((step, words), dtype=np.uint64)
    i = 0
    for part in read_in_parts(X, width, _SKETCHED):
        chunk = _as_words(part, words)
        m = len(chunk)
        # A sum of odd multiples alone overlooks two flipped signs: their bits leave at the top.
        chunk ^= np.right_shift(chunk, np.uint64(32), out=shifted[:m])
        chunk *= table[:m]
        chunk ^= np.right_shift(chunk, np.uint64(29), out=shifted[:m])
        np.einsum("ij->i", chunk, out=sketches[i : i + m])  # a sum; of short rows faster than sum
        i += m
    return sketches


def _encode_frame(X):
    """The cells of a frame as numbers of 64 bits, or as they are where all are numbers."""
    if X.iloc[:0].to_numpy().dtype.kind in "biuf":
        return X.to_numpy()
    words = np.empty(X.shape, dtype=np.uint64)
    for i, (_, column) in enumerate(X.items()):
        if not isinstance(column.dtype, np.dtype) or column.dtype.kind == "O":
            codes, values = number_values(column)
            texts = (write_cell(value).encode() for value in [*values, np.nan])
            hashed = b"".join(hashlib.blake2b(text, digest_size=8).digest() for text in texts)
            words[:, i] = np.frombuffer(hashed, dtype=np.uint64)[codes]
        elif column.dtype.kind == "f":
            words[:, i] = _as_words(column.to_numpy(dtype=np.float64)[:, None], 1)[:, 0]
        else:
            words[:, i] = column.to_numpy().astype(np.int64).view(np.uint64)
    return words


@functools.lru_cache(maxsize=8)
def _draw_keys(words):
    keys = np.random.default_rng(_SEED).integers(2**64, size=words, dtype=np.uint64) | 1
    keys.flags.writeable = False
    return keys


def _as_words(chunk, words):
    """A copy of these rows as unsigned integers of 64 bits."""
    chunk = chunk.detach().numpy() if isinstance(chunk, torch.Tensor) else np.asarray(chunk)
    n, native = len(chunk), chunk.dtype.newbyteorder("=")
    rows = np.empty((n, words), dtype=np.uint64)
    flat = chunk.reshape(n, -1)
    into = rows.view(native)
    into[:, flat.shape[1] :] = 0
    if chunk.dtype.kind == "f":
        np.add(flat, 0.0, out=into[:, : flat.shape[1]])  # -0.0 becomes 0.0
        if np.isnan(into.max(initial=0.0)):
            into[np.isnan(into)] = np.nan  # 0 / 0 has other bits
    else:
        into[:, : flat.shape[1]] = flat
    return rows


_DTYPES = {
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.float32, torch.float64,
}  # fmt: skip
