"""What clients do with requests: submit them, and ask what has become of them."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from skunlearn.production import _names
from skunlearn.production._id_files import read_requests
from skunlearn.production._journal import stamp
from skunlearn.production._rectifying import digest_values, write_values

_KINDS = ("ids", "groups", "indices")
_VALUES = ("X_new", "y_new")
_NEXT = {
    "pending": "It will be applied in one of the next batches.",
    "again": "It is tried again in a later batch.",
    "running": "It is being applied.",
    "stopped": "The worker stopped at its batch. Somebody looks at it: release() of the queue.",
    "delayed": "It waits for somebody's decision: retry(), or refuse() with a reason.",
    "applied": "Nothing: it is done.",
    "refused": "Nothing: it was answered.",
}
_SELECT = (
    "SELECT requests.*, batches.state AS batch_state FROM requests "
    "LEFT JOIN batches ON batches.number = requests.batch "
)


class AskingMixin:
    """Requests in ``self._journal``."""

    def submit(self, request_id, *, ids=None, groups=None, indices=None, deadline=None):
        """Write a request down.

        Parameters
        ----------
        request_id : str
            Of your choice, the same whenever the same request is sent.
        ids, groups, indices : sequence, default=None
            One of them: names as ``unlearn`` of the model takes them, of text, bytes, numbers,
            dates or tuples of these; a UUID counts as its text.
        deadline : datetime with a time zone, default=None
            Until when it must be answered; None takes `answer_within` of the queue. Of a request
            that is there already it stays as it was.

        Returns
        -------
        status : dict
            See `status`.

        Raises
        ------
        TypeError
            When rows are named in no or several ways, or by something that a file cannot hold.
        ValueError
            When nothing is named, or the request's id stands for another request.
        """
        request = {"ids": ids, "groups": groups, "indices": indices, "deadline": deadline}
        return self.submit_many([{"request_id": request_id} | request])[0]

    def submit_correction(
        self, request_id, X_new=None, y_new=None, *, ids=None, indices=None, deadline=None
    ):
        """Write down that rows are to have other values: the old forgotten, the new learnt.

        For rectification. The values stand in the record as they are until it is done, and are
        overwritten then. In a batch a deletion of a row counts more than its correction, whichever
        came first, and of two corrections the later. A method that cannot learn new values is
        stood in for by a training from scratch. Correct your own table too: a worker that is
        started later, or that another one's correction overtakes, must be given the new values.

        Parameters
        ----------
        request_id : str
            Of your choice, the same whenever the same request is sent.
        X_new : array, sparse matrix, data frame or dict of these, of k rows, default=None
            New values, one row for each one named, in the same order, in the container that
            ``start`` of the worker is given: an array of numbers, words or both, or a frame of
            pandas or polars, whose words, categories, dates and gaps stand in the record with
            their dtypes. None leaves them.
        y_new : array of shape (k,), default=None
            New labels, among those that the model knows, or targets. None leaves them.
        ids, indices : sequence of length k, default=None
            One of them: names as ``correct`` of the model takes them, of text, bytes, numbers,
            dates or tuples of these; a UUID counts as its text.
        deadline : datetime with a time zone, default=None
            Until when it must be answered; None takes `answer_within` of the queue. Of a request
            that is there already it stays as it was.

        Returns
        -------
        status : dict
            See `status`.

        Raises
        ------
        TypeError, ValueError
            As `submit`, and when there is not one new value for each row, or a value is one that
            a file does not give back as it was (objects of your own, say); it says which.
        """
        request = {"ids": ids, "indices": indices, "deadline": deadline}
        values = {"X_new": X_new, "y_new": y_new}
        if all(value is None for value in values.values()):
            raise TypeError("Pass the new values: X_new, y_new or both.")
        return self.submit_many([{"request_id": request_id} | request | values])[0]

    def submit_many(self, requests):
        """Write many requests down at once: all of them or, after an error, none.

        It waits for the disk once, where `submit` waits for each.

        Parameters
        ----------
        requests : iterable of dict
            Each with the arguments of `submit` by name: "request_id", one of "ids", "groups"
            and "indices", and "deadline" if there is one. With "X_new" or "y_new" it is a
            correction, see `submit_correction`.

        Returns
        -------
        statuses : list of dict
            See `status`, in the order of the requests.

        Raises
        ------
        TypeError, ValueError
            As `submit`; the message names the request.
        """
        checked = [self._check_values(number, request) for number, request in enumerate(requests)]
        with self._journal.transaction() as db:
            now = db.now()
            default = stamp(now + timedelta(seconds=self.answer_within))
            for values in checked:
                known = _request(db, values["request_id"])
                if known is None:
                    values = values | {"received": stamp(now)}
                    values["deadline"] = values["deadline"] or default
                    db.run(
                        "INSERT INTO requests "
                        "(request_id, kind, names, digests, received, deadline, new_values, "
                        "new_digest) VALUES (:request_id, :kind, :names, :digests, :received, "
                        ":deadline, :new_values, :new_digest)",
                        values,
                    )
                elif any(known[key] != values[key] for key in ("kind", "digests", "new_digest")):
                    raise ValueError(
                        f"The id {values['request_id']!r} stands for another request already, "
                        f"received {known['received']}. Give every request an id of its own."
                    )
            return [show_request(_request(db, values["request_id"])) for values in checked]

    def submit_file(
        self, path, *, column, kind="ids", request_id=None, request_column=None, dtype=None
    ):
        """Write down the requests of a Parquet or CSV file, one name a row: all or none.

        Sending the same file again does no harm.

        Parameters
        ----------
        path : str or path-like
            Ends in .parquet or .csv (.csv.gz and the like). URLs that fsspec knows do too.
        column : str
            Column of the names.
        kind : {"ids", "groups", "indices"}, default="ids"
            What they are.
        request_id : str, default=None
            The whole file is one request, under this id.
        request_column : str, default=None
            Column of the request that a row belongs to. One of the two is needed.
        dtype : {"str", "int"}, default=None
            Type of the names. None takes a Parquet file's own; in CSV all is text, and 007 stays
            007.

        Returns
        -------
        statuses : list of dict
            See `status`, in the order in which the requests come in the file.

        Raises
        ------
        ValueError
            When a column is missing, a row is empty, or a name is not of the dtype; it says which.
        ImportError
            When pyarrow is missing, for Parquet.
        """
        found = read_requests(
            path, column, request_id=request_id, request_column=request_column, dtype=dtype
        )
        if kind not in _KINDS:
            raise ValueError(f"kind must be one of {_KINDS}, got {kind!r}.")
        return self.submit_many({"request_id": k, kind: names} for k, names in found.items())

    def status(self, request_id):
        """What has become of a request.

        Parameters
        ----------
        request_id : str
            As `submit` returned it.

        Returns
        -------
        status : dict
            - "request_id", "what" ("deletion" or "correction"), "kind" and "digests" of what was
              named;
            - "state": "pending", "running" (from the moment that it is in a batch, also while
              that is stopped), "applied", "refused", or "delayed": set aside after `max_tries`
              tries that failed, or by `delay`;
            - "received", "finished" and "deadline": times in UTC, or None;
            - "batch": number or None;
            - "tries" that failed, and "reason": of a refusal or a delay, or the last error;
            - "next": what happens next, in words.

        Raises
        ------
        KeyError
            When there is no such request.
        """
        with self._journal.transaction(reading=True) as db:
            return show_request(find_request(db, request_id))

    def log(self):
        """Every request since the beginning, in the order of arrival.

        Returns
        -------
        requests : list of dict
            As of `status`.
        """
        with self._journal.transaction(reading=True) as db:
            return [show_request(row) for row in db.rows(_SELECT + "ORDER BY requests.number")]

    def counts(self):
        """How many requests are in which state.

        Returns
        -------
        counts : dict of str to int
            The states of `status`, and "overdue": open ones whose deadline has passed.
        """
        with self._journal.transaction(reading=True) as db:
            row = db.row(
                "SELECT COUNT(*) AS total, "
                "COUNT(CASE WHEN outcome IS NULL AND delayed IS NULL AND batch IS NULL "
                "THEN 1 END) AS pending, "
                "COUNT(CASE WHEN outcome IS NULL AND batch IS NOT NULL THEN 1 END) AS running, "
                "COUNT(delayed) AS delayed, "
                "COUNT(CASE WHEN outcome = 'applied' THEN 1 END) AS applied, "
                "COUNT(CASE WHEN outcome = 'refused' THEN 1 END) AS refused, "
                "COUNT(CASE WHEN outcome IS NULL AND deadline < :now THEN 1 END) AS overdue "
                "FROM requests",
                now=stamp(db.now()),
            )
        row.pop("total")
        return row

    def _check_values(self, number, request):
        """Values of a request for the table."""
        if not isinstance(request, Mapping):
            raise TypeError(f"Request {number} must be a dict, got {type(request).__name__}.")
        unknown = set(request) - {"request_id", "deadline", *_KINDS, *_VALUES}
        if unknown:
            raise TypeError(f"Request {number} has unknown entries {sorted(map(str, unknown))}.")
        request_id = request.get("request_id")
        if not isinstance(request_id, str) or not request_id or not _is_storable(request_id):
            raise TypeError(
                "request_id must be text, not empty and without NUL or lone surrogates, got "
                f"{request_id!r}."
            )
        given = {k: request[k] for k in _KINDS if request.get(k) is not None}
        if len(given) != 1:
            raise TypeError(
                f"Name the rows in exactly one way, as ids=, groups= or indices=; got {[*given]} "
                f"in request {request_id!r}."
            )
        ((kind, names),) = given.items()
        try:
            names = _names.as_list(names, kind)
            written, values = _names.write(names), None
            given = [request.get(name) for name in _VALUES]
            if any(value is not None for value in given):
                if kind == "groups":
                    raise TypeError("a correction names rows by ids= or indices=, not groups=.")
                values = write_values(*given, len(names))
        except UnicodeError as error:
            raise TypeError(
                f"Request {request_id!r}: {error}, so that no file holds it."
            ) from error
        except (TypeError, ValueError) as error:
            raise type(error)(f"Request {request_id!r}: {error}") from error
        return {
            "request_id": request_id,
            "kind": kind,
            "names": written,
            "digests": _names.digests(names, self._salt),
            "deadline": check_deadline(request.get("deadline")),
            "new_values": values,
            "new_digest": values and digest_values(written, values, self._salt),
        }


def _is_storable(text):
    """Whether every database can hold a text."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False


def check_deadline(deadline):
    """A deadline as the tables hold it."""
    if deadline is None:
        return None
    if not isinstance(deadline, datetime) or deadline.utcoffset() is None:
        raise TypeError(f"deadline must be a datetime with a time zone, got {deadline!r}.")
    return stamp(deadline.astimezone(UTC))


def _request(db, request_id):
    return db.row(_SELECT + "WHERE request_id = :request_id", request_id=request_id)


def find_request(db, request_id):
    """A request in the tables; KeyError when there is none."""
    row = _request(db, request_id)
    if row is None:
        raise KeyError(f"There is no request {request_id!r}.")
    return row


def show_request(row):
    """A request as users see it."""
    # A request is "running" until its batch is done, also while the worker is stopped.
    state = row["outcome"] or "pending"
    what = "again" if row["tries"] else state
    if row["delayed"] is not None:
        state = what = "delayed"
    elif row["outcome"] is not None:
        what = state
    elif row["batch"] is not None:
        state, what = "running", "stopped" if row["batch_state"] == "stopped" else "running"
    keys = ("request_id", "kind", "received", "deadline", "finished", "batch", "tries", "reason")
    return {key: row[key] for key in keys} | {
        "what": "deletion" if row["new_digest"] is None else "correction",
        "state": state,
        "next": _NEXT[what],
        "digests": row["digests"].split(),
    }
