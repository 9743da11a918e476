"""The only file that knows skorch nets: copying, checking, training, looking inside."""

import functools
import os
import tempfile
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetRegressor
from skorch.callbacks import (
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    LoadInitState,
    LRScheduler,
    TrainEndCheckpoint,
)
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from skunlearn._batching import BatchLoader, all_rows, can_batch, float_dtype, net_rows
from skunlearn._loop import short_epochs
from skunlearn._seeding import seeded
from skunlearn.exceptions import UnlearningError

# They write or read weights on disk under the user's file names: an unlearning must neither
# overwrite the original's checkpoint nor load it back.
_CHECKPOINTING = (Checkpoint, TrainEndCheckpoint, LoadInitState)


def is_net(estimator):
    """Whether `estimator` is a skorch net."""
    return isinstance(estimator, NeuralNet)


def n_batches(net, n_rows):
    """Batches in one pass over `n_rows` rows."""
    options = net.get_params_for("iterator_train")
    size = options.get("batch_size", net.batch_size)
    size = n_rows if size == -1 else size
    return n_rows // size if options.get("drop_last") else -(-n_rows // size)


def fresh_net(net, *, verbose, **params):
    """An initialised net with new weights, optimizer, callbacks and history; `net` is untouched.

    The caller seeds torch.
    """
    new = clone(net)
    if not isinstance(new.train_split, functools.partial):  # predefined_split
        params["train_split"] = None
    new.set_params(verbose=int(verbose), warm_start=False, **params)
    return new.initialize()


def build(net, seed):
    """A net as a training begins with it, on the CPU, to look at: its weights are new."""
    new = clone(net).set_params(
        verbose=0, compile=False, warm_start=False, device=None if net.device is None else "cpu"
    )
    with seeded(seed):
        if not hasattr(new, "accelerator"):
            return new.initialize()
        # No process is to wait for the others.
        new._initialize_virtual_params()
        new._initialize_module()
        new._initialize_criterion()
    return new


def parts(net):
    """Name and module of all modules and criteria."""
    return [(name, single(getattr(net, name + "_"))) for name in [*net._modules, *net._criteria]]


def copy_net(net, *, verbose=0, keep_schedule=True, **params):
    """A net with the weights of `net` and new optimizer, callbacks and history.

    `keep_schedule=False` leaves the callbacks out that set the learning rate.
    """
    new = fresh_net(net, verbose=verbose, **params)
    # The parameter `callbacks` keeps them: it is the recipe, for a later retraining say.
    new.callbacks_ = [
        (name, callback)
        for name, callback in new.callbacks_
        if not isinstance(callback, _CHECKPOINTING)
        and (keep_schedule or not _is_schedule(callback))
    ]
    set_weights(new, _own_weights(net))
    for name in [*net._modules, *net._criteria]:
        _match_form(getattr(new, name + "_"), getattr(net, name + "_"))
    if hasattr(net, "classes_inferred_"):
        new.classes_inferred_ = net.classes_inferred_
    return new


def _is_schedule(callback):
    return isinstance(callback, LRScheduler) or getattr(callback, "sets_learning_rate", False)


def _match_form(module, like):
    """Give parameters and buffers the dtype, memory format and requires_grad of those of `like`.

    A user may have changed them after the net was initialised.
    """
    if not isinstance(module, torch.nn.Module):
        return
    for ours, theirs in zip(module.parameters(), like.parameters(), strict=True):
        ours.requires_grad_(theirs.requires_grad)
        _match_tensor(ours, theirs)
    for ours, theirs in zip(module.buffers(), like.buffers(), strict=True):
        _match_tensor(ours, theirs)


def _match_tensor(ours, theirs):
    if ours.dtype != theirs.dtype or ours.stride() != theirs.stride():
        ours.data = theirs.detach().clone()


def weights(net):
    """Parameters and buffers of all modules and criteria, detached clones on their device."""
    return {key: value.detach().clone() for key, value in _own_weights(net).items()}


def floating_state(net):
    """Parameters and floating buffers of all modules and criteria: the tensors themselves."""
    return [value.detach() for value in _own_weights(net).values() if value.is_floating_point()]


def _own_weights(net):
    return {
        f"{name}{key}": value
        for name in [*net._modules, *net._criteria]
        for key, value in single(getattr(net, name + "_")).state_dict(prefix=".").items()
        if isinstance(value, torch.Tensor)
    }


def single(module):
    """The module that several processes train together, or the module itself."""
    return module.module if isinstance(module, DistributedDataParallel) else module


def settle(model):
    """Drop what a net's last steps left behind: gradients and the optimizer's state.

    They are sums over rows, of forget rows too, and twice the net's memory.
    """
    if not is_net(model):
        return model
    for p in dict(model.get_all_learnable_params()).values():
        p.grad = None
    for name in model._optimizers:
        getattr(model, name + "_").state.clear()
    return model


def set_weights(net, state):
    """Load what `weights` returned."""
    for name in [*net._modules, *net._criteria]:
        prefix = name + "."
        own = {key[len(prefix) :]: v for key, v in state.items() if key.startswith(prefix)}
        single(getattr(net, name + "_")).load_state_dict(own)


def target(net, y):
    """Encoded targets in the dtype and shape that the net's criterion wants."""
    # As the module's outputs: before torch 2.6 a loss of two float dtypes had no gradient.
    floating = np.float64 if float_dtype(net) is torch.float64 else np.float32
    if isinstance(net, NeuralNetRegressor):
        y = np.asarray(y, dtype=floating)
        return y.reshape(len(y), -1)
    binary = isinstance(net, NeuralNetBinaryClassifier)
    return np.asarray(y, dtype=floating if binary else np.int64)


def dataset(net, rows, numbers=False):
    """The data set of `rows` for this net; `numbers` replaces targets by row numbers."""
    whole = None if rows.all_y is None else target(net, rows.all_y)
    return net_rows(net, rows.X, whole, rows.index, numbers)


def gives_plain_rows(net, rows):
    """Whether training batches of `rows` hold the rows as they are, the same in every epoch."""
    return can_batch(net, dataset(net, rows, numbers=True), training=True)


def train(net, rows, *, epochs=None, callbacks=(), shuffle=False, loss=None):
    """Run skorch's own loop over `rows`.

    Unlike ``net.partial_fit`` it lets a KeyboardInterrupt through: an interrupted unlearning
    must not count as done. `callbacks` (name, callback) live for this run only. `shuffle` makes
    a net shuffle that does not do so by itself. ``loss(out, i, x)`` replaces the net's own; it
    is given the module's raw outputs, the numbers in ``rows.X`` of the batch's rows, and the
    batch.
    """
    data = dataset(net, rows, numbers=loss is not None)
    callbacks = list(callbacks)
    for _, callback in callbacks:
        callback.initialize()
    own = net.callbacks_
    kept = own if loss is None else [(n, cb) for n, cb in own if not _reads_targets(cb)]
    net.callbacks_ = kept + callbacks
    try:
        loader = _loaders(net, data, training=True, shuffle=shuffle)
        with loader, own_loss(net, loss), short_epochs(net):
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


def _reads_targets(callback):
    return isinstance(callback, EpochScoring) and callback.on_train


class StopTraining(Exception):
    """Raised by a callback of ours that ends the training in good order."""


@contextmanager
def private_checkpoints(net):
    """Let the net's checkpoint callbacks write to a folder that is thrown away.

    What they load back at the end still works, but the user's files of the first training are
    not overwritten by those of a retraining.
    """
    moved = [cb for _, cb in net.callbacks_ if isinstance(cb, Checkpoint)]
    moved += [cb.checkpoint_ for _, cb in net.callbacks_ if hasattr(cb, "checkpoint_")]
    with _in_private_folders(moved):
        yield


@contextmanager
def private_checkpoints_within(nets):
    """The same for nets that are parts of an estimator, and not initialised yet."""
    given = [cb for net in nets if isinstance(net.callbacks, list) for cb in net.callbacks]
    given = [cb[1] if isinstance(cb, tuple | list) else cb for cb in given]
    moved = [cb for cb in given if isinstance(cb, Checkpoint | TrainEndCheckpoint)]
    # Open files lie in no folder.
    moved = [cb for cb in moved if all(isinstance(f, str | None) for f in cb._f_kwargs().values())]
    with _in_private_folders(moved):
        yield


@contextmanager
def _in_private_folders(checkpoints):
    before = [cb.dirname for cb in checkpoints]
    with tempfile.TemporaryDirectory(prefix="skunlearn-") as folder:
        for i, cb in enumerate(checkpoints):
            cb.dirname = os.path.join(folder, str(i))
            os.mkdir(cb.dirname)
        try:
            yield
        finally:
            for cb, dirname in zip(checkpoints, before):
                cb.dirname = dirname


def _stopped_early(net):
    # skorch's EarlyStopping ends the loop by raising KeyboardInterrupt.
    return any(
        isinstance(cb, EarlyStopping) and getattr(cb, "misses_", 0) >= cb.patience
        for _, cb in net.callbacks_
    )


def check_finite(net):
    """Raise when a weight is NaN or infinite."""
    for name in net._modules:
        for key, value in getattr(net, name + "_").state_dict().items():
            if value.is_floating_point() and not torch.isfinite(value).all():
                raise UnlearningError(
                    f"The training diverged: {name}.{key} holds NaN or infinity. The model is as "
                    "it was before. Try a smaller learning rate."
                )
    return net


@contextmanager
def _loaders(net, data, *, training, shuffle=False):
    changed = {}
    if can_batch(net, data, training):
        changed["iterator_train" if training else "iterator_valid"] = BatchLoader
    iterator = net.iterator_train
    if shuffle and isinstance(iterator, type) and issubclass(iterator, DataLoader | BatchLoader):
        changed["iterator_train__shuffle"] = True
    if training and n_batches(net, len(data)) == 0:
        changed["iterator_train__drop_last"] = False  # a few forget rows are a batch too
    missing = object()
    before = {key: vars(net).get(key, missing) for key in changed}
    vars(net).update(changed)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is missing:
                del vars(net)[key]
            else:
                vars(net)[key] = value


def lookalike(net, **changed):
    """A net that shares everything with `net` but the attributes `changed`, which `net` keeps."""
    other = object.__new__(type(net))
    vars(other).update(vars(net), **changed)
    return other


def _reader(net, data):
    """A net that shares the modules of `net` and reads whole batches; for prediction only."""
    # Swapping the iterator on the shared net itself would not be thread-safe.
    reader = lookalike(net)
    if can_batch(net, data, training=False):
        vars(reader)["iterator_valid"] = BatchLoader
        vars(reader).setdefault("iterator_valid__resident", False)  # one pass is no reason to stay
    infer = reader.infer
    # numpy has no bfloat16, which a module under autocast may return.
    vars(reader)["infer"] = lambda *args, **kwargs: _widened(infer(*args, **kwargs))
    return reader


def eager(net):
    """`net` without torch.compile, sharing its weights: hooks on layers are called for sure."""
    new = object.__new__(type(net))
    vars(new).update(vars(net))
    for name in (*net._modules, *net._criteria):
        vars(new)[name + "_"] = uncompiled(getattr(net, name + "_"))
    return new


def uncompiled(module):
    """The module that torch.compile was given, or the module itself."""
    return getattr(module, "_orig_mod", module)


def _widened(out):
    if isinstance(out, tuple):
        return tuple(map(_widened, out))
    narrow = isinstance(out, torch.Tensor) and out.dtype is torch.bfloat16
    return out.float() if narrow else out


def predict(net, X, method="predict"):
    """``net.predict`` or ``net.predict_proba`` over any container of rows."""
    data = all_rows(net, X)
    return getattr(_reader(net, data), method)(data)


def outputs(net, rows):
    """Raw float32 outputs of the module over `rows`, on the CPU; one forward pass."""
    data = dataset(net, rows)
    out = _reader(net, data).forward(data)
    return (out[0] if isinstance(out, tuple) else out).float()


def class_logits(net, out, n_classes):
    """Logits of shape (n, n_classes) from a classifier's raw outputs."""
    criterion = uncompiled(net.criterion_)
    if isinstance(net, NeuralNetBinaryClassifier):
        z = out.reshape(len(out))
        if isinstance(criterion, torch.nn.BCELoss):
            return _log(torch.stack([1 - z, z], dim=1))
        return torch.stack([torch.zeros_like(z), z], dim=1)
    out = out[:, :n_classes]
    if isinstance(criterion, torch.nn.NLLLoss):
        return _log(out)  # skorch's convention: the module returns probabilities
    if isinstance(criterion, torch.nn.CrossEntropyLoss):
        return out
    probabilities = bool(((out >= 0) & (out <= 1)).all()) and torch.allclose(
        out.sum(1), out.new_ones(len(out)), atol=1e-3
    )
    return _log(out) if probabilities else out


def _log(p):
    return torch.log(p.clamp_min(torch.finfo(p.dtype).tiny))


@contextmanager
def evaluating(net):
    """Modules in evaluation mode: dropout off, BatchNorm's running statistics left alone."""
    net._set_training(False)
    yield


def log_likelihood(net, batch, classes):
    """Sum of log p(y|x) over a batch, differentiable."""
    x, y = batch
    out = net.infer(x)
    out = out[0] if isinstance(out, tuple) else out
    y = y.to(out.device)
    if classes is None:
        return -0.5 * ((out.reshape(y.shape) - y) ** 2).sum()
    logits = class_logits(net, out, len(classes)).float()
    return torch.log_softmax(logits, dim=1).gather(1, y.long().view(-1, 1)).sum()


def loss_gradient(net, rows, params, classes):
    """Gradient by `params` of the mean of −log p(y|x) over `rows`, in evaluation mode."""
    total = [torch.zeros_like(p) for p in params]
    data = dataset(net, rows)
    size = 256
    with evaluating(net):
        for start in range(0, len(rows), size):
            batch = data.batch(np.arange(start, min(start + size, len(rows))))
            loss = -log_likelihood(net, batch, classes) / len(rows)
            grads = torch.autograd.grad(loss, params, allow_unused=True)
            for sum_, grad in zip(total, grads, strict=True):
                if grad is not None:
                    sum_.add_(grad)
    return total


@contextmanager
def extra_loss(net, term):
    """Replace the net's loss L by ``term(L, y_pred)`` inside the block."""
    plain = net.get_loss

    def get_loss(y_pred, y_true, *args, training=False, **kwargs):
        loss = plain(y_pred, y_true, *args, training=training, **kwargs)
        return term(loss, y_pred[0] if isinstance(y_pred, tuple) else y_pred) if training else loss

    vars(net)["get_loss"] = get_loss
    try:
        yield
    finally:
        del vars(net)["get_loss"]


@contextmanager
def own_loss(net, loss):
    """Train on ``loss(out, i, x)`` inside the block; None changes nothing."""
    if loss is None:
        yield
        return
    plain = net.get_loss

    def get_loss(y_pred, y_true, X=None, *args, training=False, **kwargs):
        if not training:
            return plain(y_pred, y_true, X, *args, training=training, **kwargs)
        return loss(y_pred[0] if isinstance(y_pred, tuple) else y_pred, y_true, X)

    vars(net)["get_loss"] = get_loss
    try:
        yield
    finally:
        del vars(net)["get_loss"]


def infer(net, x):
    """Raw outputs of the module on a batch."""
    out = net.infer(x)
    return out[0] if isinstance(out, tuple) else out


def task_loss(net):
    """The net's own training loss as ``loss(out, y)``, whatever replaces it for a while."""
    plain = net.get_loss

    def loss(out, y):
        return plain(out, y, training=True)

    return loss


def batches(net, rows):
    """Training batches ``(x, i)`` of `rows` without end, shuffled anew in every pass."""
    data = dataset(net, rows, numbers=True)
    while True:
        with _loaders(net, data, training=True, shuffle=True):
            loader = net.get_iterator(data, training=True)
        yield from loader


def describe(net):
    """Portable state of a trained net for a cache: weights and history."""
    return {"weights": weights(net), "history": net.history}


def restore(net, state, *, verbose=0):
    """A net like `net` in the state that `describe` returned."""
    new = fresh_net(net, verbose=verbose)
    set_weights(new, state["weights"])
    new.history = state["history"]
    return new


def unwrap(estimator):
    """The estimator inside a FrozenEstimator, or `estimator` itself."""
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator


def is_binary(net):
    """Whether `net` is skorch's binary classifier, which thresholds one output."""
    return isinstance(net, NeuralNetBinaryClassifier)
