"""Keyed digests of forgotten rows, for a log that others may read."""

import base64
import hashlib
import secrets

import numpy as np

_PERSON = b"skunlearn-log"
_SIZE = 8  # bytes of each; that one row among a million is taken for another: 1 in 10 ** 13


def new_key():
    """A secret that nobody can guess."""
    return secrets.token_bytes(32)


def one_digest(table, key):
    """One keyed digest, in hexadecimal, of the rows of a table whatever their order."""
    table = np.ascontiguousarray(np.unique(table, axis=0))
    return hashlib.blake2b(table.tobytes(), digest_size=16, key=key, person=_PERSON).hexdigest()


def pack(table, key):
    """Keyed digests of each row of a table, sorted, as one text."""
    return base64.b64encode(b"".join(sorted(set(_digests(table, key))))).decode()


def holds(packed, table, key):
    """Which rows of a table are in what `pack` returned, a boolean array."""
    data = base64.b64decode(packed)
    held = {data[i : i + _SIZE] for i in range(0, len(data), _SIZE)}
    return np.array([digest in held for digest in _digests(table, key)], dtype=bool)


def count(packed):
    """How many rows `pack` was given."""
    return len(base64.b64decode(packed)) // _SIZE


def _digests(table, key):
    table = np.asarray(table)
    if table.ndim == 1:  # positions, the same on every machine
        table = table.astype("<i8")
    return [
        hashlib.blake2b(row.tobytes(), digest_size=_SIZE, key=key, person=_PERSON).digest()
        for row in np.ascontiguousarray(table)
    ]
