"""The process that applies requests to a model, and stops when that goes wrong."""

import warnings
from dataclasses import dataclass
from functools import partial
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_scalar

from skunlearn.exceptions import AccuracyDropError, QueueStoppedError
from skunlearn.production import _checks
from skunlearn.production._batches import MOST_DEATHS, MOST_DEATHS_APART, BatchChangedError
from skunlearn.production._lease import LeaseLostError
from skunlearn.production._resolving import resolve
from skunlearn.production._retraining import retrained
from skunlearn.production._sieve import sieve
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
    the other. Any number of workers may run on one queue, in processes or threads: a lock, or on
    several machines a lease, lets one of them work, and the others take up what it has written.

    A batch that fails by an error is tried in parts: what goes through is applied, the requests
    that are the reason are put back, and set aside after `DeletionQueue.max_tries` tries. So is a
    request at which the process dies again and again.

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
    on_breach : {"stop", "retrain", "set_aside"}, default="stop"
        What a model beyond one of these limits leads to. "stop" rolls back, records why, and waits
        for `DeletionQueue.release`; "retrain" fulfils the batch by a training from scratch instead,
        and stops only if that is bad as well; "set_aside" takes it for a failure of the batch,
        like any error: the requests that are the reason are looked for and set aside.
    lease : float, default=60.0
        Seconds after which a worker on another machine takes over, when this one gives no sign of
        life. It gives three in that time. On one machine a file lock tells at once.

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
        lease=60.0,
    ):
        for name, value, kind, low in (
            ("max_accuracy_drop", max_accuracy_drop, Real, 0),
            ("max_auc_distance", max_auc_distance, Real, 0),
            ("retrain_every", retrain_every, Integral, 1),
        ):
            if value is not None:
                check_scalar(value, name, kind, min_val=low)
        if on_breach not in ("stop", "retrain", "set_aside"):
            raise ValueError(
                f"on_breach must be 'stop', 'retrain' or 'set_aside', got {on_breach!r}."
            )
        check_scalar(lease, "lease", Real, min_val=0, include_boundaries="neither")
        self.queue, self.X_test, self.y_test = queue, X_test, y_test
        self.max_accuracy_drop, self.max_auc_distance = max_accuracy_drop, max_auc_distance
        self.retrain_every, self.on_breach = retrain_every, on_breach
        self.lease = float(lease)
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
            with self.queue._lease(self.lease, wait=True) as lease:
                if self.queue._newest() is None:
                    self._store.begin(lease)
        self._store.given = None  # it may know what is going to be forgotten
        self._store.catch_up()
        with self.queue._lease(self.lease, wait=False) as lease:
            if lease is not None:
                self._store.sweep(lease)
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
            Whether to apply open requests that are not due yet, fewer than `min_batch` or waiting
            for their next try.

        Returns
        -------
        batch : dict or None
            As of `DeletionQueue.batches`; its state is "failed" when no request in it went
            through. None when there is nothing to do, or another worker is at it.

        Raises
        ------
        QueueStoppedError
            When the model was too bad and the batch was rolled back, or an earlier one was and
            `DeletionQueue.release` has not been called. The model is that of before, the requests
            are still open.
        OSError
            When the machine has no space left, say: the batch is tried again by the next call.
        """
        self._refuse_stopped()
        self._store.catch_up()
        if not flush and not self.queue.due():
            return None
        with self.queue._lease(self.lease, wait=False) as lease:
            if lease is None:
                return None
            try:
                return self._next(lease, flush)
            except LeaseLostError as error:
                # It cannot go on with what it has; the next call takes up the other's version.
                warnings.warn(f"{error} See lease=.", RuntimeWarning, stacklevel=2)
                return None

    def _refuse_stopped(self):
        stopped = self.queue.stopped()
        if stopped is not None:
            raise _stopped(stopped["number"], stopped["reason"])

    def _next(self, lease, flush):
        while True:
            self._refuse_stopped()
            self._store.catch_up()
            self._store.sweep(lease)
            if not flush and not self.queue.due():
                return None
            opened = self.queue._open_batch(lease, flush=flush)
            if opened is None:
                return None
            try:
                self._apply(lease, *opened, flush)
                return self.queue._batch(opened[0])
            except BatchChangedError:
                continue  # without what was refused in the meantime
            finally:
                self.queue._not_a_death(opened[0])

    def _apply(self, lease, number, requests, starts, flush):
        store, queue = self._store, self.queue
        apart = any(request["apart"] is not None for request in requests)
        if starts > (MOST_DEATHS_APART if apart else MOST_DEATHS):
            return queue._break_up(lease, number, starts)
        audit = {"requests": len(requests), "rows": 0, "retrained": False}
        alone = apart or flush or queue._urgent(requests, _now(queue))
        if not alone and self._fewer_than_min(requests):
            return self._wait(lease, number, requests, audit)
        since = queue._meta("since retrain") + 1
        full = bool(queue._meta("retrain"))
        full |= self.retrain_every is not None and since >= self.retrain_every
        found = sieve(requests, partial(self._attempt, full=full))
        audit |= {"requests": len(found.accepted)}
        if found.failed:
            audit["failed"] = len(found.failed)
        if found.result is None:
            return queue._finish(lease, number, {}, audit, failed=found.failed)
        result = found.result
        audit |= result.figures
        if result.stop is not None:
            queue._stop(lease, number, result.stop, audit)
            raise _stopped(number, result.stop)
        fewer = self._fewer_than_min(found.accepted)
        if found.failed and fewer and not alone:
            return self._wait(lease, number, found.accepted, audit, found.failed)
        if fewer and result.model is not None:
            audit["note"] = "; ".join(filter(None, [audit.get("note"), "below min_batch"]))
        if result.model is None:
            return queue._finish(lease, number, result.outcomes, audit, failed=found.failed)
        meta = {"since retrain": 0 if audit["retrained"] else since, "retrain": False}
        if audit["retrained"]:
            meta["baseline"] = audit["score"]
        version = store.versions.write(result.data, number, lease)
        queue._finish(
            lease, number, result.outcomes, audit, failed=found.failed, version=version, meta=meta
        )
        store.take(result.model, number, store.origin, store.n)
        result.model._settled()
        store.sweep(lease)
        return None

    def _fewer_than_min(self, requests):
        """Whether too few requests would forget a row that no other one names."""
        if self.queue.min_batch == 1:
            return False
        gone, count = np.empty(0, np.intp), 0
        for request in requests:
            try:
                positions, _ = self._resolve([request])
            except Exception:  # `sieve` will find out
                continue
            count += len(np.setdiff1d(positions, gone)) > 0
            gone = np.union1d(gone, positions)
        return 0 < count < self.queue.min_batch

    def _wait(self, lease, number, requests, audit, failed=()):
        """Answer the requests that forget nothing; the others wait for more of their kind."""
        answered, waiting = {}, []
        for request in requests:
            positions, outcomes = self._resolve([request])
            if len(positions):
                waiting.append(request["number"])
            else:
                answered |= outcomes
        audit |= {"requests": len(answered), "waiting": len(waiting)}
        self.queue._finish(lease, number, answered, audit, failed=failed, waiting=waiting)

    def _resolve(self, requests):
        store = self._store
        return resolve(requests, store.model._record, store.origin, store.n)

    def _attempt(self, requests, full):
        """A model without the rows of these requests, and what was measured of it."""
        positions, outcomes = self._resolve(requests)
        figures = {"rows": len(positions), "retrained": False}
        if not len(positions):
            return _Attempt(None, outcomes, figures)
        if len(positions) == self.unlearner._record.retained.sum():
            raise ValueError("The requests name every retained row; nothing would be left.")
        model, measured, reason = self._model_without(positions, full)
        if reason is not None and not full and self.on_breach == "retrain":
            full, figures["breach"] = True, reason
            model, measured, reason = self._model_without(positions, full)
        if reason is not None and self.on_breach == "set_aside":
            raise AccuracyDropError(reason)
        figures |= measured | {"retrained": full, "seconds": model.deletions_[-1]["seconds"]}
        return _Attempt(model, outcomes, figures, reason, self._store.pack(model))

    def _model_without(self, positions, full):
        """A model without these rows, its figures, and what is wrong with them."""
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


@dataclass
class _Attempt:
    model: object  # None when nothing was to be forgotten
    outcomes: dict
    figures: dict
    stop: str | None = None  # why the figures are reason to stop
    data: bytes = b""


def _now(queue):
    with queue._journal.transaction(reading=True) as db:
        return db.now()


def _stopped(number, reason):
    return QueueStoppedError(
        f"Batch {number} was rolled back. {reason} The model is as it was before, and the requests "
        "are open. Look at queue.stopped(); then queue.release(), or queue.release(retrain=True) "
        "for a training from scratch."
    )
