"""Whether the rows that `fit` was given lie as they lay then."""

import numpy as np

from skunlearn._rows.containers import n_rows, take
from skunlearn.exceptions import DataChangedError

_LOOK = 2**19  # bytes of retained rows that are compared before a request
_GLANCE = 2**16  # and whenever rows are taken for something else
_FEWEST = 4  # rows that are compared however large they are


class UnchangedMixin:
    """For `TrainingRecord`: rows are compared with their digests before they are used."""

    def check_unchanged(self, named):
        """Raise DataChangedError where rows lie otherwise than ``fit`` was given them.

        The rows at the positions `named` are compared, and a sample of the retained ones.
        """
        if not self.has_data or self.owned:
            return
        if self.is_dataset:
            self._check_length()
            changed = self.items and self.items.differs(self._X, self.retained)
            if changed is not None:
                raise _changed(
                    f"item {changed} of the Dataset, the first of those compared that differs, is "
                    "another one or goes through another transform"
                )
            return
        self._compare(np.union1d(named, self._some_retained()).astype(np.intp))

    def _some_retained(self):
        """Positions of some retained rows, others before every request."""
        size = max(_FEWEST, min(_LOOK // self.row_bytes, 256))
        left = int(self.retained.sum())
        rng = np.random.default_rng(left)
        if left < len(self) // 2:
            return np.flatnonzero(self.retained)[rng.integers(left, size=size)]
        drawn = rng.integers(len(self), size=2 * size)  # quicker than to list a million rows
        return drawn[self.retained[drawn]][:size]

    def _glance(self, positions):
        """Raise where one of a few rows at these positions has changed."""
        size = max(_FEWEST, min(_GLANCE // self.row_bytes, 32))
        self._compare(positions[:: max(1, len(positions) // size)])

    def _check_length(self):
        n = len(self._X) if self.is_dataset else n_rows(self._X)
        if n != self._n_stored:
            raise _changed(f"it has {n} rows now, and had {self._n_stored}")

    def _compare(self, positions):
        """Raise where the rows at `positions` are not those of ``fit`` any more."""
        if self.owned:
            return
        self._check_length()
        if not self.is_dataset and len(positions):
            self.refuse_changed(positions, *self._table.differ(positions, *self.held(positions)))

    def held(self, positions):
        """The rows and labels that lie at `positions` now, copied."""
        slots = self._slot[positions]
        return take(self._X, slots), self._y[slots]

    def refuse_changed(self, positions, rows, labels):
        """Raise DataChangedError where one of the masks `rows` and `labels` is True."""
        if rows.any():
            first = positions[rows.argmax()]
            raise _changed(f"row {first}, the first of those compared that differs, is another")
        if labels.any():
            first = positions[labels.argmax()]
            raise _changed(f"the target of row {first}, the first that differs, is another", "y")


def _changed(what, side="X"):
    return DataChangedError(
        f"{side} has changed since fit: {what}. The estimator refers to the rows that fit was "
        "given, so that a request would forget others. Nothing was forgotten. Put them back as "
        "they were, or call detach() and attach(X, y) with the retained rows as fit saw them. "
        "Before sorting, shuffling or scaling in place, give fit a copy."
    )
