"""Sizes of gradients, row by row, and the diagonal of the empirical Fisher information."""

import numpy as np
import torch
from torch.func import functional_call
from torch.utils._pytree import tree_leaves, tree_map

from skunlearn._torch import inference, net_checks, skorch_nets
from skunlearn._torch.batches.net_rows import make_reader
from skunlearn._torch.gradients.linear_layers import copy_around
from skunlearn._torch.gradients.row_gradients import RowGradients

_FIRST, _MOST = 32, 512  # rows that are read at a time
_FLOATS = 2**24  # numbers of rows that are read at a time


def diagonal_fisher(net, rows, params, classes):
    """Mean over `rows` of the squared gradient of log p(y|x), scaled to mean one.

    Regression stands for a Gaussian of unit variance around the prediction.

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
    net_checks.check_likelihood(net)
    total = gradient_sizes(
        net, rows, params, lambda net, batch: inference.log_likelihoods(net, batch, classes).sum()
    )
    scale = sum(t.sum() for t in total) / sum(t.numel() for t in total)
    if not scale > 0:
        raise ValueError(
            "The Fisher information is zero: the net fits its rows so closely that no gradient "
            "is left in float32. Use norm='l2'."
        )
    return {p: t / scale for p, t in zip(params, total, strict=True)}


def gradient_sizes(net, rows, params, loss, *, squared=True):
    """Mean over `rows` of the squared gradient of each row's loss, by weight, or of its size.

    Row by row, so that it does not depend on a batch size: the square of a batch's mean gradient
    is another, much smaller thing. Reduced on the fly: never rows × weights in memory.

    Parameters
    ----------
    net : skorch net
    rows : Rows
    params : list of parameters
    loss : function of ``(net, batch)`` to a scalar tensor
        Of a batch ``(x, y)`` of one row. It is given nets that share all but the module.

    squared : bool, default=True
        False takes absolute values.

    Returns
    -------
    importance : list of tensor, like `params`
    """
    (importance,) = sizes_of_each(net, [rows], params, loss, squared=squared)
    return importance


def sizes_of_each(net, sets, params, loss, *, squared=True):
    """`gradient_sizes` of several sets of rows, for all of which one way of asking is chosen.

    To choose it takes whole gradients of a row: the first set should be that of the most rows.

    Parameters
    ----------
    net, params, loss, squared : see `gradient_sizes`
    sets : list of Rows

    Returns
    -------
    importances : list of lists of tensor
    """
    with inference.evaluating(net):
        gradients, names = _by_row(net, params, loss)
        return [_add_sizes(net, rows, params, gradients, names, squared) for rows in sets]


def _add_sizes(net, rows, params, gradients, names, squared):
    # Sums of many small squares want more digits than half precision has.
    kinds = [torch.promote_types(p.dtype, torch.float32) for p in params]
    total = [torch.zeros(p.shape, dtype=d, device=p.device) for p, d in zip(params, kinds)]
    shares = torch.as_tensor(rows.shares()).to(net.device)
    for x, y in _read(make_reader(net, rows), net.device):
        for start, stop, parts in gradients(x, y):
            for sum_, name in zip(total, names, strict=True):
                if name in parts:
                    parts[name].add_sizes(sum_, shares[start:stop].to(sum_), squared)
            del parts  # before the next are made
        shares = shares[len(y) :]
    return [
        t if (t.dtype, t.stride()) == (p.dtype, p.stride()) else torch.empty_like(p).copy_(t)
        for p, t in zip(params, total, strict=True)
    ]


def _by_row(net, params, loss):
    """`RowGradients` of the net, and the names of `params` in it."""
    module = copy_around(skorch_nets.plain_module(net))
    named = {id(p): name for name, p in module.named_parameters()}
    names = [named[id(p)] for p in params]

    def stand_in(weights, x, y):
        def forward(*args, **kwargs):
            return functional_call(module, weights, args, kwargs)

        return loss(skorch_nets.lookalike(net, module_=forward), (x, y))

    return RowGradients(
        module, dict(zip(names, params)), stand_in, lambda x, y: loss(net, (x, y))
    ), names


def _read(data, device):
    """Batches of all rows in order, on the device; of one row where more do not make a batch."""
    # What a collate function of the user's makes cannot be cut into rows.
    start, size = 0, _FIRST if data.collate is None else 1
    while start < len(data):
        positions = np.arange(start, min(start + size, len(data)))
        try:
            batch = data.batch(positions)
        except Exception:
            if len(positions) == 1:
                raise
            size = 1  # rows of several lengths, say; a fault of the row itself will show
            continue
        batch = tree_map(lambda v: v.to(device) if isinstance(v, torch.Tensor) else v, batch)
        yield batch
        start += len(positions)
        if size == _FIRST:
            held = sum(v[0].numel() for v in tree_leaves(batch) if isinstance(v, torch.Tensor))
            size = min(_MOST, max(_FIRST, _FLOATS // max(1, held)))
