"""Weights that the forget rows alone use, as a training on the other rows would leave them."""

from contextlib import ExitStack

import numpy as np
import torch
from torch import nn

from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import parts

_TABLES = nn.Embedding | nn.EmbeddingBag
_AT_ONCE = 2000  # rows, after which it is asked whether all is found


@torch.no_grad()
def renew_unused(net, new, retain, forget, classes):
    """Give inputs that the forget rows use, and no retained row does, the weights of `new`.

    No training on the retained rows moves them, however long it is: the vector of a user or of a
    word that is gone would stay in its table for good, and so would the weights of a column that is
    zero elsewhere.

    Parameters
    ----------
    net : skorch net, changed in place
    new : skorch net of the same layers, which never saw the forget rows
    retain, forget : Rows
    classes : see `task_of`

    Returns
    -------
    renewed : int
        How many inputs, over all layers.
    """
    own, other = _readers(net), _readers(new)
    layers = {key: layer for key, layer in own.items() if key in other}
    left = _used(net, layers, forget, classes)
    for start in range(0, len(retain), _AT_ONCE):
        left = {key: mask for key, mask in left.items() if mask.any()}
        if not left:
            return 0
        some = retain.take(np.arange(start, min(start + _AT_ONCE, len(retain))))
        used = _used(net, {key: layers[key] for key in left}, some, classes)
        left = {key: mask & ~used[key] for key, mask in left.items() if key in used}
    for key, mask in left.items():
        layer, theirs = layers[key], other[key].weight.to(layers[key].weight)
        if isinstance(layer, nn.Linear):
            layer.weight[:, mask] = theirs[:, mask]
        else:
            layer.weight[mask] = theirs[mask]
    return sum(int(mask.sum()) for mask in left.values())


def _readers(net):
    """Layers that hold weights of their own for each input, by name."""
    layers = {
        (part, name): layer
        for part, module in parts(net)
        for name, layer in module.named_modules()
        if isinstance(layer._parameters.get("weight"), nn.Parameter)
    }
    holders = [id(layer.weight) for layer in layers.values()]
    return {
        key: layer
        for key, layer in layers.items()
        if isinstance(layer, _TABLES | nn.Linear)
        and layer.weight.requires_grad
        and holders.count(id(layer.weight)) == 1  # a table that makes the logits as well learns
    }


def _used(net, layers, rows, classes):
    """Mask of the inputs that `rows` use, of each of the `layers` that they go through."""
    used = {}

    def watch(key, layer, args, kwargs):
        given = args[0] if args else kwargs["input"]
        if isinstance(layer, nn.Linear):
            found = (given != 0).reshape(-1, given.shape[-1]).any(dim=0)
        else:
            found = torch.zeros(layer.num_embeddings, dtype=torch.bool, device=given.device)
            found[given.reshape(-1)] = True
        used[key] = found | used[key] if key in used else found

    with ExitStack() as hooks:
        for key, layer in layers.items():
            hook = layer.register_forward_pre_hook(
                lambda layer, args, kwargs, key=key: watch(key, layer, args, kwargs),
                with_kwargs=True,
            )
            hooks.callback(hook.remove)
        observe(net, rows, classes)
    return used
