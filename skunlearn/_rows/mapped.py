"""Arrays that lie on disk: what was read of them does not stay in memory."""

import mmap
from collections.abc import Mapping

import numpy as np

HELD = 2**26  # bytes read before their pages are given back


class Reading:
    """Gives the pages of memory-mapped rows back as they are read.

    The pages of a mapping count as memory of the process until the system wants them for something
    else: after one pass over an array all of it can be resident. For other containers it does
    nothing.

    Parameters
    ----------
    X : container of rows
    """

    def __init__(self, X):
        self._maps, self._read = _maps(X), 0

    def __bool__(self):
        return bool(self._maps)

    def done(self, n_bytes):
        """Say that so many bytes were read and are not needed any more."""
        self._read += n_bytes
        if self._maps and self._read >= HELD:
            self._read = 0
            for file in self._maps:
                file.madvise(mmap.MADV_DONTNEED)


def _maps(X):
    if isinstance(X, Mapping):
        return [file for value in X.values() for file in _maps(value)]
    while isinstance(X, np.ndarray):  # views upon views
        file = getattr(X, "_mmap", None)
        if isinstance(file, mmap.mmap):
            # Of a copy-on-write mapping the pages hold what was written to it.
            shared = X.mode != "c" and hasattr(mmap, "MADV_DONTNEED")
            return [file] if shared else []
        X = X.base
    return []
