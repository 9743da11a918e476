"""Identifiers as text that is read back without running code, and their salted digests."""

import ast
import hashlib
import os
import secrets
from datetime import date, datetime
from uuid import UUID

import numpy as np

from skunlearn._files.write_whole import write_whole
from skunlearn._rows.checking import refuse_labels
from skunlearn._rows.identifiers import identifier_text, list_names

_PERSON = b"skunlearn-queue"
_SALT = "salt"


def as_list(names, kind):
    """The names of a request as a list of values that `write` can write."""
    if kind == "indices":
        refuse_labels(names, None)
    names = [_to_plain(name) for name in list_names(names)]
    if not names:
        raise ValueError(f"The request names no {kind}.")
    for name in names:
        if kind == "indices" and (isinstance(name, bool) or not isinstance(name, int)):
            raise TypeError(f"indices must be integers, got {name!r}.")
        if not _is_plain(name):
            raise TypeError(
                f"{kind} in a queue must be text, bytes, finite numbers, dates or tuples of them, "
                f"which a file can hold; got {type(name).__name__}."
            )
    if len({identifier_text(name) for name in names}) < len(names):
        raise ValueError(f"{kind} names a record more than once; name each record once.")
    return names


def _to_plain(name):
    """The value in a scalar of numpy or torch, the text of a UUID; the same within tuples."""
    if isinstance(name, tuple):
        return tuple(map(_to_plain, name))
    if isinstance(name, UUID):
        return str(name)
    if hasattr(name, "to_datetime64") and getattr(name, "tzinfo", None) is None:
        return name.to_datetime64()  # pandas'
    if isinstance(name, date) and getattr(name, "tzinfo", None) is None:
        return np.datetime64(name)
    held = hasattr(name, "tolist") and not isinstance(name, np.datetime64)
    return name.tolist() if held else name


def _is_plain(name):
    if isinstance(name, tuple):
        return all(map(_is_plain, name))
    if isinstance(name, float):
        return name - name == 0  # neither NaN nor infinite
    return type(name) in (str, bytes, int, bool) or isinstance(name, np.datetime64 | datetime)


def write(names):
    """Names as text."""
    return repr([_write(name) for name in names])


def read(text):
    """Names from text; only literals are read, whatever the text holds."""
    return [_read(name) for name in ast.literal_eval(text)]


def _write(name):
    """A literal: a time is a dict, which no name is."""
    if isinstance(name, tuple):
        return tuple(map(_write, name))
    if isinstance(name, np.datetime64):
        return {"time": str(name)}
    return {"time with zone": name.isoformat()} if isinstance(name, datetime) else name


def _read(literal):
    if isinstance(literal, tuple):
        return tuple(map(_read, literal))
    if not isinstance(literal, dict):
        return literal
    ((kind, text),) = literal.items()
    return np.datetime64(text) if kind == "time" else datetime.fromisoformat(text)


def digest(value, salt):
    """Keyed BLAKE2b of a name or of bytes, 16 bytes."""
    data = value if isinstance(value, bytes) else repr(value).encode()
    return hashlib.blake2b(data, digest_size=16, key=salt, person=_PERSON).digest()


def digests(names, salt):
    """Keyed digests of names, sorted: the order of a request says nothing."""
    return " ".join(sorted(digest(identifier_text(name), salt).hex() for name in names))


def check_key(key):
    """A secret of the user's as a key for `digest`."""
    if not isinstance(key, bytes) or len(key) < 16:
        raise TypeError("key must be bytes, 16 at least, that nobody can guess.")
    return hashlib.sha256(key).digest()


def fingerprint(salt):
    """What tells whether two secrets are the same, and nothing else about them."""
    return digest(b"fingerprint of the key", salt).hex()


def salt_of(folder, *, create=False):
    """The secret of a folder, drawn once from the operating system."""
    path = os.path.join(folder, _SALT)
    if create and not os.path.exists(path):
        write_whole(path, secrets.token_bytes(32))
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError as error:
        raise ValueError(
            f"{path} is gone: without it identifiers cannot be compared with their digests. Put "
            "it back from where it is, or begin a queue in another folder."
        ) from error
