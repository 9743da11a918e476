"""Rows that can be moved, or that gradients can be taken by."""

import torch

from skunlearn._rows.seeding import seeded
from skunlearn._rows.views import Rows
from skunlearn._torch import inference, skorch_nets
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
    """As `floating_rows`, of the rows of ``fit``: before a training that would be for nothing.

    Whole numbers that the module takes as floating-point ones too are no tokens: scikit-learn's
    estimators are fitted to such, and a request says that they are to be converted.
    """
    if say_what_they_are(unlearner, rows, torch.Tensor.float):
        raise ValueError(_say_needs(does, instead))


def say_what_they_are(unlearner, rows, change):
    """Of rows of ``fit`` "several" where they are no tensor, "tokens" where they cannot be changed.

    Parameters
    ----------
    unlearner : unlearner that knows its rows
    rows : Rows
    change : callable
        Makes floating-point rows of a tensor of whole numbers.

    Returns
    -------
    what : str, "" of all others
    """
    net = skorch_nets.look_inside(skorch_nets.unwrap(unlearner.estimator), unlearner._seed)
    # A Dataset may augment: the order of random numbers is not to change.
    with seeded(0), inference.evaluating(net), torch.no_grad():
        x = make_reader(net, Rows(rows.source, None, rows.index[:1])).batch([0])[0]
        if not isinstance(x, torch.Tensor):
            return "several"
        if x.is_floating_point() or not _takes(net, x):  # the training says what is wrong
            return ""
        return "" if _takes(net, change(x)) else "tokens"


def _takes(net, x):
    try:
        net.infer(x)
    except (RuntimeError, IndexError):
        return False
    return True


def _is_floating(x):
    return isinstance(x, torch.Tensor) and x.is_floating_point()


def _say_needs(does, instead):
    return (
        f"{does}, for which they must be one tensor of floating-point numbers. Convert them "
        "(images to float32, tokens to their embeddings)"
        + (f", or use {instead}." if instead else ".")
    )
