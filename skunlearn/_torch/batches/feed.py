"""Training batches from whatever iterator a net has, with the places of their rows beside them."""

from contextlib import contextmanager
from functools import partial

import torch
from torch.utils.data import DataLoader

from skunlearn._torch.batches.batching import BatchLoader, n_batches, read_whole
from skunlearn._torch.batches.collating import Collated, JoinedBatches, TellingCollate, are_labels
from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn._torch.batches.lone_rows import lone_row
from skunlearn._torch.batches.training_batch import Batch, cast, join, n_rows_in, split
from skunlearn._torch.skorch_nets import overridden


class Feed:
    """What a net is trained on at the moment.

    Parameters
    ----------
    net : skorch net
    data : NetRows
    weights : ndarray of shape (len(data),), or None

    Attributes
    ----------
    current : Batch or None
    """

    def __init__(self, net, data, weights=None):
        self.net, self.data, self.current, self._read = net, data, None, 0
        self.weights = None if weights is None else torch.as_tensor(weights)
        self.joins = not hasattr(net, "accelerator")  # lone last rows, see `n_batches`

    def answer(self, X, y, whole):
        """The current batch, or the part of it that a loss is asked about, with what was said."""
        batch = self.current
        if y is not batch.y or X is not batch.x:
            batch = self._part(X, y)
        batch.whole = whole
        return batch

    def _part(self, X, y):
        # A train step of the user's: it takes the batch in pieces, one after the other, or moves
        # or mixes it.
        now, n = self.current, n_rows_in(X, y)
        size = n_rows_in(*now)
        start = self._read if self._read + n <= size else 0
        self._read = start + n
        new = Batch(X, y, now.rows, now.mixed)
        if n < size:
            new.rows = None if now.rows is None else now.rows[start : start + n]
        new.mixed = now.mixed or not _are_equal(y, now.y, start, n)
        if self.weights is not None:
            self._weigh(new)
        return new

    def enter(self, batch):
        """Make a batch the current one."""
        self.current, self._read = batch, 0
        if self.weights is not None:
            self._weigh(batch)
        return batch

    def _weigh(self, batch):
        weights = self.weights[batch.places("Training with sample weights")]
        batch.weights = send_tensor(weights, self.data.device)


class _Fed:
    """The same batches as `Batch`, a lone last row joined to the batch before it."""

    def __init__(self, feed, iterator):
        self.feed, self.iterator = feed, iterator

    def __len__(self):
        return len(self.iterator)

    def __iter__(self):
        for batch in self.batches():
            if batch.n_rows > 1:
                yield batch
                continue
            with lone_row(self.feed.net, batch):
                yield batch

    def batches(self):
        """The batches, in a pass that somebody else may interrupt to train on other ones."""
        told = isinstance(self.iterator, DataLoader | BatchLoader)
        for batch in self.iterator if told else self._track_rows():
            yield self.feed.enter(batch if isinstance(batch, Batch) else _read_batch(batch))
        self.feed.current = None

    def _track_rows(self):
        """Batches of an iterator of the user's own, each held back until the next is known."""
        before = None
        for batch in self._note_rows():
            if before is not None:
                joined = _join_lone_row(before, batch) if self.feed.joins else None
                if joined is not None:
                    before = joined
                    continue
                yield before
            before = batch
        if before is not None:
            yield before

    def _note_rows(self):
        # Which items were read since the batch before tells what is in this one. It does so as
        # long as they are as many as its rows: then none was read ahead of its time.
        data = self.feed.data
        data.log, told = [], True
        try:
            for given in self.iterator:
                x, y = split(given)
                read, data.log = data.log, []
                told = told and len(read) == n_rows_in(x, y)
                batch = Batch(cast(x, data.float_dtype), y)
                if told:
                    rows, labels = zip(*read, strict=True)
                    batch.rows, batch.mixed = torch.tensor(rows), not are_labels(y, labels)
                yield batch
        finally:
            data.log = None


def _read_batch(given):
    if isinstance(given, Collated):
        return Batch(given.x, given.y, given.rows, given.mixed)
    return Batch(*split(given))


def _join_lone_row(before, batch):
    """One batch of both where the second is a lone row, and None where they cannot be joined."""
    if n_rows_in(*batch) != 1 or n_rows_in(*before) == 1:
        return None
    try:
        x, y = join(tuple(before), tuple(batch))
    except (TypeError, ValueError, KeyError):  # padded to other lengths, say
        return None
    rows = None
    if before.rows is not None and batch.rows is not None:
        rows = torch.cat([before.rows, batch.rows])
    return Batch(x, y, rows, before.mixed or batch.mixed)


def _are_equal(y, whole, start, n):
    if not isinstance(y, torch.Tensor) or not isinstance(whole, torch.Tensor):
        return False
    return torch.equal(y.to(whole), whole[start : start + n])


def tell_places(iterator, dtype, joins):
    """Let a loader join lone last rows and say which rows are in a batch; others stay as they are.

    Before accelerate divides its batches, for which it makes another loader with these parts.
    """
    if isinstance(iterator, BatchLoader):
        iterator.joins = joins
    elif (
        isinstance(iterator, DataLoader)
        and iterator.batch_sampler is not None
        and not isinstance(iterator.collate_fn, TellingCollate)
    ):
        iterator.collate_fn = TellingCollate(iterator.collate_fn, dtype)
        if joins:
            # A loader refuses another sampler, lest it be at odds with its other settings.
            vars(iterator)["batch_sampler"] = JoinedBatches(iterator.batch_sampler)
    return iterator


@contextmanager
def feeding(net, data, weights=None, *, shuffle=False, relabels=False):
    """Let the net's training batches come through a `Feed`, which is returned.

    `shuffle` makes a net shuffle that does not do so by itself. `relabels` says that targets
    change between epochs, which workers that live on would not notice.
    """
    feed = Feed(net, data, weights)
    changed = read_whole(net, data, shuffle)
    if changed is None:
        changed = {"iterator_train": partial(_make_loader, net.iterator_train, feed, shuffle)}
        if n_batches(net, len(data)) == 0:
            changed["iterator_train__drop_last"] = False  # a few forget rows are a batch too
        if relabels and net.get_params_for("iterator_train").get("persistent_workers"):
            changed["iterator_train__persistent_workers"] = False
    changed["get_iterator"] = partial(_get_iterator, feed, net.get_iterator)
    with overridden(net, **changed):
        yield feed


def _get_iterator(feed, plain, dataset, training=False):
    made = plain(dataset, training=training)
    return _Fed(feed, tell_places(made, feed.data.float_dtype, feed.joins)) if training else made


def _make_loader(iterator, feed, shuffle, dataset, /, **options):
    known = isinstance(iterator, type) and issubclass(iterator, DataLoader | BatchLoader)
    shuffling = {"shuffle": True} if shuffle and known else {}
    try:
        made = iterator(dataset, **{**options, **shuffling})
    except (TypeError, ValueError):
        if not shuffling:
            raise
        made = iterator(dataset, **options)  # it has a sampler of its own
    return tell_places(made, feed.data.float_dtype, feed.joins)
