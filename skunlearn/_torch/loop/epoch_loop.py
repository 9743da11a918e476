"""skorch's training epoch without the calls that nobody listens to."""

from contextlib import contextmanager

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EpochScoring, PrintLog
from skorch.dataset import get_len, unpack_data
from skorch.history import History
from skorch.utils import TeeGenerator

from skunlearn._torch.batches.training_batch import Batch
from skunlearn._torch.loop.direct_steps import DirectStep, drop_gradients
from skunlearn._torch.skorch_nets import overridden

# Where a net has its own version of one of these, skorch's loop runs.
_OWN = (
    "run_single_epoch",
    "train_step",
    "train_step_single",
    "get_train_step_accumulator",
    "notify",
    "_step_optimizer",
    "_zero_grad_optimizer",
)


@contextmanager
def short_epochs(net):
    """Let the net run its training epochs by `_epoch`, which gives the same weights sooner.

    On a small net a third of skorch's step is spent on notifying callbacks that define nothing, on
    switching modules that are in training mode already, and on closures; and a sixth of the time
    on tables that nobody sees. skorch asks whether to print an epoch's line once it has made it.
    Logs with a sink of their own get every line.
    """
    plain = net.run_single_epoch

    def run_single_epoch(iterator, training, prefix, step_fn, **fit_params):
        if training and iterator is not None and not fit_params:
            _epoch(net, iterator, prefix)
        else:
            plain(iterator, training, prefix, step_fn, **fit_params)

    logs = [log for _, log in net.callbacks_ if type(log) is PrintLog and log.sink is print]
    for log in logs:
        log.__class__ = _AskedFirst
    try:
        with overridden(
            net, **({"run_single_epoch": run_single_epoch} if has_plain_steps(net) else {})
        ):
            yield
    finally:
        for log in logs:
            log.__class__ = PrintLog


class _AskedFirst(PrintLog):
    """skorch's `PrintLog`, which makes no table that it does not print."""

    def on_epoch_end(self, net, **kwargs):
        """Print the epoch's line, if any."""
        if net.verbose:
            super().on_epoch_end(net, **kwargs)


def has_plain_steps(net):
    """Whether a net trains by skorch's own steps: one module, one optimizer of torch's."""
    optimizer = type(getattr(net, "optimizer_", None))
    return (
        all(getattr(type(net), name) is getattr(NeuralNet, name) for name in _OWN)
        and not any(name in vars(net) for name in _OWN)
        and type(net.history) is History
        and list(net._modules) == ["module"]
        and list(net._optimizers) == ["optimizer"]
        # Others may call their closure twice.
        and f"{optimizer.__module__}.".startswith("torch.optim.")  # Adafactor is in that itself
        and optimizer is not torch.optim.LBFGS
    )


def _epoch(net, iterator, prefix):
    events = "on_batch_begin", "on_grad_computed", "on_batch_end"
    begin, computed, end = (_find_listeners(net, event) for event in events)
    history, count = net.history, 0
    noted = history[-1]["batches"]
    listeners = [*begin, *computed, *end]
    is_read, losses = any(map(_may_read_losses, listeners)), []
    # No callback of ours adds or takes a parameter in the middle of an epoch.
    ours = type(net).get_all_learnable_params is NeuralNet.get_all_learnable_params
    ours = ours and all(map(_is_ours, listeners))
    params = list(net.get_all_learnable_params()) if computed and ours else None
    makes_batches = type(net).on_batch_begin is NeuralNet.on_batch_begin
    step = DirectStep(net)
    net._set_training(True)
    try:
        for batch in iterator:
            if makes_batches:
                noted.append({})
            tell(begin, net, batch=batch, training=True)
            if not net.module_.training:  # a callback has looked at predictions
                net._set_training(True)
            optimizer = net.optimizer_
            drop_gradients(optimizer)
            X, y = batch if type(batch) is Batch else unpack_data(batch)
            out = step.infer(X)
            loss = step.get_loss(out, y, X)
            loss.backward()
            for listener in computed:
                named = params or TeeGenerator(net.get_all_learnable_params())
                tell([listener], net, named_parameters=named, batch=batch, training=True)
            optimizer.step()
            value = loss.detach()
            losses.append((noted[-1], value.reshape(()) if value.ndim else value))
            size = len(y) if isinstance(y, torch.Tensor) and y.ndim else get_len(X)
            noted[-1][prefix + "_batch_size"] = size
            if is_read:
                _record(prefix, losses)
            tell(end, net, batch=batch, training=True, loss=loss, y_pred=out)
            count += 1
    finally:
        _record(prefix, losses)
    history.record(prefix + "_batch_count", count)


def _record(prefix, losses):
    """Write down the losses of the latest batches, for all of which a device is waited once."""
    if losses:
        batches, values = zip(*losses)
        for batch, value in zip(batches, torch.stack(values).cpu().tolist()):
            batch[prefix + "_loss"] = value
        losses.clear()


def _may_read_losses(listener):
    """Whether a callback could look at the losses of the epoch that is going on."""
    return type(getattr(listener, "__self__", None)) is not EpochScoring and not _is_ours(listener)


def _is_ours(listener):
    kind = type(getattr(listener, "__self__", None))
    return kind.__module__.startswith("skunlearn.")


def tell(listeners, net, **event):
    """What ``net.notify`` does, for those who listen."""
    for listener in listeners:
        listener(net, **event)


def _find_listeners(net, name):
    """Bound methods `name` of the net's class and its callbacks that do anything."""
    own = [] if getattr(type(net), name) is getattr(NeuralNet, name) else [getattr(net, name)]
    return own + [
        getattr(callback, name)
        for _, callback in net.callbacks_
        if name in vars(callback)
        or getattr(type(callback), name, None) is not getattr(Callback, name)
    ]
