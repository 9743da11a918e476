"""The newest model of a folder: begun, taken up again, replaced."""

import contextlib
import copy
import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np

from skunlearn._recipe.parameter_texts import write_parameters
from skunlearn._rows.containers import align, empty_like, is_dataset, row_digests
from skunlearn._rows.seen import mark_items
from skunlearn.compose._front_steps import as_rows
from skunlearn.production import _logs, _names
from skunlearn.production._rectifying import correct_rows
from skunlearn.production._versions import (
    RowTable,
    Versions,
    check_rows,
    fit_again,
    kind_of,
    refuse_caches,
    taken,
    template,
)


class Store:
    """The present model of a worker, and its versions on disk.

    Parameters
    ----------
    queue : DeletionQueue
    unlearner : unlearner or UnlearningPipeline
    check : callable
        ``check(model, first=..., known=...)`` raises when a model cannot be judged, and returns
        its score; `known` marks rows that were ever here.
    """

    def __init__(self, queue, unlearner, check):
        self.queue, self.check = queue, check
        self.kind = kind_of(unlearner)
        refuse_caches(unlearner)
        self.given, self.template = unlearner, template(unlearner)
        self.versions = Versions(queue)
        self.rows, self.present = None, (None, None)  # rows: as `start` was given them
        self._table = None, None  # name of a `RowTable`, and the table

    @property
    def model(self):
        """The present model."""
        return self.present[0]

    @property
    def version(self):
        """Its number."""
        return self.present[1]

    def begin(self, lease):
        """Train, or take the model that was given, and write the first version."""
        if self.queue.counts()["applied"]:
            raise ValueError(
                f"{self.queue._journal.path} has applied requests, but holds no version of the "
                "model: trained anew, it would know again what was forgotten. Restore a backup."
            )
        X, y, weights, ids, groups, _ = self.rows
        table, model = RowTable.of(X, y, weights, ids, self.queue._salt), self.given
        table.keep_names(self.queue._salt, ids=ids, groups=groups)
        if self.kind != "net":  # whose record knows them
            table.keep_contents(self.queue._salt)
        self.versions.clear(lease)
        rows = table.write(self.queue, lease)
        if hasattr(model, "_record"):
            check_rows(model, self.kind, X, y, weights)
        else:
            model = fit_again(model, None, self.rows, np.arange(table.n))
        meta = {
            "baseline": self.check(model, first=True),
            "kind": self.kind,
            "since retrain": 0,
            "rows": rows,
            "parameters": self.digest_parameters(),
        }
        data = self.versions.pack(model, model._record.retained, self.kind)
        if self.kind == "net":  # what cannot be read again is found out before anybody relies on it
            self.versions.load(copy.copy(self.template), data, f"{0:08d}.safetensors")
        version = self.versions.write(data, 0, lease)
        with self.queue._journal.transaction() as db:
            lease.check(db)
            self.queue._set_version(db, 0, version, meta)
        self.places = np.arange(table.n)
        self.take(model, 0, np.arange(table.n), table.n)

    def catch_up(self):
        """Take up the newest version when another worker, or an earlier life, has written it."""
        newest = self.queue._newest()
        if newest is None:
            raise ValueError("This worker has no model yet: call start(X, y) first.")
        number, name, sha256 = newest
        while self.version != number:
            if self.queue._meta("kind") != self.kind:
                raise ValueError(
                    f"{self.queue._journal.path} belongs to an unlearner of another kind. Begin a "
                    "queue in another place."
                )
            try:
                data = self.versions.read(name, sha256)
                retained = self.versions.retained(data)
                X, y, weights, ids, *_ = self.rows
                table = RowTable.read(self.queue)
                given = RowTable.of(X, y, weights, ids, self.queue._salt)
                order = self._order(table, given, retained, number)
                if order is None:
                    number, name, sha256 = self.queue._newest()
                    continue
                load = None
                if self.kind == "net":
                    load = partial(self.versions.load, data=data, name=name)
                told = self._warn_of_parameters(number)
                model = fit_again(self.template, load, self.rows, order)
                if load is None and not _logs.go_on(model, data) and not told:
                    self._warn_of_another(number)
            except FileNotFoundError:
                missing = number
                number, name, sha256 = self.queue._newest()
                if number == missing:  # not replaced by a newer one in the meantime
                    raise
                continue
            self.check(model, first=False, known=self._mark_known(table))
            self.places = np.full(table.n, -1)
            self.places[np.flatnonzero(retained)] = order
            origin = np.arange(table.n) if self.kind == "net" else np.flatnonzero(retained)
            self.take(model, number, origin, table.n)

    def _mark_known(self, table):
        """A function that marks rows that were ever here; None where the model's record does."""
        if self.kind == "net":
            return None
        X, salt = self.rows[0], self.queue._salt
        if is_dataset(X):
            return partial(mark_items, X)
        like = empty_like(as_rows(X))

        def mark(rows):
            try:
                rows, exact = align(rows, like, "X_test")
            except (TypeError, ValueError):  # of another form, which is for others to refuse
                return np.zeros(1, dtype=bool)
            return exact & table.was_seen("contents", row_digests(rows), salt)

        return mark

    def digest_parameters(self):
        """Keyed digests of the unlearner's parameters, by name."""
        texts, salt = write_parameters(self.template), self.queue._salt
        return {name: _names.digest(text.encode(), salt).hex() for name, text in texts.items()}

    def _warn_of_parameters(self, number):
        """Warn where a version of an exact method was made with other parameters than these.

        Returns whether it has warned.
        """
        before, now = self.queue._meta("parameters") or {}, self.digest_parameters()
        other = sorted(name for name in now if before.get(name, now[name]) != now[name])
        if not other or not self.template._make_promises().exact:
            return False
        what = "its file holds the weights of before, and the next batch trains with these"
        if self.kind == "refit":
            what = (
                "its rows are trained on anew with these, which gives another model than that "
                "whose weights are in the log"
            )
        warnings.warn(
            f"Version {number} was made with other parameters ({', '.join(other)}): {what}. Pass "
            "those of before; or keep these if they are meant, and the next batch makes a version "
            "of them.",
            UserWarning,
            stacklevel=4,
        )
        return True

    def _warn_of_another(self, number):
        """Warn where a training has not given again the model whose weights are in the log."""
        final = getattr(self.template, "_final_estimator", self.template)
        warnings.warn(
            f"Version {number} was trained again on its rows, and {type(final).__name__} has come "
            "to another model than the one whose weights are in the log: as exact, but verify does "
            "not know it. The next batch makes a version of it. A model comes back as it was "
            "where a training repeats: RetrainUnlearner with an int random_state, around an "
            "estimator whose own random_state is not set, or an int.",
            UserWarning,
            stacklevel=4,
        )

    def _order(self, table, given, retained, number):
        """See `RowTable.order`; None where a newer version has come in between."""
        try:
            return table.order(given, retained)
        except ValueError:
            if self.queue._newest()[0] != number:
                return None
            raise

    def correct(self, corrections):
        """What `start` was given with new values in it, `_Rows`; the store stays as it is."""
        positions = np.unique(np.concatenate([each.positions for each in corrections]))
        first = self.origin[positions]
        places = self.places[first]
        rows = correct_rows(self.rows, places, positions, corrections)
        by = [(self.origin[each.positions], each) for each in corrections]
        return _Rows(rows, first, places, by)

    def read_table(self):
        """The `RowTable` of the present version, which is kept."""
        name = self.queue._meta("rows")[0]
        if self._table[0] != name:
            self._table = name, RowTable.read(self.queue)
        return self._table[1]

    def write_table(self, corrected, number, lease):
        """Write digests of all rows, those of the corrected ones new; what the record must hold."""
        X, y, weights, ids, *_ = corrected.rows
        few = taken((X, y, weights, ids), corrected.places)
        new = RowTable.of(*few, self.queue._salt)
        table = RowTable.read(self.queue).correct(corrected.first, new.digests, corrected.by)
        table.keep_contents(self.queue._salt, new)
        old = self.queue._meta("rows")[0]
        return {"rows": table.write(self.queue, lease, number), "stale rows": old}

    def take(self, model, number, origin, n):
        """Make this the present model.

        `origin` holds the position at the first start, among n rows, of each row of its record.
        """
        self.origin, self.n = origin, n
        self.present = model, number  # at once, for threads that serve it

    def pack(self, model):
        """The bytes of a version."""
        retained = np.zeros(self.n, dtype=bool)
        retained[self.origin[model._record.retained]] = True
        return self.versions.pack(model, retained, self.kind)

    def sweep(self, lease):
        """Delete all files but the newest version's, which know more than it does."""
        self.versions.sweep(lease)
        stale, objects = self.queue._meta("stale rows"), self.queue._objects
        if stale is not None and not stale.startswith("models/"):  # the others are swept there
            with lease.held(), contextlib.suppress(FileNotFoundError):
                objects.delete(stale)


@dataclass
class _Rows:
    """What `start` was given, with new values in it, and which rows have them.

    Attributes
    ----------
    rows : tuple
    first : ndarray of int, their positions at the first start
    places : ndarray of int, those in `rows`
    by : list of (ndarray of int, Correction), whose positions at the first start come first
    """

    rows: tuple
    first: np.ndarray
    places: np.ndarray
    by: list
