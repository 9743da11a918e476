"""JSON in one form only, its digests, and chains of entries that name the one before."""

import hashlib
import json

START = "0" * 64  # what the first entry of a chain names


def canonical(value):
    """The bytes of a value of JSON's types: sorted keys, no spaces, no NaN."""
    plain = json.loads(json.dumps(value, allow_nan=False))
    return json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def json_digest(value):
    """SHA-256 of the canonical form."""
    return hashlib.sha256(canonical(value)).hexdigest()


def link(entries):
    """What the next entry of a chain holds as ``"previous"``."""
    return json_digest(entries[-1]) if entries else START


def chain_entry(entries, entry):
    """`entries` with one more, which names the last."""
    return [*entries, {**entry, "previous": link(entries)}]


def find_broken_link(entries):
    """The first entry that does not name the one before it, by its position; None when all do."""
    for position, entry in enumerate(entries):
        if entry.get("previous") != link(entries[:position]):
            return position
    return None
