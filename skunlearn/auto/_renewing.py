"""Weights that the forget rows alone use, as a training on the other rows would leave them."""

from contextlib import ExitStack

import numpy as np
import torch
from torch import nn

from skunlearn._torch import skorch_nets
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import parts
from skunlearn.finetuning._shrinking import shrink

_TABLES = nn.Embedding | nn.EmbeddingBag
_AT_ONCE = 2000  # rows, after which it is asked whether all is found
_LARGEST = 20.0  # of how many times as large a table was after its training
_ASKED, _SPARSE = 500, 0.1  # rows, and the share of inputs that are not zero, of a bag of words


@torch.no_grad()
def shrink_evenly(net, new, factor, sparse=frozenset()):
    """As `shrink`, but for tables that begin small: of these as much less is kept.

    A vector of an embedding that begins near zero is all training, and as it is no sum over inputs,
    a share of it says the same as the whole. Beside new weights of a tenth its size it would be
    hidden no sooner than at a tenth of the share. `sparse` names layers that are tables as well
    (`find_sparse`).
    """
    kept = {}
    for key, layer in _readers(net).items():
        if isinstance(layer, _TABLES) or key in sparse:
            kept[key] = layer.weight.detach().clone()
    shrink(net, new, factor)
    if not kept:
        return
    own, other = _readers(net), _list_layers(new)
    for key, old in kept.items():
        theirs = other[key].weight.to(old)
        size = float(old.square().mean().sqrt() / theirs.square().mean().sqrt().clamp_min(1e-12))
        fresh = (1 - factor) * float(np.clip(size, 1, _LARGEST))
        own[key].weight.copy_(theirs.lerp(old, factor / (factor + fresh) if factor else 0.0))


def find_sparse(net, rows, classes):
    """Names of the linear layers that are tables: nearly all of what they are given is zero.

    Of words or categories, of which a row has a few, the columns are vectors of a table. Rows of
    such tables were told from others by 0.06 of an AUC without unseen rows, and are by 0.02.
    """
    layers = {key: layer for key, layer in _readers(net).items() if isinstance(layer, nn.Linear)}
    filled = {key: [] for key in layers}

    def see(key, given):
        filled[key].append(float((given != 0).float().mean()))

    if layers:
        _watch(net, layers, rows.sample(_ASKED, 0), classes, see)
    return frozenset(key for key, some in filled.items() if some and np.mean(some) < _SPARSE)


class Unused:
    """Inputs of layers that forget rows use, and no retained row does.

    No training on the retained rows moves their weights, however long it is: the vector of a user
    or of a word that is gone would stay in its table for good, and so would the weights of a column
    that is zero elsewhere.

    Parameters
    ----------
    net : skorch net
    retain, forget : Rows
    classes : see `task_of`

    Attributes
    ----------
    share : float
        Of the forget rows, those that go through a vector of a table that no retained row uses.
    sizes : dict of float
        Root mean squares of the weights that retained rows use, in each of the layers.
    """

    def __init__(self, net, retain, forget, classes):
        layers = _readers(net)
        left, kept = _used(net, layers, forget, classes), {}
        for start in range(0, len(retain), _AT_ONCE):
            left = {key: mask for key, mask in left.items() if mask.any()}
            if not left:
                break
            some = retain.take(np.arange(start, min(start + _AT_ONCE, len(retain))))
            used = _used(net, {key: layers[key] for key in left}, some, classes)
            left = {key: mask & ~used[key] for key, mask in left.items() if key in used}
            kept = {key: used[key] | kept.get(key, False) for key in left}
        self.masks = {key: mask for key, mask in left.items() if mask.any()}
        self._kept = {key: kept[key] for key in self.masks}
        self.sizes = self._measure(net)
        tables = {k: layers[k] for k in self.masks if isinstance(layers[k], _TABLES)}
        self.share = _share(net, tables, self.masks, forget, classes) if tables else 0.0

    @torch.no_grad()
    def renew(self, net, new):
        """Give them the weights that they have in `new`, which never saw the forget rows."""
        own, other = _readers(net), _list_layers(new)
        for key, mask in self.masks.items():
            ours, theirs = own[key].weight, other[key].weight.to(own[key].weight)
            _inputs(own[key], ours)[mask] = _inputs(own[key], theirs)[mask]

    @torch.no_grad()
    def fit_in(self, net):
        """Make them as much smaller as those are that retained rows use.

        What was shrunk does not grow back in a short training, and beside it vectors of full size
        would make a net surer than a training in full makes it.
        """
        own, sizes = _readers(net), self._measure(net)
        for key, mask in self.masks.items():
            if sizes[key] < self.sizes[key]:
                _inputs(own[key], own[key].weight)[mask] *= sizes[key] / self.sizes[key]

    def _measure(self, net):
        own = _readers(net)
        return {
            key: float(_inputs(own[key], own[key].weight.detach())[mask].square().mean().sqrt())
            for key, mask in self._kept.items()
        }


def _inputs(layer, weight):
    """The weights, or as many numbers, a row for each input of the layer."""
    return weight.T if isinstance(layer, nn.Linear) else weight


def _list_layers(net):
    """All layers by name, those too that learn in another net alone, whose callbacks thaw them."""
    return {
        (part, name): layer for part, module in parts(net) for name, layer in module.named_modules()
    }


def _readers(net):
    """Layers that hold weights of their own for each input, by name."""
    layers = {
        key: layer
        for key, layer in _list_layers(net).items()
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

    def see(key, given):
        layer = layers[key]
        if isinstance(layer, nn.Linear):
            found = (given != 0).reshape(-1, given.shape[-1]).any(dim=0)
        else:
            found = torch.zeros(layer.num_embeddings, dtype=torch.bool, device=given.device)
            found[given.reshape(-1)] = True
        used[key] = found | used[key] if key in used else found

    _watch(net, layers, rows, classes, see)
    return used


def _share(net, tables, masks, rows, classes):
    """Share of the `rows` that go through what is masked, in the table where it is largest."""
    found = {key: [] for key in tables}

    def see(key, given):
        found[key].append(masks[key][given].reshape(len(given), -1).any(dim=1).cpu())

    _watch(net, tables, rows, classes, see)
    return max(float(torch.cat(some).float().mean()) for some in found.values())


def _watch(net, layers, rows, classes, see):
    """Call ``see(key, given)`` with what each of the `layers` is given on `rows`."""
    with ExitStack() as hooks:
        for key, layer in layers.items():

            def hook(layer, args, kwargs, key=key):
                see(key, args[0] if args else kwargs["input"])

            hooks.callback(layer.register_forward_pre_hook(hook, with_kwargs=True).remove)
        observe(skorch_nets.make_eager(net), rows, classes)  # compiled code may call no hooks
