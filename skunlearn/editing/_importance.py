"""How much each weight matters to some rows."""

import numpy as np
import torch

from skunlearn import _skorch


def gradient_sizes(net, rows, params, loss, *, squared=True):
    """Mean over `rows` of the squared gradient of each row's loss, by weight, or of its size.

    Row by row, so that it does not depend on a batch size: the square of a batch's mean gradient
    is another, much smaller thing. Reduced on the fly: never rows × weights in memory.

    Parameters
    ----------
    net : skorch net
    rows : Rows
    params : list of parameters
    loss : function of a batch ``(x, y)`` of one row to a scalar tensor
    squared : bool, default=True
        False takes absolute values.

    Returns
    -------
    importance : list of tensor, like `params`
    """
    total = [torch.zeros_like(p) for p in params]
    data = _skorch.dataset(net, rows)
    with _skorch.evaluating(net):
        for i in range(len(data)):
            grads = torch.autograd.grad(loss(data.batch(np.array([i]))), params, allow_unused=True)
            for sum_, grad in zip(total, grads, strict=True):
                if grad is not None:
                    sum_.add_(grad.square() if squared else grad.abs())
    return [t / len(data) for t in total]
