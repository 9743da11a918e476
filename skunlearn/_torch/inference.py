"""What a net says of rows: outputs, logits, likelihoods, and their gradients."""

from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.utils import to_device

from skunlearn._rows.containers import is_dataset, is_mapping, n_rows
from skunlearn._rows.seeding import seeded
from skunlearn._rows.views import Rows
from skunlearn._torch.batches.batching import BatchLoader, can_batch
from skunlearn._torch.batches.net_rows import make_net_rows, make_reader
from skunlearn._torch.batches.training_batch import cast, main_output, split
from skunlearn._torch.loop.epoch_loop import DirectStep
from skunlearn._torch.parts.net_kinds import is_binary, is_plain
from skunlearn._torch.parts.net_state import parts, uncompiled
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import Labels, task_of
from skunlearn._torch.skorch_nets import lookalike

# Bytes of rows and rows that go through a net at a time where its own batches are smaller, and how
# many of these make one. A training keeps what every layer makes of a batch, and a pass without
# gradients what two of them do.
_WIDEST = 2**18, 256, 16
# What a net passes rows through itself by; one that has its own version of them does so itself.
_PASS = ("forward", "forward_iter", "evaluation_step", "get_dataset")


def _make_reader(net, data):
    """A net that shares the modules of `net` and reads whole batches; for prediction only."""
    # Swapping the iterator on the shared net itself would not be thread-safe.
    other = lookalike(net)
    if can_batch(net, data, training=False):
        vars(other).pop("get_iterator", None)  # of a training that is under way
        vars(other)["iterator_valid"] = BatchLoader
        vars(other).setdefault("iterator_valid__resident", False)  # one pass is no reason to stay
    elif data.base is not None:

        def get_iterator(dataset, training=False):
            pairs = map(split, net.get_iterator(dataset, training=training))
            return ((cast(x, data.float_dtype), y) for x, y in pairs)

        vars(other)["get_iterator"] = get_iterator
    # Not that of `other`, which would be held until a collection of garbage, and the net.
    vars(other)["infer"] = partial(_infer_plain, net.infer)
    return other


def _infer_plain(infer, *args, **kwargs):
    """What ``infer`` returns as skorch takes it: a tensor or a tuple.

    numpy has no bfloat16, which a module under autocast may return.
    """
    out = infer(*args, **kwargs)
    return out if type(out) is torch.Tensor and out.dtype is torch.float32 else _plain(out)


def _widen(net, data):
    """How many rows go through `net` at a time; no fewer than in its own batches."""
    own, (most_bytes, most_rows, times) = net.batch_size, _WIDEST
    if not 0 < own < min(most_rows, len(data)):
        return own
    compiled = any(getattr(net, name + "_") is not part for name, part in parts(net))
    if compiled or _mixes_rows(net):
        return own  # what was compiled for one size would be compiled again for another
    row = data.batch(np.arange(1))[0]
    if not isinstance(row, torch.Tensor) or not row.is_floating_point():
        return own  # a few bytes of text or of a table may become large in the first layer
    return max(own, min(most_bytes // max(1, row.nbytes), most_rows, times * own))


def _mixes_rows(net):
    """Whether what a net says of a row may depend on how many are beside it."""
    kind = torch.nn.modules.batchnorm._BatchNorm
    norms = [m for _, part in parts(net) for m in part.modules() if isinstance(m, kind)]
    if not norms:
        return False
    net._set_training(False)  # some refuse
    return any(m.training or m.running_mean is None for m in norms)


def _plain(out):
    if is_mapping(out):
        out = main_output(out)
    if isinstance(out, tuple):
        return tuple(map(_plain, out))
    narrow = isinstance(out, torch.Tensor) and out.dtype is torch.bfloat16
    return out.float() if narrow else out


def predict(net, X, method="predict"):
    """``net.predict`` or ``net.predict_proba`` over any container of rows."""
    data = make_net_rows(net, X, None, _number_rows(X))
    return getattr(_make_reader(net, data), method)(data)


def outputs(net, rows, every=False):
    """Raw float32 outputs of the module over `rows`, on the CPU; one forward pass.

    With `every`, as it returns them: a tuple where it returns several.
    """
    data = make_net_rows(net, rows.source, None, rows.index)
    if not (_passes_plainly(net) and can_batch(net, data, training=False)):
        out = _make_reader(net, data).forward(data)
        return out if every else main_output(out).float()
    # What it gives, sooner: of batches that are read whole, and may be larger.
    options = {"resident": False, **net.get_params_for("iterator_valid")}
    size = options.get("batch_size") or _widen(net, data)
    options["batch_size"] = len(data) if size == -1 else size
    step, said = DirectStep(net), []
    with torch.no_grad():
        for x, _ in BatchLoader(data, **options):
            net._set_training(False)
            said.append(to_device(_plain(step.infer(x)), device="cpu"))
    out = tuple(map(torch.cat, zip(*said))) if isinstance(said[0], tuple) else torch.cat(said)
    return out if every else main_output(out).float()


def _passes_plainly(net):
    for name in _PASS:
        if name in vars(net) or getattr(type(net), name) is not getattr(NeuralNet, name):
            return False
    return True


def predict_proba(net, X, classes):
    """Probabilities of classes or labels, by columns of the module's output."""
    if is_plain(net):  # whose predict_proba may return what the module does
        said = logits(net, outputs(net, Rows(X, None, _number_rows(X))), classes)
        return task_of(classes).probabilities(said.numpy())
    return predict(net, X, "predict_proba")


def read_positions(net, rows, task):
    """Logits of rows with a class for each position, part by part, and the rows of each."""
    for places in task.cut(len(rows)):
        part = rows.take(places)
        with seeded(0):  # as `observe` asks
            yield part, logits(net, outputs(net, part), task).numpy()


def share_out(p):
    """Rows of `p` divided by their sums; the same share for all where these are zero in floats."""
    total = p.sum(axis=1, keepdims=True)
    none = total == 0  # and not "not above 0": what a net of NaN says stays NaN
    return np.where(none, 1 / p.shape[1], p / np.where(none, 1, total))


def _number_rows(X):
    return np.arange(len(X) if is_dataset(X) else n_rows(X))


def logits(net, out, classes):
    """Of raw outputs what the task of `classes` makes losses of: logits, or values."""
    if classes is None:
        return values(net, out).reshape(len(out), -1)
    if isinstance(classes, Labels):
        return _label_logits(net, out).float()
    if isinstance(classes, Positions):
        return out.float()
    return class_logits(net, out, len(classes)).float()


def values(net, out):
    """What a regression predicts from raw outputs: what ``predict`` and ``score`` speak of."""
    nonlinearity = net.predict_nonlinearity  # "auto" makes probabilities, of which there are none
    return nonlinearity(out) if callable(nonlinearity) else out


def _label_logits(net, out):
    """Logits of shape (n, n_labels) from the raw outputs of a multi-label net."""
    if isinstance(uncompiled(net.criterion_), torch.nn.BCELoss):
        return torch.logit(out, eps=torch.finfo(out.dtype).eps)
    return out


def class_logits(net, out, n_classes):
    """Logits of shape (n, n_classes) from a classifier's raw outputs."""
    criterion = uncompiled(net.criterion_)
    by_class = isinstance(criterion, torch.nn.CrossEntropyLoss)  # of most nets
    if by_class and not isinstance(net, NeuralNetBinaryClassifier):
        return out[:, :n_classes]
    if is_binary(net):
        z = out.reshape(len(out))
        if isinstance(criterion, torch.nn.BCELoss):
            return _log(torch.stack([1 - z, z], dim=1))
        return torch.stack([torch.zeros_like(z), z], dim=1)
    out = out[:, :n_classes]
    if isinstance(criterion, torch.nn.NLLLoss):
        # skorch's convention for its classifiers: the module returns probabilities.
        return _log(out) if isinstance(net, NeuralNetClassifier) else out
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
    data, size = make_reader(net, rows), 256
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


def infer(net, x):
    """The module's output of which predictions are made, on a batch."""
    return main_output(net.infer(x))
