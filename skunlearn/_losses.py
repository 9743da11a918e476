"""Differentiable losses of single rows, for nets of any kind."""

import numpy as np
import torch
from torch.nn.functional import kl_div, log_softmax

from skunlearn import _skorch


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


def divergence(teacher, student, temperature=1.0):
    """`row_divergences`, averaged over the rows.

    Torch's ``reduction="mean"`` would divide by the number of classes as well.
    """
    return row_divergences(teacher, student, temperature).mean()


def chance_loss(rows, classes):
    """Mean loss of a model that has learnt nothing: ln C, or the variance of the targets."""
    if classes is not None:
        return float(np.log(len(classes)))
    return float(np.var(rows.y.astype(np.float64), axis=0).mean())


class Targets:
    """Targets of the rows of the training data by row number, on the net's device.

    Parameters
    ----------
    net : skorch net
    rows : Rows
    changed : pair of ndarray, or None
        Row numbers and the encoded targets that replace theirs.
    """

    def __init__(self, net, rows, changed=None):
        y = rows.all_y
        if changed is not None:
            y = y.copy()
            y[changed[0]] = changed[1]
        self.table = torch.as_tensor(_skorch.target(net, y)).to(net.device)

    def __getitem__(self, i):
        return self.table[i.to(self.table.device)]


class Membership:
    """Which of n rows are among some, by row number."""

    def __init__(self, net, numbers, n):
        self.table = torch.zeros(n, dtype=torch.bool)
        self.table[torch.as_tensor(numbers)] = True
        self.table = self.table.to(net.device)

    def __getitem__(self, i):
        return self.table[i.to(self.table.device)]
