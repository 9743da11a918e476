"""Deep copies of what holds modules: all that is in them, not what their state_dicts name."""

import copy
import functools
import types
import weakref
from collections import OrderedDict

import torch
from torch.nn.parameter import UninitializedBuffer

_TABLES = ("_parameters", "_buffers", "_modules")
_LEAVES = frozenset((bool, int, float, str, bytes, type(None), type, torch.dtype, torch.device))
_DEEP = 3  # levels of attributes that are searched for what cannot be copied


def deep_copy(held, memo):
    """A deep copy of the dict `held`, whose values share with each other what they share now.

    ``copy.deepcopy`` with what it leaves to wish for: it refuses tensors inside a graph (a pruned
    weight is one), drops hooks on tensors, tells tensors apart that share memory, and takes
    functions for constants, so that a hook which closes over its module goes on writing to the
    original. What cannot be copied at all (a lock, an open file) is shared.

    Parameters
    ----------
    held : dict of str to object
    memo : dict of id to object
        What stands for an object that is not to be copied.

    Returns
    -------
    copies : dict of str to object

    Raises
    ------
    TypeError
        When a module, parameter or buffer itself cannot be copied.
    """
    found = _Found(held)
    memo = found.empty | _aliases(found.tensors) | found.generators | memo
    for tensor in found.tensors:
        if tensor.grad_fn is not None and id(tensor) not in memo:
            memo[id(tensor)] = tensor.detach().clone()
        if isinstance(tensor, UninitializedBuffer):  # which torch copies of parameters alone
            memo[id(tensor)] = UninitializedBuffer(device=tensor.device, dtype=tensor.dtype)
    done = dict(memo)
    try:
        copies = copy.deepcopy(held, done)
    except Exception:  # whatever is raised by an object that is not made to be copied
        _share_uncopyable(held, found.modules, memo)
        done = dict(memo)
        try:
            copies = copy.deepcopy(held, done)
        except Exception as error:
            raise TypeError(
                f"The net cannot be copied, without which nothing can be unlearned: {error}. Give "
                "the class of what stands in the way a __deepcopy__."
            ) from error
    if found.refers:
        _Mending(done).mend_all(copies, found.tensors)
    return copies


class _Found:
    """Modules, tensors and generators that can be reached from a value.

    Of generators, and of empty tables in order, it makes the copies, by the id of the original.
    `refers` says whether something was met that may refer to them, and that ``copy.deepcopy``
    leaves as it is: a function that closes over others, a weak reference, a hook, a mark.
    """

    def __init__(self, value):
        self.modules, self.tensors, self.generators, self.refers = [], [], {}, False
        # Hooks of layers that have none: most of what ``copy.deepcopy`` spends its time on.
        self.empty = {}
        self._seen = {}  # by id; it keeps them alive, so that no id is given twice
        self._look(value)

    def _look(self, value):
        if type(value) in _LEAVES or id(value) in self._seen:
            return
        if type(value) in (dict, OrderedDict):  # the most frequent, and asked for the soonest
            inner = list(value.values())
            if not inner and type(value) is OrderedDict:
                self.empty[id(value)] = OrderedDict()
        elif isinstance(value, torch.Tensor):
            self.tensors.append(value)
            late = getattr(value, "_post_accumulate_grad_hooks", None)
            self.refers |= bool(value._backward_hooks or late or vars(value))
            inner = ()
        elif isinstance(value, torch.Generator):
            self.generators[id(value)] = value.clone_state()
            inner = ()
        elif isinstance(value, torch.jit.ScriptModule):
            raise TypeError(
                "The net cannot be copied, without which nothing can be unlearned: PyTorch's "
                "copies of a scripted module do not learn. Use the module as it was before "
                "torch.jit.script."
            )
        elif isinstance(value, torch.nn.Module):
            self.modules.append(value)
            inner = [vars(value)]
        elif isinstance(value, dict):
            inner = list(value.values())
        elif isinstance(value, list | tuple):
            inner = list(value)
        elif isinstance(value, functools.partial):
            inner = [value.func, value.args, value.keywords]
        elif isinstance(value, types.MethodType):
            inner = [value.__self__, value.__func__]
        else:
            closes = isinstance(value, types.FunctionType) and bool(
                value.__closure__ or value.__defaults__ or value.__kwdefaults__
            )
            self.refers |= closes or isinstance(value, weakref.ref)
            return
        self._seen[id(value)] = value
        for part in inner:
            self._look(part)


def _aliases(tensors):
    """Copies of those tensors that share memory with another, sharing it in the same way."""
    groups = {}
    for tensor in tensors:
        plain = type(tensor) in (torch.Tensor, torch.nn.Parameter)
        if plain and tensor.layout is torch.strided and tensor.numel():
            groups.setdefault(tensor.untyped_storage().data_ptr(), []).append(tensor)
    copies = {}
    for address, group in groups.items():
        if not address or len(group) == 1:
            continue
        storage = group[0].untyped_storage().clone()
        for tensor in group:
            new = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            new.set_(storage, tensor.storage_offset(), tensor.shape, tensor.stride())
            if isinstance(tensor, torch.nn.Parameter):
                new = torch.nn.Parameter(new, requires_grad=tensor.requires_grad)
            elif tensor.is_leaf:
                new.requires_grad_(tensor.requires_grad)
            copies[id(tensor)] = new
    return copies


def _share_uncopyable(held, modules, memo):
    """Let `memo` say of all that cannot be copied that it stands for itself."""
    stands = {id(module): module for module in modules}
    for module in modules:
        for name, value in vars(module).items():
            if name not in _TABLES:
                _share(value, memo, stands, _DEEP)
    for value in held.values():
        _share(value, memo, stands, _DEEP)


def _share(value, memo, stands, depth):
    for attempt in (1, 2):
        try:
            copy.deepcopy(value, stands | memo)
            return
        except Exception:
            if attempt == 1 and depth:
                for part in _parts(value):
                    _share(part, memo, stands, depth - 1)
    memo[id(value)] = value


def _parts(value):
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, type | types.ModuleType) or not hasattr(value, "__dict__"):
        return []
    return list(vars(value).values())


class _Mending:
    """Puts copies in the place of originals where ``copy.deepcopy`` does not.

    Parameters
    ----------
    copies : dict of id of an original to its copy
    """

    def __init__(self, copies):
        self.copies, self._seen, self._functions, self._cells = copies, {}, {}, {}

    def mend_all(self, copied, tensors):
        """Mend the dict `copied`, and give the copies of `tensors` their hooks and marks."""
        for old in tensors:
            new = self.copies.get(id(old), old)
            if new is not old:
                self._carry(old, new)
        self._entries(copied)

    def _carry(self, old, new):
        learns = new.requires_grad
        hooks = old._backward_hooks or {}
        late = getattr(old, "_post_accumulate_grad_hooks", None) or {}
        if (hooks or late) and new.is_leaf and new.is_floating_point():
            new.requires_grad_()  # a frozen parameter keeps its hooks too
            for hook in hooks.values():
                new.register_hook(self._copy_of(hook))
            for hook in late.values():
                new.register_post_accumulate_grad_hook(self._copy_of(hook))
            new.requires_grad_(learns)
        for name, value in vars(old).items():
            vars(new).setdefault(name, self._copy_of(value))

    def _mend(self, value):
        """`value`, a part of the copy, with copies in the place of originals."""
        if self.copies.get(id(value)) is value:  # shared with the original: not ours to change
            return value
        if isinstance(value, torch.nn.Module):
            self._entries(vars(value))
        elif isinstance(value, dict):
            self._entries(value)
        elif type(value) is list:
            if id(value) not in self._seen:
                self._seen[id(value)] = value
                value[:] = map(self._mend, value)
        elif type(value) is tuple:
            new = tuple(map(self._mend, value))
            return value if _same(new, value) else new
        elif isinstance(value, types.MethodType):
            func = self._mend(value.__func__)
            return value if func is value.__func__ else types.MethodType(func, value.__self__)
        elif isinstance(value, types.FunctionType):
            return self._function(value)
        elif type(value) is weakref.ref:
            new = self.copies.get(id(value()))
            return value if new is None else weakref.ref(new)
        elif type(value) is functools.partial:
            parts = value.func, value.args, value.keywords
            new = tuple(map(self._mend, parts))
            return value if _same(new, parts) else functools.partial(new[0], *new[1], **new[2])
        return value

    def _entries(self, table):
        if id(table) in self._seen:
            return
        self._seen[id(table)] = table
        for key, inner in list(table.items()):
            new = self._mend(inner)
            if new is not inner:
                table[key] = new

    def _copy_of(self, value):
        """What stands for `value`, which an original refers to, in the copy."""
        if id(value) in self.copies:
            return self.copies[id(value)]
        if isinstance(value, types.MethodType):
            parts = value.__func__, value.__self__
            new = tuple(map(self._copy_of, parts))
            return value if _same(new, parts) else types.MethodType(*new)
        if type(value) in (list, tuple):
            new = type(value)(map(self._copy_of, value))
            return value if _same(new, value) else new
        if type(value) is dict:
            new = {key: self._copy_of(inner) for key, inner in value.items()}
            return value if _same(new.values(), value.values()) else new
        if type(value) is functools.partial:
            parts = value.func, value.args, value.keywords
            new = tuple(map(self._copy_of, parts))
            return value if _same(new, parts) else functools.partial(new[0], *new[1], **new[2])
        if isinstance(value, types.FunctionType | weakref.ref):
            return self._mend(value)
        return value

    def _function(self, f):
        if id(f) in self._functions:
            return self._functions[id(f)][1]
        self._functions[id(f)] = f, f  # what a function that refers to itself finds
        cells = list(f.__closure__ or ())
        held = [read_cell(cell) for cell in cells]
        old = *held, f.__defaults__, f.__kwdefaults__
        *moved, defaults, keywords = new = tuple(map(self._copy_of, old))
        if _same(new, old):
            return f
        closure = []
        for cell, content, other in zip(cells, held, moved):
            if content is f or other is not content:
                cell = self._cells.setdefault(id(cell), types.CellType(other))
            closure.append(cell)
        twin = types.FunctionType(f.__code__, f.__globals__, f.__name__, defaults, tuple(closure))
        for cell, content in zip(closure, held):
            if content is f:
                cell.cell_contents = twin
        twin.__kwdefaults__ = keywords
        twin.__qualname__, twin.__module__, twin.__doc__ = f.__qualname__, f.__module__, f.__doc__
        vars(twin).update(vars(f))
        self._functions[id(f)] = f, twin
        return twin


def _same(new, old):
    return all(a is b for a, b in zip(new, old))


def read_cell(cell):
    """What a cell of a closure holds; None where it is not filled yet."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
