"""Whole batches by index: the training rows as a skorch data set and its loader."""

import numpy as np
import torch
from scipy import sparse
from skorch import NeuralNet
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import DataLoader, default_collate

from skunlearn import _resident
from skunlearn._data import is_dataset, is_mapping, n_rows, take
from skunlearn._mapped import Reading

_BATCHED_OPTIONS = {"batch_size", "shuffle", "drop_last"}
_OWN_OPTIONS = {"resident", "prefetch"}


class NetRows(torch.utils.data.Dataset):
    """Rows of the training data in the form in which a net eats them.

    Parameters
    ----------
    base : torch Dataset or None
        The user's Dataset, or the one that the net makes of the rows (a class with augmentation,
        say); None when plain indexing of `X` does the same.
    X : container of rows
    target : ndarray or None, in the dtype that the criterion wants
    index : ndarray of int, the rows in view
    float_dtype : torch dtype of the module's parameters
    own_targets : bool, default=False
        Whether the targets that `base` returns are used; it was given encoded ones then.
    device : torch device or str, default="cpu"
        That of the net; see `settle`.
    """

    def __init__(self, base, X, target, index, float_dtype, own_targets=False, device="cpu"):
        self.device, self._moved = device, None
        self.base, self._rows, self.target = base, X, target
        self.index, self.float_dtype, self.own_targets = index, float_dtype, own_targets
        self._reading = Reading(X)

    def __len__(self):
        return len(self.index)

    def __getitem__(self, i):
        if self.base is None:
            x, y = self.batch(np.array([i]))
            return (({k: v[0] for k, v in x.items()} if is_mapping(x) else x[0]), y[0])
        row = self.index[i]
        x, y = self.base[row]
        if isinstance(x, torch.Tensor | np.ndarray):
            x = _cast(torch.as_tensor(x), self.float_dtype)
        # The record's label, encoded, stands in for the one in the user's Dataset.
        return x, (y if self.target is None or self.own_targets else self.target[row])

    def __getitems__(self, positions):
        if self.base is not None:
            return [self[i] for i in positions]
        x, y = self.batch(np.asarray(positions))
        if is_mapping(x):
            return [({k: v[i] for k, v in x.items()}, y[i]) for i in range(len(y))]
        return list(zip(x, y, strict=True))

    def batch(self, positions):
        """``(x, y)`` tensors of the rows at `positions` of this view."""
        if self.base is not None:
            return default_collate([self[i] for i in positions])
        rows = self.index[positions]
        x = self._read(rows) if self._moved is None else _resident.gather(self._moved, positions)
        y = torch.zeros(len(rows)) if self.target is None else torch.as_tensor(self.target[rows])
        return x, y

    def settle(self, wanted):
        """Move the rows in view to the device; "auto" decides by its memory. Whether they are."""
        if self._moved is None and wanted and self.base is None and len(self.index):
            movable = not self._reading and not _any_sparse(self._rows)
            n_bytes = len(self.index) * _resident.size(self._read(self.index[:1])) if movable else 0
            if movable and (wanted is True or _resident.fits(n_bytes, self.device)):
                self._moved = _resident.moved(
                    lambda i, j: self._read(self.index[i:j]), len(self.index), self.device
                )
        return self._moved is not None

    def _read(self, rows):
        x = _tensor(take(self._rows, _as_slice(rows)), self.float_dtype)
        if self._reading:
            self._reading.done(_resident.size(x))
        return x


class BatchLoader:
    """Whole batches by index, in place of torch's DataLoader over single rows.

    skunlearn puts it where a net has the plain DataLoader, since it gives the same batches sooner
    (in another order, where they are shuffled). Name it as ``iterator_train`` to choose:
    ``NeuralNetClassifier(..., iterator_train=BatchLoader, iterator_train__resident=False)``. Any
    other iterator, and any other option of the DataLoader (``num_workers``), is left as it is.

    Parameters
    ----------
    dataset : Dataset
    batch_size : int, default=1
    shuffle : bool, default=False
        Draw the order from torch's global generator.
    drop_last : bool, default=False
    resident : {"auto", True, False}, default="auto"
        Keep the rows on the net's device for the whole training: "auto" on a GPU when they take at
        most half of its free memory. Memory-mapped and sparse rows stay where they are.
    prefetch : {"auto", True, False}, default="auto"
        Make two batches ahead in a thread, and send them from pinned memory: "auto" on a GPU when
        rows are not resident.

    Examples
    --------
    >>> import torch
    >>> from torch.utils.data import TensorDataset
    >>> from skunlearn.nets import BatchLoader
    >>> rows = TensorDataset(torch.zeros(10, 3), torch.arange(10))
    >>> [len(y) for X, y in BatchLoader(rows, batch_size=4)]
    [4, 4, 2]
    """

    def __init__(
        self,
        dataset,
        batch_size=1,
        shuffle=False,
        drop_last=False,
        resident="auto",
        prefetch="auto",
    ):
        for name, value in (("resident", resident), ("prefetch", prefetch)):
            if value not in ("auto", True, False):
                raise ValueError(f"{name} must be 'auto', True or False, got {value!r}.")
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.drop_last = shuffle, drop_last
        self.resident, self.prefetch = resident, prefetch

    def __len__(self):
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self):
        n, device = len(self.dataset), getattr(self.dataset, "device", "cpu")
        order = torch.randperm(n).numpy() if self.shuffle else np.arange(n)

        def batch(i):
            positions = order[i * self.batch_size : (i + 1) * self.batch_size]
            if not isinstance(self.dataset, NetRows):
                return default_collate([self.dataset[j] for j in positions])
            x, y = self.dataset.batch(positions)
            return (_resident.sent(x, device) if prefetch else x), y

        resident = isinstance(self.dataset, NetRows) and self.dataset.settle(self.resident)
        prefetch = self.prefetch
        if prefetch == "auto":
            prefetch = torch.device(device).type == "cuda" and not resident
        yield from _resident.ahead(batch, len(self)) if prefetch else map(batch, range(len(self)))


def float_dtype(net):
    """dtype of the module's first floating parameter; float32 when it has none."""
    return next((p.dtype for p in net.module_.parameters() if p.is_floating_point()), torch.float32)


def net_rows(net, X, target, index, numbers=False):
    """`NetRows` over `X` for this net; `numbers` puts each row's number in place of its target."""
    dtype = float_dtype(net)
    index = np.asarray(index)
    if is_dataset(X) or has_plain_dataset(net):
        if numbers:
            target = np.arange(len(X) if is_dataset(X) else n_rows(X))
        base = X if is_dataset(X) else None
        return NetRows(base, X, target, index, dtype, device=net.device or "cpu")
    # A user's class may take statistics over what it is given: it gets a copy of these rows
    # alone, or else a retrained net would owe something to the forgotten ones.
    if not np.array_equal(index, np.arange(n_rows(X))):
        X, target = take(X, index), None if target is None else target[index]
    base = net.get_dataset(X, target)
    if numbers:
        target = index
    return NetRows(base, X, target, np.arange(len(index)), dtype, own_targets=not numbers)


def all_rows(net, X):
    """`NetRows` over every row of `X`, without targets, for prediction."""
    return net_rows(net, X, None, np.arange(len(X) if is_dataset(X) else n_rows(X)))


def can_batch(net, rows, training):
    """Whether `BatchLoader` does what the net's own iterator would do."""
    name = "iterator_train" if training else "iterator_valid"
    options = _BATCHED_OPTIONS | (_OWN_OPTIONS if getattr(net, name) is BatchLoader else set())
    return (
        rows.base is None
        and type(net).get_iterator is NeuralNet.get_iterator  # accelerate divides a DataLoader's
        and getattr(net, name) in (DataLoader, BatchLoader)
        and set(net.get_params_for(name)) <= options
    )


def has_plain_dataset(net):
    """Whether the net makes skorch's own data sets of arrays."""
    return net.dataset is SkorchDataset and not net.get_params_for("dataset")


def _as_slice(rows):
    # A contiguous run is sliced, which is faster than a gather.
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
        return slice(rows[0], rows[-1] + 1)
    return rows


def _tensor(x, dtype):
    if is_mapping(x):
        return {key: _tensor(value, dtype) for key, value in x.items()}
    if sparse.issparse(x):
        x = x.toarray()
    # Never a view: it would share the user's memory, which a module may write to (an in-place
    # ReLU as its first layer, say), and torch takes no negative strides.
    if isinstance(x, torch.Tensor):
        return _cast(x.clone(), dtype)
    x = np.asarray(x)
    x = x.astype(x.dtype.newbyteorder("="), copy=False)  # nor another machine's byte order
    return _cast(torch.from_numpy(x if x.base is None else np.array(x, order="C")), dtype)


def _any_sparse(X):
    return any(map(_any_sparse, X.values())) if is_mapping(X) else sparse.issparse(X)


def _cast(x, dtype):
    return x.to(dtype) if x.dtype == torch.float64 else x
