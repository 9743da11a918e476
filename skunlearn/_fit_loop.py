"""Trains nets: skorch's own loop over some rows, on the net's own loss or on a method's."""

import itertools
from contextlib import contextmanager

from skorch.callbacks import EarlyStopping

from skunlearn._batch import Batch
from skunlearn._batching import can_batch
from skunlearn._feed import feeding
from skunlearn._loop import short_epochs
from skunlearn._net_rows import dataset
from skunlearn._overriding import overridden
from skunlearn._skorch import check_finite
from skunlearn._task_loss import TaskLoss


def train(net, rows, *, epochs=None, callbacks=(), shuffle=False, loss=None, relabels=False):
    """Run skorch's own loop over `rows`.

    Unlike ``net.partial_fit`` it lets a KeyboardInterrupt through: an interrupted unlearning
    must not count as done.

    Parameters
    ----------
    net : skorch net
    rows : Rows
        Those with weights count by them, see `TaskLoss`.
    epochs : int or None, default=None
        None takes the net's ``max_epochs``.
    callbacks : list of (name, callback), default=()
        They live for this run only.
    shuffle : bool, default=False
        Make a net shuffle that does not do so by itself.
    loss : callable, default=None
        ``loss(batch)`` of a `Batch` in place of the net's own, which is ``batch.loss()``.
    relabels : bool, default=False
        Whether a callback changes the targets between epochs.

    Returns
    -------
    net : the same net
    """
    data = dataset(net, rows)
    callbacks = list(callbacks)
    for _, callback in callbacks:
        callback.initialize()
    own = net.callbacks_
    net.callbacks_ = own + callbacks
    try:
        feeds = feeding(net, data, rows.weights, shuffle=shuffle, relabels=relabels)
        with feeds as feed, _training_on(net, feed, loss), short_epochs(net):
            net.notify("on_train_begin", X=data, y=None)
            try:
                net.fit_loop(data, None, epochs=epochs)
            except StopTraining:
                pass
            except KeyboardInterrupt:
                if not _stopped_early(net):
                    raise
            net.notify("on_train_end", X=data, y=None)
    finally:
        net.callbacks_ = own
    return check_finite(net)


class StopTraining(Exception):
    """Raised by a callback of ours that ends the training in good order."""


def _stopped_early(net):
    # skorch's EarlyStopping ends the loop by raising KeyboardInterrupt.
    return any(
        isinstance(cb, EarlyStopping) and getattr(cb, "misses_", 0) >= cb.patience
        for _, cb in net.callbacks_
    )


@contextmanager
def _training_on(net, feed, loss):
    """Train on ``loss(batch)`` inside the block, or on the net's own loss by weights."""
    if loss is None and feed.weights is None:
        yield
        return
    plain, task, loss = net.get_loss, TaskLoss(net), loss or Batch.loss

    def get_loss(y_pred, y_true, X=None, *args, training=False, **kwargs):
        if not training:
            return plain(y_pred, y_true, X, *args, training=training, **kwargs)
        batch = feed.answered(X, y_true, y_pred)
        batch.task = task
        return loss(batch)

    with overridden(net, get_loss=get_loss):
        yield


def batches(net, rows):
    """Training batches of `rows` without end, shuffled anew in every pass.

    To be called before a training, in which the net's iterator is another. A batch of one row
    goes to the module under `lone_row`.
    """
    data = dataset(net, rows)
    with feeding(net, data, rows.weights, shuffle=True):
        loader = net.get_iterator(data, training=True)
    return itertools.chain.from_iterable(loader.batches() for _ in itertools.repeat(None))


def gives_plain_rows(net, rows):
    """Whether training batches of `rows` hold the rows as they are, the same in every epoch."""
    return can_batch(net, dataset(net, rows), training=True)
