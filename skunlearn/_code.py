"""Digests of code, to tell a class from another that has its name."""

import functools
import hashlib
import sys
import types

import joblib
import numpy as np
import torch

from skunlearn._trained_before import is_users_own

_CONSTANT = (str, bytes, int, float, complex, type(None), type(Ellipsis))
_INCIDENTAL = {
    *("__dict__", "__doc__", "__firstlineno__", "__module__", "__qualname__", "__slotnames__"),
    *("__static_attributes__", "__weakref__"),
}
_CODE = (type, types.FunctionType, types.MethodType, classmethod, staticmethod, property)
_CODE += (functools.partial,)


def digest_code(things, *, methods_of=()):
    """Digest of the code of classes and functions, and of what that code names.

    Followed are bases, methods, other attributes of classes, default values, variables of closures,
    and the functions, classes and constants of its file that a function names. Of installed
    packages the version stands for the code. Not seen are files that code reads, and objects that
    it reaches otherwise than by name.

    Parameters
    ----------
    things : iterable of classes, functions and instances, whose classes are looked at
    methods_of : iterable of classes
        Of these and what they name only functions count: callbacks count in their attributes.

    Returns
    -------
    digest : bytes
    """
    reader = _Reader(with_values=True)
    for thing in things:
        reader.read(thing)
    methods = _Reader(with_values=False)
    for thing in methods_of:
        methods.read(thing)
    lines = [*sorted(reader.lines()), "methods", *sorted(methods.lines())]
    return hashlib.blake2b("\n".join(lines).encode(), digest_size=16).digest()


class _Reader:
    def __init__(self, with_values):
        self.with_values, self._seen = with_values, {}

    def lines(self):
        """What was read, a line for each class and function."""
        return [line for _, line in self._seen.values()]

    def read(self, thing):
        """Note what there is to say of `thing`, and of what it leads to."""
        for part in _parts(thing):
            if id(part) in self._seen:
                continue
            name = f"{part.__module__}.{part.__qualname__}"
            self._seen[id(part)] = part, name  # at once: what it leads to may lead back
            if not is_users_own(part):
                root = sys.modules.get((part.__module__ or "").partition(".")[0])
                said = getattr(root, "__version__", "")
            else:
                said = self._class(part) if isinstance(part, type) else self._function(part)
            self._seen[id(part)] = part, f"{name} {said}"

    def _class(self, cls):
        for base in cls.__bases__:
            self.read(base)
        return [
            (name, self._value(value))
            for name, value in sorted(vars(cls).items())
            if name not in _INCIDENTAL and (self.with_values or isinstance(value, _CODE))
        ]

    def _function(self, function):
        names = set()
        said = [_text_of(function.__code__, names)]
        values = [function.__defaults__, function.__kwdefaults__]
        values += [_content(cell) for cell in function.__closure__ or ()]
        values += _named(function.__globals__, sorted(names))
        return [
            *said,
            *(self._value(v) for v in values if self.with_values or isinstance(v, _CODE)),
        ]

    def _value(self, value):
        if isinstance(value, _CONSTANT):
            return repr(value)
        if isinstance(value, tuple | list):
            return repr([self._value(item) for item in value])
        if isinstance(value, set | frozenset):
            return repr(sorted(self._value(item) for item in value))
        if isinstance(value, dict):
            return repr([(str(key), self._value(item)) for key, item in value.items()])
        if isinstance(value, torch.Tensor | np.ndarray):
            return joblib.hash(value.tolist())
        self.read(value)
        return type(value).__qualname__


def _parts(thing):
    """The classes and functions that `thing` is made of; the class of any other object."""
    if isinstance(thing, property):
        return [p for f in (thing.fget, thing.fset, thing.fdel) if f is not None for p in _parts(f)]
    if isinstance(thing, functools.partial):
        return [p for f in (thing.func, *thing.args, *thing.keywords.values()) for p in _parts(f)]
    thing = getattr(thing, "__func__", thing)  # methods of all kinds
    thing = getattr(thing, "__wrapped__", thing)
    return [thing if isinstance(thing, type | types.FunctionType) else type(thing)]


def _text_of(code, names):
    """Bytecode and constants as text; the names that it uses are added to `names`."""
    names.update(code.co_names)
    constants = [
        _text_of(constant, names)
        if isinstance(constant, types.CodeType)
        else repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)
        for constant in code.co_consts
    ]
    return repr((code.co_code.hex(), code.co_names, code.co_varnames, constants))


def _named(variables, names):
    """Values of global names; of the user's modules, values of what they are asked for."""
    found = [variables[name] for name in names if name in variables]
    modules = [value for value in found if isinstance(value, types.ModuleType)]
    own = [vars(module) for module in modules if _is_users_module(module)]
    asked = [there[name] for there in own for name in names if name in there]
    return [value for value in [*found, *asked] if not isinstance(value, types.ModuleType)]


def _is_users_module(module):
    return is_users_own(types.SimpleNamespace(__module__=module.__name__))


def _content(cell):
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
