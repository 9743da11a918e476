"""What a person decides about a request: refuse, delay, try again."""

from skunlearn.production._asking import check_deadline, find_request, public
from skunlearn.production._journal import stamp


class DecidingMixin:
    """Decisions in ``self._journal``."""

    def refuse(self, request_id, reason):
        """Refuse a request that is not done yet; what it named is erased.

        A worker that is just applying it begins its batch again without it.

        Parameters
        ----------
        request_id : str
        reason : str
            In words; it stays in the record.

        Returns
        -------
        status : dict
            See `status`.

        Raises
        ------
        KeyError
            When there is no such request.
        ValueError
            When it is done already.
        """
        _check_reason(reason)
        with self._journal.transaction() as db:
            self._decide(
                db,
                request_id,
                "names = NULL, outcome = 'refused', reason = :reason, finished = :now, "
                "delayed = NULL, batch = NULL",
                reason=reason,
                now=stamp(db.now()),
            )
            return public(find_request(db, request_id))

    def delay(self, request_id, reason, *, deadline=None):
        """Set a request aside that is not done yet, until `retry` or `refuse`.

        Parameters
        ----------
        request_id : str
        reason : str
            In words.
        deadline : datetime with a time zone, default=None
            Until when it must be answered now; None leaves the deadline as it is.

        Returns
        -------
        status : dict
            See `status`.

        Raises
        ------
        KeyError, ValueError
            As `refuse`.
        """
        _check_reason(reason)
        deadline = check_deadline(deadline)
        with self._journal.transaction() as db:
            self._decide(
                db,
                request_id,
                "delayed = :now, batch = NULL, reason = :reason, not_before = NULL, "
                "deadline = COALESCE(:deadline, deadline)",
                reason=reason,
                deadline=deadline,
                now=stamp(db.now()),
            )
            return public(find_request(db, request_id))

    def retry(self, request_id=None):
        """Open a request again that was set aside; it has all its tries again.

        Parameters
        ----------
        request_id : str, default=None
            None opens all that were set aside.

        Returns
        -------
        statuses : list of dict
            See `status`.

        Raises
        ------
        KeyError
            When there is no such request.
        ValueError
            When it was not set aside.
        """
        with self._journal.transaction() as db:
            if request_id is None:
                query = "SELECT request_id FROM requests WHERE delayed IS NOT NULL ORDER BY number"
                chosen = [row["request_id"] for row in db.rows(query)]
            else:
                state = public(find_request(db, request_id))["state"]
                if state != "delayed":
                    raise ValueError(f"Request {request_id!r} was not set aside: it is {state}.")
                chosen = [request_id]
            for name in chosen:
                self._decide(
                    db, name, "delayed = NULL, tries = 0, reason = NULL, not_before = NULL"
                )
            return [public(find_request(db, name)) for name in chosen]

    def _decide(self, db, request_id, change, **values):
        row = find_request(db, request_id)
        if row["outcome"] is not None:
            raise ValueError(
                f"Request {request_id!r} is done already: it was {row['outcome']} "
                f"{row['finished']}."
            )
        values["number"] = row["number"]
        db.run(f"UPDATE requests SET {change} WHERE number = :number", values)


def _check_reason(reason):
    if not isinstance(reason, str) or not reason.strip():
        raise TypeError(f"reason must be text, got {reason!r}.")
