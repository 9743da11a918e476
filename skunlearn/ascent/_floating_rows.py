"""Rows that can be moved, or that gradients can be taken by."""

import numpy as np
import torch

from skunlearn._torch import inference
from skunlearn._torch.batches.net_rows import make_reader
from skunlearn.exceptions import UnlearningError


def floating_rows(net, x, does, instead=None):
    """The rows of a batch on the net's device, when they are one tensor of numbers.

    Parameters
    ----------
    net : skorch net
    x : object, a batch of rows
    does : str
        Who does what with them, for the message.
    instead : str or None, default=None
        What to use for other rows, for the message.
    """
    if not isinstance(x, torch.Tensor) or not x.is_floating_point():
        raise UnlearningError(
            f"{does}, for which they must be one tensor of floating-point numbers. Convert them "
            "(images to float32, tokens to their embeddings)"
            + (f", or use {instead}." if instead else ".")
        )
    return x.to(net.device).detach()


def check_floating_rows(net, rows, does, instead=None):
    """Raise before a training where rows are no such tensor and cannot be made one.

    Whole numbers that the module takes as floats too are left to `floating_rows`: scikit-learn's
    estimators are fitted on them.
    """
    x = make_reader(net, rows).batch(np.arange(1))[0]
    if not takes_floats(net, x):
        floating_rows(net, x, does, instead)


def takes_floats(net, x):
    """Whether a batch of rows is a tensor that the module takes as floating-point numbers."""
    if not isinstance(x, torch.Tensor):
        return False
    try:
        with inference.evaluating(net), torch.no_grad():
            inference.infer(net, x.float())
    except (RuntimeError, IndexError, TypeError):  # an embedding, say
        return False
    return True
