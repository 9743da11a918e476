"""What the model has seen: which rows, which of them are gone, and how to find them."""

import copy

import numpy as np

from skunlearn._rows import finding, row_table, seen
from skunlearn._rows.checking import are_positions
from skunlearn._rows.containers import (
    empty_like,
    is_dataset,
    join,
    label_digests,
    match,
    n_rows,
    row_bytes,
    row_digests,
    take,
    view_of,
)
from skunlearn._rows.items import ItemSample
from skunlearn._rows.row_names import NameTable, read_groups, read_ids, show_some
from skunlearn._rows.row_table import RowTable
from skunlearn._rows.views import DigestsOf, Rows
from skunlearn.exceptions import AlreadyForgottenError, DataNotStoredError, UnknownRowsError

_TABLES = ("retained", "ids", "groups", "weights", "old_digests")


class TrainingRecord:
    """The training rows of a fitted unlearner.

    Rows keep the position that they had in ``fit``, whatever is forgotten later. The record
    refers to the caller's data; pickling it keeps retained rows only. `owned` says that `X` is a
    copy (made from a list, say), which nobody but the record can rid of forgotten rows. `like` is
    an empty container in the form of the rows, to convert requests to; None of a Dataset.
    """

    owned = has_data = False  # whether the retained rows are at hand
    _X = None
    reader = None  # a PlainRows where rows are augmented
    old_digests = None  # of what corrected rows held before, of shape (k, 16)
    numbered = None  # whether the labels of a frame's rows are positions; None: nobody knows
    _in_order = False  # whether each position is the place of its row: a million need no list

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
        numbered=True,
    ):
        n = n_rows(X) if not is_dataset(X) else len(X)
        self.is_dataset, self.items, self.reader, self.owned = is_dataset(X), items, reader, owned
        self._store(view_of(X), y, np.arange(n))
        self.retained = np.ones(n, dtype=bool)
        self.y_dtype, self.numbered = y.dtype, numbered and are_positions(X)
        self.like = None if self.is_dataset else empty_like(X)
        self._table = None if self.is_dataset else RowTable.of(X, y, digests, sketches)
        self._ids = None if ids is None else read_ids(ids, n)
        self._groups = None if groups is None else read_groups(groups, n)
        self.weights = weights  # one per position, whatever rows are held; NaN of forgotten ones

    @classmethod
    def from_tables(cls, tables, *, is_dataset, like, y_dtype, reader=None):
        """A record without rows, from the `tables` of another."""
        new = object.__new__(cls)
        new.retained, new.weights = tables["retained"], tables.get("weights")
        for name in ("ids", "groups"):
            table = tables.get(name)
            vars(new)["_" + name] = None if table is None else NameTable(None, table)
        new._table, new.old_digests = RowTable.from_arrays(tables), tables.get("old_digests")
        new.items = None
        if "sample" in tables:
            parts = (tables.get(name) for name in ("sample_inputs", "sample_rest"))
            new.items = ItemSample(tables["sample"], *parts)
        new.is_dataset, new.like, new.y_dtype = is_dataset, like, y_dtype
        new.reader = reader
        new.numbered = None if hasattr(like, "iloc") else True  # files hold no index
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

    locate, find, mark_seen = finding.locate, finding.find, seen.mark_seen
    mark_forgotten = seen.mark_forgotten
    locate_brought, find_sources = finding.locate_brought, finding.find_sources
    recall_labels = finding.recall_labels
    check_unchanged, count_equal_left = row_table.check_unchanged, row_table.count_equal_left

    def __len__(self):
        return len(self.retained)

    def _store(self, X, y, slot):
        """Refer to rows; `slot` is the row of `X` that holds each position, -1 where none does."""
        self._X, self._y, self._slot = X, y, slot
        self._in_order = X is not None and np.array_equal(slot, np.arange(len(slot)))
        self.has_data = X is not None
        self._n_stored = 0 if X is None else len(X) if self.is_dataset else n_rows(X)
        bare = X is None or self.is_dataset or not self._n_stored
        self.row_bytes = 1 if bare else max(1, row_bytes(X))

    @property
    def retained_y(self):
        """Targets of the retained rows."""
        return self._y[self.retained if self._in_order else self._slot[self.retained]]

    def read_some_y(self, most):
        """Targets of some of the retained rows, `most` or fewer, from all over."""
        step = -(-len(self) // most)
        return self._y[self._slot[::step][self.retained[::step]]]

    @property
    def ids(self):
        """Digests of the identifiers, of shape (n, 16), or None."""
        return None if self._ids is None else self._ids.digests

    @property
    def groups(self):
        """Digests of the groups, of shape (n, 16), or None."""
        return None if self._groups is None else self._groups.digests

    def _digest_names(self):
        """Let go of all names in plain text."""
        for table in (self._ids, self._groups):
            if table is not None:
                _ = table.digests

    def take_names(self, other):
        """Know the rows by the identifiers and groups of another record, in the same order."""
        self._ids, self._groups = other._ids, other._groups

    def name_rows(self, positions, corrected=False):
        """How a log knows rows: by what, that itself or its digests, and digests of their contents.

        Of values that are `corrected` the ids, and positions, stay in use.
        """
        if self.is_dataset:
            kind, names, contents = "positions", np.asarray(positions), None
        else:
            kind, (contents, names) = "rows", self._table.complete(self, positions)
        if corrected:
            return "corrected positions" if self.is_dataset else kind, names, None
        if self._ids is not None:
            return "ids", self._ids.digests_at(positions), contents
        return kind, names, contents

    @property
    def digests(self):
        """Digests of all rows, of shape (n, 16); None of a Dataset, whose rows have none."""
        return None if self._table is None else self._table.complete(self)[0]

    @property
    def label_digests(self):
        """As ``digests``, of each row with its label."""
        return None if self._table is None else self._table.complete(self)[1]

    @property
    def digests_gone(self):
        """Of the rows that are forgotten, and of what corrected ones held and no row holds now."""
        digests, old = self.digests, self.old_digests
        gone = digests[~self.retained]
        if old is None:
            return gone
        there = [len(hits) > 0 for hits in match(digests[self.retained], old)]
        return np.concatenate([gone, old[~np.array(there)]])

    def digests_at(self, positions):
        """Digests of the rows at `positions`."""
        return self._table.complete(self, positions)[0]

    def read(self, positions):
        """The rows and labels that lie at `positions` now, copied."""
        slots = self._slot[positions]
        return take(self._X, slots), self._y[slots]

    def view(self, positions, compared=False):
        """View of the rows at `positions`; they may be `compared`, by `check_unchanged`."""
        if not self.has_data:
            raise DataNotStoredError(
                "This estimator does not hold its training rows (it was loaded from a file, "
                "unpickled with store_data=False, or detached). Call attach(X, y) with the "
                "retained rows. To unlearn, and for nothing else, they may come with the request "
                "instead, as X_retain and y_retain."
            )
        positions = np.asarray(positions)
        slots = positions if self._in_order else self._slot[positions]
        if not self._in_order and np.any(slots < 0):
            raise DataNotStoredError("Some of these rows were forgotten and are not stored.")
        if not compared:
            row_table.glance(self, positions)
        digests = None if self._table is None else DigestsOf(self, positions)
        weights = None if self.weights is None else self.weights[positions]
        return Rows(self._X, self._y, slots, digests, positions, weights, self.reader)

    def without(self, positions):
        """A record in which `positions` are forgotten; the present one is unchanged.

        Neither holds their names in plain text from now on.
        """
        for table in (self._ids, self._groups):
            if table is not None:
                table.let_go(positions)
        if self._table is not None:
            self._table.take_leave(self, positions)  # their owner may overwrite them from now on
        new = copy.copy(self)
        new.retained = self.retained.copy()
        new.retained[positions] = False
        if self.weights is not None:
            new.weights = np.where(new.retained, self.weights, np.nan)
        return new

    def correct(self, positions, X, y):
        """A record, with a copy of its rows, in which those at `positions` have other values."""
        digests, labels = self.digests.copy(), self.label_digests.copy()
        old = [table for table in (self.old_digests, digests[positions]) if table is not None]
        digests[positions] = made = row_digests(X)
        labels[positions] = label_digests(made, y)
        left = self.retained.copy()
        left[positions] = False
        others, slot = np.flatnonzero(left), np.full(len(self), -1)
        slot[others] = np.arange(len(others))
        slot[positions] = len(others) + np.arange(len(positions))
        new, held = copy.copy(self), self._slot[others]
        new._store(join(take(self._X, held), X), np.concatenate([self._y[held], y]), slot)
        new.owned, new._table = True, RowTable(digests, labels)
        new.old_digests = np.concatenate(old)
        return new

    def with_items(self, X, y, items, reader=None):
        """A record of the same positions in another Dataset."""
        new = copy.copy(self)
        new.items, new.reader = items, reader
        new._store(X, y, self._slot)
        return new

    def attach(self, X, y, reader=None):
        """A record that holds these rows, every one checked against its digest."""
        self.check_places(X)
        if self.is_dataset:
            changed = self.items and self.items.differs(X, self.retained)
            if changed is not None:
                raise UnknownRowsError(
                    f"Item {changed} of X, the first of those compared that differs, is not the "
                    "one that fit was given. Attach the Dataset of fit, with its transforms."
                )
            return self._hold(X, y, np.arange(len(self)), reader)
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
                f"{len(forgotten)} rows ({show_some(forgotten)}) of X were forgotten and must not "
                "come back. Attach the retained rows only (the error's names has the others).",
                forgotten,
            )
        if unknown:
            raise UnknownRowsError(
                f"{len(unknown)} rows ({show_some(unknown)}) of X were not among the training "
                "rows, or their labels differ. Attach exactly the retained rows and their labels.",
                unknown,
            )
        missing = np.flatnonzero(self.retained & (slot < 0))
        if len(missing):
            raise ValueError(
                f"{len(missing)} retained training rows are missing from X (first at training "
                f"position {missing[0]}). Attach all retained rows."
            )
        return self._hold(X, y, slot, reader)

    def check_places(self, X):
        """Raise where rows of another kind came to ``fit``, or another number of a Dataset's."""
        if self.is_dataset != is_dataset(X):
            kinds = "rows of a torch Dataset", "rows by themselves, in no Dataset"
            raise TypeError(
                f"X holds {kinds[self.is_dataset]}, but fit was given "
                f"{kinds[not self.is_dataset]}. Attach them as they were passed to fit."
            )
        if self.is_dataset and len(X) != len(self):
            raise ValueError(
                f"The Dataset has {len(X)} rows, but the estimator was fitted on {len(self)}. "
                "Items of a Dataset are known by their places: attach that of fit, with something "
                "in the places of forgotten rows, which are not read."
            )

    def _hold(self, X, y, slot, reader):
        new = copy.copy(self)
        new.reader, new.owned = reader, False
        new._store(view_of(X), y, slot)
        return new

    def detach(self):
        """A record that holds no rows, and no name in plain text."""
        self._digest_names()
        if self._table is not None:
            self._table.take_leave(self)
        new = copy.copy(self)
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
        new = copy.copy(self)
        new.owned = True
        new._store(X, y, slot)
        if not self.is_dataset:
            new.like, held = empty_like(X), np.flatnonzero(slot >= 0)
            tables, digests = (self.digests.copy(), self.label_digests.copy()), row_digests(X)
            for table, made in zip(tables, (digests, label_digests(digests, y))):
                table[held] = made[slot[held]]
            new._table = RowTable(*tables)
        return new
