"""The weights that a net starts from: drawn at random, or brought along by its module's code."""

import hashlib

import torch
from torch.nn.parameter import UninitializedTensorMixin

from skunlearn._torch import skorch_nets
from skunlearn._torch.parts.net_state import parts

_SHOWN = 3  # names in a text


def find_fixed_weights(net, declared=()):
    """Parameters that a net begins with whatever the seed, though they are no constants.

    They were loaded by the module's code, from a file of pre-trained weights say, or are drawn by a
    seed of the module's own, which looks the same. Zeros and ones are nothing learnt.

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
    one, other = (_parameters(skorch_nets.build(net, seed)) for seed in (0, 1))
    same = [
        name
        for name, value in one.items()
        if name in other
        and value.shape == other[name].shape
        and torch.equal(value, other[name])
        and value.unique().numel() > 2  # an identity has zeros and ones
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
    """The first of some names, and how many more there are."""
    rest = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _parameters(net):
    return {
        f"{name}.{key}": value
        for name, part in parts(net)
        for key, value in part.named_parameters()
        if not isinstance(value, UninitializedTensorMixin)
    }
