"""Rows that are moved along the gradient of a net's loss, towards other classes."""

import torch

from skunlearn._torch import inference
from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn.ascent._floating_rows import floating_rows, refuse_other_rows
from skunlearn.exceptions import UnlearningError

_DOES = "{} moves rows along a gradient"
_DOUBLINGS = 12  # of the first radius: by a factor of four thousand


def movable(net, x, who, instead):
    """The rows on the net's device, when a gradient can move them.

    Parameters
    ----------
    net : skorch net
    x : object, a batch of rows
    who : str
        Who moves them, for the message.
    instead : str
        What to use for other rows, for the message.
    """
    return floating_rows(net, x, _DOES.format(who), instead)


def refuse_unmovable(unlearner, rows, who, instead):
    """As `movable`, of the rows of ``fit``."""
    refuse_other_rows(unlearner, rows, _DOES.format(who), instead)


def climb(net, x, y, n_classes, who, instead):
    """Logits of rows, and a gradient by the rows along which −log p(y|x) grows.

    That of log(1 − p) − log p, which has the same direction, and does not vanish where a net is
    sure of its rows.

    Parameters
    ----------
    net : skorch net, in evaluation mode
    x : floating-point tensor of rows, on the net's device
    y : tensor of encoded classes, int64, of shape (n, 1)
    n_classes : int
    who, instead : see `movable`

    Returns
    -------
    logits : tensor of shape (n, n_classes), detached
    gradient : tensor like `x`
    """
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        logits = inference.class_logits(net, inference.infer(net, x), n_classes).float()
        y = y.to(logits.device)
        others = logits.scatter(1, y, float("-inf")).logsumexp(dim=1)
        ratio = (others - logits.gather(1, y)[:, 0]).sum()
        (gradient,) = torch.autograd.grad(ratio, x, allow_unused=True)
    if gradient is None:
        raise UnlearningError(
            f"{who} moves rows along a gradient, and none reaches them: the module lets them "
            f"through a part under torch.no_grad() or detach(). Use {instead}."
        )
    return logits.detach(), gradient


def nearest_adversarial(net, x, y, n_classes, *, radius, steps, unseen=(), who, instead):
    """Rows near the given ones to which a net gives another class, and these classes.

    Projected gradient descent in the ball of a radius around each row, by normed steps of a tenth
    of it; the radius doubles for rows that keep their class. A row is done at the first step at
    which the net names another class, so that it lies within a step behind the boundary.

    Parameters
    ----------
    net : skorch net, in evaluation mode
    x : floating-point tensor of rows
    y : tensor of encoded classes, int64
    n_classes : int
    radius : float
        The first, as a share of the range of values, root mean square over the values of a row.
    steps : int
        In a ball of one radius.
    unseen : sequence of int
        Columns that are no row's label.
    who, instead : see `movable`

    Returns
    -------
    moved : tensor like `x`, detached
        Where no radius led to another class, the last step of the largest.
    classes : int64 tensor of shape (n,)
        The net's; of rows that keep their own class, the likeliest of the others.
    """
    x, y = movable(net, x, who, instead), y.long().view(-1, 1).to(net.device)
    known = x[torch.isfinite(x)]
    spread = (known.max() - known.min()) if known.numel() else x.new_zeros(())
    unit = float(spread) * (x[0].numel() ** 0.5) or 1.0
    moved, classes = x.clone(), torch.full((len(x),), -1, device=x.device)
    left = torch.arange(len(x), device=x.device)
    unseen = send_tensor(torch.as_tensor(unseen, dtype=torch.long), x.device)
    for doubling in range(_DOUBLINGS + 1):
        reach, shift = radius * unit * 2**doubling, torch.zeros_like(x[left], dtype=torch.float32)
        for step in range(steps + 1):
            at = x[left] + shift.to(x.dtype)
            logits, gradient = climb(net, at, y[left], n_classes, who, instead)
            logits.index_fill_(1, unseen.to(logits.device), float("-inf"))
            named = logits.argmax(dim=1)
            others = logits.scatter(1, y[left].to(logits.device), float("-inf")).argmax(dim=1)
            moved[left], classes[left] = at, others.to(x.device)
            keep = (named == y[left, 0].to(named.device)).nonzero()[:, 0].to(x.device)
            if not len(keep):
                return moved, classes
            left, shift, gradient = left[keep], shift[keep], gradient[keep]
            if step < steps:
                shift = _within(shift + reach / 10 * _scale_to_one(gradient), reach)
    return moved, classes


def _scale_to_one(gradient):
    """Gradients of length one, row by row; of zero where there is none."""
    gradient = torch.nan_to_num(gradient.float(), 0.0, 0.0, 0.0)
    largest = _by_row(gradient.flatten(1).abs().amax(1), gradient)
    gradient = gradient / largest.clamp_min(torch.finfo(torch.float32).tiny)
    return gradient / _lengths(gradient).clamp_min(torch.finfo(torch.float32).tiny)


def _within(shift, reach):
    return shift * (reach / _lengths(shift).clamp_min(reach))


def _lengths(values):
    return _by_row(values.flatten(1).norm(dim=1), values)


def _by_row(numbers, like):
    return numbers.view(-1, *[1] * (like.ndim - 1))
