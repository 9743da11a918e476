"""Rows that can be moved, or that gradients can be taken by."""

import torch

from skunlearn._rows.seeding import seeded
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
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
    if not _is_floating(x):
        raise UnlearningError(_say_needs(does, instead))
    return x.to(net.device).detach()


def refuse_other_rows(unlearner, rows, does, instead=None):
    """As `floating_rows`, of the rows of ``fit``: before a training that would be for nothing."""
    if not _is_floating(first_batch(unlearner, rows)[1]):
        raise ValueError(_say_needs(does, instead))


def first_batch(unlearner, rows):
    """A net to look at, and the first of the rows as it would read it."""
    net = skorch_nets.look_inside(skorch_nets.unwrap(unlearner.estimator), unlearner._seed)
    with seeded(0):  # a Dataset may augment: the order of random numbers is not to change
        return net, make_reader(net, Rows(rows.source, None, rows.index[:1])).batch([0])[0]


def _is_floating(x):
    return isinstance(x, torch.Tensor) and x.is_floating_point()


def _say_needs(does, instead):
    return (
        f"{does}, for which they must be one tensor of floating-point numbers. Convert them "
        "(images to float32, tokens to their embeddings)"
        + (f", or use {instead}." if instead else ".")
    )
