"""Frozen parameters that several nets hold once: a public base below an adapter for each."""

from collections import Counter

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from skunlearn._torch import skorch_nets
from skunlearn._torch.parts.copying import deep_copy
from skunlearn._torch.parts.net_state import named_tensors, parts, replace_parameters


def share(nets):
    """Let nets hold frozen parameters that are equal, bit for bit, as one object, the first one.

    Nothing is declared shared: what does not learn and is equal is. So predictions are what they
    were, and a frozen part that is drawn anew for each net stays its own.
    """
    known = {}
    for net in nets:
        found = {}
        for name, p in list_frozen(net).items():
            if id(p) in found:  # tied to another
                continue
            match = next((other for other in known.get(name, ()) if are_equal(p, other)), None)
            if match is None:
                known.setdefault(name, []).append(p)
            else:
                found[id(p)] = match
        replace_parameters(net, found)


def find_common(nets):
    """The frozen parameters that more than one of `nets` holds, without repetition."""
    seen, counts = {}, Counter()
    for net in nets:
        held = {id(p): p for p in list_frozen(net).values()}
        seen |= held
        counts.update(held.keys())
    return [p for key, p in seen.items() if counts[key] > 1]


def list_frozen(net):
    """Name and object of the parameters that do not learn, those that are tied under each name."""
    return {
        f"{part_name}.{name}": p
        for part_name, part in parts(net)
        for name, p in part.named_parameters(remove_duplicate=False)
        if not p.requires_grad and type(p) is nn.Parameter and not is_lazy(p)
    }


def set_apart(net, shared):
    """Tensors of a net by name; of those that are `shared`, where they stand there."""
    number = {id(p): i for i, p in enumerate(shared)}
    stands = {n: number[id(p)] for n, p in list_frozen(net).items() if id(p) in number}
    return {name: stands.get(name, tensor) for name, tensor in named_tensors(net).items()}


def hollow_out(net, shared):
    """A net to be pickled, with nothing in the place of the parameters `shared`.

    Returns
    -------
    net : net
        It shares everything else with the one that was given, or has copies of it.
    places : list of (str, int)
        Names of parameters, and which of `shared` stands there.
    given : dict of str to object
        Parameters of the net that it is left without: a base below the module, say.
    """
    number = {id(p): i for i, p in enumerate(shared)}
    places = [(name, number[id(p)]) for name, p in list_frozen(net).items() if id(p) in number]
    if not places:
        return net, places, {}
    # One for each: what is tied stays tied, and what is not stays apart.
    memo = {id(p): nn.Parameter(torch.empty(0), requires_grad=False) for p in shared}
    names = [f"{name}_" for name in (*net._modules, *net._criteria, *net._optimizers)]
    held = {name: getattr(net, name) for name in names if hasattr(net, name)}
    emptied = skorch_nets.lookalike(net, **deep_copy(held, memo))
    # skorch puts these into a file of each net's own, where nothing is known of the others.
    starts = tuple(f"{name}__" for name in net._modules)
    given = {key: vars(emptied).pop(key) for key in list(vars(net)) if key.startswith(starts)}
    return emptied, places, given


def fill(net, shared, places, given):
    """Give a net back what `hollow_out` has left out, when pickle has written and read the rest."""
    empty = list_frozen(net)
    replace_parameters(net, {id(empty[name]): shared[i] for name, i in places})
    vars(net).update(given)


def count_bytes(nets):
    """Bytes of parameters and buffers that several of `nets` hold, and that each holds alone.

    Returns
    -------
    shared : int
    own : list of int
    """
    held, counts = [], Counter()
    for net in nets:
        tensors = {}
        for _, part in parts(net):
            for tensor in [*part.parameters(), *part.buffers()]:
                tensors[id(tensor)] = tensor.numel() * tensor.element_size()
        held.append(tensors)
        counts.update(tensors.keys())
    shared = {key: size for tensors in held for key, size in tensors.items() if counts[key] > 1}
    own = [sum(size for key, size in tensors.items() if key not in shared) for tensors in held]
    return sum(shared.values()), own


def are_equal(p, other):
    """Whether two parameters are alike in everything, bit for bit."""
    if p is other:
        return True
    kinds = [(one.shape, one.dtype, one.device, one.layout) for one in (p, other)]
    if kinds[0] != kinds[1]:
        return False
    if p._backward_hooks or other._backward_hooks or vars(p) or vars(other):
        return False  # which belong to one of them
    return torch.equal(p, other)
