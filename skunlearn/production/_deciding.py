"""What a person decides about a request, and answers: refuse, delay, try again, certify."""

from sklearn.utils.validation import check_is_fitted

from skunlearn._files.digests import json_digest
from skunlearn._unlearning.certificate.recording import certify
from skunlearn.production._asking import check_deadline, find_request, show_request
from skunlearn.production._journal import stamp


class DecidingMixin:
    """Decisions in ``self._journal``, and certificates of requests."""

    def refuse(self, request_id, reason):
        """Refuse a request that is not done yet; what it named is erased.

        A worker that is just applying it begins its batch again without it.

        Parameters
        ----------
        request_id : str
            As `submit` returned it.
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
                "names = NULL, new_values = NULL, outcome = 'refused', reason = :reason, "
                "finished = :now, delayed = NULL, batch = NULL",
                reason=reason,
                now=stamp(db.now()),
            )
            return show_request(find_request(db, request_id))

    def delay(self, request_id, reason, *, deadline=None):
        """Set a request aside that is not done yet, until `retry` or `refuse`.

        Parameters
        ----------
        request_id : str
            As `submit` returned it.
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
            return show_request(find_request(db, request_id))

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
                state = show_request(find_request(db, request_id))["state"]
                if state != "delayed":
                    raise ValueError(f"Request {request_id!r} was not set aside: it is {state}.")
                chosen = [request_id]
            for name in chosen:
                self._decide(
                    db, name, "delayed = NULL, tries = 0, reason = NULL, not_before = NULL"
                )
            return [show_request(find_request(db, name)) for name in chosen]

    def certificate(self, request_id, unlearner, *, format="json"):
        """The certificate of a model, with a request and what has become of it.

        Parameters
        ----------
        request_id : str
            As `submit` returned it.
        unlearner : fitted unlearner
            ``worker.unlearner``, or the model that `load` returns.
        format : {"json", "letter", "html"}, default="json"
            JSON; plain words for the person whose rows they were; one page for the file.

        Returns
        -------
        certificate : Certificate, or str for the other formats
            As of the unlearner, and "request": its id, when it was received, done, and due, its
            state with the reason and what happens next, the version that fulfilled it, and
            under "subject" a pseudonym, which is made of the keyed digests of what it names.
            "batch" holds what the worker measured.

        Raises
        ------
        KeyError
            When there is no such request.
        """
        check_is_fitted(unlearner)
        status, content = self.status(request_id), unlearner._certified_content()
        applied = status["state"] == "applied"
        request = {
            "id": request_id,
            "what": status["what"],
            "subject": _pseudonym(status["digests"]),
            "received": status["received"],
            "done": status["finished"],
            "deadline": status["deadline"],
            "state": status["state"],
            "reason": status["reason"],
            "next": status["next"],
            "version": status["batch"] if applied else None,
        }
        if request["state"] in ("refused", "delayed") and not request["reason"]:
            request["reason"] = "no reason was recorded"
        if applied:
            content["batch"] = self._batch(status["batch"])
            batches = [entry.get("batch") for entry in content["deletions"]]
            if status["batch"] not in batches:
                content["notes"].append(
                    f"No entry of this log is of batch {status['batch']}, by which the request was "
                    "answered: its rows were forgotten before, or the model was trained anew "
                    "without them when the worker was started."
                )
        content["derived"] = [*content["derived"], self._older_versions()]
        return certify(unlearner, content, request, format)

    def _older_versions(self):
        newest = self._newest()
        keep = set() if newest is None else {f"models/{newest[1]}", self._meta("rows")[0]}
        left = [name for name in self._objects.names("models") if name not in keep]
        return {
            "what": "older versions of the model in the queue",
            "state": "still there" if left else "deleted",
            "by": "skunlearn",
        }

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


def _pseudonym(digests):
    """One name for what a request names, of keyed digests."""
    return digests[0] if len(digests) == 1 else json_digest(digests)[:32]
