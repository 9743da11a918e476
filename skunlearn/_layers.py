"""Layers and parameters of a net by role: the head, normalisation, biases, name patterns."""

import fnmatch

import torch

from skunlearn._rates import groups
from skunlearn._skorch import eager, outputs
from skunlearn.exceptions import UnlearningError


def penalised_parameters(net, rows, exclude):
    """Trainable parameters but for the excluded ones; excluding nothing real is an error."""
    exclude = [exclude] if isinstance(exclude, str) else list(exclude)
    named = {name: p for name, p in net.module_.named_parameters() if p.requires_grad}
    left_out = set()
    for pattern in exclude:
        hit = _matching(net, rows, pattern, named)
        if not hit:
            raise ValueError(
                f"exclude={pattern!r} matches none of the net's parameters: {sorted(named)}."
            )
        left_out |= hit
    return [p for name, p in named.items() if name not in left_out]


def _matching(net, rows, pattern, named):
    if pattern == "bias":
        return {name for name in named if name.rsplit(".", 1)[-1] == "bias"}
    if pattern == "norm":
        return _names_of(named, [m for m in net.module_.modules() if isinstance(m, _NORMS)])
    if pattern == "head":
        return _names_of(named, layers_in_order(net, rows)[-1:])
    return {name for name in named if fnmatch.fnmatchcase(name, pattern)}


_NORMS = (torch.nn.modules.batchnorm._NormBase, torch.nn.LayerNorm, torch.nn.GroupNorm)


def _names_of(named, modules):
    own = {id(p) for module in modules for p in module.parameters(recurse=False)}
    return {name for name, p in named.items() if id(p) in own}


def layers_in_order(net, rows):
    """Modules with parameters of their own, in the order of the forward pass.

    Registration order is another thing: a head may be registered first.
    """
    seen = []
    hooks = [
        module.register_forward_hook(lambda module, *_: seen.append(module))
        for module in net.module_.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        outputs(eager(net), rows.take([0]))
    finally:
        for hook in hooks:
            hook.remove()
    return list(dict.fromkeys(seen))


def last_layers(net, rows, k):
    """The last `k` weighted layers in the order of the forward pass, with the norms among them."""
    order = layers_in_order(net, rows)
    weighted = [i for i, module in enumerate(order) if not isinstance(module, _NORMS)]
    if k > len(weighted):
        raise ValueError(
            f"k={k}, but {type(net.module_).__name__} has {len(weighted)} layers with weights."
        )
    return order[weighted[-k] :]


def own_parameters(modules):
    """Parameters that belong to these modules themselves."""
    return [p for module in modules for p in module.parameters(recurse=False)]


def moved_parameters(net):
    """Parameters that a training moves: they require a gradient, and have a rate above zero."""
    found = [p for group in groups(net) if group.get("lr") != 0 for p in group["params"]]
    return {p for p in found if p.requires_grad}


def reset(modules):
    """Give modules new initial weights and running statistics, from torch's generator."""
    for module in modules:
        if not hasattr(module, "reset_parameters"):
            raise UnlearningError(
                f"{type(module).__name__} has weights of its own but no reset_parameters(), so it "
                "cannot be initialised again. Give it that method."
            )
        module.reset_parameters()
