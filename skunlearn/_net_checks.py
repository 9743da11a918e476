"""What is wrong with a net, said before it is trained."""

import functools

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import ValidSplit

from skunlearn._rates import batch_size
from skunlearn._record import Rows
from skunlearn._skorch import is_binary, outputs, uncompiled
from skunlearn.exceptions import UnlearningError


def refuse_module(estimator, method):
    """Refuse a module or its class, which say nothing of a training."""
    of_torch = estimator if isinstance(estimator, type) else type(estimator)
    if issubclass(of_torch, torch.nn.Module):
        raise TypeError(
            f"{method} works on skorch nets, got the PyTorch module {of_torch.__name__}. A trained "
            "module comes in by skunlearn.from_torch(module, loader, ...); the class of one that "
            "is to be trained goes into skorch's NeuralNetClassifier."
        )


def check_net(net, method, *, trained):
    """Refuse nets whose training rows would not be what they seem."""
    if not isinstance(net, NeuralNetClassifier | NeuralNetBinaryClassifier | NeuralNetRegressor):
        raise TypeError(
            f"{method} takes NeuralNetClassifier, NeuralNetBinaryClassifier or "
            f"NeuralNetRegressor, got {type(net).__name__}."
        )
    options = {"sampler", "batch_sampler"} & set(net.get_params_for("iterator_train"))
    if options:
        raise ValueError(
            f"iterator_train__{options.pop()} is made for a fixed set of rows, and would not fit "
            "the retained ones. Pass iterator_train__shuffle=True, or an iterator_train that "
            "makes its sampler from the data set that it is given."
        )
    if _hides_rows(net, trained):
        raise ValueError(
            f"train_split={net.train_split!r} keeps rows out of training, which would then "
            "count as seen although the net never saw them. Pass train_split=None, or "
            "skorch.helper.predefined_split(valid_dataset) with rows of its own."
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


def check_seen(net, rows):
    """Refuse `rows` when the history of a trained net says that it has seen others."""
    seen = _rows_trained_on(net)
    if seen is None:
        return
    slack = batch_size(net) if net.get_params_for("iterator_train").get("drop_last") else 0
    if len(rows) < seen:
        raise ValueError(
            f"The trained net has seen {seen} rows, but fit was given {len(rows)}. The others "
            "would count as unseen although it remembers them. Pass all of its training rows, "
            "or the untrained net, so that it is trained on these rows only."
        )
    if len(rows) > seen + slack:
        raise ValueError(
            f"The trained net has seen {seen} rows, but fit was given {len(rows)}. Pass exactly "
            "the rows that it was trained on (its train_split may have kept some back)."
        )


def _rows_trained_on(net):
    """Rows in an epoch of the net's training, or None when its history does not tell."""
    try:
        return max(
            sum(batch["train_batch_size"] for batch in epoch["batches"]) for epoch in net.history
        )
    except (KeyError, TypeError, ValueError):
        return None


def trained_classes(net, X, y):
    """Classes of a trained classifier: its columns, since it was trained on their numbers.

    They may be floats, as a binary cross-entropy of torch takes them.
    """
    whole = y.dtype.kind in "biu" or (y.dtype.kind == "f" and np.array_equal(y, np.trunc(y)))
    if not whole or y.min() < 0:
        raise ValueError(
            "The labels of an already trained net must be the column numbers that it was trained "
            f"on (0, 1, ...), got labels of dtype {y.dtype} such as {y[:1].tolist()[0]!r}."
        )
    if is_binary(net):
        return np.arange(2)
    return np.arange(outputs(net, Rows(X, None, [0])).shape[1])


def check_outputs(net, rows, n_classes):
    """Refuse a net whose module's outputs do not fit the targets.

    The forward pass over two rows also gives lazy modules their shapes.
    """
    out = outputs(net, rows.take(np.arange(min(2, len(rows)))))
    if n_classes is None:
        flat = rows.all_y.ndim == 1
        columns = 1 if flat else rows.all_y.shape[1]
        if out.shape[1:] != (columns,) and not (flat and out.ndim == 1):
            # The loss would broadcast (n, k) against (n, 1) and train on n² pairs.
            wanted = f"(n, {columns})" + (" or (n,)" if flat else "")
            raise ValueError(
                f"{type(net).__name__}'s module must return shape {wanted} for these "
                f"targets, got (n{''.join(f', {size}' for size in out.shape[1:])})."
            )
        return
    width = 2 if isinstance(net, NeuralNetBinaryClassifier) else out.shape[1] if out.ndim > 1 else 1
    if width < n_classes:
        raise ValueError(
            f"y has {n_classes} classes, but {type(net).__name__}'s module returns {width} "
            "outputs per row. Give the module as many outputs as there are classes."
        )


_LIKELIHOODS = (
    torch.nn.CrossEntropyLoss,
    torch.nn.NLLLoss,
    torch.nn.BCEWithLogitsLoss,
    torch.nn.BCELoss,
    torch.nn.MSELoss,
)


def check_likelihood(net):
    """Refuse criteria that are not a log-likelihood, from which Fisher information is made."""
    criterion = uncompiled(net.criterion_)
    if not isinstance(criterion, _LIKELIHOODS):
        names = ", ".join(cls.__name__ for cls in _LIKELIHOODS)
        raise UnlearningError(
            f"norm='fisher' needs log p(y|x), which {type(criterion).__name__} does not "
            f"give; it works with {names}. Use norm='l2'."
        )
