"""One worker at a time, by a lock that ends with its process."""

import contextlib
import sqlite3


@contextlib.contextmanager
def worker_lock(path, *, wait):
    """Yield whether the lock was taken; wait for it first when asked to.

    SQLite locks files on every system, and the system takes the lock from a process that dies.
    """
    db = sqlite3.connect(path, timeout=1.0 if wait else 0.0, isolation_level=None)
    try:
        taken = _take(db)
        while wait and not taken:
            taken = _take(db)
        yield taken
    finally:
        db.close()


def _take(db):
    try:
        db.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" not in str(error):
            raise
        return False
    return True
