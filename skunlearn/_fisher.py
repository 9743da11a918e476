"""Diagonal of the empirical Fisher information."""

import numpy as np
import torch

from skunlearn import _net_checks, _skorch
from skunlearn._net_rows import reader


def diagonal_fisher(net, rows, params, classes):
    """Mean over `rows` of the squared gradient of log p(y|x), scaled to mean one.

    The squares are taken row by row: the square of a batch's mean gradient is another, much
    smaller thing. Regression stands for a Gaussian of unit variance around the prediction.

    Parameters
    ----------
    net : skorch net
    rows : Rows
    params : list of parameters
    classes : ndarray, or None for regression

    Returns
    -------
    fisher : dict of parameter to tensor of its shape
    """
    _net_checks.check_likelihood(net)
    total = [torch.zeros_like(p) for p in params]
    data = reader(net, rows)
    with _skorch.evaluating(net):
        # One row at a time and reduced on the fly: never rows × weights in memory, and on large
        # nets faster than vmap.
        for i, share in enumerate(rows.shares().tolist()):
            log_p = _skorch.log_likelihoods(net, data.batch(np.array([i])), classes).sum()
            grads = torch.autograd.grad(log_p, params, allow_unused=True)
            for sum_, grad in zip(total, grads, strict=True):
                if grad is not None:
                    sum_.addcmul_(grad, grad, value=share)
    scale = sum(t.sum() for t in total) / sum(t.numel() for t in total)
    if not scale > 0:
        raise ValueError(
            "The Fisher information is zero: the net fits its rows so closely that no gradient "
            "is left in float32. Use norm='l2'."
        )
    return {p: t / scale for p, t in zip(params, total, strict=True)}
