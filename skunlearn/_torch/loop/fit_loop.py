"""Trains nets: skorch's own loop over some rows, on the net's own loss or on a method's."""

import itertools
from contextlib import contextmanager, nullcontext

import torch

from skunlearn._rows.containers import is_dataset
from skunlearn._torch.batches.batching import can_batch, read_whole
from skunlearn._torch.batches.feed import feeding
from skunlearn._torch.batches.net_rows import make_dataset
from skunlearn._torch.batches.training_batch import Batch
from skunlearn._torch.loop.epoch_loop import short_epochs, sum_terms, takes_terms
from skunlearn._torch.loop.run_guards import (
    KeptStart,
    is_own_stop,
    lenient_scores,
    shapes_start,
    watched_interrupts,
)
from skunlearn._torch.loop.task_loss import TaskLoss
from skunlearn._torch.parts.net_state import count_weights, refuse_diverged
from skunlearn._torch.skorch_nets import overridden

_SMALL = 2**18  # bytes of weights, and of a batch, of which a second gradient is no burden


def train(
    net,
    rows,
    *,
    epochs=None,
    callbacks=(),
    shuffle=False,
    loss=None,
    relabels=False,
    from_scratch=False,
    strict=False,
    on_stop=lambda: None,
):
    """Run skorch's own loop over `rows`.

    Unlike ``net.partial_fit`` it lets Ctrl-C through: an interrupted unlearning must not count as
    done. A KeyboardInterrupt of a callback's own ends the run in good order.

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
        ``loss(batch)`` of a `Batch` in place of the net's own, which is ``batch.loss()``; or a
        generator of the terms of a sum, each of another pass of rows through the net.
    relabels : bool, default=False
        Whether a callback changes the targets between epochs.
    from_scratch : bool, default=False
        Otherwise the weights to start from are those that the net has, whatever callbacks of the
        user's do at the beginning.
    strict : bool, default=False
        Whether a callback of the user's that cannot score these rows ends the training; see
        `lenient_scores`.
    on_stop : callable, default does nothing
        Called when a callback has ended the run.

    Returns
    -------
    net : the same net
    """
    data, plain = make_dataset(net, rows), loss is None and rows.weights is None
    told = {"X": data, "y": None if is_dataset(rows.source) else data.y}
    callbacks = list(callbacks)
    for _, callback in callbacks:
        callback.initialize()
    own = net.callbacks_
    if not from_scratch and shapes_start(net):
        callbacks.insert(0, ("skunlearn_start", KeptStart(net)))
    net.callbacks_ = own + callbacks
    try:
        # A loss asks for its batch, and a lone row is guarded; any other batch need not be fed.
        whole = read_whole(net, data, shuffle, lone_ok=False) if plain else None
        if whole is None:
            feeds = feeding(net, data, rows.weights, shuffle=shuffle, relabels=relabels)
        else:
            feeds = overridden(net, **whole)
        with (
            feeds as feed,
            nullcontext() if plain else _training_on(net, feed, loss),
            nullcontext() if strict else lenient_scores(net),
            short_epochs(net),
            watched_interrupts() as pressed,
        ):
            net.notify("on_train_begin", **told)
            try:
                net.fit_loop(data, None, epochs=epochs)
            except StopTraining:
                pass
            except KeyboardInterrupt as error:
                if not is_own_stop(error, pressed):
                    raise
                on_stop()
            if net.history:  # of no epoch, callbacks have nothing to look at
                net.notify("on_train_end", **told)
    finally:
        net.callbacks_ = own
    return refuse_diverged(net)


class StopTraining(Exception):
    """Raised by a callback of ours that ends the training in good order."""


@contextmanager
def _training_on(net, feed, loss):
    """Train on ``loss(batch)`` inside the block, or on the net's own loss by weights."""
    plain, task, loss = net.get_loss, TaskLoss(net), loss or Batch.loss
    apart, weights = takes_terms(net), count_weights(net)

    def get_loss(y_pred, y_true, X=None, *args, training=False, **kwargs):
        if not training:
            return plain(y_pred, y_true, X, *args, training=training, **kwargs)
        batch = feed.answer(X, y_true, y_pred)
        batch.task = task
        found = loss(batch)
        if isinstance(found, torch.Tensor):
            return found
        # Terms that are differentiated one by one spare memory, which they cost in time.
        small = isinstance(X, torch.Tensor) and max(weights, X.nbytes) <= _SMALL
        return found if apart and not small else sum_terms(found)

    with overridden(net, get_loss=get_loss):
        yield


def batches(net, rows):
    """Training batches of `rows` without end, shuffled anew in every pass.

    To be called before a training, in which the net's iterator is another. A batch of one row
    goes to the module under `lone_row`.
    """
    data = make_dataset(net, rows)
    with feeding(net, data, rows.weights, shuffle=True):
        loader = net.get_iterator(data, training=True)
    return itertools.chain.from_iterable(loader.batches() for _ in itertools.repeat(None))


def gives_plain_rows(net, rows):
    """Whether training batches of `rows` hold the rows as they are, the same in every epoch."""
    return can_batch(net, make_dataset(net, rows), training=True)
