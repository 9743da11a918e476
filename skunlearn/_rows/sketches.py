"""Sketches: a number for each row by which a change is noticed, quickly and by no adversary."""

import numpy as np
import torch

from skunlearn._rows.mapped import Reading

_CHUNK_BYTES = 2**18  # which stays in the processor's cache through all steps
_SEED = 0x736B756E  # of the multipliers: sketches of equal rows are equal in every process


def can_sketch(X):
    """Whether `X` is an array or tensor of numbers."""
    if isinstance(X, torch.Tensor):
        return X.device.type == "cpu" and X.layout is torch.strided and X.dtype in _DTYPES
    is_array = type(X) in (np.ndarray, np.memmap) and X.ndim > 0
    return is_array and X.dtype.kind in "biuf" and X.dtype.itemsize <= 8  # long doubles have gaps


def row_sketches(X):
    """A 64-bit number for every row.

    Parameters
    ----------
    X : ndarray or tensor of numbers, of n rows

    Returns
    -------
    sketches : ndarray of shape (n,), uint64
        Equal rows have equal sketches, 0.0 and -0.0 counting as equal; a row that was changed keeps
        its sketch with a chance of about 2**-64.
    """
    n = len(X)
    sketches = np.zeros(n, dtype=np.uint64)
    width = X[:1].nbytes
    if not width:
        return sketches
    words = -(-width // 8)
    keys = np.random.default_rng(_SEED).integers(2**64, size=words, dtype=np.uint64) | 1
    step, reading = max(1, min(n, _CHUNK_BYTES // width)), Reading(X)
    table, shifted = np.tile(keys, (step, 1)), np.empty((step, words), dtype=np.uint64)
    for i in range(0, n, step):
        chunk = _as_words(X[i : i + step], words)
        m = len(chunk)
        # A sum of odd multiples alone overlooks two flipped signs: their bits leave at the top.
        chunk ^= np.right_shift(chunk, np.uint64(32), out=shifted[:m])
        chunk *= table[:m]
        chunk ^= np.right_shift(chunk, np.uint64(29), out=shifted[:m])
        np.einsum("ij->i", chunk, out=sketches[i : i + m])  # a sum; of short rows faster than sum
        reading.done(step * width)
    return sketches


def _as_words(chunk, words):
    """A copy of these rows as unsigned integers of 64 bits."""
    chunk = chunk.detach().numpy() if isinstance(chunk, torch.Tensor) else np.asarray(chunk)
    n, native = len(chunk), chunk.dtype.newbyteorder("=")
    rows = np.empty((n, words), dtype=np.uint64)
    flat = chunk.reshape(n, -1)
    into = rows.view(native)
    into[:, flat.shape[1] :] = 0
    if chunk.dtype.kind == "f":
        np.add(flat, 0.0, out=into[:, : flat.shape[1]])  # -0.0 becomes 0.0
    else:
        into[:, : flat.shape[1]] = flat
    return rows


_DTYPES = {
    torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64,
    torch.float16, torch.float32, torch.float64,
}  # fmt: skip
