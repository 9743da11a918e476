"""Items of torch Datasets: digests of a few, to see whether they change."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from skunlearn._rows.seeding import seeded

_SAMPLE = 16  # items that are looked at
_READINGS = 3  # of each: what is random with probability 0.1 alone differs with 0.993 somewhere


@dataclass(frozen=True)
class ItemSample:
    """Some items of a Dataset as they were read, as digests.

    Attributes
    ----------
    positions : ndarray of int
    inputs : uint8 ndarray of shape (len(positions), 16), or None
        Of what an item begins with; None where it is random, or of a kind that has no digest.
    rest : uint8 ndarray of shape (len(positions), 16), or None
        Of what follows, labels mostly.
    is_random : bool
        Whether an item that was read twice differed.
    """

    positions: np.ndarray
    inputs: np.ndarray | None
    rest: np.ndarray | None
    is_random: bool = False

    @classmethod
    def of(cls, dataset, among):
        """Read some of the items at the positions `among`, each of them several times.

        The global random generators are left as they were.
        """
        positions = pick_spread(among)
        with seeded(0):
            sides = _read(dataset, positions)
            stable = [True, True]
            for _ in range(_READINGS - 1):
                again = _read(dataset, positions)
                stable = [s and _are_same(a, b) for s, a, b in zip(stable, sides, again)]
        kept = [table if ok else None for table, ok in zip(sides, stable)]
        return cls(positions, *kept, is_random=not all(stable))

    def differs(self, dataset, wanted):
        """The first position at which an item is another one now, or None.

        `wanted` is a bool array over all positions; the others are not read.
        """
        at = np.flatnonzero(wanted[self.positions])
        known = [None if table is None else table[at] for table in (self.inputs, self.rest)]
        if not len(at) or all(table is None for table in known):
            return None
        with seeded(0):
            now = _read(dataset, self.positions[at])
        wrong = np.zeros(len(at), dtype=bool)
        for old, new in zip(known, now):
            if old is not None:
                wrong |= True if new is None else (old != new).any(axis=1)
        return int(self.positions[at[wrong.argmax()]]) if wrong.any() else None


def pick_spread(positions):
    """A few positions from the first to the last."""
    n = len(positions)
    return positions[np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.intp))]


def _read(dataset, positions):
    """Digests of inputs and of the rest, each None where an item has no digest."""
    items = [split_item(dataset[int(i)]) for i in positions]
    return [digest_all(side) for side in zip(*items)]


def split_item(item):
    """What an item begins with, and what follows."""
    if isinstance(item, tuple | list) and len(item):
        return item[0], tuple(item[1:])
    return item, ()


def digest_all(values):
    """Digests of values, of shape (n, 16), or None where one has none."""
    try:
        rows = [_digest(value) for value in values]
    except TypeError:
        return None
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, 16)


def _are_same(a, b):
    return a is None or b is None or np.array_equal(a, b)


def _digest(value):
    whole = hashlib.blake2b(digest_size=16, person=b"skunlearn-item")
    _add(value, whole)
    return whole.digest()


def _add(value, whole):
    """Add a value that loaders put into batches; TypeError for any other."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        if value.layout is not torch.strided:
            value = value.to_dense()
        whole.update(f"{value.dtype} {tuple(value.shape)}".encode())
        whole.update(value.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(value, np.ndarray | np.generic) and value.dtype.kind != "O":
        whole.update(f"{value.dtype.str} {value.shape}".encode())
        whole.update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, Mapping):
        for key in sorted(value, key=repr):
            whole.update(repr(key).encode())
            _add(value[key], whole)
    elif isinstance(value, tuple | list):
        whole.update(f"{len(value)} parts".encode())
        for part in value:
            _add(part, whole)
    elif hasattr(value, "tobytes") and hasattr(value, "mode"):  # an image of Pillow
        whole.update(f"{value.mode} {value.size}".encode())
        whole.update(value.tobytes())
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes):
        whole.update(repr(value).encode())
    else:
        raise TypeError(f"no digest of a {type(value).__name__}")
