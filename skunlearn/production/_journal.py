"""The record of requests, batches and versions in SQLite: nothing in it is ever deleted."""

import contextlib
import json
import os
import sqlite3
from datetime import UTC, datetime

_FORMAT = 1
_WAIT = 60.0  # seconds for another process's transaction, which takes milliseconds

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    state TEXT NOT NULL CHECK (state IN ('running', 'applied', 'stopped', 'released')),
    started TEXT NOT NULL,
    finished TEXT,
    audit TEXT,
    reason TEXT
);
CREATE TABLE requests (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    request_id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL CHECK (kind IN ('ids', 'groups', 'indices')),
    names TEXT,
    digests TEXT NOT NULL,
    received TEXT NOT NULL,
    batch INTEGER REFERENCES batches (number),
    outcome TEXT CHECK (outcome IN ('applied', 'refused')),
    reason TEXT,
    finished TEXT,
    CHECK ((outcome IS NULL) = (names IS NOT NULL))
);
CREATE INDEX open_requests ON requests (outcome, number);
CREATE TABLE versions (
    batch INTEGER PRIMARY KEY,
    file TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    written TEXT NOT NULL
);
CREATE TRIGGER requests_stay BEFORE DELETE ON requests
BEGIN SELECT RAISE(ABORT, 'requests are never deleted'); END;
CREATE TRIGGER batches_stay BEFORE DELETE ON batches
BEGIN SELECT RAISE(ABORT, 'batches are never deleted'); END;
CREATE TRIGGER versions_stay BEFORE DELETE ON versions
BEGIN SELECT RAISE(ABORT, 'versions are never deleted'); END;
CREATE TRIGGER requests_keep BEFORE UPDATE ON requests
WHEN OLD.outcome IS NOT NULL OR OLD.number <> NEW.number OR OLD.request_id <> NEW.request_id
    OR OLD.kind <> NEW.kind OR OLD.digests <> NEW.digests OR OLD.received <> NEW.received
    OR (NEW.names IS NOT NULL AND NEW.names <> OLD.names)
BEGIN SELECT RAISE(ABORT, 'what was requested or done is never changed'); END;
CREATE TRIGGER batches_keep BEFORE UPDATE ON batches
WHEN OLD.state IN ('applied', 'released') OR OLD.started <> NEW.started
BEGIN SELECT RAISE(ABORT, 'what was done is never changed'); END;
"""


def now():
    """The time in UTC, to the microsecond."""
    return datetime.now(UTC)


class Journal:
    """Transactions on one file; a connection lives for one transaction only.

    So neither threads nor forked processes share one, and a process that is killed leaves nothing
    but what SQLite's own journal rolls back.
    """

    def __init__(self, path):
        self.path = path

    @contextlib.contextmanager
    def transaction(self):
        """A transaction that is committed at the end, or rolled back after an error."""
        db = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
        try:
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA synchronous = EXTRA")  # on disk, and the folder's entry as well
            db.execute("PRAGMA secure_delete = ON")  # erased names are overwritten, not unlinked
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
            except BaseException:
                db.execute("ROLLBACK")
                raise
            db.execute("COMMIT")
        finally:
            db.close()

    def create(self, prepare):
        """Make the tables when they are not there; `prepare` runs before they are committed."""
        with self.transaction() as db:
            if db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone() is None:
                for statement in _statements(_SCHEMA):
                    db.execute(statement)
                set_meta(db, "format", _FORMAT)
                prepare()
            if get_meta(db, "format") != _FORMAT:
                raise ValueError(f"{self.path} is of another version of skunlearn.")
        with contextlib.suppress(OSError):
            os.chmod(self.path, 0o600)


def _statements(script):
    part = ""
    for line in script.splitlines(keepends=True):
        part += line
        if sqlite3.complete_statement(part):
            yield part
            part = ""


def get_meta(db, key):
    """A value of the folder, None when there is none."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else json.loads(row["value"])


def set_meta(db, key, value):
    """Set a value of the folder."""
    db.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        (key, json.dumps(value)),
    )


def seconds_since(text):
    """Seconds since a time that `now` gave; a clock that was set back gives 0."""
    return max(0.0, (now() - datetime.fromisoformat(text)).total_seconds())
