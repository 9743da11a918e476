"""The record of requests, batches and versions: transactions that are done whole or not at all.

The statements are the same for SQLite (here) and PostgreSQL (``_postgres``): SQLite, which comes
with Python, stays the default without a library in between.
"""

import contextlib
import json
import os
import sqlite3
from datetime import UTC, datetime

from skunlearn.production._schema import FORMAT, sqlite_additions, sqlite_statements

WAIT = 60.0  # seconds for another process's transaction, which takes milliseconds


def now():
    """The time in UTC, to the microsecond."""
    return datetime.now(UTC)


def stamp(time):
    """A time as the tables hold it: all of one length, so that text sorts as times do."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")


class Transaction:
    """Statements with ``:name`` for values, and rows as dicts."""

    def rows(self, sql, **values):
        """All rows of a query."""
        raise NotImplementedError

    def run(self, sql, values=()):
        """Change rows: `values` is a mapping, or a list of them. How many were changed."""
        raise NotImplementedError

    def now(self):
        """The database's time: machines differ, the database is one."""
        raise NotImplementedError

    def row(self, sql, **values):
        """The first row of a query, None when there is none."""
        return next(iter(self.rows(sql, **values)), None)

    def meta(self, key):
        """A value of the queue, None when there is none."""
        row = self.row("SELECT value FROM meta WHERE key = :key", key=key)
        return None if row is None else json.loads(row["value"])

    def set_meta(self, key, value):
        """Set a value of the queue."""
        self.run(
            "INSERT INTO meta (key, value) VALUES (:key, :value) "
            "ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            {"key": key, "value": json.dumps(value)},
        )


class _SQLiteTransaction(Transaction):
    def __init__(self, db):
        self._db = db

    def rows(self, sql, **values):
        return [dict(row) for row in self._db.execute(sql, values)]

    def run(self, sql, values=()):
        many = isinstance(values, list)
        return (self._db.executemany if many else self._db.execute)(sql, values).rowcount

    def now(self):
        return now()


class Journal:
    """Transactions on one file; a connection lives for one transaction only.

    So neither threads nor forked processes share one, and a process that is killed leaves nothing
    but what SQLite's own journal rolls back.
    """

    def __init__(self, path):
        self.path = path

    @contextlib.contextmanager
    def transaction(self, *, reading=False):
        """A `Transaction` that is committed at the end, or rolled back after an error.

        Those that write come one after the other. Those that only read see one state throughout.
        """
        db = sqlite3.connect(self.path, timeout=WAIT, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA synchronous = EXTRA")  # on disk, and the folder's entry as well
            db.execute("PRAGMA secure_delete = ON")  # erased names are overwritten, not unlinked
            db.execute("BEGIN" if reading else "BEGIN IMMEDIATE")
            try:
                yield _SQLiteTransaction(db)
                db.execute("COMMIT")
            except BaseException:
                # After some errors (a full disk, say) SQLite has rolled back by itself.
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED:
                raise type(error)(
                    f"{self.path} is damaged ({error}). Leave it as it is; "
                    f"`python -m skunlearn.production check {os.path.dirname(self.path)}` says "
                    "what can be saved."
                ) from error
            raise
        finally:
            db.close()

    def create(self, prepare):
        """Make the tables when they are not there; `prepare` runs before they are committed."""
        with self.transaction() as db:
            if db.row("SELECT 1 FROM sqlite_master WHERE name = 'meta'") is None:
                for statement in sqlite_statements():
                    db.run(statement)
                db.set_meta("format", FORMAT)
                prepare(db)
            bring_up_to_date(db, sqlite_additions())
            check_format(db, self.path)
        with contextlib.suppress(OSError):
            os.chmod(self.path, 0o600)


_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def bring_up_to_date(db, additions):
    """Add to tables of the format before what came later."""
    if db.meta("format") == 2:
        for statement in additions:
            db.run(statement)
        db.set_meta("format", 3)


def check_format(db, where):
    """Raise for tables of another version of the package."""
    if db.meta("format") != FORMAT:
        raise ValueError(f"{where} is of another version of skunlearn.")
