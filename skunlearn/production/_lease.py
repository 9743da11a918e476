"""One worker at a time, and nothing from one whose time is over.

Whoever works holds a token that is greater than every token before it. Each transaction of a
worker looks whether its token is still the newest one (`check`), so that what a worker does after
it was taken for dead (a machine that slept, a network that was cut) is refused, on any clock.

- On one machine the system's file lock says who may take a token: it ends with its process.
- On several machines the database's clock does: a lease ends after some seconds, unless a thread
  renews it, which it does three times as often.
"""

import contextlib
import os
import socket
import sqlite3
import threading
import time
import uuid
from datetime import datetime, timedelta

from skunlearn.production._journal import stamp

_NAME = "worker"
_LONGEST = 86400.0  # seconds; a longer lease is one that nobody renews in time


class LeaseLostError(RuntimeError):
    """Another worker has taken over."""


class Lease:
    """The right to work, as long as `check` does not raise."""

    def __init__(self, journal, token, *, in_names):
        self.token, self._journal = token, journal
        # A file lock lets nobody else write; after a time-out somebody may still be writing.
        self.suffix = f"-{token}" if in_names else ""

    def check(self, db):
        """Raise LeaseLostError when another worker holds a newer token."""
        row = db.row("SELECT token FROM lease WHERE name = :name", name=_NAME)
        if row is None or row["token"] != self.token:
            raise LeaseLostError(
                "Another worker has taken over in the meantime; what this one did is discarded."
            )

    @contextlib.contextmanager
    def held(self):
        """For as long as this lasts nobody can take over: for steps outside of the database."""
        with self._journal.transaction() as db:
            self.check(db)
            yield


@contextlib.contextmanager
def worker_lock(path, *, wait):
    """Yield whether the lock was taken; wait for it first when asked to.

    Two workers of one folder would each unlearn from a model that lacks the other's requests, and
    the later one's would be written over the earlier one's. A file that says "taken" outlives a
    process that dies, and Python's own locks of files are other ones on each system (``fcntl``,
    ``msvcrt``). SQLite, which comes with Python, locks files on all of them, and the system takes
    its lock from a process that dies.
    """
    db = sqlite3.connect(path, timeout=1.0 if wait else 0.0, isolation_level=None)
    try:
        taken = _lock(db)
        while wait and not taken:
            taken = _lock(db)
        yield taken
    finally:
        db.close()


def _lock(db):
    try:
        db.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    return True


@contextlib.contextmanager
def file_lease(journal, path, *, wait):
    """Yield a `Lease` for workers on one machine, or None when another one has it."""
    with worker_lock(path, wait=wait) as taken:
        yield _take(journal, seconds=None) if taken else None


@contextlib.contextmanager
def timed_lease(journal, seconds, *, wait):
    """Yield a `Lease` for workers on several machines, or None when another one has it."""
    lease = _take(journal, seconds)
    while wait and lease is None:
        time.sleep(min(1.0, seconds / 3))
        lease = _take(journal, seconds)
    if lease is None:
        yield None
        return
    done = threading.Event()
    thread = threading.Thread(target=_renew, args=(journal, lease, seconds, done), daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        done.set()
        thread.join()
        with contextlib.suppress(Exception):  # it ends by itself
            _set_expiry(journal, lease, None)


def _take(journal, seconds):
    """A new lease; None when `seconds` is given and another one has not expired."""
    with journal.transaction() as db:
        now, row = db.now(), db.row("SELECT * FROM lease WHERE name = :name", name=_NAME)
        expires = None if row is None or seconds is None else row["expires"]
        # Later than any lease ends: the database's clock was set back, and its holder may be gone.
        longest = timedelta(seconds=max(seconds or 0.0, _LONGEST))
        if expires is not None and now < datetime.fromisoformat(expires) <= now + longest:
            return None
        token = 1 if row is None else row["token"] + 1
        expires = None if seconds is None else stamp(now + timedelta(seconds=seconds))
        db.run(
            "INSERT INTO lease (name, holder, token, expires) "
            "VALUES (:name, :holder, :token, :expires) ON CONFLICT (name) DO UPDATE "
            "SET holder = excluded.holder, token = excluded.token, expires = excluded.expires",
            {"name": _NAME, "holder": _holder(), "token": token, "expires": expires},
        )
    return Lease(journal, token, in_names=seconds is not None)


def _renew(journal, lease, seconds, done):
    while not done.wait(seconds / 3):
        # The database may be away for a while; if for too long, `check` will say so.
        with contextlib.suppress(Exception):
            _set_expiry(journal, lease, seconds)


def _set_expiry(journal, lease, seconds):
    with journal.transaction() as db:
        expires = None if seconds is None else stamp(db.now() + timedelta(seconds=seconds))
        db.run(
            "UPDATE lease SET expires = :expires WHERE name = :name AND token = :token",
            {"expires": expires, "name": _NAME, "token": lease.token},
        )


def _holder():
    return f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex[:8]}"
