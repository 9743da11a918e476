"""The process that applies requests to a model, and stops when that goes wrong."""

import os
from numbers import Integral, Real

from sklearn.utils import check_scalar

from skunlearn._versions_warning import warn_of_batch
from skunlearn.exceptions import QueueStoppedError
from skunlearn.production import _checks
from skunlearn.production._lock import worker_lock
from skunlearn.production._resolving import resolve
from skunlearn.production._retraining import retrained
from skunlearn.production._store import Store

__all__ = ["DeletionWorker"]


class DeletionWorker:
    """Apply the requests of a `DeletionQueue` in batches, with an audit after each.

    Choose it to run unlearning as a service: it can be killed at any moment and started again with
    the same lines; no request is lost, and none is applied twice.

    A batch is applied to a copy of the model. Its figures are measured, the new model is written
    to a file, and then one transaction records the file, the audit and that the requests are done.
    Before it the old model is the valid one, after it the new one; older files are deleted.
    ``worker.unlearner`` is replaced at that moment, so that threads that serve it see the one or
    the other. Several processes may run a worker on one folder: a lock lets one of them work.

    Parameters
    ----------
    queue : DeletionQueue
    unlearner : unlearner or UnlearningPipeline
        Methods for nets that go on from the present weights; or exact ones, whose model a training
        on the retained rows gives again after a restart (with an int ``random_state`` the same
        one). It is copied. If it is fitted, its model is the first version.
    X_test, y_test : rows that the model has never seen, with labels or targets
        For the audits.
    max_accuracy_drop : float or None, default=None
        Stop when the score on the test rows (accuracy, or R²) falls by more than this below that
        after the last full training; 0.02 are two points. None never stops.
    max_auc_distance : float or None, default=None
        Stop when the matched attack on the rows of the batch has a 95 % interval that lies
        farther than this from 0.5. With few rows it hardly ever does: larger batches are better
        judged. None never stops.
    retrain_every : int or None, default=None
        Every so many batches are fulfilled by a training from scratch on the retained rows, which
        is exact and ends the drift of many approximate steps. None never does.
    on_breach : {"stop", "retrain"}, default="stop"
        "stop" rolls back, records why, and waits for `DeletionQueue.release`; "retrain" fulfils
        the batch by a training from scratch instead, and stops only if that is bad as well.

    Attributes
    ----------
    unlearner : unlearner
        The present model, of the newest version that this worker knows. Use it, do not change it.
    version : int
        Batch that wrote it; 0 before the first.
    present : tuple
        Both at once, for threads that answer requests while another one works.

    Notes
    -----
    A model file is safetensors and JSON, and loading one runs no code, wherever it comes from.
    (What sits beside it in the folder is read in the same manner.) Its checksum is in the record.

    After a restart a model that had to be trained again (exact methods without a file) lacks
    classes of which no row is left.

    Every version is taken for published. When a batch deletes a single row from a linear model, a
    RowRevealedWarning says that the two versions give that row away
    (`skunlearn.threats.reconstruction_attack`); larger batches do not.

    See Also
    --------
    DeletionQueue : Where requests are submitted.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.production import DeletionQueue, DeletionWorker
    >>> X, y = load_digits(return_X_y=True)
    >>> folder = tempfile.TemporaryDirectory()
    >>> queue = DeletionQueue(folder.name, batch_size=2)
    >>> unlearner = RetrainUnlearner(GaussianNB(), random_state=0)
    >>> worker = DeletionWorker(queue, unlearner, X[1500:], y[1500:], max_accuracy_drop=0.05)
    >>> worker = worker.start(X[:1500], y[:1500], ids=range(1500))
    >>> _ = queue.submit("ticket-1", ids=[17]), queue.submit("ticket-2", ids=[4, 5])
    >>> worker.run_once()["audit"]["rows"]
    3
    >>> queue.status("ticket-2")["state"], worker.version
    ('applied', 1)
    >>> folder.cleanup()
    """

    def __init__(
        self,
        queue,
        unlearner,
        X_test,
        y_test=None,
        *,
        max_accuracy_drop=None,
        max_auc_distance=None,
        retrain_every=None,
        on_breach="stop",
    ):
        for name, value, kind, low in (
            ("max_accuracy_drop", max_accuracy_drop, Real, 0),
            ("max_auc_distance", max_auc_distance, Real, 0),
            ("retrain_every", retrain_every, Integral, 1),
        ):
            if value is not None:
                check_scalar(value, name, kind, min_val=low)
        if on_breach not in ("stop", "retrain"):
            raise ValueError(f"on_breach must be 'stop' or 'retrain', got {on_breach!r}.")
        self.queue, self.X_test, self.y_test = queue, X_test, y_test
        self.max_accuracy_drop, self.max_auc_distance = max_accuracy_drop, max_auc_distance
        self.retrain_every, self.on_breach = retrain_every, on_breach
        self._store = Store(queue, unlearner, self._check)

    # ------------------------------------------------------------------ start

    def start(self, X, y=None, *, ids=None, groups=None):
        """Train and write the first version, or take up the newest one.

        The same call does after a crash, or in a second process.

        Parameters
        ----------
        X, y : rows and labels, as for ``fit`` of the unlearner
            At the first start all of them. Later at least those that are retained, in any order;
            rows that were forgotten are recognised and left out. `y` may be None for a Dataset
            that gives labels.
        ids, groups : sequence, default=None
            As for ``fit``; requests name them.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            When the rows are not those of the first start, the test rows are training rows, or
            the newest version's file was changed.
        """
        self._store.rows = X, y, ids, groups
        if self.queue._newest() is None:
            with self._lock(wait=True):
                if self.queue._newest() is None:
                    self._store.begin()
        self._store.given = None  # it may know what is going to be forgotten
        self._store.catch_up()
        with self._lock(wait=False) as taken:
            if taken:
                self._store.sweep()
        return self

    @property
    def unlearner(self):
        """The present model."""
        return self._store.model

    @property
    def version(self):
        """Number of the batch that made it."""
        return self._store.version

    @property
    def present(self):
        """Present model and its number, ``(unlearner, version)``, which belong together."""
        return self._store.present

    def _check(self, model):
        _checks.refuse_seen(model, self.X_test, self.y_test)
        return _checks.score_of(model, self.X_test, self.y_test)

    def _lock(self, *, wait):
        return worker_lock(os.path.join(self.queue.folder, "worker.lock"), wait=wait)

    # ------------------------------------------------------------------ work

    def run(self, stop, *, poll=1.0):
        """Apply batches as they become due, until an event is set.

        Parameters
        ----------
        stop : threading.Event
        poll : float, default=1.0
            Seconds between two looks at the queue.

        Raises
        ------
        QueueStoppedError
            See `run_once`.
        """
        while not stop.is_set():
            if self.run_once() is None:
                stop.wait(poll)

    def run_once(self, *, flush=False):
        """Apply one batch if one is due.

        Parameters
        ----------
        flush : bool, default=False
            Whether to apply open requests that are not due yet.

        Returns
        -------
        batch : dict or None
            As of `DeletionQueue.batches`; None when there is nothing to do, or another worker is
            at it.

        Raises
        ------
        QueueStoppedError
            When the batch was rolled back, or an earlier one was and `DeletionQueue.release` has
            not been called. The model is that of before, the requests are still open.
        """
        with self._lock(wait=False) as taken:
            if not taken:
                return None
            stopped = self.queue.stopped()
            if stopped is not None:
                raise _stopped(stopped["number"], stopped["reason"])
            self._store.catch_up()
            self._store.sweep()
            if not flush and not self.queue.due():
                return None
            number, requests = self.queue._open_batch()
            if number is None:
                return None
            return self._apply(number, requests)

    def _apply(self, number, requests):
        store = self._store
        positions, outcomes = resolve(requests, store.model._record, store.origin, store.n)
        audit = {"requests": len(requests), "rows": len(positions), "retrained": False}
        if not len(positions):
            self.queue._finish(number, outcomes, audit)
            return self.queue._batch(number)
        since = self.queue._meta("since retrain") + 1
        full = bool(self.queue._meta("retrain"))
        full |= self.retrain_every is not None and since >= self.retrain_every
        try:
            model, figures, reason = self._attempt(positions, full)
            if reason is not None and not full and self.on_breach == "retrain":
                full, audit["breach"] = True, reason
                model, figures, reason = self._attempt(positions, full)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            self.queue._stop(number, reason, audit)
            raise _stopped(number, reason) from error
        audit |= figures | {"retrained": full, "seconds": model.deletions_[-1]["seconds"]}
        if reason is not None:
            self.queue._stop(number, reason, audit)
            raise _stopped(number, reason)
        meta = {"since retrain": 0 if full else since, "retrain": False}
        if full:
            meta["baseline"] = figures["score"]
        self.queue._finish(number, outcomes, audit, store.write(model, number), meta)
        store.take(model, number, store.origin, store.n)
        model._settled()
        store.sweep()
        warn_of_batch(model, len(positions))
        return self.queue._batch(number)

    def _attempt(self, positions, full):
        """A model without these rows, its figures, and what is wrong with them."""
        if len(positions) == self.unlearner._record.retained.sum():
            raise ValueError("The requests name every retained row; nothing would be left.")
        if full:
            model = retrained(self.unlearner, positions)
        else:
            model = self.unlearner._successor(positions)
        figures = _checks.measure(model, self.X_test, self.y_test)
        reason = _checks.breach(
            figures,
            self.queue._meta("baseline"),
            max_accuracy_drop=self.max_accuracy_drop,
            # A model that was trained without the rows is what the attack is held against.
            max_auc_distance=None if full else self.max_auc_distance,
        )
        return model, figures, reason


def _stopped(number, reason):
    return QueueStoppedError(
        f"Batch {number} was rolled back. {reason} The model is as it was before, and the requests "
        "are open. Look at queue.stopped(); then queue.release(), or queue.release(retrain=True) "
        "for a training from scratch."
    )
