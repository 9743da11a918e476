"""What the model has seen: which rows, which of them are gone, and how to find them."""

import numpy as np
from sklearn.utils.validation import check_array
from torch.utils.data import Subset

from skunlearn._rows.containers import (
    align,
    empty_like,
    first_repeated,
    is_dataset,
    join,
    label_digests,
    match,
    n_rows,
    name_digests,
    row_bytes,
    row_digests,
    take,
    view_of,
)
from skunlearn._rows.identifiers import list_names, plain_names
from skunlearn._rows.items import ItemSample
from skunlearn._rows.row_table import DigestsOf, NameTable, RowTable
from skunlearn._rows.unchanged import UnchangedMixin
from skunlearn._rows.unknown import advice_on
from skunlearn._rows.views import Rows
from skunlearn.exceptions import (
    AlreadyForgottenError,
    DataNotStoredError,
    UnknownRowsError,
)

_TABLES = ("retained", "ids", "groups", "weights")


class TrainingRecord(UnchangedMixin):
    """The training rows of a fitted unlearner.

    Rows keep the position that they had in ``fit``, whatever is forgotten later. The record
    refers to the caller's data; pickling it keeps retained rows only. `owned` says that `X` is a
    copy (made from a list, say), which nobody but the record can rid of forgotten rows.
    """

    _X = None
    owned = False
    reader = None  # a PlainRows where rows are augmented

    def __init__(
        self,
        X,
        y,
        *,
        weights=None,
        ids=None,
        groups=None,
        owned=False,
        digests=None,
        sketches=None,
        items=None,
        reader=None,
    ):
        n = n_rows(X) if not is_dataset(X) else len(X)
        self.is_dataset, self.items, self.reader, self.owned = is_dataset(X), items, reader, owned
        self._store(view_of(X), y, np.arange(n))
        self.retained = np.ones(n, dtype=bool)
        self._y_dtype = y.dtype
        self._like = None if self.is_dataset else empty_like(X)
        self._table = None if self.is_dataset else RowTable.of(X, y, digests, sketches)
        self._ids = None if ids is None else _unique_ids(ids, n)
        self._groups = None if groups is None else _table_of(_names(groups, n, "groups"))
        self.weights = weights  # one per position, whatever rows are held; NaN of forgotten ones

    @classmethod
    def from_tables(cls, tables, *, is_dataset, like, y_dtype, reader=None):
        """A record without rows, from the `tables` of another."""
        new = object.__new__(cls)
        new.retained, new.weights = tables["retained"], tables.get("weights")
        for name in ("ids", "groups"):
            table = tables.get(name)
            vars(new)["_" + name] = None if table is None else NameTable(None, table)
        new._table = RowTable.from_arrays(tables)
        new.items = None
        if "sample" in tables:
            parts = (tables.get(name) for name in ("sample_inputs", "sample_rest"))
            new.items = ItemSample(tables["sample"], *parts)
        new.is_dataset, new._like, new._y_dtype = is_dataset, like, y_dtype
        new.reader = reader
        return new.detach()

    def tables(self):
        """What a file holds of the record: arrays by name, none of which is a row."""
        tables = {name: getattr(self, name) for name in _TABLES}
        if self._table is not None:
            self._table.take_leave(self)
            tables |= self._table.arrays()
        if self.items is not None:
            sides = self.items.positions, self.items.inputs, self.items.rest
            tables |= dict(zip(("sample", "sample_inputs", "sample_rest"), sides))
        return {name: table for name, table in tables.items() if table is not None}

    def __len__(self):
        return len(self.retained)

    def _store(self, X, y, slot):
        """Refer to rows; `slot` is the row of `X` that holds each position, -1 where none does."""
        self._X, self._y, self._slot = X, y, slot
        self._n_stored = 0 if X is None else len(X) if self.is_dataset else n_rows(X)
        bare = X is None or self.is_dataset or not self._n_stored
        self.row_bytes = 1 if bare else max(1, row_bytes(X))

    @property
    def has_data(self):
        """Whether the retained rows are at hand."""
        return self._X is not None

    @property
    def retained_y(self):
        """Targets of the retained rows."""
        return self._y[self._slot[self.retained]]

    @property
    def y_dtype(self):
        """dtype of the targets."""
        return self._y_dtype

    @property
    def ids(self):
        """Digests of the identifiers, of shape (n, 16), or None."""
        return None if self._ids is None else self._ids.digests

    @property
    def groups(self):
        """Digests of the groups, of shape (n, 16), or None."""
        return None if self._groups is None else self._groups.digests

    def _digest_names(self):
        """Let go of names in plain text, those of rows that are to be forgotten among them."""
        for table in (self._ids, self._groups):
            if table is not None:
                _ = table.digests

    def take_names(self, other):
        """Know the rows by the identifiers and groups of another record, in the same order."""
        self._ids, self._groups = other._ids, other._groups

    def row_like(self):
        """An empty container in the form of the rows, to convert requests to."""
        return self._like

    def identifiers(self, positions):
        """Digests that stand for the rows in the log: of ids, contents or positions."""
        if self._ids is not None:
            return self.ids[positions]
        if self.is_dataset:
            return np.asarray(positions)
        return self._table.complete(self, positions)[1]

    @property
    def digests(self):
        """Digests of all rows, of shape (n, 16); None of a Dataset, whose rows have none."""
        return None if self._table is None else self._table.complete(self)[0]

    @property
    def label_digests(self):
        """As ``digests``, of each row with its label."""
        return None if self._table is None else self._table.complete(self)[1]

    def digests_at(self, positions):
        """Digests of the rows at `positions`."""
        return self._table.complete(self, positions)[0]

    def view(self, positions):
        """View of the rows at `positions`."""
        if not self.has_data:
            raise DataNotStoredError(
                "This estimator does not hold its training rows (it was loaded from a file, "
                "unpickled with store_data=False, or detached). Call attach(X, y) with the "
                "retained rows, or pass X_retain and y_retain with the request."
            )
        slots = self._slot[positions]
        if np.any(slots < 0):
            raise DataNotStoredError("Some of these rows were forgotten and are not stored.")
        positions = np.asarray(positions)
        self._glance(positions)
        digests = None if self._table is None else DigestsOf(self, positions)
        weights = None if self.weights is None else self.weights[positions]
        return Rows(self._X, self._y, slots, digests, positions, weights, self.reader)

    def without(self, positions):
        """A record in which `positions` are forgotten; the present one is unchanged."""
        self._digest_names()
        if self._table is not None:
            self._table.take_leave(self, positions)  # their owner may overwrite them from now on
        new = _shallow(self)
        new.retained = self.retained.copy()
        new.retained[positions] = False
        if self.weights is not None:
            new.weights = np.where(new.retained, self.weights, np.nan)
        return new

    def corrected(self, positions, X, y):
        """A record, with a copy of its rows, in which those at `positions` have other values."""
        digests, labels = self.digests.copy(), self.label_digests.copy()
        digests[positions] = made = row_digests(X)
        labels[positions] = label_digests(made, y)
        left = self.retained.copy()
        left[positions] = False
        others, slot = np.flatnonzero(left), np.full(len(self), -1)
        slot[others] = np.arange(len(others))
        slot[positions] = len(others) + np.arange(len(positions))
        new, held = _shallow(self), self._slot[others]
        new._store(join(take(self._X, held), X), np.concatenate([self._y[held], y]), slot)
        new.owned, new._table = True, RowTable(digests, labels)
        return new

    def weights_of(self, X, y=None):
        """Sample weights of rows that came with a request; None where ``fit`` was given none.

        Equal rows are taken in the order in which ``fit`` was given them.
        """
        if self.weights is None:
            return None
        if self.is_dataset:
            return self.weights[self._rows_of_subset(X)]
        digests = row_digests(X)
        if y is None:
            hits = match(self.digests, digests)
        else:
            digests = label_digests(digests, y)
            hits = match(self.label_digests, digests)
        found, seen = np.empty(len(hits)), {}
        for row, (digest, hit) in enumerate(zip(digests, hits, strict=True)):
            hit = hit[self.retained[hit]]
            count = seen.get(digest.tobytes(), 0)
            seen[digest.tobytes()] = count + 1
            found[row] = self.weights[hit[count % len(hit)]]
        return found

    def locate(self, X=None, y=None, *, ids=None, indices=None, groups=None):
        """Retained positions named in one of four ways; raises when anything else is named."""
        if ids is not None:
            return self._find_names(self.ids, ids, "ids")
        if groups is not None:
            return self._find_names(self.groups, groups, "groups")
        if indices is not None:
            return self._check_indices(indices)
        return self._find_rows(X, y)

    def find(self, X=None, y=None, **named):
        """As ``locate``, for rows to forget: neither none nor all of them."""
        positions = self.locate(X, y, **named)
        if len(positions) == 0:
            raise ValueError("The forget set is empty: name at least one row to forget.")
        if len(positions) == self.retained.sum():
            raise ValueError(
                "The request would forget every retained row; nothing would be left to train "
                "on. Delete the estimator instead."
            )
        if self.weights is not None and not np.nansum(self.without(positions).weights) > 0:
            raise ValueError(
                "The request would leave none but rows whose sample weight is zero; nothing would "
                "be left to train on. Delete the estimator instead."
            )
        return positions

    def attach(self, X, y, reader=None):
        """A record that holds these rows, every one checked against its digest."""
        if self.is_dataset:
            if len(X) != len(self):
                raise ValueError(
                    f"The Dataset has {len(X)} rows, but the estimator was fitted on {len(self)}."
                )
            changed = self.items and self.items.differs(X, self.retained)
            if changed is not None:
                raise UnknownRowsError(
                    f"Item {changed} of X, the first of those compared that differs, is not the "
                    "one that fit was given. Attach the Dataset of fit, with its transforms."
                )
            return self._holding(X, y, np.arange(len(self)), reader)
        self._table.learn(X, y)
        digests = row_digests(X)
        labels = label_digests(digests, y)
        slot = np.full(len(self), -1)
        unknown, forgotten = [], []
        for row, hits in enumerate(match(self.label_digests, labels)):
            kept = hits[self.retained[hits]]
            slot[kept] = row
            if len(kept) == 0:
                (forgotten if len(hits) else unknown).append(row)
        if forgotten:
            raise AlreadyForgottenError(
                f"{_rows_text(forgotten)} of X were forgotten and must not come back. "
                "Attach the retained rows only."
            )
        if unknown:
            raise UnknownRowsError(
                f"{_rows_text(unknown)} of X were not among the training rows, or their labels "
                "differ. Attach exactly the retained rows and their labels."
            )
        missing = np.flatnonzero(self.retained & (slot < 0))
        if len(missing):
            raise ValueError(
                f"{len(missing)} retained training rows are missing from X (first at training "
                f"position {missing[0]}). Attach all retained rows."
            )
        return self._holding(X, y, slot, reader)

    def _holding(self, X, y, slot, reader):
        new = _shallow(self)
        new.reader, new.owned = reader, False
        new._store(view_of(X), y, slot)
        return new

    def detach(self):
        """A record that holds no rows, and no name in plain text."""
        self._digest_names()
        if self._table is not None:
            self._table.take_leave(self)
        new = _shallow(self)
        new._store(None, None, np.full(len(self), -1))
        new.reader = self.reader and self.reader.without_rows()
        return new

    def compact(self):
        """A record that holds copies of the retained rows and no other."""
        if not self.has_data or self.is_dataset:
            # A Dataset cannot be cut to its retained rows, so it is left out.
            return self.detach()
        new = self.detach()
        positions = np.flatnonzero(self.retained)
        held, slot = self._slot[positions], np.full(len(self), -1)
        slot[positions] = np.arange(len(positions))
        new._store(take(self._X, held), self._y[held], slot)
        return new

    def without_forgotten(self):
        """As ``compact``, for the same process: it goes on knowing how rows are measured."""
        new = self.compact()
        if self.reader is not None:
            held = self._slot[self.retained]
            new.reader = self.reader.among(held, new._X)
        return new

    def with_rows(self, X, y, slot):
        """A record of the same positions that holds other rows: those that a step made of them.

        `slot` of shape (n,) is the row of `X` at each position, -1 where none is held.
        """
        new = _shallow(self)
        new.owned = True
        new._store(X, y, slot)
        if not self.is_dataset:
            new._like, held = empty_like(X), np.flatnonzero(slot >= 0)
            tables, digests = (self.digests.copy(), self.label_digests.copy()), row_digests(X)
            for table, made in zip(tables, (digests, label_digests(digests, y))):
                table[held] = made[slot[held]]
            new._table = RowTable(*tables)
        return new

    def mark_seen(self, X, y=None):
        """Which rows of `X` are retained training rows, a boolean array."""
        if self.is_dataset:
            return np.zeros(n_rows(X), dtype=bool)
        X, exact = align(X, self._like, "X")
        hits = match(self.digests[self.retained], row_digests(X))
        return exact & np.array([len(hit) > 0 for hit in hits], dtype=bool)

    def _find_rows(self, X, y):
        if self.is_dataset:
            return self._find_subset(X)
        if is_dataset(X):
            raise TypeError("X_forget is a torch Dataset, but the model was fitted on arrays.")
        digests = row_digests(X)
        if y is not None and len(y) != len(digests):
            raise ValueError(f"X_forget has {len(digests)} rows, but y_forget has {len(y)}.")
        if y is None:
            hits = match(self.digests, digests)
        else:
            hits = match(self.label_digests, label_digests(digests, y))
        return self._retained_hits(hits, "rows of X_forget", "row")

    def _find_subset(self, X):
        return self._check_indices(self._rows_of_subset(X))

    def _rows_of_subset(self, X):
        if isinstance(X, Subset):
            # A Subset of a Subset counts within the outer one.
            rows, base = np.asarray(X.indices), X.dataset
            while isinstance(base, Subset) and base is not self._X:
                rows, base = np.asarray(base.indices)[rows], base.dataset
            if not self.has_data or base is self._X:
                return rows
        raise TypeError(
            "The model was fitted on a torch Dataset, whose rows are known by position: pass "
            "indices=..., ids=..., groups=... or torch.utils.data.Subset(dataset, indices)."
        )

    def _find_names(self, table, names, kind):
        if table is None:
            raise ValueError(
                f"The request names {kind}, but fit was called without {kind}=. Pass "
                f"{kind}= to fit, one per row."
            )
        names = list_names(names)
        digests = name_digests(names)
        if kind == "ids" and len(first_repeated(digests)):
            raise ValueError("ids names a record more than once; name each record once.")
        hits = match(table, digests)
        return self._retained_hits(hits, kind, "name", names, table)

    def _retained_hits(self, hits, kind, noun, names=None, table=None):
        def label(i):
            return i if names is None else names[i]

        unknown = [label(i) for i, hit in enumerate(hits) if len(hit) == 0]
        if unknown:
            if names is None:
                self.check_unchanged(np.empty(0, np.intp))  # then this is what is wrong
            advice = (
                "Check dtype, scaling and labels: a row must equal the one that was passed to fit."
                if names is None
                else advice_on(unknown, table, kind)
            )
            raise UnknownRowsError(
                f"{len(unknown)} of {len(hits)} {kind} were never seen by this model "
                f"({noun}s {_some(unknown)}). Nothing was forgotten. {advice}"
            )
        gone = [label(i) for i, hit in enumerate(hits) if not self.retained[hit].any()]
        if gone:
            raise AlreadyForgottenError(
                f"{len(gone)} of {len(hits)} {kind} were forgotten by an earlier request "
                f"({noun}s {_some(gone)}). Nothing more was forgotten; leave them out."
            )
        positions = np.unique(np.concatenate(hits)) if hits else np.empty(0, np.intp)
        return positions[self.retained[positions]]

    def _check_indices(self, indices):
        indices = np.asarray(indices)
        if indices.dtype == bool:
            raise TypeError(
                "indices must be integers, got a boolean mask. Pass np.flatnonzero(mask)."
            )
        if indices.size == 0:
            return np.empty(0, np.intp)
        indices = check_array(
            indices, dtype=None, ensure_2d=False, ensure_min_samples=0, input_name="indices"
        )
        if indices.ndim != 1 or indices.dtype.kind not in "iu":
            raise TypeError(f"indices must be a 1-D array of integers, got {indices.dtype}.")
        wrong = indices[(indices < 0) | (indices >= len(self))]
        if len(wrong):
            raise UnknownRowsError(
                f"{len(wrong)} of {len(indices)} indices lie outside the {len(self)} training "
                f"rows ({_some(wrong.tolist())}). Indices count the rows that fit was given."
            )
        if len(np.unique(indices)) < len(indices):
            raise ValueError("indices names a row more than once; name each row once.")
        gone = indices[~self.retained[indices]]
        if len(gone):
            raise AlreadyForgottenError(
                f"{len(gone)} of {len(indices)} rows were forgotten by an earlier request "
                f"(indices {_some(gone.tolist())}). Nothing more was forgotten; leave them out."
            )
        return np.sort(indices).astype(np.intp)


def request_rows(X, like, name):
    """Rows of a request in the form in which the record hashed its own.

    Raises UnknownRowsError for rows that no training row can equal.
    """
    X, exact = align(X, like, name)
    if not exact.all():
        wrong = np.flatnonzero(~exact).tolist()
        dtype = getattr(like, "dtype", "the training data")  # a frame or mapping has several
        raise UnknownRowsError(
            f"{len(wrong)} of {len(exact)} rows of {name} hold values that {dtype} cannot "
            f"(rows {_some(wrong)}), so this model never saw them. Nothing was forgotten. Check "
            "dtype and scaling: a row must equal the one that was passed to fit."
        )
    return X


def _unique_ids(ids, n):
    ids = _names(ids, n, "ids")
    if _are_plain(ids) and len(set(ids)) == n:
        return NameTable(ids)
    digests = name_digests(ids)
    if len(first := first_repeated(digests)):
        repeated = [ids[i] for i in first]
        raise ValueError(
            f"ids must be unique, but {len(repeated)} repeat ({_some(repeated)}). Use groups= "
            "to name all rows of one person."
        )
    return NameTable(None, digests)


def _table_of(names):
    return NameTable(names) if _are_plain(names) else NameTable(None, name_digests(names))


def _are_plain(names):
    """Whether names are all text or all whole numbers, which are equal as Python compares them.

    Not texts that may be UUIDs, of which another spelling is the same.
    """
    kinds = set(map(type, names))
    return kinds == {int} or (kinds == {str} and 36 not in set(map(len, names)))


def _names(names, n, kind):
    names = plain_names(names)
    if len(names) != n:
        raise ValueError(f"{kind} has {len(names)} entries, but X has {n} rows.")
    return names


def _shallow(record):
    new = object.__new__(type(record))
    new.__dict__.update(record.__dict__)
    return new


def _some(values, limit=5):
    text = ", ".join(str(value) for value in values[:limit])
    return text + (", ..." if len(values) > limit else "")


def _rows_text(rows):
    return f"{len(rows)} rows ({_some(rows)})"
