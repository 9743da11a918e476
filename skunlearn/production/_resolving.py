"""From the names in a batch of requests to rows of the model's record."""

import numpy as np

from skunlearn._rows.containers import match, name_digests
from skunlearn.production import _names


def resolve(requests, record, origin, n):
    """Positions of the rows that are named and retained, and what becomes of each request.

    Parameters
    ----------
    requests : rows of the journal
    record : TrainingRecord
    origin : ndarray of int
        Position at the first start of each row of `record`, which `indices` count.
    n : int
        Rows at the first start.

    Returns
    -------
    positions : ndarray of int
    outcomes : dict of int to None or str
        Number of each request, with the reason of a refusal. A request is refused as a whole when
        a name in it is unknown; names that are forgotten already do no harm.
    """
    found, outcomes = [], {}
    for request in requests:
        kind, names = request["kind"], _names.read(request["names"])
        table = origin if kind == "indices" else getattr(record, kind)
        if table is None:
            outcomes[request["number"]] = f"the model was started without {kind}="
            continue
        if kind == "indices":
            unknown = sum(not 0 <= i < n for i in names)
            hits = [np.flatnonzero(np.isin(origin, names))]
        else:
            hits = match(table, name_digests(names))
            unknown = sum(len(hit) == 0 for hit in hits)
        if unknown:
            reason = f"{unknown} of {len(names)} {kind} were never seen by this model"
            outcomes[request["number"]] = reason
        else:
            outcomes[request["number"]] = None
            found += hits
    positions = np.unique(np.concatenate([np.empty(0, np.intp), *found]))
    return positions[record.retained[positions]], outcomes
