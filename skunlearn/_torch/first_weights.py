"""The weights that a net starts from: drawn at random, or brought along by its module's code."""

import hashlib
from itertools import islice

import torch
from torch.nn.parameter import UninitializedTensorMixin

from skunlearn._rows.row_names import join_names
from skunlearn._torch import skorch_nets
from skunlearn._torch.formulas import is_formula
from skunlearn._torch.parts.net_state import parts

_LOOKED_AT = 1000  # items of a container, at most
_MANY = 64  # numbers of a weight from which a likeness says something
_ENOUGH = 2**17  # numbers of a large weight; a correlation of them is known to 0.003
_ALIKE = 0.3  # correlation of two drawings that is one
_BY_CHANCE = 8.0  # the same in standard errors of independent ones
_APART = 4.0  # two levels, in deviations about them: 2.7 of the halves of a normal distribution
_OF_TORCH = frozenset(vars(torch.nn.Module()))


def find_fixed_weights(net, declared=()):
    """Weights that a net begins with whatever the seed, though they are no constants.

    They were loaded by the module's code, from a file of pre-trained weights say, or are drawn by a
    seed of the module's own, which looks the same. Noise may have been added to them. Zeros and
    ones are nothing learnt. Modules count that a module keeps in a list or a plain attribute, where
    torch does not see them, and buffers where layers have their weights.

    Parameters
    ----------
    net : net
    declared : set of str, default=()
        Digests of tensors (`digest_tensor`) that are not named: somebody has declared them public.

    Returns
    -------
    names : list of str
    shared : bool
        Whether two nets even begin with the same objects that learn, so that each would train the
        other.
    """
    one, other = (_weights(skorch_nets.build(net, seed)) for seed in (0, 1))
    same = [
        name
        for name, value in one.items()
        if name in other
        and value.shape == other[name].shape
        and _resemble(value, other[name])
        and not (declared and digest_tensor(value) in declared)
    ]
    shared = any(value is other.get(name) and value.requires_grad for name, value in one.items())
    return same, shared


def digest_weights(net):
    """Digest of a net's parameters and buffers."""
    digest = hashlib.blake2b(digest_size=16)
    for name, part in parts(net):
        for key, value in part.state_dict().items():
            if isinstance(value, torch.Tensor) and not isinstance(value, UninitializedTensorMixin):
                digest.update(f"{name}.{key} {digest_tensor(value)}".encode())
    return digest.digest()


def digest_tensor(tensor):
    """Type, shape and a digest of the numbers, as text."""
    flat = tensor.detach().cpu().contiguous().flatten().view(torch.uint8)
    digest = hashlib.blake2b(flat.numpy(), digest_size=16).hexdigest()
    return f"{tensor.dtype} {tuple(tensor.shape)} {digest}"


def shorten(names):
    """Names of weights in a text: the first three, and how many more there are."""
    return join_names(names, 3)


def _resemble(one, other):
    """Whether two drawings of a weight have more in common than constants."""
    if torch.equal(one, other):
        # An identity has zeros and ones.
        return one.unique().numel() > 2 and not is_formula(one)
    if one.ndim < 2 or one.numel() < _MANY or not one.is_floating_point():
        return False  # of biases some are often set apart, the same ones each time
    flat = [drawing.detach().flatten() for drawing in (one, other)]
    if one.numel() > _ENOUGH:  # of all of them there would be fifteen copies at a time
        drawn = torch.randint(one.numel(), (_ENOUGH,), generator=torch.Generator().manual_seed(0))
        flat = [values[drawn.to(values.device)] for values in flat]
    both = torch.stack(flat).double()
    both = both - _find_levels(both.mean(dim=0))
    likeness = float(torch.corrcoef(both)[0, 1])
    return likeness > max(_ALIKE, _BY_CHANCE / both.shape[1] ** 0.5)


def _find_levels(values):
    """The two constants that weights lie about, each where it is; zeros where there are not two.

    An identity to which noise is added has them, and nothing learnt.
    """
    upper = values > (values.min() + values.max()) / 2
    if not 0 < upper.sum() < len(values):
        return torch.zeros_like(values)
    levels = torch.where(upper, values[upper].mean(), values[~upper].mean())
    apart, spread = levels.max() - levels.min(), (values - levels).std()
    return levels if apart > _APART * spread else torch.zeros_like(values)


def _weights(net):
    return {
        f"{name}.{key}": value
        for name, part in parts(net)
        for key, value in _walk_weights(part)
        if not isinstance(value, UninitializedTensorMixin)
    }


def _walk_weights(module):
    """Names and tensors of parameters, and of what is like them but unknown to torch."""
    yield from module.named_parameters()
    for key, value in module.named_buffers():
        if _is_weight(key, value):
            yield key, value
    for where, part in module.named_modules():
        for name, held in vars(part).items():
            if name not in _OF_TORCH:
                for key, value in _list_kept(f"{where}.{name}" if where else name, held):
                    if isinstance(value, torch.nn.Module):
                        yield from ((f"{key}.{own}", p) for own, p in value.named_parameters())
                    elif key.endswith("']") and _is_weight(key[:-2], value):
                        yield key, value


def _list_kept(name, held):
    """What a plain attribute is or contains, each with a name."""
    if isinstance(held, dict):
        return [(f"{name}[{key!r}]", item) for key, item in islice(held.items(), _LOOKED_AT)]
    if isinstance(held, list | tuple):
        return [(f"{name}[{i}]", item) for i, item in enumerate(held[:_LOOKED_AT])]
    return [(name, held)]


def _is_weight(key, value):
    named = isinstance(value, torch.Tensor) and key.rpartition(".")[2] == "weight"
    return named and value.is_floating_point() and value.ndim > 1
