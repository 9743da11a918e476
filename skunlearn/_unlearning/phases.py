"""Epochs of several trainings each, under one schedule of learning rates."""

from skorch.callbacks import Callback, LRScheduler

from skunlearn._torch.loop.fit_loop import train
from skunlearn._torch.loop.learning_rates import (
    ScaledRates,
    batch_size,
    rates,
    set_batch_size,
    set_rates,
)
from skunlearn.callbacks import LinearDecay


class Phases:
    """The epochs of a method that trains more than once in each: on forget rows, then on others.

    Every training has an optimizer without a past. Iterate over it for the epochs, and call
    `train` within. When a callback of the user's ends a training, the epoch is completed, and is
    the last.

    Parameters
    ----------
    net : skorch net, with the rates to start from; its ``max_epochs`` are the epochs
    schedule : {"linear", "constant", "net"}
        Rates fall from epoch to epoch, stay, or are left to the schedulers among the net's
        callbacks, which take one epoch here for one of theirs.
    at_least : int, default=1
        Epochs after which the method is done with what a callback must not end.
    """

    def __init__(self, net, schedule, at_least=1):
        self.net, self.n_epochs, self.at_least = net, net.max_epochs, at_least
        self._start, self._size = rates(net), batch_size(net)
        self._decay = LinearDecay() if schedule == "linear" else None
        self._schedulers, self._share, self._stopped = [], 1.0, False

    def __iter__(self):
        """Yield the number of each epoch."""
        net, given = self.net, self.net.callbacks_
        self._schedulers = [cb for _, cb in given if isinstance(cb, LRScheduler | ScaledRates)]
        decays = [cb for _, cb in given if isinstance(cb, LinearDecay)]
        decay = decays[0] if decays else self._decay
        # Each would begin its course anew in every training.
        held = (LRScheduler, ScaledRates, LinearDecay)
        net.callbacks_ = [(name, cb) for name, cb in given if not isinstance(cb, held)]
        for scheduler in self._schedulers:
            scheduler.on_train_begin(net)
        for epoch in range(self.n_epochs):
            self._share = 1.0 if decay is None else decay.share_at(epoch, self.n_epochs)
            yield epoch
            for scheduler in self._schedulers:
                scheduler.on_epoch_end(net)
            if self._stopped and epoch + 1 >= self.at_least:
                break
        set_batch_size(net, self._size)
        net.callbacks_ = given

    def train(self, rows, *, callbacks=(), loss=None, batch_size=None):
        """One pass over `rows`; see `skunlearn._torch.loop.fit_loop.train`."""
        net = self.net
        if self._schedulers:  # they are tied to the optimizer, and set its rates
            for name in net._optimizers:
                getattr(net, name + "_").state.clear()
        else:
            net.initialize_optimizer()
            set_rates(net, self._start, self._share)
        set_batch_size(net, batch_size or self._size)
        steps = [("skunlearn_steps", _Steps(self._schedulers))] if self._schedulers else []
        return train(
            net,
            rows,
            epochs=1,
            callbacks=[*callbacks, *steps],
            shuffle=True,
            loss=loss,
            on_stop=self._stop,
        )

    def _stop(self):
        self._stopped = True


class _Steps(Callback):
    """Lets schedulers take the steps that they take after a batch."""

    def __init__(self, schedulers):
        self.schedulers = schedulers

    def on_batch_end(self, net, training=False, **kwargs):
        for scheduler in self.schedulers:
            scheduler.on_batch_end(net, training=training, **kwargs)
