"""Files that are there whole or not at all, also after a power cut."""

import contextlib
import hashlib
import os
import tempfile


def write_new(path, data, guard=None):
    """Write `data` to `path` for the owner's eyes only.

    `guard` is a context manager around the moment at which the file appears, which may raise.
    """
    handle, part = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".skunlearn-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        with guard or contextlib.nullcontext():
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
    settle(path)


def settle(path):
    """Wait until a file and its name have reached the disk."""
    for name in (path, os.path.dirname(path)):
        try:
            handle = os.open(name, os.O_RDONLY)
        except PermissionError:  # folders, on Windows
            continue
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def checksum(path):
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
