"""The log of deletions: its entries, which know forgotten rows by keyed digests."""

import base64
import hashlib
import secrets
from datetime import UTC, datetime

import numpy as np

from skunlearn._files.digests import link
from skunlearn._torch.parts.net_state import may_hold_rows
from skunlearn._torch.portable import find_written
from skunlearn._torch.skorch_nets import is_net
from skunlearn._unlearning.certificate.model_digests import model_digest
from skunlearn._unlearning.unseen_rows import FEWEST

_PERSON = b"skunlearn-log"
_NOT_LOOKED_AT = (
    "Whether an attack tells the forgotten rows from rows that the model has never seen: "
)
_BROUGHT_NONE = "the request brought none (X_val=, y_val=)."
_TOO_FEW = f"fewer than {FEWEST} rows say nothing, but to AutoUnlearner with X_val=."
_NOT_COMPARED = (
    "those of the request could not be compared (too few of a class, say, or random augmentation)."
)
_SIZE = 8  # bytes of each digest; that one row among a million is taken for another: 1 in 10 ** 13


def make_entry(unlearner, *, rows, named, classes_forgotten, seconds, measured):
    """One entry of ``deletions_``, of to_plain JSON types.

    `named` is what `name_rows` of a record gives of the forgotten rows.
    """
    params = {
        key: to_plain(value)
        for key, value in unlearner.get_params(deep=False).items()
        if key not in ("estimator", "memory", "verbose")
    }
    seed, promises = int(unlearner._seed), unlearner._make_promises()
    if promises.certified:
        # Whoever can draw the noise again can take it away.
        seed = params["random_state"] = None
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "method": type(unlearner).__name__,
        "exact": promises.exact and not has_rows_in_front(unlearner),
        "parameters": params,
        "seed": seed,
        "rows": int(rows),
        **digest_forgotten(unlearner._key, *named),
        "classes_forgotten": classes_forgotten,
        "seconds": round(float(seconds), 6),
        "measured": measured,
        # The entry before is complete by now: whatever changes it later breaks the chain.
        "previous": link(unlearner.deletions_),
    }


def log_entry(unlearner, before, change, model, kept, seconds):
    """The entry of a request of rows, for the draft that is at work on it.

    Parameters
    ----------
    unlearner : BaseUnlearner, with its `Removal`
    before : Before
    change : Change
    model : fitted estimator
        That after the request.
    kept : list of str or None
        Layers whose running statistics are from before the request.
    seconds : float
    """
    removal, record, reader = unlearner._removal, unlearner._record, unlearner._row_reader
    entry = make_entry(
        unlearner,
        rows=len(removal.positions),
        named=record.name_rows(removal.positions, removal.corrected),
        classes_forgotten=to_plain(reader.name(removal.emptied)) if removal.emptied else [],
        seconds=seconds,
        measured=change.measure(),
    )
    held_out = unlearner._count_held_out(removal.retain)
    if removal.corrected:
        entry["corrected"] = len(removal.positions)
    equal = None if removal.corrected else removal.record.count_equal_left(removal.positions)
    if equal:
        entry["equal_rows_left"] = equal
    if record.weights is not None:
        entry["weighted"] = True
    if kept is not None:
        entry["statistics_kept"] = kept
    promises, written = unlearner._make_promises(), []
    if not promises.exact and is_net(model) and may_hold_rows(model):
        written = find_written(model, unlearner.estimator, unlearner._seed, removal.retain)
    if written:
        entry["written_kept"] = written
    if before.brought:
        entry |= {"exact": False, "trained_before": before.brought}
    if before.declared:
        entry["declared"] = before.declared
    if held_out is not None:
        entry["held_out"] = held_out
    if not (promises.exact or promises.certified or removal.corrected):
        if change.apart is not None:
            entry["unseen"] = change.apart.describe()
            if removal.others.positions is not None:
                entry["unseen"]["held_out"] = True
        elif not unlearner._has_judged():
            said, lacked = change.forget_after, _NOT_COMPARED
            if said is not None and len(said.y) < FEWEST and not promises.judges_itself:
                lacked = _TOO_FEW
            elif removal.unseen is None and change.unseen_after is None:
                lacked = _BROUGHT_NONE
            entry["not_looked_at"] = _NOT_LOOKED_AT + lacked
    entry["weights"] = {**model_digest(model), "before": before.weights}
    if removal.made_from is not None:
        return entry | {"made_with": len(unlearner.deletions_)}
    return entry | unlearner._describe_attempt()


def digest_forgotten(key, kind, identifiers, contents=None):
    """Entries of the log that stand for forgotten rows; without the key they say nothing."""
    packed = {"named_by": kind, "identifiers": pack(identifiers, key)}
    if contents is not None:
        packed["rows"] = pack(contents, key)
    if identifiers.ndim == 1:
        rows = np.unique(identifiers).tobytes()
    else:  # digests; numpy sorts rows by their bytes as well, and takes long
        rows = b"".join(sorted(set(map(np.ndarray.tobytes, identifiers))))
    whole = hashlib.blake2b(rows, digest_size=16, key=key, person=_PERSON)
    return {"identifiers_digest": whole.hexdigest(), "forgotten": packed}


def count_forgotten(log):
    """How many rows a log says are gone: a model that was trained again knows those left alone."""
    return sum(
        entry["rows"] - entry.get("corrected", 0)
        for entry in log
        if entry.get("kind") != "edges"  # of a graph, whose nodes stay
    )


def digest_weights(before, after):
    """Digests of the model's weights before and after a request."""
    before, after = model_digest(before), model_digest(after)
    return {**after, "before": before["digest"], "digest": after["digest"]}


def find_kinds_in_front(unlearner):
    """Kinds of the steps of a Pipeline before the unlearner; see `step_kinds.sort_steps`."""
    return getattr(unlearner, "_steps_before", None) or {}


def has_rows_in_front(unlearner):
    """Whether such steps know training rows that no request makes them forget."""
    return any(find_kinds_in_front(unlearner).get(kind) for kind in ("fitted", "frozen"))


def to_plain(value):
    """`value` in JSON's types."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if hasattr(value, "shape"):  # rows, say, that are nobody's business here
        return f"{type(value).__name__} of shape {tuple(value.shape)}"
    return value if value is None or isinstance(value, bool | int | float | str) else repr(value)


# ------------------------------------------------------------------ keyed digests


def draw_key():
    """A secret that nobody can guess."""
    return secrets.token_bytes(32)


def pack(table, key):
    """Keyed digests of each row of a table, sorted, as one text."""
    return base64.b64encode(b"".join(sorted(set(_digest_each(table, key))))).decode()


def find_packed(packed, table, key):
    """Which rows of a table are in what `pack` returned, a boolean array."""
    data = base64.b64decode(packed)
    held = {data[i : i + _SIZE] for i in range(0, len(data), _SIZE)}
    return np.array([digest in held for digest in _digest_each(table, key)], dtype=bool)


def _digest_each(table, key):
    table = np.asarray(table)
    if table.ndim == 1:  # positions, the same on every machine
        table = table.astype("<i8")
    return [
        hashlib.blake2b(row.tobytes(), digest_size=_SIZE, key=key, person=_PERSON).digest()
        for row in np.ascontiguousarray(table)
    ]
