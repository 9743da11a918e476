"""The process that applies requests to a model, and stops when that goes wrong."""

import warnings
from numbers import Integral, Real

from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_scalar, get_tags
from skorch import NeuralNet

from skunlearn._unlearning.accuracy_guard import check_drop
from skunlearn.auto import AutoUnlearner
from skunlearn.production import _checks
from skunlearn.production._applying import Application, refuse_stopped
from skunlearn.production._batches import BatchChangedError
from skunlearn.production._lease import LeaseLostError
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
        Where requests wait.
    unlearner : unlearner, UnlearningPipeline or skorch net
        A net, or a FrozenEstimator of one, is forgotten in by an `AutoUnlearner`, which judges
        itself by the test rows. Methods for nets that go on from the present weights, also at the
        end of a pipeline, whose fitted steps are then part of each version (extra:
        ``pip install "skunlearn[skops]"``); or exact ones, whose model a training on the retained
        rows gives again after a restart (of `RetrainUnlearner` with an int ``random_state`` the
        same one; where it is another, a forest of new draws say, a warning tells). It is copied.
        If it is fitted, its model is the first version.
    X_test : rows as in the unlearner's ``fit``
        Rows that the model has never seen, for the audits.
    y_test : array of shape (n_test,) or None, default=None
        Their labels or targets. None for a Dataset that holds them.
    max_accuracy_drop : float or None, default=None
        Stop when the score on the test rows (accuracy, or R²) falls by more than this below that
        after the last full training; 0.02 are two points, and of a classifier more than 1 is an
        error. None never stops.
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
    A model file is safetensors and JSON, and loading one runs no code, wherever it comes from (of
    a pipeline none but that of scikit-learn and of its own steps, see `UnlearningPipeline.load`).
    What sits beside it in the folder is read in the same manner. Its checksum is in the record.

    After a restart a model that had to be trained again (exact methods, whose file holds no
    weights) goes on with its log, and lacks classes of which no row is left. Where its parameters
    are not those of its version, a warning names them; the next batch makes a version of them.

    Every version is taken for published. When a batch deletes a single row from a linear model, a
    RowRevealedWarning says that the two versions give that row away
    (`skunlearn.evaluation.reconstruction_attack`); larger batches do not.

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
        if isinstance(unlearner, NeuralNet | FrozenEstimator):
            unlearner = AutoUnlearner(unlearner)
        self._store = Store(queue, unlearner, self._check)
        if max_accuracy_drop is not None:
            classifier = get_tags(unlearner).estimator_type == "classifier"
            check_drop(max_accuracy_drop, classifier=classifier)

    def __repr__(self):
        kind = type(getattr(self._store.template, "_final_estimator", self._store.template))
        version = "not started" if self.version is None else f"version {self.version}"
        return f"DeletionWorker({self.queue!r}, {kind.__name__}; {version})"

    # ------------------------------------------------------------------ start

    def start(self, X, y=None, sample_weight=None, *, ids=None, groups=None, measure_on=None):
        """Train and write the first version, or take up the newest one.

        The same call does after a crash, or in a second process.

        Parameters
        ----------
        X, y : rows and labels, as for ``fit`` of the unlearner
            At the first start all of them. Later at least those that are retained, in any order;
            rows that were forgotten are recognised and left out, and rows that were corrected have
            their new values: correct your own table once a correction is applied. `y` may be None
            for a Dataset that gives labels.
        sample_weight : array of shape (n,), default=None
            Weight of each row, not negative; later starts must be given the same.
        ids, groups : sequence of n hashable values, default=None
            Unique identifiers of the rows, and the group of each (the person it is about, say), by
            which requests name them.
        measure_on : torch Dataset or callable, default=None
            How to read the rows of `X` as they are, where training augments them at random: a
            Dataset of the same rows without the augmentation, or the transform to leave out.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            When the rows are not those of the first start, the test rows are training rows, or
            were until they were forgotten, or the newest version's file was changed.
        """
        self._store.rows = X, y, sample_weight, ids, groups, measure_on
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

    def _check(self, model, *, first, known=None):
        tests = self.X_test, self.y_test
        tests = tests if first else _checks.of_known_classes(model, *tests)
        _checks.refuse_seen(model, *tests, known)
        return _checks.score_of(model, *tests)

    # ------------------------------------------------------------------ work

    def run(self, stop, *, poll=1.0):
        """Apply batches as they become due, until an event is set.

        Parameters
        ----------
        stop : threading.Event
            Set it, from a handler of signals say, and the worker ends after the batch at hand.
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
        DataChangedError
            When the rows that `start` was given have changed since: no request is at fault, and the
            batch is tried again by the next call.
        """
        refuse_stopped(self.queue)
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

    def _next(self, lease, flush):
        while True:
            refuse_stopped(self.queue)
            self._store.catch_up()
            self._store.sweep(lease)
            if not flush and not self.queue.due():
                return None
            opened = self.queue._open_batch(lease, flush=flush)
            if opened is None:
                return None
            try:
                Application(self, lease, flush).apply(*opened)
                return self.queue._batch(opened[0])
            except BatchChangedError:
                continue  # without what was refused in the meantime
            finally:
                self.queue._not_a_death(opened[0])
