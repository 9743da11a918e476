"""Whole batches by index: the training rows as a skorch data set and its loader."""

import numpy as np
import torch
from scipy import sparse
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import DataLoader

from skunlearn._data import is_dataset, is_frame, is_mapping, n_rows, take

_BATCHED_OPTIONS = {"batch_size", "shuffle", "drop_last"}


class NetRows(torch.utils.data.Dataset):
    """Rows of the training data in the form in which a net eats them.

    Parameters
    ----------
    base : torch Dataset or None
        The data set that the net builds over all rows (a user's class with augmentation, say);
        None when plain indexing of `X` does the same.
    X : container of rows
    target : ndarray or None, in the dtype that the criterion wants
    index : ndarray of int, the rows in view
    float_dtype : torch dtype of the module's parameters
    """

    def __init__(self, base, X, target, index, float_dtype):
        self.base, self._rows, self.target = base, X, target
        self.index, self.float_dtype = index, float_dtype

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
        # The record's label, encoded, stands in for whatever the data set returns.
        return x, (y if self.target is None else self.target[row])

    def __getitems__(self, positions):
        if self.base is not None:
            return [self[i] for i in positions]
        x, y = self.batch(np.asarray(positions))
        if is_mapping(x):
            return [({k: v[i] for k, v in x.items()}, y[i]) for i in range(len(y))]
        return list(zip(x, y, strict=True))

    def batch(self, positions):
        """``(x, y)`` tensors of the rows at `positions` of this view."""
        rows = self.index[positions]
        x = _tensor(take(self._rows, _as_slice(rows)), self.float_dtype)
        y = torch.zeros(len(rows)) if self.target is None else torch.as_tensor(self.target[rows])
        return x, y


class BatchLoader:
    """Iterate over whole batches of a `NetRows`, drawing the order from torch's generator."""

    def __init__(self, dataset, batch_size=1, shuffle=False, drop_last=False):
        self.dataset, self.batch_size = dataset, batch_size
        self.shuffle, self.drop_last = shuffle, drop_last

    def __len__(self):
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __iter__(self):
        n = len(self.dataset)
        order = torch.randperm(n).numpy() if self.shuffle else np.arange(n)
        for i in range(len(self)):
            yield self.dataset.batch(order[i * self.batch_size : (i + 1) * self.batch_size])


def net_rows(net, X, target, index):
    """`NetRows` over `X` for this net."""
    dtype = next(
        (p.dtype for p in net.module_.parameters() if p.is_floating_point()), torch.float32
    )
    if is_dataset(X):
        base = X
    elif _plain_dataset(net) and not is_frame(X):
        base = None
    else:
        base = net.get_dataset(X, target)
    return NetRows(base, X, target, np.asarray(index), dtype)


def all_rows(net, X):
    """`NetRows` over every row of `X`, without targets, for prediction."""
    return net_rows(net, X, None, np.arange(len(X) if is_dataset(X) else n_rows(X)))


def can_batch(net, rows, training):
    """Whether `BatchLoader` does what the net's own iterator would do."""
    name = "iterator_train" if training else "iterator_valid"
    return (
        rows.base is None
        and getattr(net, name) is DataLoader
        and set(net.get_params_for(name)) <= _BATCHED_OPTIONS
    )


def _plain_dataset(net):
    return net.dataset is SkorchDataset and not net.get_params_for("dataset")


def _as_slice(rows):
    # A contiguous run is sliced: no gather, and one memory copy instead of two.
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and np.all(np.diff(rows) == 1):
        return slice(rows[0], rows[-1] + 1)
    return rows


def _tensor(x, dtype):
    if is_mapping(x):
        return {key: _tensor(value, dtype) for key, value in x.items()}
    if sparse.issparse(x):
        x = x.toarray()
    if not isinstance(x, torch.Tensor):
        x = np.asarray(x)
        # A slice of a read-only memory map is not ours to hand out as a writable tensor.
        x = torch.from_numpy(x if x.flags.writeable else x.copy())
    return _cast(x, dtype)


def _cast(x, dtype):
    return x.to(dtype) if x.dtype == torch.float64 else x
