"""The only file that knows skorch nets: copying, checking, training, looking inside."""

import copy
import fnmatch
import functools
from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.callbacks import (
    Checkpoint,
    EarlyStopping,
    LoadInitState,
    LRScheduler,
    TrainEndCheckpoint,
)
from skorch.dataset import ValidSplit

from skunlearn._batching import BatchLoader, all_rows, can_batch, net_rows
from skunlearn._record import Rows
from skunlearn.exceptions import UnlearningError

# They write or read weights on disk under the user's file names: an unlearning must neither
# overwrite the original's checkpoint nor load it back.
_CHECKPOINTING = (Checkpoint, TrainEndCheckpoint, LoadInitState)


def is_net(estimator):
    """Whether `estimator` is a skorch net."""
    return isinstance(estimator, NeuralNet)


def check_net(net, method, *, trained):
    """Refuse nets whose training rows or initial weights would not be what they seem."""
    if not isinstance(net, NeuralNetClassifier | NeuralNetBinaryClassifier | NeuralNetRegressor):
        raise TypeError(
            f"{method} takes NeuralNetClassifier, NeuralNetBinaryClassifier or "
            f"NeuralNetRegressor, got {type(net).__name__}."
        )
    if not trained:
        refuse_module_instance(net)
    if _hides_rows(net, trained):
        raise ValueError(
            f"train_split={net.train_split!r} keeps rows out of training, which would then "
            "count as seen although the net never saw them. Pass train_split=None, or "
            "skorch.helper.predefined_split(valid_dataset) with rows of its own."
        )


def refuse_module_instance(net):
    """Raise when the net was built with a module instance."""
    if isinstance(net.module, torch.nn.Module):
        raise TypeError(
            "The net was built with a module instance, which carries its weights into every "
            "clone, so neither retraining nor cross-validation could start afresh. Pass the "
            f"class: {type(net).__name__}({type(net.module).__name__}, module__<parameter>=...). "
            "An already trained net can be fine-tuned as FrozenEstimator(net)."
        )


def _hides_rows(net, trained):
    split = net.train_split
    if split is None or isinstance(split, functools.partial):  # predefined_split
        return False
    default = (
        isinstance(split, ValidSplit)
        and split.cv == 5
        and split.stratified == (not isinstance(net, NeuralNetRegressor))
    )
    # skorch's default split is nobody's choice; `fresh_net` leaves it out.
    return trained or not default


def copy_trained(model, rows, *, verbose=0):
    """A copy of a trained net or estimator whose training rows are said to be `rows`."""
    if not is_net(model):
        return copy.deepcopy(model)
    seen = _rows_trained_on(model)
    slack = model.batch_size if model.get_params_for("iterator_train").get("drop_last") else 0
    if seen is not None and len(rows) < seen:
        raise ValueError(
            f"The trained net has seen {seen} rows, but fit was given {len(rows)}. The others "
            "would count as unseen although it remembers them. Pass all of its training rows, "
            "or the untrained net, so that it is trained on these rows only."
        )
    if seen is not None and len(rows) > seen + slack:
        raise ValueError(
            f"The trained net has seen {seen} rows, but fit was given {len(rows)}. Pass exactly "
            "the rows that it was trained on (its train_split may have kept some back)."
        )
    return copy_net(model, verbose=verbose)


def _rows_trained_on(net):
    """Rows in an epoch of the net's training, or None when its history does not tell."""
    if {"sampler", "batch_sampler"} & set(net.get_params_for("iterator_train")):
        return None
    try:
        return max(
            sum(batch["train_batch_size"] for batch in epoch["batches"]) for epoch in net.history
        )
    except (KeyError, TypeError, ValueError):
        return None


def trained_classes(net, X, y):
    """Classes of a trained classifier: its columns, since it was trained on their numbers."""
    if y.dtype.kind not in "iu" or y.min() < 0:
        raise ValueError(
            "The labels of an already trained net must be the column numbers that it was trained "
            f"on (0, 1, ...), got labels of dtype {y.dtype} from {y.min()!r}."
        )
    if is_binary(net):
        return np.arange(2)
    return np.arange(outputs(net, Rows(X, None, [0])).shape[1])


def n_batches(net, rows):
    """Batches in one pass over `rows`."""
    options = net.get_params_for("iterator_train")
    size = options.get("batch_size", net.batch_size)
    size = len(rows) if size == -1 else size
    return len(rows) // size if options.get("drop_last") else -(-len(rows) // size)


def fresh_net(net, *, verbose, **params):
    """An initialised net with new weights, optimizer and history; `net` is untouched.

    The caller seeds torch.
    """
    new = clone(net)
    if not isinstance(new.train_split, functools.partial):
        params["train_split"] = None
    new.set_params(verbose=int(verbose), warm_start=False, **params)
    return new.initialize()


def copy_net(net, *, verbose=0, keep_schedule=True, **params):
    """A net with the weights of `net` and new optimizer, callbacks and history.

    `keep_schedule=False` leaves the net's own LRScheduler out.
    """
    dropped = _CHECKPOINTING if keep_schedule else (*_CHECKPOINTING, LRScheduler)
    params["callbacks"] = [cb for cb in net.callbacks or [] if not _is_a(cb, dropped)]
    new = fresh_net(net, verbose=verbose, **params)
    set_weights(new, weights(net))
    if hasattr(net, "classes_inferred_"):
        new.classes_inferred_ = net.classes_inferred_
    return new


def _is_a(callback, classes):
    callback = callback[1] if isinstance(callback, tuple | list) else callback
    return isinstance(callback, classes) or callback in classes


def weights(net):
    """Parameters and buffers of all modules and criteria, detached clones on their device."""
    return {
        f"{name}{key}": value.detach().clone()
        for name in [*net._modules, *net._criteria]
        for key, value in getattr(net, name + "_").state_dict(prefix=".").items()
        if isinstance(value, torch.Tensor)
    }


def set_weights(net, state):
    """Load what `weights` returned."""
    for name in [*net._modules, *net._criteria]:
        prefix = name + "."
        own = {key[len(prefix) :]: v for key, v in state.items() if key.startswith(prefix)}
        getattr(net, name + "_").load_state_dict(own)


def target(net, y):
    """Encoded targets in the dtype and shape that the net's criterion wants."""
    if isinstance(net, NeuralNetRegressor):
        y = np.asarray(y, dtype=np.float32)
        return y.reshape(len(y), -1)
    binary = isinstance(net, NeuralNetBinaryClassifier)
    return np.asarray(y, dtype=np.float32 if binary else np.int64)


def dataset(net, rows):
    """The data set of `rows` for this net."""
    whole = None if rows.all_y is None else target(net, rows.all_y)
    return net_rows(net, rows.X, whole, rows.index)


def train(net, rows, *, epochs=None, callbacks=(), shuffle=None):
    """Run skorch's own loop over `rows`.

    Unlike ``net.partial_fit`` it lets a KeyboardInterrupt through: an interrupted unlearning
    must not count as done. `callbacks` (name, callback) live for this run only.
    """
    data = dataset(net, rows)
    callbacks = list(callbacks)
    for _, callback in callbacks:
        callback.initialize()
    own = net.callbacks_
    net.callbacks_ = own + callbacks
    try:
        with _loaders(net, data, training=True, shuffle=shuffle):
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
def _loaders(net, data, *, training, shuffle=None):
    changed = {}
    if can_batch(net, data, training):
        changed["iterator_train" if training else "iterator_valid"] = BatchLoader
    if shuffle is not None:
        changed["iterator_train__shuffle"] = shuffle
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


def _reader(net, data):
    """A net that shares the modules of `net` and reads whole batches; for prediction only."""
    # Swapping the iterator on the shared net itself would not be thread-safe.
    reader = object.__new__(type(net))
    vars(reader).update(vars(net))
    if can_batch(net, data, training=False):
        vars(reader)["iterator_valid"] = BatchLoader
    return reader


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
    criterion = net.criterion_
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


def check_outputs(net, rows, n_classes):
    """Refuse a net whose module has fewer outputs than there are classes.

    The forward pass over two rows also gives lazy modules their shapes.
    """
    out = outputs(net, rows.take(np.arange(min(2, len(rows)))))
    width = 2 if isinstance(net, NeuralNetBinaryClassifier) else out.shape[1] if out.ndim > 1 else 1
    if n_classes is not None and width < n_classes:
        raise ValueError(
            f"y has {n_classes} classes, but {type(net).__name__}'s module returns {width} "
            "outputs per row. Give the module as many outputs as there are classes."
        )


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


_LIKELIHOODS = (
    torch.nn.CrossEntropyLoss,
    torch.nn.NLLLoss,
    torch.nn.BCEWithLogitsLoss,
    torch.nn.BCELoss,
    torch.nn.MSELoss,
)


def check_likelihood(net):
    """Refuse criteria that are not a log-likelihood, from which Fisher information is made."""
    if not isinstance(net.criterion_, _LIKELIHOODS):
        names = ", ".join(cls.__name__ for cls in _LIKELIHOODS)
        raise UnlearningError(
            f"norm='fisher' needs log p(y|x), which {type(net.criterion_).__name__} does not "
            f"give; it works with {names}. Use norm='l2'."
        )


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


def penalised_parameters(net, rows, exclude):
    """Trainable parameters but for the excluded ones; excluding nothing real is an error."""
    exclude = [exclude] if isinstance(exclude, str) else list(exclude)
    named = {name: p for name, p in net.module_.named_parameters() if p.requires_grad}
    left_out = set()
    for pattern in exclude:
        hit = _matching(net, rows, pattern, named)
        if not hit:
            raise ValueError(
                f"exclude={pattern!r} matches none of the net's parameters: {sorted(named)}."
            )
        left_out |= hit
    return [p for name, p in named.items() if name not in left_out]


def _matching(net, rows, pattern, named):
    if pattern == "bias":
        return {name for name in named if name.rsplit(".", 1)[-1] == "bias"}
    if pattern == "norm":
        return _names_of(named, [m for m in net.module_.modules() if isinstance(m, _NORMS)])
    if pattern == "head":
        return _names_of(named, layers_in_order(net, rows)[-1:])
    return {name for name in named if fnmatch.fnmatchcase(name, pattern)}


_NORMS = (torch.nn.modules.batchnorm._NormBase, torch.nn.LayerNorm, torch.nn.GroupNorm)


def _names_of(named, modules):
    own = {id(p) for module in modules for p in module.parameters(recurse=False)}
    return {name for name, p in named.items() if id(p) in own}


def layers_in_order(net, rows):
    """Modules with parameters of their own, in the order of the forward pass.

    Registration order is another thing: a head may be registered first.
    """
    seen = []
    hooks = [
        module.register_forward_hook(lambda module, *_: seen.append(module))
        for module in net.module_.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        outputs(net, rows.take([0]))
    finally:
        for hook in hooks:
            hook.remove()
    return list(dict.fromkeys(seen))


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
