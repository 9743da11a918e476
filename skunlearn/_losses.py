"""Differentiable losses of single rows, for nets of any kind."""

import numpy as np
import torch
from torch.nn.functional import kl_div, log_softmax

from skunlearn import _skorch
from skunlearn._batch import mean
from skunlearn._net_rows import target


def row_losses(net, out, y, classes):
    """Cross-entropy of each row, or its squared error in a regression.

    Parameters
    ----------
    net : skorch net
    out : raw outputs of the module
    y : tensor of shape (n,) of encoded classes, or regression targets
    classes : ndarray, or None for regression
    """
    y = y.to(out.device)
    if classes is None:
        return ((out.reshape(len(out), -1) - y.reshape(len(out), -1)) ** 2).mean(dim=1)
    logits = _skorch.class_logits(net, out, len(classes)).float()
    return -log_softmax(logits, dim=1).gather(1, y.long().view(-1, 1)).squeeze(1)


def row_divergences(teacher, student, temperature=1.0):
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)) of each row, summed over the classes."""
    p, q = (log_softmax(z.float() / temperature, dim=1) for z in (teacher, student))
    # Not with log_target: a class that the teacher excludes has log-probability −∞.
    return temperature**2 * kl_div(q, p.exp(), reduction="none").sum(dim=1)


def divergence(teacher, student, temperature=1.0, weights=None):
    """`row_divergences`, averaged over the rows.

    Torch's ``reduction="mean"`` would divide by the number of classes as well.
    """
    return mean(row_divergences(teacher, student, temperature), weights)


def chance_loss(rows, classes):
    """Mean loss of a model that has learnt nothing: ln C, or the variance of the targets."""
    if classes is not None:
        return float(np.log(len(classes)))
    return float(np.var(rows.y.astype(np.float64), axis=0).mean())


class Targets:
    """Targets of rows by their places, on the net's device.

    Parameters
    ----------
    net : skorch net
    rows : Rows
    """

    def __init__(self, net, rows):
        self.table = torch.as_tensor(target(net, rows.y)).to(net.device)

    def __getitem__(self, places):
        return self.table[places.to(self.table.device)]


def labels_of(batch, targets, classes, method):
    """Class (or regression target) of each row of a batch, on the device of `targets`.

    UnlearningError where its rows cannot be told apart, see `Batch.places`.

    Parameters
    ----------
    batch : Batch
    targets : Targets of the rows that are trained on
    classes : ndarray, or None for regression
    method : str, for the message
    """
    y, one = batch.y, targets.table[:1]
    plain = isinstance(y, torch.Tensor) and y.ndim and y[:1].numel() == one.numel()
    if plain and batch.rows is None and classes is not None and y.is_floating_point():
        plain = bool((y == y.round()).all())  # of a binary net, unless rows were mixed
    if batch.mixed or not plain:
        return targets[batch.places(method)]
    return y.to(one.device)
