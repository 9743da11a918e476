"""Layers and parameters of a net by role: the head, normalisation, biases, name patterns."""

import fnmatch
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn.utils.parametrize import is_parametrized

from skunlearn._torch.batches.net_rows import make_reader
from skunlearn._torch.inference import evaluating, infer, outputs
from skunlearn._torch.loop.learning_rates import groups
from skunlearn._torch.skorch_nets import lookalike, make_eager, plain_module
from skunlearn.exceptions import UnlearningError

WEIGHTED = (torch.nn.modules.conv._ConvNd, torch.nn.Linear)


def list_penalised_parameters(net, rows, exclude):
    """Trainable parameters but for the excluded ones; excluding nothing real is an error."""
    exclude = [exclude] if isinstance(exclude, str) else list(exclude)
    named = {name: p for name, p in plain_module(net).named_parameters() if p.requires_grad}
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
        return _names_of(named, _answering_layers(net, rows)[-1:])
    return {name for name in named if fnmatch.fnmatchcase(name, pattern)}


_NORMS = (
    torch.nn.modules.batchnorm._NormBase,
    torch.nn.LayerNorm,
    torch.nn.GroupNorm,
    torch.nn.RMSNorm,
)


def is_norm(module):
    """Whether a layer normalises."""
    return isinstance(module, _NORMS)


def _names_of(named, modules):
    own = {id(p) for p in own_parameters(modules)}
    return {name for name, p in named.items() if id(p) in own}


def layers_in_order(net, rows):
    """Modules with parameters of their own, in the order of the forward pass.

    Registration order is another thing: a head may be registered first.
    """
    seen = []
    owners = {  # a parametrized weight lies in a module of its own
        made_of: module
        for module in net.module_.modules()
        if is_parametrized(module)
        for made_of in module.parametrizations.values()
    }
    hooks = [
        module.register_forward_hook(lambda module, *_: seen.append(owners.get(module, module)))
        for module in net.module_.modules()
        if next(module.parameters(recurse=False), None) is not None
    ]
    try:
        outputs(make_eager(net), rows.take([0]))
    finally:
        for hook in hooks:
            hook.remove()
    return list(dict.fromkeys(seen))


def _answering_layers(net, rows):
    """`layers_in_order` but for those whose output is dropped, as that of a head nobody asks."""
    moved = {p for p in list_moved_parameters(net) if p.numel()}
    dropped = moved - list_learning_parameters(net, rows)
    order = layers_in_order(net, rows)
    if not dropped:
        return order
    return [m for m in order if not dropped.issuperset(own_parameters([m]))]


def last_layers(net, rows, k):
    """The last `k` weighted layers in the order of the forward pass, with the norms among them."""
    order = _answering_layers(net, rows)
    weighted = [i for i, module in enumerate(order) if not isinstance(module, _NORMS)]
    if k > len(weighted):
        raise ValueError(
            f"k={k}, but {type(plain_module(net)).__name__} has {len(weighted)} layers with "
            "weights."
        )
    return order[weighted[-k] :]


def count_resettable(net, rows):
    """How many weighted layers, counted from the last one, `reset` takes with the norms after."""
    moved, count = list_moved_parameters(net), 0
    for module in reversed(_answering_layers(net, rows)):
        if say_why_not_reset(module, moved):
            break
        count += not isinstance(module, _NORMS)
    return count


def own_parameters(modules):
    """Parameters that belong to these modules themselves."""
    found = []
    for module in modules:
        found += module.parameters(recurse=False)
        if is_parametrized(module):
            found += module.parametrizations.parameters()
    return found


def weight_parameter(module):
    """The parameter of which ``module.weight`` is made, or is; None when there is none.

    A pruned layer, or one whose weight is normalised, holds it under another name.
    """
    own = module._parameters
    for name in ("weight", "weight_orig", "weight_v"):
        if own.get(name) is not None:
            return own[name]
    if not is_parametrized(module, "weight"):
        return None
    made_of = module.parametrizations["weight"]
    return made_of.original if hasattr(made_of, "original") else made_of.original1


def list_moved_parameters(net):
    """Parameters that a training moves: they require a gradient, and have a rate above zero."""
    found = [p for group in groups(net) if group.get("lr") != 0 for p in group["params"]]
    return {p for p in found if p.requires_grad}


def list_learning_parameters(net, rows):
    """Parameters that a training on `rows` moves, and on which what the net says of them hangs.

    Those of a head whose output is dropped, or of a part that is passed without a gradient, are
    not among them: what is done to such a weight is undone by no training, or does nothing. None
    is empty.
    """
    moved = {p for p in list_moved_parameters(net) if p.numel()}
    size = net.batch_size if net.batch_size > 0 else len(rows)
    batch = make_reader(net, rows).batch(np.arange(min(size, len(rows))))
    bare = lookalike(net, module_=plain_module(net))  # processes would wait for each other
    before = {p: p.grad for p in moved}
    try:
        for p in moved:
            p.grad = None
        # Not torch.autograd.grad, with which checkpoints of the old manner do not go.
        with evaluating(bare), torch.enable_grad():
            infer(bare, batch[0]).float().sum().backward()
        return {p for p in moved if p.grad is not None}
    except RuntimeError:  # of a net that has no gradient in evaluation mode
        return moved
    finally:
        for p, grad in before.items():
            p.grad = grad


def reset(modules, moved):
    """Give modules new initial weights and running statistics, from torch's generator.

    `moved` holds the parameters that the training after it moves.
    """
    for module in modules:
        if hindered := say_why_not_reset(module, moved):
            raise UnlearningError(hindered)
        with _unpruned(module):
            module.reset_parameters()


def say_why_not_reset(module, moved):
    """Why `reset` would refuse a module; None where it would not."""
    name = type(module).__name__
    if not hasattr(module, "reset_parameters"):
        return (
            f"{name} has weights of its own but no reset_parameters(), so it cannot be "
            "initialised again. Give it that method."
        )
    if not moved.issuperset(own_parameters([module])):
        return (
            f"A {name} among the layers to initialise again is frozen, and would stay as it is "
            "drawn. Let it learn (requires_grad_()), or take another k or CFkUnlearner."
        )
    if is_parametrized(module) or "weight_v" in module._parameters:
        return (
            f"The weight of a {name} is made of other parameters (torch's parametrizations), "
            "which reset_parameters() does not reach. Remove them, or use CFkUnlearner."
        )
    return None


@contextmanager
def _unpruned(module):
    """Show the weights of a pruned layer under their plain names, at which they are reset."""
    names = [key[:-5] for key in module._parameters if key.endswith("_orig")]
    masked = {name: vars(module).pop(name) for name in names if name in vars(module)}
    for name in masked:
        module._parameters[name] = module._parameters[f"{name}_orig"]
    try:
        yield
    finally:
        for name in masked:
            del module._parameters[name]
        vars(module).update(masked)
