"""Differentiable losses of single rows, for nets of any kind."""

import numpy as np
import torch
from torch.nn.functional import huber_loss, l1_loss, smooth_l1_loss

from skunlearn._torch import inference
from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn._torch.batches.net_rows import encode_targets
from skunlearn._torch.parts.net_state import uncompiled
from skunlearn._torch.parts.tasks import task_of

# Errors of other kinds than squared ones: their slopes do not grow with the scale of the targets.
_ERRORS = {
    torch.nn.L1Loss: lambda criterion, out, y: l1_loss(out, y, reduction="none"),
    torch.nn.SmoothL1Loss: lambda criterion, out, y: smooth_l1_loss(
        out, y, reduction="none", beta=criterion.beta
    ),
    torch.nn.HuberLoss: lambda criterion, out, y: huber_loss(
        out, y, reduction="none", delta=criterion.delta
    ),
}


def row_losses(net, out, y, classes):
    """Cross-entropy of each row, or its error in a regression; a mean over several targets.

    The error is that of the criterion where this is one of `_ERRORS`, and squared otherwise, of
    what the net predicts.

    Parameters
    ----------
    net : skorch net
    out : raw outputs of the module
    y : tensor of encoded targets
    classes : see `task_of`
    """
    said, y = inference.logits(net, out, classes), y.to(out.device)
    error = _ERRORS.get(_criterion_class(net)) if classes is None else None
    if error is None:
        return task_of(classes).losses(said, y)
    return error(uncompiled(net.criterion_), said, y.reshape(said.shape)).mean(dim=1)


def has_own_error(net):
    """Whether `row_losses` of a regression are those of its criterion, and no squared errors."""
    return _criterion_class(net) in _ERRORS


def guess_loss(net, y, classes):
    """Mean of `row_losses` of a model that has learnt nothing; in a regression of a constant.

    Parameters
    ----------
    net : skorch net
    y : ndarray of encoded targets
    classes : see `task_of`
    """
    error = _ERRORS.get(_criterion_class(net)) if classes is None else None
    if error is None:
        return task_of(classes).chance(y)
    y = torch.as_tensor(np.asarray(y, dtype=np.float64).reshape(len(y), -1))
    # The best constant is the median, or lies between it and the mean.
    guesses = y.quantile(0.5, dim=0), y.mean(dim=0)
    criterion = uncompiled(net.criterion_)
    return min(float(error(criterion, guess.expand_as(y), y).mean()) for guess in guesses)


def guess_training_loss(net, y, classes):
    """The same of what the net's criterion says of a batch."""
    if classes is not None or not issubclass(_criterion_class(net), torch.nn.PoissonNLLLoss):
        return guess_loss(net, y, classes)
    criterion, y = uncompiled(net.criterion_), torch.as_tensor(np.asarray(y, dtype=np.float64))
    mean = y.mean(dim=0).clamp_min(torch.finfo(y.dtype).tiny)
    return float(criterion((mean.log() if criterion.log_input else mean).expand_as(y), y))


def _criterion_class(net):
    return type(uncompiled(getattr(net, "criterion_", None)))


class Targets:
    """Targets of rows by their places, on the net's device.

    Parameters
    ----------
    net : skorch net
    rows : Rows
    """

    def __init__(self, net, rows):
        self.table = torch.as_tensor(encode_targets(net, rows.y)).to(net.device)

    def __getitem__(self, places):
        return self.table[send_tensor(places, self.table.device)]


def labels_of(batch, targets, classes, method):
    """Encoded target of each row of a batch, on the device of `targets`.

    UnlearningError where its rows cannot be told apart, see `Batch.places`.

    Parameters
    ----------
    batch : Batch
    targets : Targets of the rows that are trained on
    classes : see `task_of`
    method : str, for the message
    """
    y, one = batch.y, targets.table[:1]
    plain = isinstance(y, torch.Tensor) and y.ndim and y[:1].numel() == one.numel()
    if plain and batch.rows is None and classes is not None and y.is_floating_point():
        plain = bool((y == y.round()).all())  # of a binary net, unless rows were mixed
    if batch.mixed or not plain:
        return targets[batch.places(method)]
    return send_tensor(y, one.device)
