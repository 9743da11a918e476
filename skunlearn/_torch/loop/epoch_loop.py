"""skorch's training epoch without the calls that nobody listens to, and its steps on one tensor."""

import functools
import operator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback, EpochScoring, PrintLog
from skorch.dataset import get_len, unpack_data
from skorch.history import History
from skorch.utils import TeeGenerator
from torch.optim import Optimizer
from torch.optim import optimizer as optimizers

from skunlearn._torch.batches.training_batch import Batch
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
# What torch lays around the ``step`` of each kind of optimizer: a note for a profiler, and hooks.
# None where a torch to come has another way; its ``step`` is then called as it is.
_AROUND = getattr(getattr(Optimizer, "profile_hook_step", id)(None), "__code__", None)


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

    with ExitStack() as stack:
        if has_plain_steps(net):
            stack.enter_context(overridden(net, run_single_epoch=run_single_epoch))
        for _, log in net.callbacks_:
            if type(log) is PrintLog and log.sink is print:
                stack.enter_context(overridden(log, on_epoch_end=partial(_print_epoch, log)))
        yield


def _print_epoch(log, net, **kwargs):
    if net.verbose:
        PrintLog.on_epoch_end(log, net, **kwargs)


def has_plain_steps(net):
    """Whether a net trains by skorch's own steps: one module, one optimizer of torch's."""
    for name in _OWN:
        if name in vars(net) or getattr(type(net), name) is not getattr(NeuralNet, name):
            return False
    optimizer = type(getattr(net, "optimizer_", None))
    return (
        type(net.history) is History
        and list(net._modules) == ["module"]
        and list(net._optimizers) == ["optimizer"]
        # Others may call their closure twice.
        and f"{optimizer.__module__}.".startswith("torch.optim.")  # Adafactor is in that itself
        and optimizer is not torch.optim.LBFGS
    )


def _epoch(net, iterator, prefix):
    begin = find_listeners(net, "on_batch_begin")
    computed = find_listeners(net, "on_grad_computed")
    end = find_listeners(net, "on_batch_end")
    kinds = {type(getattr(listener, "__self__", None)) for listener in (*begin, *computed, *end)}
    foreign = {kind for kind in kinds if not kind.__module__.startswith("skunlearn.")}
    history, count, losses = net.history, 0, []
    noted = history[-1]["batches"]
    reads_losses = bool(foreign - {EpochScoring})  # of the epoch that is going on
    # Neither a callback of ours nor a score adds or takes a parameter in the middle of an epoch.
    fixed = type(net).get_all_learnable_params is NeuralNet.get_all_learnable_params
    fixed = fixed and not reads_losses
    params = list(net.get_all_learnable_params()) if computed and fixed else None
    makes_batches = type(net).on_batch_begin is NeuralNet.on_batch_begin
    step = DirectStep(net)
    net._set_training(True)
    try:
        for batch in iterator:
            if makes_batches:
                noted.append({})
            if not reads_losses:  # nor gradients; ours may hold others meanwhile
                drop_gradients(net.optimizer_)
            tell(begin, net, batch=batch, training=True)
            if not net.module_.training:  # a callback has looked at predictions
                net._set_training(True)
            optimizer = net.optimizer_
            drop_gradients(optimizer)
            X, y = batch if type(batch) is Batch else unpack_data(batch)
            out = step.infer(X)
            loss = differentiate(step.get_loss(out, y, X))
            for listener in computed:
                named = params or TeeGenerator(net.get_all_learnable_params())
                tell([listener], net, named_parameters=named, batch=batch, training=True)
            take_step(optimizer)
            value = loss.detach()
            losses.append((noted[-1], value.reshape(()) if value.ndim else value))
            size = len(y) if isinstance(y, torch.Tensor) and y.ndim else get_len(X)
            noted[-1][prefix + "_batch_size"] = size
            if reads_losses:
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


def tell(listeners, net, **event):
    """What ``net.notify`` does, for those who listen."""
    for listener in listeners:
        listener(net, **event)


def find_listeners(net, name):
    """Bound methods `name` of the net's class and its callbacks that do anything."""
    own = [] if getattr(type(net), name) is getattr(NeuralNet, name) else [getattr(net, name)]
    return own + [
        getattr(callback, name)
        for _, callback in net.callbacks_
        if name in vars(callback)
        or getattr(type(callback), name, None) is not getattr(Callback, name)
    ]


class DirectStep:
    """What a net's ``infer``, ``get_loss`` and optimizer do, sooner where that is skorch's own.

    On a small net skorch's questions about a batch (is it a mapping, a list, of another library?)
    and the notes for a profiler take a tenth of a step. Batches that are anything but tensors on
    the net's device, and nets with steps of their own, go the long way.

    Parameters
    ----------
    net : skorch net
    """

    def __init__(self, net):
        self._net = net
        # "cuda" is no tensor's device: that has a number.
        self._device = None if net.device is None else torch.empty(0, device=net.device).device
        self._infers = type(net).infer is NeuralNet.infer
        # skorch takes the log of what goes to a classifier's NLLLoss.
        logs = isinstance(getattr(net, "criterion_", None), torch.nn.NLLLoss)
        self._loses = type(net).get_loss is NeuralNet.get_loss or (
            type(net).get_loss is NeuralNetClassifier.get_loss and not logs
        )

    def infer(self, X):
        """``net.infer(X)``."""
        net = self._net
        if self._infers and "infer" not in vars(net) and self._is_at_home(X):
            return net.module_(X)
        return net.infer(X)

    def get_loss(self, out, y, X, of_class=False):
        """``net.get_loss(out, y, X=X, training=True)``.

        That of the net's class, whatever replaces it on the net, where `of_class` says so.
        """
        net = self._net
        if "get_loss" in vars(net) and not of_class:
            return net.get_loss(out, y, X=X, training=True)
        if self._loses and self._is_at_home(y):
            return net.criterion_(out, y)
        return type(net).get_loss(net, out, y, X=X, training=True)

    def _is_at_home(self, value):
        return type(value) is torch.Tensor and (
            self._device is None or value.device == self._device
        )


def takes_terms(net):
    """Whether a loss may come in terms to the net's epochs.

    Not where others than this loop differentiate it, or a hook is to see the gradient of the whole.
    """
    return has_plain_steps(net) and not any(
        p._backward_hooks or getattr(p, "_post_accumulate_grad_hooks", None)
        for p in net.module_.parameters()
    )


def sum_terms(terms):
    """A loss of terms as one."""
    return functools.reduce(operator.add, terms)


def differentiate(loss):
    """Add the gradients of a loss, or of each of its terms; returns the loss.

    PyTorch keeps the gradients that reach a weight from several passes until it has added them to
    one more, and what the passes have computed until the last of them: a term that is
    differentiated before the next is made spares the memory of both.
    """
    if isinstance(loss, torch.Tensor):
        loss.backward()
        return loss
    whole = None
    for term in loss:
        term.backward()
        whole = term.detach() if whole is None else whole + term.detach()
    return whole


def drop_gradients(optimizer):
    """``optimizer.zero_grad()``."""
    if type(optimizer).zero_grad is not Optimizer.zero_grad or "zero_grad" in vars(optimizer):
        optimizer.zero_grad()
        return
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = None


def take_step(optimizer):
    """``optimizer.step()``, without a note for a profiler where none runs and nobody hooks in.

    On a small net that note takes a fifth as long as all that is done to the weights.
    """
    step = type(optimizer).step
    listened = (
        "step" in vars(optimizer)  # schedulers count the steps
        or _AROUND is None
        or getattr(step, "__code__", None) is not _AROUND
        or optimizer._optimizer_step_pre_hooks
        or optimizer._optimizer_step_post_hooks
        or optimizers._global_optimizer_pre_hooks
        or optimizers._global_optimizer_post_hooks
        or torch.autograd._profiler_enabled()
    )
    if listened:
        optimizer.step()
    else:
        step.__wrapped__(optimizer)
