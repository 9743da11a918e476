"""A device that is not the processor, on any machine: whoever mixes the two is told.

Tensors on it hold their values in ordinary memory and report another device, ``"lazy"``, which
PyTorch knows and has no code for. Operations on them are carried out; one that is given tensors of
both devices raises, as CUDA does, except where CUDA takes them: numbers, indices, copies. What a
device is waited for is counted: a number read back, a copy to the processor, one from there that
is not called ``non_blocking``, a size that depends on values.
"""

import contextlib
from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FAR = torch.device("lazy")
_MOVE = {"aten::_to_copy", "aten::copy_", "aten::_copy_from"}
_TAKE_INDICES = {"aten::index", "aten::index_put_", "aten::_index_put_impl_", "aten::index_put"}
# Their results' sizes depend on the values.
_COUNT = {"aten::nonzero", "aten::masked_select", "aten::_unique2", "aten::unique_dim"}


class FarTensor(torch.Tensor):
    """A tensor that says that it lies on the far device, around one that lies in memory."""

    @staticmethod
    def __new__(cls, near):
        return torch.Tensor._make_wrapper_subclass(
            cls, near.size(), strides=near.stride(), storage_offset=near.storage_offset(),
            dtype=near.dtype, layout=near.layout, device=FAR,
        )  # fmt: skip

    def __init__(self, near):
        self.near = near

    def __repr__(self):
        return f"FarTensor({self.near})"

    def __matmul__(self, other):
        if self.dim() == 1 and other.dim() == 2:  # PyTorch squeezes in place, which no wrapper sees
            return other.t().mv(self)
        return super().__matmul__(other)

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _carry_out(func, args, kwargs or {}, Counter())


class _Mode(TorchDispatchMode):
    def __init__(self, waits):
        super().__init__()
        self.waits = waits

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _carry_out(func, args, kwargs or {}, self.waits)


@contextlib.contextmanager
def far_device():
    """Make ``device="lazy"`` work within; gives a Counter of what a device would wait for."""
    waits, before = Counter(), torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with _Mode(waits):
            yield waits
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def _carry_out(func, args, kwargs, waits):
    name = func.overloadpacket._qualified_op_name
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    far = [tensor for tensor in given if isinstance(tensor, FarTensor)]
    near = [tensor for tensor in given if not isinstance(tensor, FarTensor) and tensor.dim()]
    if far and near and name not in _MOVE | _TAKE_INDICES:
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found {FAR} and cpu in {name}."
        )
    goes_far = bool(far)
    if kwargs.get("device") is not None:
        goes_far = torch.device(kwargs["device"]).type == FAR.type
        kwargs = kwargs | {"device": torch.device("cpu")}
    if name == "aten::copy_":
        goes_far = isinstance(args[0], FarTensor)
    if far and (name in _COUNT or name == "aten::_local_scalar_dense" or not goes_far):
        waits[name] += 1
    elif name in _TAKE_INDICES:  # the places that a mask stands for have to be counted
        waits[name] += any(isinstance(at, FarTensor) and at.dtype is torch.bool for at in args[1])
    if near and goes_far and name in _MOVE and not _goes_on(args, kwargs):
        waits["from the processor"] += 1
    inner_args, inner_kwargs = tree_map(_near, args), tree_map(_near, kwargs)
    out = func(*inner_args, **inner_kwargs)
    if name == "aten::copy_":
        return args[0]
    outer = {id(tensor.near): tensor for tensor in far}

    def wrapped(result):
        given = outer.get(id(result))
        if given is not None and given.shape == result.shape:
            return given  # changed in place; of another shape after squeeze_, say
        return FarTensor(result) if goes_far and isinstance(result, torch.Tensor) else result

    return tree_map(wrapped, out)


def _goes_on(args, kwargs):
    """Whether a copy is not waited for."""
    return kwargs.get("non_blocking") or any(arg is True for arg in args[2:])


def _near(value):
    return value.near if isinstance(value, FarTensor) else value
