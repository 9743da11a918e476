"""Rows that can be moved, or that gradients can be taken by."""

import torch

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
