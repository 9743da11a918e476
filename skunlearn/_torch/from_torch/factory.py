"""Whether what builds a fresh module builds the one that was trained."""

import torch
from torch.nn.parameter import is_lazy

from skunlearn._rows.row_names import join_names


def check_factory(fresh, trained):
    """Refuse a factory whose module is another one than that which was trained.

    Parameters
    ----------
    fresh, trained : Module
    """
    if not isinstance(fresh, torch.nn.Module):
        raise TypeError(f"factory must build a module, got {type(fresh).__name__}.")
    own, other = dict(fresh.named_parameters()), dict(trained.named_parameters())
    if any(is_lazy(parameter) for parameter in own.values()):
        # Shapes come with the first rows.
        differs = own.keys() ^ other.keys()
    else:
        found, wanted = (_shapes(module) for module in (fresh, trained))
        differs = {name for name in found.keys() | wanted if found.get(name) != wanted.get(name)}
    if differs:
        raise ValueError(
            "factory builds another module than the trained one: "
            f"{join_names(sorted(differs), 3)} differ. Pass its arguments as module__...=, or a "
            "function that builds it."
        )
    flags = [name for name, p in own.items() if p.requires_grad != other[name].requires_grad]
    if flags:
        raise ValueError(
            f"factory builds a module in which {join_names(sorted(flags), 3)} are frozen, or "
            "learn, otherwise than in the trained one. Let it call requires_grad_ as you did, so "
            "that references learn the same weights."
        )
    if _is_trained(own, other):
        raise ValueError(
            "factory gives back the weights of the trained module, so that nothing would start "
            "afresh. It must build a new module: pass the class, or a function that calls it."
        )


def _is_trained(fresh, trained):
    """Whether all learnt weights are there already, which no seed brings about."""
    told = [
        (p, trained[name])
        for name, p in fresh.items()
        if p.requires_grad and not is_lazy(p) and trained[name].unique().numel() > 2
    ]
    same = [p is q or torch.equal(p.detach().cpu(), q.detach().cpu()) for p, q in told]
    return bool(same) and all(same)


def _shapes(module):
    tensors = [*module.named_parameters(), *module.named_buffers()]
    return {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in tensors}
