"""skorch nets: copying, checking, asking, looking inside. `_fit_loop` trains them."""

import functools
import os
import tempfile
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import Callback, Checkpoint, TrainEndCheckpoint
from skorch.helper import predefined_split

from skunlearn._batch import main_output, split
from skunlearn._batching import BatchLoader, can_batch
from skunlearn._callback_roles import acts_once, copy_callbacks, sets_rates
from skunlearn._copying import deep_copy
from skunlearn._data import is_mapping
from skunlearn._net_kinds import is_binary, is_plain
from skunlearn._net_rows import all_rows, cast, reader, unlabelled
from skunlearn._seeding import seeded
from skunlearn._tasks import Labels, task_of
from skunlearn._weights import parts, plain, single, uncompiled
from skunlearn.exceptions import UnlearningError


def is_net(estimator):
    """Whether `estimator` is a skorch net."""
    return isinstance(estimator, NeuralNet)


def fresh_net(net, *, verbose, **params):
    """An initialised net with new weights, optimizer, callbacks and history; `net` is untouched.

    The caller seeds torch.
    """
    new = clone_net(net)
    if not is_predefined(new.train_split):
        params["train_split"] = None
    new.set_params(verbose=int(verbose), warm_start=False, **params)
    return new.initialize()


def is_predefined(split):
    """Whether a train_split is skorch's predefined_split, of validation rows of their own."""
    return isinstance(split, functools.partial) and split.func is _PREDEFINED


_PREDEFINED = predefined_split(None).func


def build(net, seed):
    """A net as a training begins with it, on the CPU, to look at: its weights are new."""
    new = clone_net(net).set_params(
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


def clone_any(estimator):
    """scikit-learn's ``clone``, but for a net's callbacks that cannot be copied."""
    if is_net(estimator):
        return clone_net(estimator)
    try:
        return clone(estimator)
    except TypeError as error:
        raise TypeError(
            f"{type(estimator).__name__} cannot be cloned: {error}. Where a callback of a net "
            "inside it holds a lock or an open writer, give the class of that a __deepcopy__ that "
            "returns self."
        ) from error


def clone_net(net):
    """Clone a net, sharing of its callbacks what cannot be copied: see `copy_callbacks`."""
    found = {key: value for key, value in vars(net).items() if _holds_callbacks(key, value)}
    new = clone(lookalike(net, **dict.fromkeys(found)))
    vars(new).update({key: copy_callbacks(value) for key, value in found.items()})
    return new


def copy_net(net, *, verbose=0, keep_schedule=True, **settings):
    """A copy of an initialised net with new optimizer, callbacks and history.

    Modules and criteria are copied themselves, with whatever was changed on them after they were
    built. Callbacks are left out that act at the start of a training or on its files, and with
    ``keep_schedule=False`` those that set the learning rate.
    """
    dropped = {"callbacks_", "history_", "virtual_params_", *(f"{n}_" for n in net._optimizers)}
    held = {key: value for key, value in vars(net).items() if key not in dropped}
    shared = {key: held.pop(key) for key in list(held) if key.startswith(_SHARED)}
    found = {key: held.pop(key) for key in list(held) if _holds_callbacks(key, held[key])}
    for name in (*net._modules, *net._criteria):
        part = held[name + "_"]
        held[name + "_"] = plain(part) if net.compile else single(part)
    new = object.__new__(type(net))
    vars(new).update(deep_copy(held, {id(net): new}), **shared)
    vars(new).update({key: copy_callbacks(value) for key, value in found.items()})
    if not is_predefined(net.train_split):
        settings["train_split"] = None
    vars(new).update(settings, warm_start=False, verbose=0)
    _initialize_rest(new)
    new.verbose = int(verbose)
    # The parameter `callbacks` keeps them: it is the recipe, for a later retraining say.
    new.callbacks_ = [
        (name, callback)
        for name, callback in new.callbacks_
        if not acts_once(callback) and (keep_schedule or not sets_rates(callback))
    ]
    return new


# What a net reads rows with, and what it shares with other processes.
_SHARED = ("iterator_", "dataset", "train_split", "accelerator")


def _holds_callbacks(key, value):
    return key == "callbacks" or (key.startswith("callbacks__") and isinstance(value, Callback))


def _initialize_rest(net):
    """What ``net.initialize()`` does when it has its modules and criteria already."""
    net._initialize_virtual_params()
    net._initialize_callbacks()
    for kind, names in (("module", net._modules), ("criterion", net._criteria)):
        with net._current_init_context(kind):
            for name in names:
                part = getattr(net, name + "_")
                if isinstance(part, torch.nn.Module):
                    setattr(net, name + "_", net.torch_compile(part, name=name))
    net._initialize_optimizer()
    net.history_ = None
    net._initialize_history()
    if hasattr(net, "_initialize_accelerator"):
        net._wrapped_with_accelerator = False
        net._initialize_accelerator()


def has_callback(net, kind):
    """Whether the net was given a callback of this class, initialised or not."""
    if not net.callbacks or isinstance(net.callbacks, str):
        return False
    given = [cb[1] if isinstance(cb, tuple | list) else cb for cb in net.callbacks]
    return any(issubclass(cb if isinstance(cb, type) else type(cb), kind) for cb in given)


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


def check_finite(net):
    """Raise when a weight is NaN or infinite."""
    for name, part in parts(net):
        for key, value in [*part.named_parameters(), *part.named_buffers()]:
            # A buffer may be meant to hold infinity: a mask of attention, say.
            learnt = isinstance(value, torch.nn.Parameter)
            wrong = ~torch.isfinite(value) if learnt else torch.isnan(value)
            if wrong.any():
                raise UnlearningError(
                    f"The training diverged: {name}.{key} holds NaN or infinity. The model is as "
                    "it was before. Try a smaller learning rate."
                )
    return net


def lookalike(net, **changed):
    """A net that shares everything with `net` but the attributes `changed`, which `net` keeps."""
    other = object.__new__(type(net))
    vars(other).update(vars(net), **changed)
    return other


def _reader(net, data):
    """A net that shares the modules of `net` and reads whole batches; for prediction only."""
    # Swapping the iterator on the shared net itself would not be thread-safe.
    other = lookalike(net)
    if can_batch(net, data, training=False):
        vars(other)["iterator_valid"] = BatchLoader
        vars(other).setdefault("iterator_valid__resident", False)  # one pass is no reason to stay
    elif data.base is not None:

        def get_iterator(dataset, training=False):
            pairs = map(split, net.get_iterator(dataset, training=training))
            return ((cast(x, data.float_dtype), y) for x, y in pairs)

        vars(other)["get_iterator"] = get_iterator
    infer = other.infer
    # skorch takes a tensor or a tuple, and numpy has no bfloat16, which a module under autocast
    # may return.
    vars(other)["infer"] = lambda *args, **kwargs: _plain(infer(*args, **kwargs))
    return other


def eager(net):
    """`net` without torch.compile, sharing its weights: hooks on layers are called for sure."""
    new = object.__new__(type(net))
    vars(new).update(vars(net))
    for name in (*net._modules, *net._criteria):
        vars(new)[name + "_"] = uncompiled(getattr(net, name + "_"))
    return new


def plain_module(net):
    """The net's module as the user wrote it: names of its parts have no prefix."""
    return plain(net.module_)


def _plain(out):
    if is_mapping(out):
        out = main_output(out)
    if isinstance(out, tuple):
        return tuple(map(_plain, out))
    narrow = isinstance(out, torch.Tensor) and out.dtype is torch.bfloat16
    return out.float() if narrow else out


def predict(net, X, method="predict"):
    """``net.predict`` or ``net.predict_proba`` over any container of rows."""
    data = all_rows(net, X)
    return getattr(_reader(net, data), method)(data)


def outputs(net, rows):
    """Raw float32 outputs of the module over `rows`, on the CPU; one forward pass."""
    return _forward(net, unlabelled(net, rows))


def _forward(net, data):
    return main_output(_reader(net, data).forward(data)).float()


def predict_proba(net, X, classes):
    """Probabilities of classes or labels, by columns of the module's output."""
    if is_plain(net):  # whose predict_proba may return what the module does
        said = logits(net, _forward(net, all_rows(net, X)), classes)
        return task_of(classes).probabilities(said.numpy())
    return predict(net, X, "predict_proba")


def logits(net, out, classes):
    """Of raw outputs what the task of `classes` makes losses of: logits, or values."""
    if classes is None:
        return out.reshape(len(out), -1)
    if isinstance(classes, Labels):
        return _label_logits(net, out).float()
    return class_logits(net, out, len(classes)).float()


def _label_logits(net, out):
    """Logits of shape (n, n_labels) from the raw outputs of a multi-label net."""
    if isinstance(uncompiled(net.criterion_), torch.nn.BCELoss):
        return torch.logit(out, eps=torch.finfo(out.dtype).eps)
    return out


def class_logits(net, out, n_classes):
    """Logits of shape (n, n_classes) from a classifier's raw outputs."""
    criterion = uncompiled(net.criterion_)
    if is_binary(net):
        z = out.reshape(len(out))
        if isinstance(criterion, torch.nn.BCELoss):
            return _log(torch.stack([1 - z, z], dim=1))
        return torch.stack([torch.zeros_like(z), z], dim=1)
    out = out[:, :n_classes]
    if isinstance(criterion, torch.nn.NLLLoss):
        # skorch's convention for its classifiers: the module returns probabilities.
        return _log(out) if isinstance(net, NeuralNetClassifier) else out
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


def log_likelihoods(net, batch, classes):
    """log p(y|x) of each row of a batch, differentiable."""
    x, y = batch
    out = infer(net, x)
    return task_of(classes).log_likelihoods(logits(net, out, classes), y.to(out.device))


def loss_gradient(net, rows, params, classes):
    """Gradient by `params` of the mean of −log p(y|x) over `rows`, in evaluation mode."""
    total = [torch.zeros_like(p) for p in params]
    data, size = reader(net, rows), 256
    shares = torch.as_tensor(rows.shares())
    with evaluating(net):
        for start in range(0, len(rows), size):
            places = np.arange(start, min(start + size, len(rows)))
            values = log_likelihoods(net, data.batch(places), classes)
            loss = -(shares[places].to(values) * values).sum()
            grads = torch.autograd.grad(loss, params, allow_unused=True)
            for sum_, grad in zip(total, grads, strict=True):
                if grad is not None:
                    sum_.add_(grad)
    return total


def name_columns(net, classes):
    """Give a classifier net of which skorch has inferred no classes those of its columns.

    Callbacks that score validation rows ask for them.
    """
    named = getattr(net, "classes", None) is not None and len(net.classes)
    if classes is None or is_plain(net) or named or hasattr(net, "classes_inferred_"):
        return net
    net.classes_inferred_ = np.arange(len(classes))
    return net


def infer(net, x):
    """The module's output of which predictions are made, on a batch."""
    return main_output(net.infer(x))


def unwrap(estimator):
    """The estimator inside a FrozenEstimator, or `estimator` itself."""
    return estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
