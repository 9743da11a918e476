"""What is sound in a queue's folder, what is not, and what can be saved."""

import contextlib
import json
import os
import shutil
import sqlite3

from skunlearn._files.write_whole import checksum
from skunlearn._rows.row_names import join_names
from skunlearn.production import _names
from skunlearn.production._journal import Journal

_TABLES = ("meta", "batches", "requests", "versions")
_NUMBERED = ("batches", "requests")  # in this order: a request refers to its batch
_LISTED = 20  # numbers and names that a line holds
_AFTER = 1000  # numbers looked at beyond the last that could be read, where none is known


class Inspection:
    """A look at a folder, which changes nothing in it.

    Attributes
    ----------
    lines : list of str
        What was found.
    sound : bool
        Whether a worker can go on with it.
    """

    def __init__(self, folder):
        self.folder, self.lines, self.sound = os.path.abspath(folder), [], True
        self.lost_version = False
        self.path = os.path.join(self.folder, "queue.sqlite")
        self.tables = {name: [] for name in _TABLES}
        if not os.path.isfile(self.path):
            self._fault(f"{self.path} is not there: this is no queue's folder.")
            return
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            db.row_factory = sqlite3.Row
            self._check_record(db)
            for name in _TABLES:
                self._read(db, name)
        self._check_requests()
        self._check_files()

    def _fault(self, line):
        self.sound = False
        self.lines.append(line)

    def _check_record(self, db):
        try:
            found = [row[0] for row in db.execute("PRAGMA integrity_check(5)")]
        except sqlite3.DatabaseError as error:
            found = [str(error)]
        if found == ["ok"]:
            self.lines.append("queue.sqlite: sound")
        else:
            self._fault(f"queue.sqlite: damaged ({'; '.join(' '.join(f.split()) for f in found)})")

    def _read(self, db, name):
        """Rows of a table that can be read, one by one where not all of them can."""
        rows = self.tables[name]
        try:
            rows += [dict(row) for row in db.execute(f"SELECT * FROM {name}")]
        except sqlite3.DatabaseError:
            rows.clear()
            last, number = _last_number(db, name), 0
            while number < (last or (rows[-1]["rowid"] if rows else 0) + _AFTER):
                number += 1
                with contextlib.suppress(sqlite3.DatabaseError):
                    query = f"SELECT rowid AS rowid, * FROM {name} WHERE rowid = ?"
                    rows += [dict(row) for row in db.execute(query, (number,))]
            for row in rows:
                row.pop("rowid")
            read = {row.get("number") for row in rows}
            if last and name in _NUMBERED:
                lost = [n for n in range(1, last + 1) if n not in read]
                if lost:
                    some = join_names(lost, _LISTED)
                    self._fault(f"{name}: {len(lost)} of {last} cannot be read: {some}")

    def _check_requests(self):
        requests = self.tables["requests"]
        still_open = [row["request_id"] for row in requests if row["outcome"] is None]
        self.lines.append(f"requests: {len(requests)} can be read, {len(still_open)} of them open")
        if not self.sound and still_open:
            self.lines.append(f"open requests, to be sent again: {join_names(still_open, _LISTED)}")

    def _check_files(self):
        try:
            salt = _names.salt_of(self.folder)
        except ValueError as error:
            self._fault(str(error))
        else:
            key = self._meta("key")
            if key is not None and key != _names.fingerprint(salt):
                self._fault("salt: not that of this queue; put it back from a backup")
            else:
                self.lines.append("salt: sound")
        versions = sorted(self.tables["versions"], key=lambda row: row["batch"])
        if self._last_change() > (versions[-1]["batch"] if versions else 0):
            self.lost_version = True
            self._fault("versions: the newest one cannot be read. Restore queue.sqlite")
            return
        if not versions:
            self.lines.append("models: none in the record; the next start of a worker trains one")
            return
        newest = versions[-1]
        rows = self._meta("rows")
        if rows is not None:
            self._check_file(*rows)
        self._check_file(os.path.join("models", newest["file"]), newest["sha256"])

    def _last_change(self):
        """Number of the last batch that made a version, as far as that can be told."""
        known = {row["number"]: row for row in self.tables["batches"]}
        changed = [
            row["batch"]
            for row in self.tables["requests"]
            if row["outcome"] == "applied"
            and (row["batch"] not in known or json.loads(known[row["batch"]]["audit"])["rows"])
        ]
        return max(changed, default=0)

    def _check_file(self, name, sha256):
        try:
            same = checksum(os.path.join(self.folder, name)) == sha256
        except OSError as error:
            self._fault(f"{name}: {error.strerror.lower()}. Restore it from a backup")
            return
        if same:
            self.lines.append(f"{name}: sound")
        else:
            self._fault(f"{name}: not the file that was written. Restore it from a backup")

    def _meta(self, key):
        for row in self.tables["meta"]:
            if row["key"] == key:
                return json.loads(row["value"])
        return None

    def rescue(self, target):
        """Write a new folder with everything that can be read.

        Raises
        ------
        ValueError
            When `target` is not empty, or nothing can be read.
        """
        if os.path.exists(target) and os.listdir(target):
            raise ValueError(f"{target} is not empty.")
        if self._meta("format") is None or self.lost_version:
            raise ValueError(
                f"In {self.path} it cannot be read which model is the newest, and an older one "
                "would know what was forgotten: restore it from a backup."
            )
        os.makedirs(target, mode=0o700, exist_ok=True)
        for name in ("salt", *filter(None, [(self._meta("rows") or [None])[0]])):
            with contextlib.suppress(FileNotFoundError):
                shutil.copy2(os.path.join(self.folder, name), os.path.join(target, name))
        with contextlib.suppress(FileNotFoundError):
            models = os.path.join(self.folder, "models")
            shutil.copytree(models, os.path.join(target, "models"))
        journal = Journal(os.path.join(target, "queue.sqlite"))
        journal.create(lambda db: None)
        batches = {row["number"] for row in self.tables["batches"]}
        used = [row["batch"] or 0 for row in (*self.tables["versions"], *self.tables["requests"])]
        last = {"batches": max([*batches, *used], default=0)}
        last["requests"] = max((row["number"] for row in self.tables["requests"]), default=0)
        with journal.transaction() as db:
            for name in _TABLES:
                for row in self.tables[name]:
                    if name == "meta" and row["key"] == "format":
                        continue  # that of the new tables
                    if name == "requests" and row["batch"] not in batches:
                        row = row | {"batch": None}
                    self._insert(db, name, row)
            for name, number in last.items():  # no number is given twice
                db.run("DELETE FROM sqlite_sequence WHERE name = :name", {"name": name})
                self._insert(db, "sqlite_sequence", {"name": name, "seq": number})

    @staticmethod
    def _insert(db, name, row):
        columns = ", ".join(row)
        values = ", ".join(f":{key}" for key in row)
        db.run(f"INSERT OR REPLACE INTO {name} ({columns}) VALUES ({values})", row)


def _last_number(db, name):
    with contextlib.suppress(sqlite3.DatabaseError):
        row = db.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()
        return None if row is None else row[0]
    return None
