"""Files that are there whole or not at all, also after a power cut."""

import contextlib
import errno
import hashlib
import os
import tempfile

PART = ".skunlearn-"  # how the names of half-written files begin, which a kill leaves behind


@contextlib.contextmanager
def written_whole(path, guard=None):
    """Yield the name of a neighbour to write to; it becomes `path` when the block has gone well.

    It is for the owner's eyes only, and has reached the disk before it is called `path`. `guard` is
    a context manager around the moment at which the file appears, which may raise.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "There is no such folder to write to", folder)
    handle, part = tempfile.mkstemp(dir=folder, prefix=PART)
    os.close(handle)
    try:
        yield part
        _sync(part, os.O_RDWR)
        with guard or contextlib.nullcontext():
            os.replace(part, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise
    with contextlib.suppress(PermissionError):  # folders, on Windows
        _sync(folder, os.O_RDONLY)


def write_whole(path, data, guard=None):
    """Write bytes to `path`; see `written_whole`."""
    with written_whole(path, guard) as part, open(part, "wb") as file:
        file.write(data)


def _sync(path, mode):
    """Wait until a file, or the names in a folder, have reached the disk."""
    handle = os.open(path, mode)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def checksum(path):
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
