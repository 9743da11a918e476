"""Views of training rows: which of them, with their targets and weights."""

import numpy as np

from skunlearn._rows.containers import join, row_digests, slice_run, take


class Rows:
    """A view of some training rows; it copies nothing until rows are taken.

    Parameters
    ----------
    source : container of rows
        All of them, of which the view shows a part: the others may be rows that are to be
        forgotten, or were. A method reads `X`, never this.
    y : ndarray or None
        Targets of all rows of `source`, encoded as the estimator is trained on them.
    index : ndarray of int, the rows of `source` in this view
    digests : ndarray of shape (len(index), 16), or what becomes one when it is asked for
        None when rows are known by position only.
    positions : ndarray of int, those in ``fit``; None for rows that came with a request
    weights : ndarray of shape (len(index),), float64, or None
        Sample weights of the rows in view.
    reader : PlainRows or None
        How they are read to be measured.
    """

    def __init__(self, source, y, index, digests=None, positions=None, weights=None, reader=None):
        self.source, self.all_y, self.index = source, y, np.asarray(index, dtype=np.intp)
        self._digests, self.positions = digests, positions
        self.weights, self.reader = weights, reader

    @property
    def digests(self):
        """Digests of the rows in view, of shape (len(index), 16); None where there are none."""
        return None if self._digests is None else np.asarray(self._digests)

    def __len__(self):
        return len(self.index)

    @property
    def X(self):
        """The rows in view, taken from the container at every call; of a Dataset a Subset."""
        return take(self.source, self.index)

    @property
    def y(self):
        """Targets of the rows in view."""
        return None if self.all_y is None else self.all_y[self.index]

    def take(self, positions):
        """A narrower view; `positions` count within this one."""
        index, digests, weights = self.index[positions], self._digests, self.weights
        at = self.positions
        if at is not None:  # mostly the places themselves; a million are not gone through again
            at = index if at is self.index else at[positions]
        if isinstance(digests, DigestsOf) and digests.positions is self.positions:
            digests = DigestsOf(digests.record, at)
        elif digests is not None:
            digests = digests[positions]
        weights = None if weights is None else weights[positions]
        return Rows(self.source, self.all_y, index, digests, at, weights, self.reader)

    def union(self, other):
        """These rows, and after them others, in one view.

        Rows that come with a request lie in another container: those of both are then copied.
        """
        weights = None
        if self.weights is not None or other.weights is not None:
            weights = np.concatenate([fill_weights(self), fill_weights(other)])
        if self.source is other.source:
            both = np.concatenate([self.index, other.index])
            return Rows(self.source, self.all_y, both, weights=weights)
        y = np.concatenate([self.y, other.y])
        return Rows(join(self.X, other.X), y, np.arange(len(y)), weights=weights)

    def relabel(self, y):
        """The same rows with other targets, one for each in view."""
        table = self.all_y.copy()
        table[self.index] = y
        tables = self._digests, self.positions, self.weights
        return Rows(self.source, table, self.index, *tables)

    def sample(self, size, seed):
        """At most `size` rows of the view, drawn without replacement."""
        if len(self) <= size:
            return self
        rng = np.random.default_rng(seed)
        return self.take(np.sort(rng.choice(len(self), size, replace=False)))

    def arrays(self):
        """The rows themselves, copied: ``(X, y)``."""
        return self.X, self.y

    def lend(self):
        """As ``arrays``, where they lie if the view is one run of them: never to be written to."""
        run = slice_run(self.index)
        return take(self.source, run), None if self.all_y is None else self.all_y[run]

    def shares(self):
        """What each row counts in a mean over the view, of shape (len(index),)."""
        weights = fill_weights(self)
        return weights / max(weights.sum(), np.finfo(np.float64).tiny)


class DigestsOfRows:
    """Digests of rows that came with a request, computed when they are asked for."""

    def __init__(self, X, places=None):
        self.X, self.places = X, places

    def __getitem__(self, places):
        return DigestsOfRows(self.X, places if self.places is None else self.places[places])

    def __array__(self, dtype=None, copy=None):
        return row_digests(self.X if self.places is None else take(self.X, self.places))


class DigestsOf:
    """Digests of some positions of a record, computed when they are asked for."""

    def __init__(self, record, positions):
        self.record, self.positions = record, positions

    def __getitem__(self, places):
        return DigestsOf(self.record, self.positions[places])

    def __array__(self, dtype=None, copy=None):
        return self.record.digests_at(self.positions)


def fill_weights(rows):
    """The weight of each row in view, which is one where there are none."""
    return np.ones(len(rows)) if rows.weights is None else rows.weights
