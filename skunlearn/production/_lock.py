"""One worker at a time, by a lock that ends with its process."""

import contextlib
import sqlite3


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
