"""Whole batches by index, and how many there are."""

import itertools

import numpy as np
import torch
from skorch import NeuralNet
from skorch.dataset import Dataset
from torch.utils.data import DataLoader, default_collate

from skunlearn._rows.containers import take
from skunlearn._torch.batches import device_rows
from skunlearn._torch.batches.net_rows import NetRows
from skunlearn._torch.batches.training_batch import Batch, count_bytes

_BATCHED_OPTIONS = {"batch_size", "shuffle", "drop_last"}
_OWN_OPTIONS = {"resident", "prefetch"}
_BLOCK = 2**20  # bytes that are read at a time, where batches are smaller


class BatchLoader:
    """Whole batches by index, in place of torch's DataLoader over single rows.

    skunlearn puts it where a net has the plain DataLoader, since it gives the same batches sooner
    (in another order, where they are shuffled). Name it as ``iterator_train`` to choose:
    ``NeuralNetClassifier(..., iterator_train=BatchLoader, iterator_train__resident=False)``. Any
    other iterator, and any other option of the DataLoader (``num_workers``), is left as it is.

    Parameters
    ----------
    dataset : Dataset
        What skorch makes of the rows.
    batch_size : int, default=1
        Rows in a batch.
    shuffle : bool, default=False
        Draw the order from torch's global generator.
    drop_last : bool, default=False
        Leave out a last batch that is smaller than the others.
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

    collate_fn = staticmethod(default_collate)
    joins = False  # a lone last row to the batch before it, see `count_batches`

    def __len__(self):
        return count_batches(len(self.dataset), self.batch_size, self.drop_last, self.joins)

    def __iter__(self):
        data, ours = self.dataset, isinstance(self.dataset, NetRows)
        n, device = len(data), getattr(data, "device", "cpu")
        order = (torch.randperm(n) if self.shuffle else torch.arange(n)).numpy()
        size = self.batch_size
        count = count_batches(n, size, self.drop_last, self.joins)
        ends = [*range(size, count * size, size), count * size if self.drop_last else n]

        def batch(i):
            some = slice(i * size, ends[i])
            places = order[some]
            if not ours:
                return _collate(data, places)
            x, y = data.batch(places) if there is None else data.take_moved(there[some])
            if prefetch:
                x, y = (device_rows.send(part, device) for part in (x, y))
            return Batch(x, y, torch.from_numpy(places))

        resident = ours and data.move(self.resident)
        # Once for all batches: a device is not waited for, nor asked, in each.
        there = device_rows.send_tensor(torch.from_numpy(order), device) if resident else None
        prefetch = not resident and self.prefetch
        if prefetch == "auto":
            prefetch = torch.device(device).type == "cuda"
        if prefetch:
            yield from device_rows.ahead(batch, count)
        elif ours and not resident and data.base is None and count:
            yield from _cut_blocks(data, order, [0, *ends[:count]])
        else:
            yield from map(batch, range(count))


class _JoiningLoader(BatchLoader):
    joins = True


def _collate(data, places):
    """A batch of a data set that is not ours, at once where skorch's own holds arrays."""
    if type(data) is Dataset and data.y is not None and all(map(_is_array, (data.X, data.y))):
        return [torch.as_tensor(part) for part in data[places]]
    return default_collate([data[j] for j in places.tolist()])


def _is_array(values):
    return type(values) in (np.ndarray, torch.Tensor)


def _cut_blocks(data, order, ends):
    """Batches between `ends` of `order`, read several at a time.

    Reading the few rows of a small batch costs more in calls than in copying.
    """
    i, n_batches = 0, 1
    while i + 1 < len(ends):
        cuts = ends[i : i + n_batches + 1]
        start, places = cuts[0], order[cuts[0] : cuts[-1]]
        x, y = data.batch(places)
        rows = torch.from_numpy(places)
        plain = isinstance(x, torch.Tensor)
        for a, b in itertools.pairwise(cuts):
            some = slice(a - start, b - start)
            yield Batch(x[some] if plain else take(x, some), y[some], rows[some])
        i += n_batches
        if n_batches == 1 and i + 1 < len(ends):
            n_batches += _BLOCK // max(1, count_bytes(x))


def count_batches(n, size, drop_last=False, joins=False):
    """Number of batches of `size` in a pass over `n` rows.

    `joins` gives a lone last row to the batch before it: a batch normalisation can take no
    statistics of one row.
    """
    lone = joins and size > 1 and n > size and n % size == 1
    return n // size if drop_last or lone else -(-n // size)


def n_batches(net, n_rows):
    """Batches in one pass over `n_rows` rows while the net trains."""
    options = net.get_params_for("iterator_train")
    size = options.get("batch_size", net.batch_size)
    size = n_rows if size == -1 else size
    # accelerate, which divides a batch among processes, fills the last one up itself.
    return count_batches(n_rows, size, options.get("drop_last"), not hasattr(net, "accelerator"))


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


def read_whole(net, data, shuffle, lone_ok=True):
    """What a net is to have so that it trains on a `BatchLoader`; None where it would do otherwise.

    `shuffle` makes a net shuffle that does not do so by itself. Without `lone_ok` also None where
    batches are single rows.
    """
    count = n_batches(net, len(data))
    if not can_batch(net, data, training=True) or (count == len(data) and not lone_ok):
        return None
    changed = {"iterator_train": _JoiningLoader}
    if shuffle:
        changed["iterator_train__shuffle"] = True
    if count == 0:
        changed["iterator_train__drop_last"] = False  # a few forget rows are a batch too
    return changed
