"""Row access to every container that a skorch net or a scikit-learn estimator takes."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from scipy import sparse

from skunlearn._rows.cells import write_cell
from skunlearn._rows.frames import (
    align_frame,
    is_frame,
    is_polars,
    join_rows,
    part_by_missing,
    share_values,
    take_rows,
    to_array,
    view_frame,
)
from skunlearn._rows.identifiers import identifier_text
from skunlearn._rows.mapped import Reading

DIGEST_SIZE = 16  # bytes; 128 bits make an accidental collision impossible in practice
_CHUNK_BYTES = 2**20  # hashed at a time, which bounds the memory


def is_dataset(X):
    """Whether `X` is a torch Dataset, whose rows are known by position only."""
    return isinstance(X, torch.utils.data.Dataset)


def is_mapping(X):
    """Whether `X` is a dict of containers (scipy's dok matrices are mappings too)."""
    return isinstance(X, Mapping) and not sparse.issparse(X)


def n_rows(X):
    """Number of rows of `X`; the entries of a mapping must agree."""
    if is_mapping(X):
        lengths = {key: n_rows(value) for key, value in X.items()}
        if len(set(lengths.values())) != 1:
            raise ValueError(
                f"The entries of X have different numbers of rows: {lengths}. Every entry "
                "must hold one value per row."
            )
        return next(iter(lengths.values()))
    return X.shape[0] if hasattr(X, "shape") else len(X)


def row_shape(X):
    """The shape of one row of `X`; of a mapping that of each entry, by name."""
    if is_mapping(X):
        return {key: row_shape(value) for key, value in X.items()}
    return tuple(X.shape[1:])


def take(X, rows):
    """Rows of `X` at integer positions (or a slice), in the same kind of container."""
    if isinstance(X, np.ndarray):
        return X[rows]
    if is_mapping(X):
        return {key: take(value, rows) for key, value in X.items()}
    if isinstance(X, torch.Tensor):
        return X[rows if isinstance(rows, slice) else torch.as_tensor(rows, device=X.device)]
    if is_frame(X):
        return take_rows(X, rows)
    if is_dataset(X):
        positions = range(len(X))[rows] if isinstance(rows, slice) else rows
        return torch.utils.data.Subset(X, positions)
    return X[rows]


def slice_run(rows):
    """Positions as a slice where they are one run, which is faster taken; else themselves."""
    n = len(rows)
    if n and rows[-1] - rows[0] == n - 1 and np.all(np.diff(rows) == 1):
        return slice(rows[0], rows[-1] + 1)
    return rows


def view_of(X):
    """The rows and columns that `X` has now; the values are not copied.

    A container that is given or loses a column, or an entry, later, keeps it in the view.
    """
    if is_mapping(X):
        return {key: view_of(value) for key, value in X.items()}
    return view_frame(X) if is_frame(X) else X


def join(a, b):
    """The rows of two containers of one kind, one after the other."""
    if is_mapping(a):
        return {key: join(a[key], b[key]) for key in a}
    if is_dataset(a):
        return torch.utils.data.ConcatDataset([a, b])
    if isinstance(a, torch.Tensor):
        return torch.cat([a, torch.as_tensor(b, device=a.device)])
    if sparse.issparse(a):
        return sparse.vstack([a, b], format="csr")
    if is_frame(a):
        return join_rows(a, b)
    return np.concatenate([a, b])


def empty_like(X):
    """No rows, in the form of `X`; it keeps nothing of `X` alive, as an empty slice would."""
    if is_mapping(X):
        return {key: empty_like(value) for key, value in X.items()}
    if is_polars(X):
        return X.clear()
    empty = take(X, slice(0, 0))
    return empty.detach().clone() if isinstance(X, torch.Tensor) else empty.copy()


def shares_memory(a, b):
    """Whether two containers of rows hold the same memory, so that one is no copy of the other."""
    if a is b:
        return True
    if is_mapping(a):
        return is_mapping(b) and all(shares_memory(a[key], b[key]) for key in a)
    if is_frame(a) and is_frame(b):
        return share_values(a, b)
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()
    if sparse.issparse(a):
        same = getattr(b, "format", None) == a.format
        return same and np.may_share_memory(a.data, b.data)
    if isinstance(a, np.ndarray) and (isinstance(b, np.ndarray) or is_frame(b)):
        return np.may_share_memory(a, np.asarray(b))
    return False


def align(X, like, name):
    """Convert a request's rows to the container, dtype and row shape of the training rows.

    Returns
    -------
    X : container of n rows
    exact : bool array of shape (n,)
        False where a value has no equal in the dtype of `like` (1.7 among integers, say): no
        training row can equal such a row, although the converted one might.
    """
    if is_mapping(like):
        if not is_mapping(X) or set(X) != set(like):
            raise ValueError(f"{name} must be a dict with the training data's keys {sorted(like)}.")
        parts = {key: align(X[key], value, f"{name}[{key!r}]") for key, value in like.items()}
        X = {key: part for key, (part, _) in parts.items()}
        n_rows(X)
        return X, np.all([exact for _, exact in parts.values()], axis=0)
    if not isinstance(like, np.ndarray) and is_frame(like):
        return align_frame(X, like, name)
    if is_mapping(X):
        raise TypeError(f"{name} is a dict, but the model was fitted on one array of rows.")
    shape = tuple(like.shape[1:])
    if sparse.issparse(like):
        X = sparse.csr_matrix(to_numpy(X) if not sparse.issparse(X) else X)
    else:
        X = to_numpy(X)
    if X.ndim < 1 or tuple(X.shape[1:]) != shape:
        way = "needs a leading axis: X[None]" if X.ndim else "goes into a list: [row]"
        hint = f" A single row {way}." if tuple(X.shape) == shape else ""
        raise ValueError(
            f"{name} has rows of shape {tuple(X.shape[1:])}, but the model was fitted on rows "
            f"of shape {shape}.{hint}"
        )
    dtype = to_numpy(like[:0]).dtype
    return cast_exactly(X, dtype)


def cast_exactly(X, dtype):
    """`X` in another dtype, and for each row whether that holds its values; see `align`."""
    with np.errstate(all="ignore"):
        cast = X.astype(dtype)
        if dtype.kind in "fcO":  # rounding to a narrower float is what the net does too
            return cast, np.ones(X.shape[0], dtype=bool)
        if "U" in (kinds := dtype.kind + X.dtype.kind) or "S" in kinds:
            differs = cast.astype(X.dtype) != X
        else:
            differs = cast != X
    differs = differs.toarray() if sparse.issparse(differs) else np.asarray(differs)
    return cast, ~differs.reshape(X.shape[0], -1).any(axis=1)


def read_in_parts(X, row_bytes, n_bytes):
    """The rows of `X`, of `row_bytes` each, as containers of about `n_bytes`, in their order.

    What lies on disk and was read does not stay in memory.
    """
    n, size = n_rows(X), max(1, row_bytes)
    step = max(1, n_bytes // size)
    if n <= step:
        yield X
        return
    reading = Reading(X)
    for i in range(0, n, step):
        yield take(X, slice(i, i + step))
        reading.done(step * size)


def row_bytes(X):
    """Bytes of the first row of `X`, as it is hashed."""
    if is_mapping(X):
        return sum(map(row_bytes, X.values()))
    return to_numpy(take(X, slice(0, 1))).nbytes


def row_digests(X):
    """BLAKE2b digest of every row.

    Parameters
    ----------
    X : array, tensor, sparse matrix, data frame or mapping of these, of n rows

    Returns
    -------
    digests : ndarray of shape (n, 16), uint8
        Equal rows have equal digests; 0.0 and -0.0 count as equal, and so do all NaN.
    """
    n = n_rows(X)
    if n == 0:
        return np.empty((0, DIGEST_SIZE), np.uint8)
    if is_mapping(X):
        parts = np.hstack([row_digests(X[key]) for key in sorted(X)])
        return _hash_rows(parts)
    parts = read_in_parts(X, row_bytes(X), _CHUNK_BYTES)
    if hasattr(X, "iloc"):
        return np.concatenate([_hash_frame(part) for part in parts])
    return np.concatenate([_hash_rows(to_numpy(part)) for part in parts])


def _hash_frame(part):
    sides = part_by_missing(part)
    if sides is None:
        return _hash_rows(to_numpy(part))
    digests = np.empty((n_rows(part), DIGEST_SIZE), np.uint8)
    for side in sides:
        digests[side] = _hash_rows(to_numpy(take(part, side)))
    return digests


def label_digests(digests, y):
    """Digest of every row with its label, from the digests of the rows."""
    if len(digests) == 0:
        return digests
    y = y + 0.0 if y.dtype.kind == "f" else y  # -0.0 becomes 0.0
    y = np.ascontiguousarray(y, dtype=y.dtype.newbyteorder("="))
    return row_digests(np.hstack([digests, y.reshape(len(digests), -1).view(np.uint8)]))


def name_digests(names):
    """Digest of every identifier, of the text that `identifier_text` gives it."""
    texts = [identifier_text(name) for name in names]
    if len(set(texts[:1000])) == len(texts[:1000]):  # ids, most likely
        return _hash(text.encode() for text in texts)
    places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
    return _hash(text.encode() for text in places)[[places[text] for text in texts]]


def digest_of(*parts):
    """One hexadecimal digest of several byte strings or arrays."""
    whole = hashlib.blake2b(digest_size=DIGEST_SIZE)
    for part in parts:
        whole.update(part if isinstance(part, bytes) else _see_bytes(part))
    return whole.hexdigest()


def _see_bytes(array):
    """The bytes of an array, not copied where they lie in order."""
    flat = np.ascontiguousarray(array).reshape(-1)
    return flat.tobytes() if flat.dtype.hasobject or not flat.size else flat.view(np.uint8)


def digest_rows(X, positions):
    """One hexadecimal digest of the rows at `positions`, far sooner than a digest of each."""
    whole, size, reading = (
        hashlib.blake2b(digest_size=DIGEST_SIZE),
        max(1, row_bytes(X)),
        Reading(X),
    )
    step = max(1, _CHUNK_BYTES // size)
    for i in range(0, len(positions), step):
        rows = take(X, slice_run(positions[i : i + step]))
        plain = None if is_mapping(rows) else _to_bytes(to_numpy(rows))
        whole.update(row_digests(rows) if plain is None else plain)
        reading.done(step * size)
    return whole.hexdigest()


def match(table, wanted):
    """Positions in `table` that equal each row of `wanted`, a list of integer arrays."""
    prefix = np.ascontiguousarray(table[:, :8]).view(np.uint64).ravel()
    wanted_prefix = np.ascontiguousarray(wanted[:, :8]).view(np.uint64).ravel()
    found = {}
    # The 8-byte prefix narrows the table in numpy; whole digests decide. By sorting: numpy 2.0's
    # other way overflows on prefixes of 2**63 and more.
    for position in np.flatnonzero(np.isin(prefix, wanted_prefix, kind="sort")):
        found.setdefault(table[position].tobytes(), []).append(position)
    return [np.asarray(found.get(row.tobytes(), []), dtype=np.intp) for row in wanted]


def find_repeated(digests):
    """Positions of the first of each set of equal digests, of shape (n, 16)."""
    prefix = np.ascontiguousarray(digests[:, :8]).view(np.uint64).ravel()
    order = np.sort(prefix)
    shared = order[1:][order[1:] == order[:-1]]  # none, mostly: a sort of words is cheap
    if not len(shared):
        return np.empty(0, dtype=np.intp)
    at = np.flatnonzero(np.isin(prefix, shared, kind="sort"))
    _, first, counts = np.unique(digests[at], axis=0, return_index=True, return_counts=True)
    return at[first[counts > 1]]


def _hash(messages):
    """BLAKE2b of each of these; a prepared hasher is copied, which is faster than a new one."""
    prepared, digests = hashlib.blake2b(digest_size=DIGEST_SIZE, person=b"skunlearn-row"), []
    for message in messages:
        hasher = prepared.copy()
        hasher.update(message)
        digests.append(hasher.digest())
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_SIZE)


def to_numpy(X):
    """Rows as an ndarray, of no subclass; what is one already is not copied."""
    if isinstance(X, np.ndarray):
        return np.asarray(X)
    if isinstance(X, torch.Tensor):
        X = X.detach().cpu()
        return (X.float() if X.dtype == torch.bfloat16 else X).numpy()
    if sparse.issparse(X):
        return X.toarray()
    return to_array(X) if is_frame(X) else np.asarray(X)


def _hash_rows(chunk):
    plain = _to_bytes(chunk)
    if plain is None:
        return _hash(write_cell(row).encode() for row in chunk.tolist())
    width = plain.nbytes // len(plain)
    if width == 0:
        return _hash([b""] * len(plain))
    data = plain.reshape(-1).view(np.uint8).data
    return _hash(data[i : i + width] for i in range(0, width * len(plain), width))


def _to_bytes(chunk):
    """The rows as bytes to hash, in this machine's order, as a pickle gives them back; or None."""
    if chunk.dtype.kind not in "biufcSU":
        return None
    if chunk.dtype.kind in "fc":
        chunk = chunk + 0.0  # -0.0 becomes 0.0
        if chunk.dtype.char in "gG" and np.finfo(chunk.dtype).nmant > 52:
            chunk = _in_doubles(chunk)
        missing = np.isnan(chunk)
        if missing.any():
            chunk[missing] = np.nan  # 0 / 0 has other bits
    return np.ascontiguousarray(chunk, dtype=chunk.dtype.newbyteorder("="))


def _in_doubles(chunk):
    """Long doubles as two doubles each, which have no bytes that mean nothing."""
    double = np.float64 if chunk.dtype.kind == "f" else np.complex128
    with np.errstate(invalid="ignore", over="ignore"):
        high = chunk.astype(double)
        return np.stack([high, (chunk - high).astype(double)], axis=-1)
