"""From the names in a batch of requests to rows of the model's record."""

from dataclasses import dataclass, field

import numpy as np

from skunlearn._rows.containers import match, name_digests, take
from skunlearn.production import _names
from skunlearn.production._rectifying import GONE, LATER, Correction, read_values


@dataclass
class Plan:
    """What a batch comes to.

    Attributes
    ----------
    deleted : ndarray of int
        Positions of retained rows that are to be forgotten.
    corrections : list of Correction
        In the order of their requests, of retained rows that are not deleted.
    outcomes : dict of int to None or str
        Number of each request, with the reason of a refusal. A request is refused as a whole when
        a name in it is unknown; names that are forgotten already do no harm.
    """

    deleted: np.ndarray
    corrections: list = field(default_factory=list)
    outcomes: dict = field(default_factory=dict)

    @property
    def touched(self):
        """Positions of all rows that the batch changes anything about."""
        return np.unique(np.concatenate([self.deleted, *(c.positions for c in self.corrections)]))


def resolve(requests, record, origin, n, *, refusal=None, newest=None, was_seen=None, kept=None):
    """The `Plan` of some requests.

    Parameters
    ----------
    requests : rows of the journal
    record : TrainingRecord
    origin : ndarray of int, ascending
        Position at the first start of each row of `record`, which `indices` count.
    n : int
        Rows at the first start.
    refusal : str, default=None
        Why the rows of this record take no other values.
    newest : ndarray of int of shape (n, 2), default=None
        Number of the correction that each row at the first start has its values, and its label,
        of; 0 where of none. An older one comes too late.
    was_seen : callable, default=None
        ``was_seen(kind, digests)`` tells which names, that no row of `record` bears, rows at the
        first start bore; None where `record` holds all of these.
    kept : container of str, default=None
        Kinds of names that `was_seen` knows of: a queue of long ago kept no digests of them.
    """
    plan, found, corrected = Plan(np.empty(0, np.intp)), [], []
    requests = sorted(requests, key=lambda request: request["number"])
    for request, (hits, unknown) in zip(
        requests, _find_all(requests, record, origin, n, was_seen), strict=True
    ):
        if hits is None:
            plan.outcomes[request["number"]] = f"the model was started without {request['kind']}="
        elif unknown:
            reason = f"{unknown} of {len(hits)} {request['kind']} were never seen by this model"
            if kept is not None and request["kind"] not in {*kept, "indices"}:
                reason += (
                    ", or are forgotten: this queue was begun before it kept digests of names, and "
                    "knows those of retained rows only. Send the others in a request of their own"
                )
            plan.outcomes[request["number"]] = reason
        elif request["new_values"] is not None:
            plan.outcomes[request["number"]] = refusal
            corrected += [] if refusal else [(request, hits)]
        else:
            plan.outcomes[request["number"]] = None
            found += hits
    positions = np.unique(np.concatenate([plan.deleted, *found]))
    plan.deleted = positions[record.retained[positions]]
    left = record.retained.copy()
    left[plan.deleted] = False
    for request, hits in corrected:
        _add(plan, request, hits, left, None if newest is None else newest[origin])
    return plan


def _find_all(requests, record, origin, n, was_seen):
    """Of each request the rows that bear its names, None without such names, and how many names
    are unknown: the names of all requests are looked for at once."""
    found = [(None, 0)] * len(requests)
    for kind in {request["kind"] for request in requests}:
        chosen = [i for i, request in enumerate(requests) if request["kind"] == kind]
        names = [_names.read(requests[i]["names"]) for i in chosen]
        each = [name for some in names for name in some]
        table = origin if kind == "indices" else getattr(record, kind)
        if table is None:
            continue
        if kind == "indices":
            unknown = np.array([not 0 <= i < n for i in each])
            hits = _find(origin, [-1 if strange else i for i, strange in zip(each, unknown)])
        else:
            digests = name_digests(each)
            hits = match(table, digests)
            unknown = np.array([len(hit) == 0 for hit in hits])
            if was_seen is not None and unknown.any():
                unknown[unknown] = ~was_seen(kind, digests[unknown])
        end = np.cumsum([len(some) for some in names])
        for i, start, stop in zip(chosen, end - [len(some) for some in names], end):
            found[i] = hits[start:stop], int(unknown[start:stop].sum())
    return found


def _find(origin, names):
    """Where each of the names stands in `origin`, an array of one position or none."""
    places = np.searchsorted(origin, names)
    return [np.flatnonzero(origin[i : i + 1] == name) + i for i, name in zip(places, names)]


def _add(plan, request, hits, left, newest):
    """A correction, of those of its rows that are there and have no newer values."""
    source = np.array([i for i, hit in enumerate(hits) for _ in hit], dtype=np.intp)
    positions, late = np.concatenate([plan.deleted[:0], *hits]), False
    there = left[positions]
    for part, values in enumerate(read_values(request["new_values"])):
        if values is None or not there.any():
            continue
        fresh = there
        if newest is not None:
            fresh = there & (newest[positions, part] < request["number"])
        if fresh.any():
            parts = [None, None]
            parts[part] = take(values, source[fresh])
            plan.corrections.append(Correction(request["number"], positions[fresh], *parts))
            late = None
        elif late is not None:
            late = True
    if late is not None:
        plan.outcomes[request["number"]] = LATER if late else GONE
