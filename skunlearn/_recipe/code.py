"""Digests of code, to tell a class from another that has its name."""

import dis
import functools
import hashlib
import sys
import types

import joblib
import numpy as np
import torch

from skunlearn._recipe.reach import is_users_module, list_inner
from skunlearn._recipe.signs import is_users_own
from skunlearn._torch.first_weights import digest_tensor
from skunlearn._torch.parts.copying import read_cell

_CONSTANT = (str, bytes, int, float, complex, type(None), type(Ellipsis))
_INCIDENTAL = {
    *("__dict__", "__doc__", "__firstlineno__", "__module__", "__qualname__", "__slotnames__"),
    *("__static_attributes__", "__weakref__"),
}


def digest_code(things):
    """Digest of the code of classes and functions, and of what that code names.

    Followed are bases, methods, other attributes of classes, default values, variables of closures,
    and the functions, classes and constants of its file that a function names; variables that it
    assigns itself are left out, for they count calls, say. Of installed packages the version stands
    for the code. Not seen are files that code reads, and objects that it reaches otherwise than by
    name.

    Parameters
    ----------
    things : iterable of classes, functions and instances, whose classes are looked at

    Returns
    -------
    digest : bytes
    """
    reader = _Reader()
    for thing in things:
        reader.read(thing)
    lines = sorted(line for _, line in reader.seen.values())
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).digest()


class _Reader:
    """Attribute `seen` holds, by id, each class and function with a line about it."""

    def __init__(self):
        self.seen, self._inside = {}, set()

    def read(self, thing):
        """Note what there is to say of `thing`, and of what it leads to."""
        for part in _list_parts(thing):
            if id(part) in self.seen:
                continue
            name = f"{part.__module__}.{part.__qualname__}"
            self.seen[id(part)] = part, name  # at once: what it leads to may lead back
            if not is_users_own(part):
                root = sys.modules.get((part.__module__ or "").partition(".")[0])
                said = getattr(root, "__version__", "")
            else:
                said = self._class(part) if isinstance(part, type) else self._function(part)
            self.seen[id(part)] = part, f"{name} {said}"

    def _class(self, cls):
        for base in cls.__bases__:
            self.read(base)
        functions = [p for value in vars(cls).values() for p in _list_parts(value)]
        codes = [f.__code__ for f in functions if isinstance(f, types.FunctionType)]
        skipped = _INCIDENTAL.union(*(_list_assigned(code, "STORE_ATTR") for code in codes))
        return [
            (name, self._value(value))
            for name, value in sorted(vars(cls).items())
            if name not in skipped
        ]

    def _function(self, function):
        names = set()
        said = _write_text(function.__code__, names)
        names -= _list_assigned(function.__code__, "STORE_GLOBAL")
        values = [function.__defaults__, function.__kwdefaults__]
        values += [read_cell(cell) for cell in function.__closure__ or ()]
        values += _find_values(function.__globals__, sorted(names))
        return [said, *map(self._value, values)]

    def _value(self, value):
        if isinstance(value, _CONSTANT):
            return repr(value)
        if isinstance(value, tuple | list | set | frozenset | dict):
            if id(value) in self._inside:
                return "itself"
            self._inside.add(id(value))
            said = self._items(value)
            self._inside.discard(id(value))
            return said
        if isinstance(value, torch.Tensor):
            return digest_tensor(value)
        if isinstance(value, np.ndarray) and value.dtype.kind != "O":
            return joblib.hash(value)
        self.read(value)
        return type(value).__qualname__

    def _items(self, values):
        if isinstance(values, dict):
            return repr([(str(key), self._value(item)) for key, item in values.items()])
        said = [self._value(item) for item in values]
        return repr(sorted(said) if isinstance(values, set | frozenset) else said)


def _list_parts(thing):
    """The classes and functions that `thing` is made of; the class of any other object."""
    if isinstance(thing, property):
        return [
            p for f in (thing.fget, thing.fset, thing.fdel) if f is not None for p in _list_parts(f)
        ]
    if isinstance(thing, functools.partial):
        return [
            p for f in (thing.func, *thing.args, *thing.keywords.values()) for p in _list_parts(f)
        ]
    thing = getattr(thing, "__func__", thing)  # methods of all kinds
    thing = getattr(thing, "__wrapped__", thing)
    return [thing if isinstance(thing, type | types.FunctionType) else type(thing)]


def _list_assigned(code, operation):
    """Names that `code` assigns by this operation of the bytecode."""
    own = {step.argval for step in dis.get_instructions(code) if step.opname == operation}
    return own.union(*(_list_assigned(inner, operation) for inner in list_inner(code)))


def _write_text(code, names):
    """Bytecode and constants as text; the names that it uses are added to `names`."""
    names.update(code.co_names)
    inner = [_write_text(constant, names) for constant in list_inner(code)]
    constants = [
        repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)
        for constant in code.co_consts
        if not isinstance(constant, types.CodeType)
    ]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, constants, inner))


def _find_values(variables, names):
    """Values of global names; of the user's modules, values of what they are asked for."""
    found = [variables[name] for name in names if name in variables]
    modules = [value for value in found if isinstance(value, types.ModuleType)]
    own = [vars(module) for module in modules if is_users_module(module)]
    asked = [there[name] for there in own for name in names if name in there]
    return [value for value in [*found, *asked] if not isinstance(value, types.ModuleType)]
