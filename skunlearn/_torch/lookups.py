"""Rows of embedding tables, that of a user or a word, which some training rows look up."""

import numpy as np
import torch
from torch.nn.functional import cosine_similarity

from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.batches.net_rows import make_reader
from skunlearn._torch.parts.net_state import BareTable, list_tables

_AT_ONCE = 256  # rows of a pass with gradients
_SAME = 1 - 1e-6  # cosine of a row with what it was: weight decay alone shortens it


def find_left_behind(before, after, tables, forget, retain):
    """How many rows of each embedding table only forgotten rows look up, and are as they were.

    No training on the retained rows reaches them.

    Parameters
    ----------
    before, after : skorch nets
    tables : dict of str to module
        Those of `before`, see `list_tables`.
    forget, retain : Rows

    Returns
    -------
    found : dict of str to int
        By the name of the table.
    """
    others = list_tables(after)
    held = {
        name: _is_same(table.weight, others[name].weight)
        for name, table in tables.items()
        if name in others and others[name].weight.shape == table.weight.shape
    }
    for rows, theirs in ((forget, False), (retain, True)):
        held = {name: same for name, same in held.items() if same.any()}
        if not held:  # as where a training has moved them all: nothing is read then
            return {}
        some = {name: tables[name] for name in held}
        for name, looked_up in _look_up(before, some, rows, held).items():
            held[name] &= ~looked_up if theirs else looked_up
    return {name: int(same.sum()) for name, same in held.items() if same.any()}


def _is_same(old, new):
    """Which rows of a table point where they did; not those of zeros, as padding is."""
    old, new = (
        w.detach().to(old.device).double().reshape(len(w), -1)  # a bias of each user, say
        for w in (old, new)
    )
    if old.shape[1] == 1:  # which can only point up or down
        return ((old == new) & (old != 0)).squeeze(1)
    return cosine_similarity(old, new, dim=1) > _SAME


def _look_up(net, tables, rows, asked=None):
    """Which rows of each of the `tables` a net looks up for `rows`, boolean tensors by name.

    Of bare tables no more is found out than about the rows that are `asked` after.
    """
    bare = {name: table for name, table in tables.items() if isinstance(table, BareTable)}
    tables = {name: layer for name, layer in tables.items() if name not in bare}
    reached = _reach(net, bare, rows, asked) if bare else {}
    if not tables:
        return reached
    seen = {
        name: torch.zeros(len(layer.weight), dtype=torch.bool, device=layer.weight.device)
        for name, layer in tables.items()
    }

    def note(name):
        def look(layer, given, named):
            seen[name][(given[0] if given else named["input"]).reshape(-1).long()] = True

        return look

    handles = [
        layer.register_forward_pre_hook(note(name), with_kwargs=True)
        for name, layer in tables.items()
    ]
    try:
        inference.outputs(skorch_nets.make_eager(net), rows)
    finally:
        for handle in handles:
            handle.remove()
    for name, layer in tables.items():
        if layer.padding_idx is not None:
            seen[name][layer.padding_idx] = False
    return seen | reached


def _reach(net, tables, rows, asked):
    """Which rows of bare tables have a part in what a net says of `rows`, told by gradients.

    Those of a sum of the outputs, each with a weight of its own, so that none cancel out. A row
    that is not indexed, or that nothing lets through, has a gradient of exactly zero.
    """
    params = [table.weight for table in tables.values()]
    seen = [torch.zeros(len(p), dtype=torch.bool, device=p.device) for p in params]
    data, weights = make_reader(net, rows), None
    size = min(_AT_ONCE, net.batch_size) if net.batch_size > 0 else _AT_ONCE
    with inference.evaluating(net), torch.enable_grad():
        for start in range(0, len(rows), size):
            places = np.arange(start, min(start + size, len(rows)))
            out = inference.infer(net, data.batch(places)[0])
            if not out.requires_grad:
                break
            if weights is None:
                draw = torch.Generator().manual_seed(0)
                weights = (0.5 + torch.rand(out.shape[1:], generator=draw)).to(out)
            grads = torch.autograd.grad((out * weights).sum(), params, allow_unused=True)
            for rows_seen, grad in zip(seen, grads, strict=True):
                if grad is not None:
                    rows_seen |= (grad != 0).reshape(len(grad), -1).any(dim=1)
            if asked and all(s[asked[name]].all() for name, s in zip(tables, seen, strict=True)):
                break
    return dict(zip(tables, seen, strict=True))
