"""A record of deletion requests on disk, that a kill at any moment does not harm."""

import os
from numbers import Integral, Real

from sklearn.utils import check_scalar

from skunlearn.production import _names
from skunlearn.production._batches import BatchMixin, public
from skunlearn.production._journal import Journal, now, seconds_since, set_meta
from skunlearn.production._versions import Versions, template

__all__ = ["DeletionQueue"]

_KINDS = ("ids", "groups", "indices")


class DeletionQueue(BatchMixin):
    """Deletion requests in a folder: written once, never lost, never applied twice.

    Choose it where requests come one by one and unlearning is worth doing for many at once: any
    process submits, a `DeletionWorker` applies.

    A request is on disk when `submit` returns. It is known by an id of your choice, so that sending
    it again does no harm. Requests are kept in SQLite; rows of the record are never deleted, and
    triggers in the file refuse changes of what was requested or done.

    Parameters
    ----------
    folder : str or path-like
        Made when it is not there, for its owner only. One folder belongs to one model.
    batch_size : int, default=100
        A batch is due when so many requests are open. (As `every` of `deletion_stream`.)
    max_age : float, default=86400.0
        Seconds; a batch is also due when the oldest open request is older. A day leaves time
        for a second try where the law gives a month.

    Notes
    -----
    **Identifiers.** A request must be fulfilled, so that the identifiers in it stand in the file as
    they are until then. Once it is done they are overwritten, and keyed BLAKE2b digests remain;
    the key lies in the file ``salt`` beside it. Who has both can still test a guess. A file system
    or a backup may keep older copies of blocks: that is beyond a library. The id of the request
    itself stays readable: choose one that says nothing about a person. Model files hold what
    ``unlearner.save`` writes, digests of identifiers without this key among it.

    **Rows.** Requests name rows by ids, groups or indices; those named by content would put the
    content on disk.

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
    >>> folder.cleanup()
    """

    def __init__(self, folder, *, batch_size=100, max_age=86400.0):
        check_scalar(batch_size, "batch_size", Integral, min_val=1)
        check_scalar(max_age, "max_age", Real, min_val=0)
        self.folder = os.path.abspath(os.fspath(folder))
        self.batch_size, self.max_age = int(batch_size), float(max_age)
        os.makedirs(self.folder, mode=0o700, exist_ok=True)
        self._journal = Journal(os.path.join(self.folder, "queue.sqlite"))
        self._journal.create(lambda: _names.salt_of(self.folder, create=True))
        self._salt = _names.salt_of(self.folder)

    def __repr__(self):
        return (
            f"DeletionQueue({self.folder!r}, batch_size={self.batch_size}, max_age={self.max_age})"
        )

    # ------------------------------------------------------------------ for those who submit

    def submit(self, request_id, *, ids=None, groups=None, indices=None):
        """Write a request down.

        Parameters
        ----------
        request_id : str
            Of your choice, the same whenever the same request is sent.
        ids, groups, indices : sequence, default=None
            One of them: names as ``unlearn`` of the model takes them, of text, bytes, numbers,
            dates or tuples of these; a UUID counts as its text.

        Returns
        -------
        status : dict
            See `status`.

        Raises
        ------
        TypeError
            When rows are named in no or several ways, or by something that a file cannot hold.
        ValueError
            When nothing is named, or the request's id stands for another request.
        """
        if not isinstance(request_id, str) or not request_id:
            raise TypeError(f"request_id must be text, got {request_id!r}.")
        given = {k: v for k, v in zip(_KINDS, (ids, groups, indices)) if v is not None}
        if len(given) != 1:
            raise TypeError(
                f"Name the rows in exactly one way, as ids=, groups= or indices=; got {[*given]}."
            )
        ((kind, names),) = given.items()
        names = _names.as_list(names, kind)
        digests = _names.digests(names, self._salt)
        with self._journal.transaction() as db:
            known = _request(db, request_id)
            if known is None:
                db.execute(
                    "INSERT INTO requests (request_id, kind, names, digests, received) "
                    "VALUES (?, ?, ?, ?, ?)",
                    (request_id, kind, _names.write(names), digests, now().isoformat()),
                )
                known = _request(db, request_id)
            elif (known["kind"], known["digests"]) != (kind, digests):
                raise ValueError(
                    f"The id {request_id!r} stands for another request already, received "
                    f"{known['received']}. Give every request an id of its own."
                )
        return _public(known)

    def status(self, request_id):
        """What has become of a request.

        Parameters
        ----------
        request_id : str

        Returns
        -------
        status : dict
            "request_id", "state" ("pending", "applied", "refused", or "running" from the moment
            that it is in a batch, also while that is stopped), "received" and "finished" (times
            in UTC, or None), "batch" (number or None), "reason" (of a refusal), "kind" and
            "digests" of what was named.

        Raises
        ------
        KeyError
            When there is no such request.
        """
        with self._journal.transaction() as db:
            known = _request(db, request_id)
        if known is None:
            raise KeyError(f"There is no request {request_id!r}.")
        return _public(known)

    def log(self):
        """Every request since the beginning, in the order of arrival.

        Returns
        -------
        requests : list of dict
            As of `status`.
        """
        with self._journal.transaction() as db:
            return [_public(row) for row in db.execute("SELECT * FROM requests ORDER BY number")]

    def batches(self):
        """Every batch since the beginning.

        Returns
        -------
        batches : list of dict
            "number", "state" ("running", "applied", "stopped" or "released"), "started",
            "finished", "reason" (of a stop) and "audit": the figures that were measured.
        """
        with self._journal.transaction() as db:
            rows = db.execute("SELECT * FROM batches ORDER BY number").fetchall()
        return [public(row) for row in rows]

    # ------------------------------------------------------------------ for those who predict

    def load(self, unlearner):
        """The newest model, for a process that only predicts.

        Parameters
        ----------
        unlearner : unlearner
            Like that of the worker; its net gives the architecture. It stays as it is.

        Returns
        -------
        model : unlearner
            A copy with the newest weights and without rows.
        version : int
            Number of the batch that wrote it, 0 for the first.

        Raises
        ------
        ValueError
            When no worker has been started yet, or the file was changed.
        TypeError
            When the model is not one of those whose weights are in a file.
        """
        model, missing = template(unlearner), None
        while True:
            newest = self._newest()
            if newest is None:
                raise ValueError(f"{self.folder} holds no model yet: start a DeletionWorker.")
            number, name, sha256 = newest
            if self._meta("kind") != "net":
                raise TypeError("Models of this folder are not in files; ask the worker's.")
            try:
                return model.load(Versions(self).path(name, sha256)), number
            except FileNotFoundError:  # replaced by a newer one in the meantime
                if number == missing:
                    raise
                missing = number

    # ------------------------------------------------------------------ for those who run it

    def due(self):
        """Whether a batch should be applied: enough requests, an old one, or an unfinished batch.

        Returns
        -------
        due : bool
        """
        with self._journal.transaction() as db:
            if db.execute("SELECT 1 FROM batches WHERE state = 'running'").fetchone():
                return True
            count, oldest = db.execute(
                "SELECT COUNT(*), MIN(received) FROM requests WHERE outcome IS NULL"
            ).fetchone()
        return count >= self.batch_size or (count > 0 and seconds_since(oldest) >= self.max_age)

    def stopped(self):
        """The batch at which the worker stopped and rolled back, if there is one.

        Returns
        -------
        batch : dict or None
            As of `batches`.
        """
        with self._journal.transaction() as db:
            row = db.execute("SELECT * FROM batches WHERE state = 'stopped'").fetchone()
        return None if row is None else public(row)

    def release(self, *, retrain=False):
        """Let the worker go on after a stop; the requests of that batch are open again.

        Parameters
        ----------
        retrain : bool, default=False
            Whether the next batch is fulfilled by a training from scratch on the retained rows.
        """
        with self._journal.transaction() as db:
            stopped = db.execute("SELECT number FROM batches WHERE state = 'stopped'").fetchall()
            for row in stopped:
                db.execute("UPDATE requests SET batch = NULL WHERE batch = ?", (row["number"],))
                db.execute("UPDATE batches SET state = 'released' WHERE number = ?", tuple(row))
            set_meta(db, "retrain", bool(retrain))


def _request(db, request_id):
    return db.execute("SELECT * FROM requests WHERE request_id = ?", (request_id,)).fetchone()


def _public(row):
    # A request is "running" until its batch is done, also while the worker is stopped.
    state = row["outcome"] or ("pending" if row["batch"] is None else "running")
    keys = ("request_id", "kind", "received", "finished", "batch", "reason")
    return {key: row[key] for key in keys} | {"state": state, "digests": row["digests"].split()}
