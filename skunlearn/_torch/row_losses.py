"""Differentiable losses of single rows, for nets of any kind."""

import torch

from skunlearn._torch import inference
from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn._torch.batches.net_rows import encode_targets
from skunlearn._torch.parts.tasks import task_of


def row_losses(net, out, y, classes):
    """Cross-entropy of each row, or its squared error in a regression; a mean over several targets.

    Parameters
    ----------
    net : skorch net
    out : raw outputs of the module
    y : tensor of encoded targets
    classes : see `task_of`
    """
    return task_of(classes).losses(inference.logits(net, out, classes), y.to(out.device))


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
