"""Which shard and slice a row belongs to: a matter of the row alone."""

import numpy as np

from skunlearn._rows.seeding import derive_seed


def place(record, seed, n_shards, n_slices):
    """Shard and slice of every training row, as two arrays of int.

    Both are a keyed hash of the row's group, else of its id, else of its content, or of its
    position in a Dataset. Were they drawn for all rows at once, the places of the others would
    depend on a row that is forgotten later.
    """
    if record.groups is not None:
        names = record.groups
    elif record.ids is not None:
        names = record.ids
    elif record.digests is not None:
        names = record.digests
    else:
        names = np.arange(len(record), dtype=np.uint64)
    words = np.ascontiguousarray(names).view(np.uint64).reshape(len(record), -1)
    keys = np.random.default_rng(derive_seed(seed, 0)).integers(
        2**64, size=words.shape[1] + 1, dtype=np.uint64
    )
    mixed = np.full(len(record), keys[-1])
    for word, key in zip(words.T, keys):
        mixed = _mix(mixed ^ word ^ key)
    high, low = mixed >> np.uint64(32), mixed & np.uint64(2**32 - 1)
    # The upper and the lower half: neither says anything about the other.
    return (high % np.uint64(n_shards)).astype(int), (low % np.uint64(n_slices)).astype(int)


def _mix(x):
    """The finalizer of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    return x ^ (x >> np.uint64(31))
