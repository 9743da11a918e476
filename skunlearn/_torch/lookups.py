"""Rows of embedding tables, that of a user or a word, which some training rows look up."""

import torch
from torch.nn.functional import cosine_similarity

from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.parts.net_state import list_tables

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
    others, held = list_tables(after), {}
    for name, looked_up in _look_up(before, tables, forget).items():
        if name in others and others[name].weight.shape == tables[name].weight.shape:
            held[name] = looked_up & _is_same(tables[name].weight, others[name].weight)
    held = {name: rows for name, rows in held.items() if rows.any()}
    if not held:
        return {}
    for name, looked_up in _look_up(before, {name: tables[name] for name in held}, retain).items():
        held[name] &= ~looked_up
    return {name: int(rows.sum()) for name, rows in held.items() if rows.any()}


def _is_same(old, new):
    """Which rows of a table point where they did; not those of zeros, as padding is."""
    old, new = old.detach().double(), new.detach().to(old.device).double()
    if old.shape[1] == 1:  # which can only point up or down
        return ((old == new) & (old != 0)).squeeze(1)
    return cosine_similarity(old, new, dim=1) > _SAME


def _look_up(net, tables, rows):
    """Which rows of each of the `tables` a net looks up for `rows`, boolean tensors by name."""
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
    return seen
