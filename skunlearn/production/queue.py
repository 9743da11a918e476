"""A record of deletion requests on disk, that a kill at any moment does not harm."""

import os
from datetime import datetime, timedelta
from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_scalar

from skunlearn.production import _names
from skunlearn.production._asking import AskingMixin
from skunlearn.production._batches import BatchMixin, show_batch
from skunlearn.production._deciding import DecidingMixin
from skunlearn.production._journal import Journal
from skunlearn.production._lease import file_lease, timed_lease
from skunlearn.production._objects import FolderObjects, open_objects
from skunlearn.production._versions import Versions, template

__all__ = ["DeletionQueue"]


class DeletionQueue(AskingMixin, DecidingMixin, BatchMixin):
    """Deletion requests on disk: written once, never lost, never applied twice.

    Choose it where requests come one by one and unlearning is worth doing for many at once: any
    process submits, a `DeletionWorker` applies.

    A request is on disk when `submit` returns. It is known by an id of your choice, so that sending
    it again does no harm. Rows of the record are never deleted, and triggers in the database refuse
    changes of what was requested or done.

    On one machine a folder is enough: the record is kept in SQLite there. Where one machine is not
    enough, `database` names a PostgreSQL database for the record, `store` a place for the models
    that all machines reach, and `key` a secret that they share; workers on any number of machines
    then take turns by a lease.

    A batch that fails is tried in parts, so that the request that is the reason is found and the
    others are applied. The request itself is tried again later; after `max_tries` it is set aside
    with its error (state "delayed"), and somebody decides: `retry` or `refuse`.

    Parameters
    ----------
    folder : str or path-like, default=None
        Made when it is not there, for its owner only. One folder belongs to one model. None where
        `database`, `store` and `key` are given.
    batch_size : int, default=100
        A batch is due when so many requests are open. (As `every` of `deletion_stream`.)
    min_batch : int, default=1
        Fewer are not published by themselves, as two versions of a model that differ by one
        person tell about this person: requests wait, also beyond `max_age`, until so many that
        forget something have come. One whose deadline is near (see `max_age`) waits no longer;
        the audit of its batch then says "below min_batch".
    max_age : float, default=86400.0
        Seconds; a batch is also due when the oldest open request is older. A day leaves time
        for a second try where the law gives a month. A request whose deadline is nearer, and
        more than half of whose time has passed, makes a batch due at once.
    answer_within : float, default=2592000.0
        Seconds from the receipt of a request to its deadline: thirty days. Your policy; nothing is
        refused or dropped when it passes, see `counts`.
    max_tries : int, default=3
        Tries of a request that fails, before it is set aside.
    retry_after : float, default=60.0
        Seconds before the second try; they double with each, up to a day.
    database : str, default=None
        URL of a PostgreSQL database as SQLAlchemy takes it (postgresql+psycopg://...). Needs the
        extra ``postgresql``.
    schema : str, default="skunlearn"
        Schema of that database that holds the tables; made when it is not there. One for each
        queue.
    store : str or path-like, default=None
        Where models are kept: a folder, or a URL of fsspec's (s3://bucket/model with the extra
        ``s3``). None takes `folder`.
    store_options : dict, default=None
        Further arguments of that file system.
    key : bytes, default=None
        The secret with which identifiers are digested, of 16 bytes at least, the same on every
        machine; from your keeper of secrets. None takes that of `folder`; processes that only
        `load` models need none.

    Notes
    -----
    **Identifiers.** A request must be fulfilled, so that the identifiers in it stand in the record
    as they are until then. Once it is done they are overwritten, and keyed BLAKE2b digests remain;
    the key lies in the file ``salt`` of the folder. Who has both can still test a guess. A file
    system or a backup may keep older copies of blocks, and PostgreSQL keeps old row versions and
    its write-ahead log for a while (``VACUUM``, ``wal_keep_size``): that is beyond a library. The
    id of the request itself stays readable: choose one that says nothing about a person. Model
    files hold what ``unlearner.save`` writes, digests of identifiers without this key among it.

    **Rows.** Requests name rows by ids, groups or indices; those named by content would put the
    content on disk.

    **Clocks.** Times are the database's, so that machines may disagree about the hour.

    See Also
    --------
    DeletionWorker : Applies the requests.
    skunlearn.evaluation.deletion_stream : Applies a list of requests, for experiments.

    Examples
    --------
    >>> import tempfile
    >>> from skunlearn.production import DeletionQueue
    >>> folder = tempfile.TemporaryDirectory()
    >>> queue = DeletionQueue(folder.name, batch_size=2)
    >>> queue.submit("ticket-1", ids=["user-17"])["state"]
    'pending'
    >>> queue.due()
    False
    >>> _ = queue.submit("ticket-1", ids=["user-17"])  # once more: nothing happens
    >>> _ = queue.submit("ticket-2", ids=["user-4", "user-5"])
    >>> len(queue.log()), queue.due()
    (2, True)
    >>> queue.refuse("ticket-2", "not the person's own rows")["state"]
    'refused'
    >>> folder.cleanup()
    """

    def __init__(
        self,
        folder=None,
        *,
        batch_size=100,
        min_batch=1,
        max_age=86400.0,
        answer_within=2592000.0,
        max_tries=3,
        retry_after=60.0,
        database=None,
        schema="skunlearn",
        store=None,
        store_options=None,
        key=None,
    ):
        for name, value in (("batch_size", batch_size), ("max_tries", max_tries)):
            check_scalar(value, name, Integral, min_val=1)
        check_scalar(min_batch, "min_batch", Integral, min_val=1, max_val=batch_size)
        for name, value in (
            ("max_age", max_age),
            ("answer_within", answer_within),
            ("retry_after", retry_after),
        ):
            check_scalar(value, name, Real, min_val=0)
            if not np.isfinite(value):
                raise ValueError(f"{name} must be finite, got {value}.")
        self.batch_size, self.min_batch = int(batch_size), int(min_batch)
        self.max_age, self.answer_within = float(max_age), float(answer_within)
        self.max_tries, self.retry_after = int(max_tries), float(retry_after)
        self.folder = None if folder is None else os.path.abspath(os.fspath(folder))
        self._open(database, schema, store, store_options, key)

    def _open(self, database, schema, store, store_options, key):
        if self.folder is None and (database is None or store is None):
            raise TypeError("Pass folder, or both database= and store= (and key=).")
        if self.folder is not None:
            os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self._secret = None if key is None else _names.check_key(key)
        if store is None:
            self._objects = FolderObjects(self.folder)
        else:
            self._objects = open_objects(store, store_options)
        if database is None:
            self._journal = Journal(os.path.join(self.folder, "queue.sqlite"))
        else:
            from skunlearn.production._postgres import PostgresJournal

            self._journal = PostgresJournal(database, schema)
        self._several = database is not None
        self._journal.create(self._prepare)
        if self._secret is None and self.folder is not None:
            self._secret = _names.salt_of(self.folder)
        if self._secret is not None and self._meta("key") != _names.fingerprint(self._secret):
            raise ValueError(
                f"The key is not that of {self._journal.path}: identifiers could not be compared "
                "with their digests. Pass the key with which this queue was begun."
            )

    def _prepare(self, db):
        """Before the first transaction is committed."""
        if self._secret is None and self.folder is not None:
            self._secret = _names.salt_of(self.folder, create=True)
        db.set_meta("key", _names.fingerprint(self._salt))

    @property
    def _salt(self):
        if self._secret is None:
            raise ValueError(
                "Only processes that load models do without the queue's key: pass key=."
            )
        return self._secret

    def _lease(self, seconds, *, wait):
        """The right of a worker to work, or None: see ``_lease``."""
        if self._several:
            return timed_lease(self._journal, seconds, wait=wait)
        return file_lease(self._journal, os.path.join(self.folder, "worker.lock"), wait=wait)

    def __repr__(self):
        place = repr(self.folder) if self.folder is not None else repr(self._journal.path)
        more = "" if self.min_batch == 1 else f", min_batch={self.min_batch}"
        return f"DeletionQueue({place}, batch_size={self.batch_size}{more}, max_age={self.max_age})"

    # ------------------------------------------------------------------ what was done

    def batches(self):
        """Every batch since the beginning.

        Returns
        -------
        batches : list of dict
            "number", "state", "started", "finished", "reason" and "audit": the figures that were
            measured, and "warnings" where the method said that it had not forgotten the rows or
            had damaged the model. States are "running", "applied", "failed" (every request in it;
            the others of a batch that was applied in part are open again), "stopped" and
            "released".
        """
        with self._journal.transaction(reading=True) as db:
            return [show_batch(row) for row in db.rows("SELECT * FROM batches ORDER BY number")]

    # ------------------------------------------------------------------ for those who predict

    def version(self):
        """Number of the newest version, to find out whether `load` has a newer one.

        Returns
        -------
        version : int or None
            None before the first.
        """
        newest = self._newest()
        return None if newest is None else newest[0]

    def load(self, unlearner):
        """The newest model, for a process that only predicts: a whole version or an error.

        Parameters
        ----------
        unlearner : unlearner or UnlearningPipeline
            Like that of the worker; its net gives the architecture. It stays as it is.

        Returns
        -------
        model : unlearner or UnlearningPipeline
            A copy with the newest weights and without rows.
        version : int
            Number of the batch that wrote it, 0 for the first.

        Raises
        ------
        ValueError
            When no worker has been started yet, or the file was changed.
        FileNotFoundError
            When the file is gone; the message says what to do.
        TypeError
            When the versions hold no weights, but the rows to train on: of an exact method whose
            model is no net or stands behind steps. The message says where the model is.
        """
        model, versions, missing = template(unlearner), Versions(self), None
        while True:
            newest = self._newest()
            if newest is None:
                raise ValueError(
                    f"{self._journal.path} holds no model yet: start a DeletionWorker."
                )
            number, name, sha256 = newest
            if self._meta("kind") != "net":
                raise TypeError(
                    "Models of this queue are not in files: the worker's method is exact, of a "
                    "model that is no net or stands behind steps, and a version lists the rows to "
                    "train them on. The model is worker.unlearner in the worker's process; hand it "
                    "on from there after each batch: skops.io.dump or joblib.dump write its "
                    "estimator_ (of a pipeline make_pipeline of its steps and the last one's "
                    "estimator_), and load of the same package reads it."
                )
            try:
                return versions.load(model, versions.read(name, sha256), name), number
            except FileNotFoundError:  # replaced by a newer one in the meantime
                if number == missing:
                    raise
                missing = number

    # ------------------------------------------------------------------ for those who run it

    def due(self):
        """Whether a batch should be applied.

        Returns
        -------
        due : bool
            True with an unfinished batch, with `batch_size` open requests, and with `min_batch`
            of them when the oldest is older than `max_age`. With fewer when a deadline is nearer
            than `max_age`, and more than half of the time until it has passed.
        """
        with self._journal.transaction(reading=True) as db:
            if db.row("SELECT 1 FROM batches WHERE state = 'running'") is not None:
                return True
            now, ready = db.now(), self._ready(db, flush=False)
        clean = [row for row in ready if row["apart"] is None]
        if len(clean) >= self.batch_size and self._enough(clean):
            return True
        if self._is_urgent(ready):
            return True
        # What lies far ahead was received before the clock was set back.
        if not ready or abs((now - _time(ready[0]["received"])).total_seconds()) < self.max_age:
            return False
        return len(clean) < len(ready) or self._enough(clean)

    def _enough(self, requests):
        # The same names twice are no two deletions.
        return len({(row["kind"], row["digests"]) for row in requests}) >= self.min_batch

    def _is_urgent(self, requests):
        """Whether one of them waits for no others: its deadline is near."""
        with self._journal.transaction(reading=True) as db:
            now = db.now()
        for row in requests:
            deadline = _time(row["deadline"])
            # A deadline that was near from the beginning still leaves time for others to come.
            margin = min(timedelta(seconds=self.max_age), (deadline - _time(row["received"])) / 2)
            if now >= min(deadline, deadline - margin):
                return True
        return False

    def stopped(self):
        """The batch at which the worker stopped and rolled back, if there is one.

        Returns
        -------
        batch : dict or None
            As of `batches`.
        """
        with self._journal.transaction(reading=True) as db:
            row = db.row("SELECT * FROM batches WHERE state = 'stopped'")
        return None if row is None else show_batch(row)

    def release(self, *, retrain=False):
        """Let the worker go on after a stop; the requests of that batch are open again.

        Parameters
        ----------
        retrain : bool, default=False
            Whether the next batch is fulfilled by a training from scratch on the retained rows.

        Raises
        ------
        ValueError
            When no batch is stopped, or somebody has released it already; nothing has changed.
        """
        with self._journal.transaction() as db:
            stopped = db.rows("SELECT number FROM batches WHERE state = 'stopped'")
            if not stopped:
                raise ValueError(
                    "No batch is stopped, so that there is nothing to release, and nothing has "
                    "changed. For trainings from scratch without a stop start the worker with "
                    "retrain_every=1."
                )
            for row in stopped:
                db.run(
                    "UPDATE requests SET batch = NULL WHERE batch = :number AND outcome IS NULL",
                    row,
                )
                db.run("UPDATE batches SET state = 'released' WHERE number = :number", row)
            db.set_meta("retrain", bool(retrain))


def _time(text):
    return datetime.fromisoformat(text)
