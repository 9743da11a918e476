"""Citation graphs in the layout of Planetoid, read without trusting their pickles.

The files are pickles of scipy matrices, numpy arrays and a dict, written by Python 2. To unpickle
may run any code, so that an unpickler is used here which knows none: every class that such a file
names becomes a passive note of what it was to be made of, from which the arrays are then built.
"""

import io
import math
import pickle
import re

import numpy as np
from scipy import sparse

__all__ = ["PARTS", "read_planetoid"]

# `y` is left out: it repeats the first rows of `ally`, as `x` does those of `allx`.
PARTS = ("x", "allx", "ally", "tx", "ty", "graph", "test.index")
_NUMBERS = re.compile(r"[fiu][1248]")
_VALIDATION = 500  # nodes after the labelled ones: the public split's


class _Note:
    """What an object was to be made of; it does nothing."""

    __slots__ = ("args", "state")

    def __new__(cls, *args):
        note = object.__new__(cls)
        note.args, note.state = args, None
        return note

    def __setstate__(self, state):
        self.state = state


class _Array(_Note):
    __slots__ = ()


class _DType(_Note):
    __slots__ = ()


class _Matrix(_Note):
    __slots__ = ()


class _Lists(dict):
    """Stands for a defaultdict."""

    __slots__ = ()

    def __init__(self, *args):
        super().__init__()


_NOTES = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("scipy.sparse.csr", "csr_matrix"): _Matrix,
    ("scipy.sparse._csr", "csr_matrix"): _Matrix,
    ("collections", "defaultdict"): _Lists,
    ("__builtin__", "list"): _Note,
    ("builtins", "list"): _Note,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        try:
            return _NOTES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module}.{name}, which no such file needs"
            ) from None


def read_planetoid(files):
    """Features, edges, labels and the public split of a Planetoid graph.

    Parameters
    ----------
    files : mapping of each of `PARTS` to bytes

    Returns
    -------
    x : csr_matrix of shape (n, n_features), float32
    edges : ndarray of shape (2, n_edges), int64
        Both directions of each edge once, sorted; without loops.
    y : ndarray of shape (n,), int64
    split : dict of {"train", "val", "test"} to ndarray of int, nodes

    Raises
    ------
    ValueError
        When a file is not what it should be; the message names it.
    """
    x, allx, tx = (_part(files, name, _matrix) for name in ("x", "allx", "tx"))
    ally, ty = (_part(files, name, _labels) for name in ("ally", "ty"))
    numbers = _part(files, "test.index", _numbers)
    neighbours = _part(files, "graph", _lists)

    n, known = len(ally) + len(ty), len(ally)
    if allx.shape[0] != known or tx.shape[0] != len(ty) or allx.shape[1] != tx.shape[1]:
        raise ValueError("The files allx and ally, or tx and ty, are not of one graph.")
    if not np.array_equal(np.sort(numbers), np.arange(known, n)):
        raise ValueError(f"test.index does not number the nodes {known} to {n - 1} of tx.")
    labelled = x.shape[0]
    if x.shape[1] != allx.shape[1] or labelled > known or (x != allx[:labelled]).nnz:
        raise ValueError("The rows of x are not the first ones of allx.")
    edges = np.array([(u, v) for u, row in neighbours.items() for v in row], dtype=np.int64)
    edges = edges.reshape(-1, 2)
    if edges.size and not (0 <= edges.min() <= edges.max() < n):
        raise ValueError(f"graph names nodes outside 0 to {n - 1}.")

    order = np.concatenate([np.arange(known), numbers])  # node of each row of allx and tx
    back = np.argsort(order)
    edges = edges[edges[:, 0] != edges[:, 1]]
    split = {
        "train": np.arange(labelled),
        "val": np.arange(labelled, min(labelled + _VALIDATION, known)),
        "test": np.sort(numbers),
    }
    return (
        sparse.vstack([allx, tx], format="csr")[back].astype(np.float32),
        np.unique(np.concatenate([edges, edges[:, ::-1]]), axis=0).T,
        np.concatenate([ally, ty])[back],
        split,
    )


def _part(files, name, read):
    content = files[name]
    if not content:
        raise ValueError(f"The file {name} is empty.")
    try:
        return read(content)
    except Exception as error:  # a broken pickle may raise anything
        raise ValueError(f"The file {name} cannot be read as part of a graph: {error}") from error


def _load(content):
    # "bytes": Python 2's strings are the arrays' raw numbers.
    return _Unpickler(io.BytesIO(content), encoding="bytes").load()


def _array(note):
    _, shape, kind, column_major, raw = note.state
    code, order = _text(kind.args[0]), _text(kind.state[1])
    if not isinstance(note, _Array) or not _NUMBERS.fullmatch(code) or order not in "<>=|":
        raise ValueError(f"an array of {order}{code} is none of numbers")
    values = np.frombuffer(raw, dtype=np.dtype(order + code))
    if len(values) != math.prod(shape):
        raise ValueError(f"an array of shape {shape} has {len(values)} values")
    return values.reshape(shape, order="F" if column_major else "C")


def _matrix(content):
    note = _load(content)
    if not isinstance(note, _Matrix):
        raise ValueError("it is no sparse matrix")
    state = {_text(key): value for key, value in note.state.items()}
    parts = tuple(_array(state[key]) for key in ("data", "indices", "indptr"))
    shape = state["_shape"]
    if sum(shape) > len(content):
        raise ValueError(f"a matrix of shape {shape} is too large for its file")
    matrix = sparse.csr_matrix(parts, shape=shape)
    matrix.check_format(full_check=True)  # numbers of columns that point outside crash scipy
    return matrix


def _labels(content):
    hot = _array(_load(content))
    if hot.ndim != 2 or not np.all((hot == 0) | (hot == 1)) or not np.all(hot.sum(axis=1) == 1):
        raise ValueError("it is no one-hot matrix of labels")
    return hot.argmax(axis=1).astype(np.int64)


def _lists(content):
    neighbours = _load(content)
    if not isinstance(neighbours, dict):
        raise ValueError("it is no dict of lists of neighbours")
    for u, row in neighbours.items():
        if type(u) is not int or type(row) is not list or any(type(v) is not int for v in row):
            raise ValueError("it is no dict of lists of neighbours")
    return neighbours


def _numbers(content):
    return np.array([int(line) for line in content.split()], dtype=np.int64)


def _text(value):
    return value.decode("ascii") if isinstance(value, bytes) else str(value)
