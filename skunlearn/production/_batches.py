"""The worker's side of the queue: batches and versions, each in one transaction."""

import json

from skunlearn.production._journal import get_meta, now, set_meta


class BatchMixin:
    """Opens, finishes and stops batches in ``self._journal``."""

    def _open_batch(self):
        """The unfinished batch, or a new one of the oldest open requests: ``(number, rows)``."""
        with self._journal.transaction() as db:
            running = db.execute("SELECT number FROM batches WHERE state = 'running'").fetchone()
            if running is None:
                chosen = db.execute(
                    "SELECT number FROM requests WHERE outcome IS NULL ORDER BY number LIMIT ?",
                    (self.batch_size,),
                ).fetchall()
                if not chosen:
                    return None, []
                number = db.execute(
                    "INSERT INTO batches (state, started) VALUES ('running', ?)",
                    (now().isoformat(),),
                ).lastrowid
                db.executemany(
                    "UPDATE requests SET batch = ? WHERE number = ?",
                    [(number, row["number"]) for row in chosen],
                )
            else:
                number = running["number"]
            rows = db.execute(
                "SELECT * FROM requests WHERE batch = ? ORDER BY number", (number,)
            ).fetchall()
        return number, rows

    def _finish(self, number, outcomes, audit, version=None, meta=()):
        """Commit a batch: its requests, its figures and the model's file, all at once.

        `outcomes` maps numbers of requests to None or the reason of a refusal.
        """
        when = now().isoformat()
        with self._journal.transaction() as db:
            for request, reason in outcomes.items():
                db.execute(
                    "UPDATE requests SET names = NULL, outcome = ?, reason = ?, finished = ? "
                    "WHERE number = ?",
                    ("applied" if reason is None else "refused", reason, when, request),
                )
            db.execute(
                "UPDATE batches SET state = 'applied', finished = ?, audit = ? WHERE number = ?",
                (when, json.dumps(audit), number),
            )
            self._set_version(db, number, version, meta)

    def _set_version(self, db, number, version, meta):
        if version is not None:
            db.execute(
                "INSERT INTO versions VALUES (?, ?, ?, ?)", (number, *version, now().isoformat())
            )
        for key, value in dict(meta).items():
            set_meta(db, key, value)

    def _stop(self, number, reason, audit):
        with self._journal.transaction() as db:
            db.execute(
                "UPDATE batches SET state = 'stopped', finished = ?, audit = ?, reason = ? "
                "WHERE number = ?",
                (now().isoformat(), json.dumps(audit), reason, number),
            )

    def _batch(self, number):
        with self._journal.transaction() as db:
            return public(
                db.execute("SELECT * FROM batches WHERE number = ?", (number,)).fetchone()
            )

    def _newest(self):
        """The newest version ``(batch, file, sha256)``, None when there is none."""
        with self._journal.transaction() as db:
            row = db.execute(
                "SELECT batch, file, sha256 FROM versions ORDER BY batch DESC LIMIT 1"
            ).fetchone()
        return None if row is None else tuple(row)

    def _meta(self, key):
        with self._journal.transaction() as db:
            return get_meta(db, key)


def public(row):
    """A batch as users see it."""
    audit = None if row["audit"] is None else json.loads(row["audit"])
    return {key: row[key] for key in ("number", "state", "started", "finished", "reason")} | {
        "audit": audit
    }
