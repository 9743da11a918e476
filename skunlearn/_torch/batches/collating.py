"""Torch's DataLoader, made to tell which rows are in a batch, and to join lone last ones."""

import torch
from torch.utils.data import BatchSampler, default_collate

from skunlearn._torch.batches.batching import count_batches
from skunlearn._torch.batches.net_rows import collate_items
from skunlearn._torch.batches.training_batch import label_of


class Collated:
    """What a loader's collate function returns; in workers too, and it unpacks to ``x, y``."""

    def __init__(self, x, y, rows, mixed):
        self.x, self.y, self.rows, self.mixed = x, y, rows, mixed

    def __iter__(self):
        return iter((self.x, self.y))

    def __len__(self):
        return 2

    def __getitem__(self, i):
        return (self.x, self.y)[i]

    def pin_memory(self):
        """With rows and targets in pinned memory, as the loader asks for."""
        x, y = torch.utils.data._utils.pin_memory.pin_memory((self.x, self.y))
        return Collated(x, y, self.rows, self.mixed)

    def to(self, device, **kwargs):
        """On another device, as accelerate asks for."""
        x, y = (_move(value, device, kwargs) for value in self)
        return Collated(x, y, self.rows, self.mixed)


class TellingCollate:
    """A collate function that hands on which rows it was given.

    Parameters
    ----------
    collate : callable
        The loader's own, which sees items as they are.
    dtype : torch dtype of the module's parameters
    """

    def __init__(self, collate, dtype):
        self.collate, self.dtype = collate, dtype

    def __call__(self, items):
        rows = getattr(items, "rows", None)
        x, y = collate_items(items, self.collate, self.dtype)
        mixed = self.collate is not default_collate and not are_labels(y, map(label_of, items))
        return Collated(x, y, None if rows is None else torch.as_tensor(rows), mixed)


class JoinedBatches:
    """Batches of places in which a lone last one has joined the batch before it.

    Parameters
    ----------
    inner : batch sampler
    """

    def __init__(self, inner):
        self.inner = inner

    def __iter__(self):
        before = None
        for places in self.inner:
            if before is not None and (len(places) > 1 or len(before) == 1):
                yield before
                before = None
            before = list(places) if before is None else [*before, *places]
        if before is not None:
            yield before

    def __len__(self):
        inner = self.inner
        if type(inner) is BatchSampler:
            return count_batches(len(inner.sampler), inner.batch_size, inner.drop_last, True)
        return len(inner)

    def __getattr__(self, name):
        return getattr(vars(self)["inner"], name)


def are_labels(y, labels):
    """Whether targets of a batch are these labels of single rows, or one-hot vectors of them."""
    try:
        expected, y = default_collate(list(labels)), torch.as_tensor(y)
    except (TypeError, RuntimeError, ValueError):
        return False
    if not isinstance(expected, torch.Tensor):
        return False
    y = y.detach().cpu()
    if y.ndim == 2 and y.numel() != expected.numel() and not expected.is_floating_point():
        width = y.shape[1]
        if len(y) != len(expected) or expected.min() < 0 or expected.max() >= width:
            return False
        expected = torch.nn.functional.one_hot(expected.long(), width)
    return y.numel() == expected.numel() and torch.equal(
        y.reshape(-1), expected.reshape(-1).to(y.dtype)
    )


def _move(value, device, kwargs):
    if isinstance(value, dict):
        return {key: _move(v, device, kwargs) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_move(v, device, kwargs) for v in value)
    return value.to(device, **kwargs) if isinstance(value, torch.Tensor) else value
