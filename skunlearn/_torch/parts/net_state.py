"""The state of a net's modules and criteria as tensors by name."""

from collections import deque
from contextlib import contextmanager
from itertools import chain

import numpy as np
import torch
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parallel import DistributedDataParallel
from torch.nn.parameter import is_lazy

from skunlearn.exceptions import UnlearningError

OWN = {*vars(torch.nn.Module())}  # what torch keeps on every module
_HOLDERS = (list, set, dict, deque, torch.Tensor, np.ndarray)  # what is written to


def parts(net):
    """Name and module of all modules and criteria that are modules."""
    held = [(name, getattr(net, name + "_")) for name in [*net._modules, *net._criteria]]
    return [(name, plain(part)) for name, part in held if isinstance(part, torch.nn.Module)]


def plain(module):
    """The module as it was written, out of torch.compile and parallel training in any order."""
    while isinstance(module, DistributedDataParallel) or hasattr(module, "_orig_mod"):
        compiled = hasattr(module, "_orig_mod")
        module = module._orig_mod if compiled else module.module
    return module


def single(module):
    """The module that several processes train together, or the module itself."""
    return module.module if isinstance(module, DistributedDataParallel) else module


def uncompiled(module):
    """The module that torch.compile was given, or the module itself."""
    return getattr(module, "_orig_mod", module)


def has_buffers(net):
    """Whether anything in the net may be moved by rows that pass through it."""
    buffers = map(torch.nn.Module.buffers, dict(parts(net)).values())
    return next(chain.from_iterable(buffers), None) is not None


def count_weights(net):
    """Bytes of a net's parameters."""
    return sum(p.nbytes for _, part in parts(net) for p in part.parameters() if not is_lazy(p))


def list_tables(net):
    """Layers that learn an embedding of each of a number of users, words or categories, by name.

    And `BareTable`s of parameters that may be such tables, as a module indexes them itself.
    """
    found, kinds = {}, (torch.nn.Embedding, torch.nn.EmbeddingBag)
    for name, part in parts(net):
        for key, layer in part.named_modules():
            path = f"{name}.{key}".removeprefix("module.").removesuffix(".")
            if isinstance(layer, kinds):
                if layer.weight.requires_grad:
                    found[path] = layer
            elif not type(layer).__module__.startswith("torch."):
                for own, p in layer.named_parameters(recurse=False):
                    if p.requires_grad and p.ndim in (1, 2) and len(p) > 1:
                        found[f"{path}.{own}" if key else own] = BareTable(p)
    return found


class BareTable:
    """A parameter that a module of the user's own holds, in the form of an embedding.

    Parameters
    ----------
    weight : torch Parameter of shape (n, width) or (n,)
    """

    padding_idx = None

    def __init__(self, weight):
        self.weight = weight


def may_hold_rows(net):
    """Whether a training could have written rows to modules: beside weights, in other attributes.

    Or in the buffers of a criterion; those of modules are renewed.
    """
    for name, part in parts(net):
        for module in part.modules():
            for key, value in vars(module).items():
                if key not in OWN and isinstance(value, _HOLDERS):
                    return True
        if name not in net._modules and next(part.buffers(), None) is not None:
            return True
    return False


def find_unsized(net):
    """Names of the parameters and buffers of lazy layers that no row has given a shape."""
    return [
        f"{name}.{key}"
        for name, part in parts(net)
        for key, tensor in [*part.named_parameters(), *part.named_buffers()]
        if is_lazy(tensor)
    ]


def refuse_unsized(net):
    """Raise where a layer is left without weights, which is never used."""
    for name in find_unsized(net):
        _refuse_lazy(name)


def _refuse_lazy(name):
    raise UnlearningError(
        f"{name} belongs to a lazy layer that has met no row, so that it has no weights to "
        "train, compare or copy. Use the layer in the module's forward, give it its sizes, or "
        "take it out."
    )


def _refuse_divided(name):
    raise UnlearningError(
        f"{name} is divided among processes (a DTensor, as fully_shard makes them). An unlearning "
        "copies nets, which FSDP does not support, and writes down digests of whole weights. Use "
        "data parallelism (nets.Accelerated without such a plugin), with nets.Autocast and "
        "nets.MicroBatches where memory is short, or train low-rank adapters on a net whose "
        "other weights are frozen."
    )


def refuse_diverged(net):
    """Raise when a weight is NaN or infinite, is not there, or only in part."""
    held, sums = {}, []
    for name, part in parts(net):
        for key, value in [*part.named_parameters(), *part.named_buffers()]:
            if is_lazy(value):
                _refuse_lazy(f"{name}.{key}")
            if hasattr(type(value), "full_tensor"):  # DTensor, without the import of its package
                _refuse_divided(f"{name}.{key}")
            seen = value.detach()
            if not (seen.is_floating_point() and seen.element_size() > 1):
                seen = _as_floats(seen)
            if seen is not None:
                held[f"{name}.{key}"] = value, seen
                home = sums[0].device if sums else seen.device
                sums.append(seen.sum().to(home, torch.float32, non_blocking=True))
    # Most nets are fine, which one sum of each tensor tells; a device is waited for once.
    if sums and not torch.stack(sums).isfinite().all():
        _refuse_infinite(held)
    return net


def _as_floats(value):
    """Complex numbers, and those of a byte, as floats that torch can sum; None of whole numbers."""
    if value.is_complex():
        return torch.view_as_real(value.resolve_conj())
    return value.float() if value.is_floating_point() else None


def _refuse_infinite(held):
    """Raise where one of these tensors by name is wrong, and not only too large to be summed."""
    for name, (value, seen) in held.items():
        if seen.layout is not torch.strided:
            seen = seen.coalesce() if seen.layout is torch.sparse_coo else seen
            seen = seen.values()
        # A buffer may be meant to hold infinity: a mask of attention, say.
        wrong = ~seen.isfinite() if isinstance(value, torch.nn.Parameter) else seen.isnan()
        if wrong.any():
            raise UnlearningError(
                f"The training diverged: {name} holds NaN or infinity. The model is as "
                "it was before. Try a smaller learning rate."
            )


def weights(net):
    """Parameters and all buffers, detached clones on their device."""
    return {key: value.detach().clone() for key, value in named_tensors(net).items()}


def holds(net, state):
    """Whether parameters and buffers are what `weights` returned, bit for bit."""
    held = named_tensors(net)
    return held.keys() == state.keys() and all(
        value.dtype == state[key].dtype and torch.equal(value, state[key])
        for key, value in held.items()
    )


def keep_weights(params, net, old):
    """Where parameters of a net are now, to be read: a dict of parameter to tensor.

    Those of `old`, a net that nobody writes to, where they are the same, and copies elsewhere.
    """
    names, held = {p: name for name, p in _name_parameters(net)}, dict(_name_parameters(old))
    kept = {}
    for p in params:
        twin = held.get(names.get(p))
        same = twin is not None and twin is not p and not (is_lazy(twin) or is_lazy(p))
        same = same and (twin.dtype, twin.device) == (p.dtype, p.device) and torch.equal(twin, p)
        kept[p] = twin.detach() if same else p.detach().clone()
    return kept


@contextmanager
def sharing_weights(net, old):
    """Let a net's weights lie where those of `old` do, as far as they are the same, in the block.

    Nobody may write to them there. It spares the memory of a net while one is only asked.
    """
    shared = []
    try:
        for p, start in keep_weights(dict(_name_parameters(net)).values(), net, old).items():
            alone = type(p) is torch.nn.Parameter and p.untyped_storage().nbytes() == p.nbytes
            if alone and start.stride() == p.stride():
                shared.append(p)
                p.data = start
        yield
    finally:
        for p in shared:
            p.data = p.data.clone()


def _name_parameters(net):
    return [(f"{name}.{key}", p) for name, part in parts(net) for key, p in part.named_parameters()]


def floating_state(net):
    """Parameters and floating buffers: the tensors themselves."""
    return [value.detach() for value in named_tensors(net).values() if value.is_floating_point()]


def named_tensors(net):
    """Parameters and all buffers by name: the tensors themselves, detached.

    Raises where a layer is left without weights.
    """
    found = {}
    for name, part in parts(net):
        # Buffers that are not persistent too: training moves them as well.
        for key, value in [*part.state_dict().items(), *part.named_buffers()]:
            if is_lazy(value):
                _refuse_lazy(f"{name}.{key}")
            if isinstance(value, torch.Tensor):
                found.setdefault(f"{name}.{key}", value)
    return found


def set_weights(net, state):
    """Load what `weights` returned, with its dtypes.

    A parameter that does not learn may be one of other nets too, or of a public backbone: it is
    not written to, but another one put in its place.

    Raises RuntimeError when the net is made otherwise.
    """
    for name, part in parts(net):
        prefix = name + "."
        own = {key[len(prefix) :]: v for key, v in state.items() if key.startswith(prefix)}
        for key, tensor in [*part.named_parameters(), *part.named_buffers()]:
            if not is_lazy(tensor) and key in own and own[key].dtype != tensor.dtype:
                if isinstance(tensor, torch.nn.Parameter) and not tensor.requires_grad:
                    continue  # see below
                tensor.data = tensor.data.to(own[key].dtype)
        known = part.state_dict()
        missing = {key for key in known.keys() - own.keys() if isinstance(known[key], torch.Tensor)}
        fleeting = dict(part.named_buffers()).keys() - known.keys()
        extra = {key: own.pop(key) for key in own.keys() & fleeting}
        fixed = _find_frozen(part, own)
        others = {
            id(p): torch.nn.Parameter(own[key].detach().clone().to(p.device), requires_grad=False)
            for key, p in fixed.items()
            if p.dtype != own[key].dtype or not torch.equal(p, own[key].to(p.device))
        }
        replace_parameters(net, others)
        own = {key: value for key, value in own.items() if key not in fixed}
        try:
            report = part.load_state_dict(own, strict=False)
        except KeyError as error:  # a layer wants what is no tensor, as quantised ones do
            raise RuntimeError(
                f"{name} keeps something in its state_dict that is no tensor, as quantised layers "
                f"do: {error} cannot be given back to it."
            ) from error
        wrong = sorted(missing), sorted(getattr(report, "unexpected_keys", ()))
        if any(wrong):
            raise RuntimeError(f"{name} misses {wrong[0]} and does not know {wrong[1]}.")
        for key, value in extra.items():
            owner, _, leaf = key.rpartition(".")
            where = part.get_submodule(owner)
            where._buffers[leaf] = value.detach().clone().to(where._buffers[leaf].device)
        _size_lazy_layers(part)


def _find_frozen(part, own):
    """Parameters that do not learn, and fit what is in `own` under their names."""
    return {
        key: p
        for key, p in part.named_parameters(remove_duplicate=False)
        if key in own and not (p.requires_grad or is_lazy(p) or own[key].shape != p.shape)
    }


def replace_parameters(net, others):
    """Put parameters in the place of those of a net, wherever it holds them.

    Parameters
    ----------
    net : net with its modules
    others : dict of id of a parameter to the one in its place
    """
    if not others:
        return
    for _, part in parts(net):
        for module in part.modules():
            for name, p in module._parameters.items():
                module._parameters[name] = others.get(id(p), p)
    for name in net._optimizers:
        for group in getattr(getattr(net, name + "_", None), "param_groups", ()):
            group["params"] = [others.get(id(p), p) for p in group["params"]]


def _size_lazy_layers(part):
    """Tell lazy layers the sizes of the weights that they were given.

    torch tells them with the first rows, but not, or not in every version, where they have weights.
    """
    for module in part.modules():
        if not isinstance(module, LazyModuleMixin) or module.has_uninitialized_params():
            continue
        if getattr(module, "in_features", None) == 0:
            module.in_features = module.weight.shape[-1]
        elif getattr(module, "in_channels", None) == 0:
            shape, groups = module.weight.shape, module.groups
            module.in_channels = shape[0] if module.transposed else shape[1] * groups
        elif getattr(module, "num_features", None) == 0:
            held = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            module.num_features = max((t.numel() for t in held if t.ndim), default=0)
