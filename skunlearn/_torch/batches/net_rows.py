"""The training rows as a data set for a net: labels in their places, places beside them."""

from weakref import WeakKeyDictionary

import numpy as np
import torch
from scipy import sparse
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import Dataset as SkorchDataset
from torch.utils.data import DataLoader, default_collate

from skunlearn._rows import mapped
from skunlearn._rows.containers import is_dataset, is_mapping, n_rows, slice_run, take
from skunlearn._rows.seeding import seeded
from skunlearn._torch.batches import device_rows
from skunlearn._torch.batches.training_batch import (
    cast,
    count_bytes,
    label_key,
    label_of,
    main_output,
    split,
)
from skunlearn._torch.parts.net_kinds import has_sigmoid


class NetRows(torch.utils.data.Dataset):
    """Rows of the training data in the form in which a net eats them.

    Samplers and collate functions see items and labels as they would without us. Which rows were
    read travels beside them: in `Items.rows`, and in `log` where that is a list.

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
        That of the net; see `move`.

    Attributes
    ----------
    collate : callable or None
        Makes a batch of items where rows are read by `batch`; None stands for torch's own.
    log : list or None
        Of ``(place, label)`` of each item that was read, where somebody wants to know.
    """

    collate = log = None

    def __init__(self, base, X, target, index, float_dtype, own_targets=False, device="cpu"):
        self.device, self._moved, self._moved_target = device, None, None
        self.base, self._rows, self.target = base, X, target
        self.index, self.float_dtype, self.own_targets = index, float_dtype, own_targets
        # What lies on disk and is smaller may stay in memory.
        large = is_mapping(X) or getattr(X, "nbytes", 0) >= mapped.HELD
        self._reading = mapped.Reading(X) if large else None

    def __len__(self):
        return len(self.index)

    # No X beside y: skorch would ask for it before every training, and it would be a copy.
    @property
    def y(self):
        """Targets of the rows in view, for samplers."""
        return None if self.target is None else self.target[self.index]

    @property
    def shape(self):
        """That of the rows in view, for callbacks that look at it when a training begins."""
        return len(self), *self._rows.shape[1:]

    targets = y  # under which torchvision's data sets have them

    def __getitem__(self, i):
        return self.__getitems__([i])[0]

    def __getitems__(self, positions):
        positions, whole = np.asarray(positions), None
        if self.base is not None:
            items = Items(self._item(i) for i in positions)
        else:
            whole = self._gather(positions)
            items = Items(zip(_one_by_one(whole[0], self._rows), whole[1], strict=True))
        items.rows, items.whole = positions, whole
        if self.log is not None:
            self.log += zip(positions.tolist(), map(label_of, items))
        return items

    def _item(self, i):
        row = self.index[i]
        item = self.base[row]
        if self.own_targets:
            return item
        # The record's label, encoded, stands in for the one in the user's Dataset; where none is
        # asked for a number does, as the user's may be text.
        label = np.int64(0) if self.target is None else self.target[row]
        if is_mapping(item):
            # A Python number: collators tell classes from regressions by its type.
            key, label = label_key(item), label.item() if label.ndim == 0 else label
            return item if key is None else {**item, key: label}
        x, given = item
        # What a collate function stacks; other numbers are read alike by all.
        return x, (torch.tensor(label) if isinstance(given, torch.Tensor) else label)

    def batch(self, positions):
        """``(x, y)`` tensors of the rows at `positions` of this view."""
        if self.base is None and self.collate is None:
            x, y = self._gather(positions)
            return x, torch.as_tensor(y)
        items = self.__getitems__(positions)
        return collate_items(items, self.collate or default_collate, self.float_dtype)

    def _gather(self, positions):
        """The rows at `positions` as tensors, and their targets as an array."""
        rows = self.index[positions]
        x = self._read(rows) if self._moved is None else device_rows.gather(self._moved, positions)
        y = np.zeros(len(rows), np.float32) if self.target is None else self.target[rows]
        return x, y

    def take_moved(self, places):
        """``(x, y)`` at `places` of this view, a tensor on the device, once rows were moved."""
        if self._moved_target is None:
            y = self.y
            y = torch.zeros(len(self)) if y is None else torch.as_tensor(y)
            self._moved_target = device_rows.send_tensor(y, self.device)
        return device_rows.gather(self._moved, places), self._moved_target[places]

    def relabel(self, y, net):
        """Give the rows in view other targets from now on, in the form of `target`."""
        self.target = self.target.copy()
        self.target[self.index] = y
        self._moved_target = None
        if self.own_targets:
            self.base = net.get_dataset(self._rows, self.target)

    def move(self, wanted):
        """Move the rows in view to the device; "auto" decides by its memory. Whether they are."""
        if wanted == "auto" and torch.device(self.device).type != "cuda":
            return self._moved is not None  # they are where they are used
        if self._moved is None and wanted and self.base is None and len(self.index):
            movable = not self._reading and not _any_sparse(self._rows)
            n_bytes = len(self.index) * count_bytes(self._read(self.index[:1])) if movable else 0
            if movable and (wanted is True or device_rows.fits(n_bytes, self.device)):
                self._moved = device_rows.move_rows(
                    lambda i, j: self._read(self.index[i:j]), len(self.index), self.device
                )
        return self._moved is not None

    def _read(self, rows):
        x = _tensor(take(self._rows, slice_run(rows)), self.float_dtype)
        if self._reading:
            self._reading.done(count_bytes(x))
        return x


class Items(list):
    """Items that were read together, as a collate function is given them.

    Attributes
    ----------
    rows : ndarray of int, their places
    whole : tuple or None
        The batch that they were cut from.
    """

    rows = whole = None


def collate_items(items, collate, dtype):
    """``(x, y)`` that a collate function makes of items, with floats of the module's dtype."""
    if collate is default_collate and getattr(items, "whole", None) is not None:
        x, y = items.whole
        return x, torch.as_tensor(y)
    x, y = split(collate(items))
    return cast(x, dtype), y


def float_dtype(net):
    """dtype of the module's first floating parameter; float32 when it has none."""
    return next((p.dtype for p in net.module_.parameters() if p.is_floating_point()), torch.float32)


def make_dataset(net, rows):
    """The data set of `rows` for this net."""
    y = rows.all_y
    if y is not None:
        y = encode_targets(net, y)
        # A module returns (n,) or (n, 1) for a target a row.
        if y.ndim > rows.all_y.ndim and len(rows) and _is_flat(net, rows):
            y = y.ravel()
    return make_net_rows(net, rows.source, y, rows.index)


def make_reader(net, rows):
    """As `make_dataset`, for `NetRows.batch`: in the form in which the net predicts."""
    data = make_dataset(net, rows)
    data.collate = _collate_function(net, data)
    return data


def make_net_rows(net, X, target, index):
    """`NetRows` over the rows of `X` at `index` for this net; for prediction without `target`."""
    dtype = float_dtype(net)
    index = np.asarray(index)
    if is_dataset(X) or has_plain_dataset(net):
        base = X if is_dataset(X) else None
        return NetRows(base, X, target, index, dtype, device=net.device or "cpu")
    # A user's class may take statistics over what it is given: it gets a copy of these rows
    # alone, or else a retrained net would owe something to the forgotten ones.
    if not np.array_equal(index, np.arange(n_rows(X))):
        X, target = take(X, index), None if target is None else target[index]
    base = net.get_dataset(X, target)
    return NetRows(base, X, target, np.arange(len(index)), dtype, own_targets=True)


def encode_targets(net, y):
    """Encoded targets in the dtype and shape that the net's criterion wants."""
    y = np.asarray(y)
    # As the module's outputs: before torch 2.6 a loss of two float dtypes had no gradient.
    floating = np.float64 if float_dtype(net) is torch.float64 else np.float32
    if isinstance(net, NeuralNetBinaryClassifier):
        return y.astype(floating, copy=False)
    # Of a plain net encoded classes are integers, labels booleans, and values floats.
    if not isinstance(net, NeuralNetClassifier) and (
        isinstance(net, NeuralNetRegressor) or y.dtype.kind in "bf" or has_sigmoid(net)
    ):
        return y.astype(floating, copy=False).reshape(len(y), -1)
    return y.astype(np.int64, copy=False)


_FLAT = WeakKeyDictionary()  # modules asked for one target a row, and whether they return (n,)


def _is_flat(net, rows):
    if net.module_ not in _FLAT:
        data = make_net_rows(net, rows.source, None, rows.index[:1])
        data.collate = _collate_function(net, data)
        modes = [(module, module.training) for module in net.module_.modules()]
        net._set_training(False)
        # A Dataset may augment: the order of random numbers is not to change.
        with torch.no_grad(), seeded(0):
            out = main_output(net.infer(data.batch(np.arange(1))[0]))
        for module, training in modes:
            module.training = training
        _FLAT[net.module_] = out.ndim == 1
    return _FLAT[net.module_]


def _collate_function(net, data):
    """That of the iterator by which the net reads rows to predict; None stands for torch's own."""
    iterator = net.iterator_valid
    given = net.get_params_for("iterator_valid").get("collate_fn")
    if given is None and iterator is not DataLoader:
        given = getattr(iterator, "collate_fn", None) or getattr(
            net.get_iterator(data, training=False), "collate_fn", None
        )
    return None if given is default_collate else given


def has_plain_dataset(net):
    """Whether the net makes skorch's own data sets of arrays."""
    return net.dataset is SkorchDataset and not net.get_params_for("dataset")


def _tensor(x, dtype):
    if is_mapping(x):
        return {key: _tensor(value, dtype) for key, value in x.items()}
    if sparse.issparse(x):
        x = x.toarray()
    # Never a view: it would share the user's memory, which a module may write to (an in-place
    # ReLU as its first layer, say), and torch takes no negative strides.
    if isinstance(x, torch.Tensor):
        return cast(x.clone(), dtype)
    x = np.asarray(x)
    x = x.astype(x.dtype.newbyteorder("="), copy=False)  # nor another machine's byte order
    return cast(torch.from_numpy(x if x.base is None else np.array(x, order="C")), dtype)


def _one_by_one(x, source):
    """Rows of a batch of tensors: arrays where `source` holds arrays, as skorch's data set does."""
    if is_mapping(x):
        columns = [_one_by_one(value, source[key]) for key, value in x.items()]
        return [dict(zip(x, row, strict=True)) for row in zip(*columns, strict=True)]
    return x if isinstance(source, torch.Tensor) else x.numpy(force=True)


def _any_sparse(X):
    return any(map(_any_sparse, X.values())) if is_mapping(X) else sparse.issparse(X)
