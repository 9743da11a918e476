"""The worker's side of the queue: batches and versions, each in one transaction."""

import contextlib
import json
from datetime import timedelta

from skunlearn.production._journal import stamp

MOST_DEATHS = 10  # of processes at one batch, before it is taken for the reason
MOST_DEATHS_APART = 2  # once it was
MOST_AGAIN = 3  # requests that failed before, in a batch that is full without them
_SHORTEST_WAIT, _LONGEST_WAIT = 60.0, 86400.0  # seconds between two tries


class BatchChangedError(RuntimeError):
    """Somebody has refused or delayed a request while its batch was being applied."""


class BatchMixin:
    """Opens, finishes and stops batches in ``self._journal``.

    `lease` is the worker's: what it writes is refused when another worker has taken over.
    """

    def _open_batch(self, lease, *, flush=False):
        """The unfinished batch, or a new one of the oldest open requests.

        Returns its number, its requests and how often it was begun; None when nothing is open.
        """
        with self._journal.transaction() as db:
            lease.check(db)
            running = db.row("SELECT number FROM batches WHERE state = 'running'")
            if running is None:
                chosen = self._choose(db, flush)
                if not chosen:
                    return None
                db.run(
                    "INSERT INTO batches (state, started) VALUES ('running', :now)",
                    {"now": stamp(db.now())},
                )
                running = db.row("SELECT number FROM batches WHERE state = 'running'")
                db.run(
                    "UPDATE requests SET batch = :batch WHERE number = :number",
                    [{"batch": running["number"], "number": n} for n in chosen],
                )
            number = running["number"]
            db.run("UPDATE batches SET starts = starts + 1 WHERE number = :n", {"n": number})
            starts = db.row("SELECT starts FROM batches WHERE number = :n", n=number)["starts"]
            rows = db.rows(
                "SELECT * FROM requests WHERE batch = :n AND outcome IS NULL ORDER BY number",
                n=number,
            )
        return number, rows, starts

    def _choose(self, db, flush):
        """Numbers of the requests of a new batch."""
        ready = self._ready(db, flush)
        fresh = [row["number"] for row in ready if row["apart"] is None and not row["tries"]]
        again = [row["number"] for row in ready if row["apart"] is None and row["tries"]]
        # Those that failed come on top: what fails alone may go through with others.
        chosen = fresh[: self.batch_size] + again[: max(MOST_AGAIN, self.batch_size - len(fresh))]
        if not chosen and ready:
            # Those at which a process died: in small batches, behind all others.
            chosen = [row["number"] for row in ready][: ready[0]["apart"]]
        return chosen

    def _ready(self, db, flush):
        """Requests that may be applied now, the oldest first."""
        now = db.now()
        longest = max(self.retry_after, _LONGEST_WAIT)
        return db.rows(
            "SELECT number, kind, digests, received, deadline, tries, apart FROM requests "
            "WHERE outcome IS NULL AND delayed IS NULL AND batch IS NULL "
            # Nothing waits longer than that: a later time is one of before the clock was set back.
            "AND (not_before IS NULL OR not_before <= :now OR not_before > :longest) "
            "ORDER BY number",
            now=stamp(now + timedelta(days=36500)) if flush else stamp(now),
            longest=stamp(now + timedelta(seconds=longest)),
        )

    def _finish(
        self, lease, number, outcomes, audit, *, failed=(), waiting=(), version=None, meta=()
    ):
        """Commit a batch: its requests, its figures and the model's file, all at once.

        `outcomes` maps numbers of requests to None or the reason of a refusal; `failed` maps those
        that did not go through to their errors. `waiting` are left alone for a while. What else is
        in the batch is open again.
        """
        failed, state = dict(failed), "applied" if outcomes or not failed else "failed"
        with self._journal.transaction() as db:
            lease.check(db)
            self._check_batch(db, number, {*outcomes, *failed, *waiting})
            when = stamp(db.now())
            for request, reason in outcomes.items():
                db.run(
                    "UPDATE requests SET names = NULL, new_values = NULL, "
                    "outcome = :outcome, reason = :reason, finished = :when "
                    "WHERE number = :request",
                    {
                        "outcome": "applied" if reason is None else "refused",
                        "reason": reason,
                        "when": when,
                        "request": request,
                    },
                )
            for request, reason in failed.items():
                self._put_back(db, request, reason)
            later = stamp(db.now() + timedelta(seconds=max(self.retry_after, _SHORTEST_WAIT)))
            for request in waiting:
                db.run(
                    "UPDATE requests SET not_before = :later WHERE number = :n",
                    {"later": later, "n": request},
                )
            db.run(
                "UPDATE requests SET batch = NULL WHERE batch = :number AND outcome IS NULL",
                {"number": number},
            )
            reason = "; ".join(dict.fromkeys(failed.values())) if state == "failed" else None
            self._close(db, number, state, audit, reason)
            self._set_version(db, number, version, meta)

    def _check_batch(self, db, number, expected):
        rows = db.rows("SELECT number FROM requests WHERE batch = :n AND outcome IS NULL", n=number)
        if not expected <= {row["number"] for row in rows}:
            raise BatchChangedError

    def _put_back(self, db, request, reason):
        """Count a try that failed; after the last one the request is set aside."""
        row = db.row("SELECT tries, apart FROM requests WHERE number = :n", n=request)
        now, tries = db.now(), row["tries"] + 1
        last = tries >= self.max_tries
        wait = timedelta(seconds=min(self.retry_after * 2.0 ** (tries - 1), _LONGEST_WAIT))
        db.run(
            "UPDATE requests SET batch = NULL, tries = :tries, reason = :reason, "
            "delayed = :delayed, not_before = :not_before WHERE number = :n",
            {
                "tries": tries,
                "reason": reason,
                "delayed": stamp(now) if last else None,
                "not_before": None if last else stamp(now + wait),
                "n": request,
            },
        )

    def _set_version(self, db, number, version, meta):
        if version is not None:
            file, sha256 = version
            db.run(
                "INSERT INTO versions (batch, file, sha256, written) "
                "VALUES (:batch, :file, :sha256, :written)",
                {"batch": number, "file": file, "sha256": sha256, "written": stamp(db.now())},
            )
        for key, value in dict(meta).items():
            db.set_meta(key, value)

    def _close(self, db, number, state, audit, reason):
        db.run(
            "UPDATE batches SET state = :state, finished = :when, audit = :audit, "
            "reason = :reason WHERE number = :number",
            {
                "state": state,
                "when": stamp(db.now()),
                "audit": json.dumps(audit),
                "reason": reason,
                "number": number,
            },
        )

    def _stop(self, lease, number, reason, audit):
        with self._journal.transaction() as db:
            lease.check(db)
            self._close(db, number, "stopped", audit, reason)

    def _break_up(self, lease, number, starts):
        """End a batch at which processes died; its requests are tried again in smaller ones."""
        reason = f"{starts - 1} processes that applied it ended without a word (were killed, say)"
        with self._journal.transaction() as db:
            lease.check(db)
            rows = db.rows(
                "SELECT number FROM requests WHERE batch = :n AND outcome IS NULL", n=number
            )
            if len(rows) == 1:
                db.run(
                    "UPDATE requests SET tries = :last WHERE number = :n",
                    {"last": self.max_tries - 1, "n": rows[0]["number"]},
                )
                self._put_back(db, rows[0]["number"], reason)
            else:
                db.run(
                    "UPDATE requests SET batch = NULL, apart = :size, reason = :reason "
                    "WHERE batch = :n AND outcome IS NULL",
                    {"size": (len(rows) + 1) // 2, "reason": reason, "n": number},
                )
            self._close(db, number, "failed", {"requests": len(rows)}, reason)

    def _not_a_death(self, number):
        """A worker leaves a batch by an error or an interrupt, and may take it up again."""
        # Where that fails (a full disk, say) the error that led here is the one to tell of.
        with contextlib.suppress(Exception), self._journal.transaction() as db:
            db.run(
                "UPDATE batches SET starts = starts - 1 WHERE number = :n AND state = 'running'",
                {"n": number},
            )

    def _batch(self, number):
        with self._journal.transaction(reading=True) as db:
            return show_batch(db.row("SELECT * FROM batches WHERE number = :n", n=number))

    def _newest(self):
        """The newest version ``(batch, file, sha256)``, None when there is none."""
        with self._journal.transaction(reading=True) as db:
            row = db.row("SELECT batch, file, sha256 FROM versions ORDER BY batch DESC LIMIT 1")
        return None if row is None else tuple(row.values())

    def _meta(self, key):
        with self._journal.transaction(reading=True) as db:
            return db.meta(key)


def show_batch(row):
    """A batch as users see it."""
    audit = None if row["audit"] is None else json.loads(row["audit"])
    return {key: row[key] for key in ("number", "state", "started", "finished", "reason")} | {
        "audit": audit
    }
