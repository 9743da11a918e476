"""What the code of functions and classes reaches by name: variables, defaults, closures."""

import collections
import contextlib
import contextvars
import dis
import functools
import sys
import threading
import types

from skunlearn._recipe.signs import LOADING, is_users_own

# What is asked of an array by these tells nothing of what is in it.
_FORM = {"shape", "ndim", "size", "dtype", "device", "columns", "__class__", "__name__"}
# Names by which code reads models; and what "load" is asked of.
_MODELS = {"from_pretrained", "load_model", "load_weights", "load_state_dict_from_url"}
_LOADERS = {"torch", "joblib", "pickle", "_pickle", "cloudpickle", "dill", "skops"}
# What is read by these may be rows as well.
_TABLES = {"numpy", "pandas", "polars"}
_READ = {
    *("load", "loads", "loadtxt", "genfromtxt", "fromfile", "memmap", "read_csv", "read_parquet"),
    *("read_pickle", "read_feather", "read_json", "read_excel", "read_sql", "read_table"),
}
_BY_TEXT = {"globals", "eval", "exec"}  # by these code uses what it does not name
_INCIDENTAL = {"__dict__", "__doc__", "__module__", "__weakref__", "__slots__", "__annotations__"}


def list_named(function):
    """Pairs ``(name, value)`` of what a function's code reaches, and of its default values.

    Variables are left out of which the code asks nothing but their form, ``X.shape`` say. Of the
    user's own modules what is asked of them counts.

    Parameters
    ----------
    function : types.FunctionType
    """
    found = {}
    around = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
    for name, enclosed, attributes in _list_loads(function.__code__):
        if not enclosed and name in function.__globals__:
            _follow(found, name, function.__globals__[name], attributes)
        elif enclosed and name in around:
            with contextlib.suppress(ValueError):  # a variable that has no value yet
                _follow(found, name, around[name].cell_contents, attributes)
    for name, attributes in _list_imports(function.__code__):
        _follow(found, name, sys.modules.get(name), attributes)
    code, defaults = function.__code__, function.__defaults__ or ()
    arguments = code.co_varnames[: code.co_argcount]
    found |= dict(zip(arguments[len(arguments) - len(defaults) :], defaults, strict=True))
    found |= function.__kwdefaults__ or {}
    found |= {f"{function.__name__}.{name}": value for name, value in vars(function).items()}
    return list(found.items())


def list_members(cls):
    """Pairs ``(name, value)`` of what stands in the body of a class."""
    return [(name, value) for name, value in vars(cls).items() if name not in _INCIDENTAL]


def list_held(value):
    """Pairs ``(name, value)`` of what an object of the user's own, or a mere holder, holds."""
    if isinstance(value, collections.deque):
        return [(str(i), item) for i, item in enumerate(value)]
    if isinstance(value, contextvars.ContextVar):
        return [("get()", value.get(None))]
    holders = types.SimpleNamespace, threading.local
    if not (is_users_own(type(value)) or isinstance(value, holders)):
        return []
    slots = [vars(cls).get("__slots__", ()) for cls in type(value).__mro__]
    slots = [name for each in slots for name in ([each] if isinstance(each, str) else each)]
    held = {name: getattr(value, name) for name in slots if hasattr(value, name)}
    return list((held | getattr(value, "__dict__", {})).items())


def list_functions(member):
    """The functions that a member of a class, or a wrapped function, is made of."""
    if isinstance(member, types.FunctionType):
        return [member]
    if isinstance(member, types.MethodType):  # it speaks for the object that it is bound to
        return []
    if isinstance(member, property):
        accessors = member.fget, member.fset, member.fdel  # compiled ones among them
        return [function for each in accessors for function in list_functions(each)]
    if isinstance(member, staticmethod | classmethod):
        return list_functions(member.__func__)
    if isinstance(member, functools.cached_property):
        return list_functions(member.func)
    inner = getattr(member, "__wrapped__", None)  # of lru_cache, say
    return [] if inner is None or isinstance(member, type) else list_functions(inner)


def list_run(cls, called):
    """Names of the members that run when one of `called` does: what they name, and so on."""
    members, found = {}, set()
    for own in reversed(cls.__mro__):
        members |= dict(list_members(own)) if is_users_own(own) else {}
    waiting = [name for name in members if name in called]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            functions = list_functions(members[name])
            named = set().union(*(_list_names(function.__code__) for function in functions))
            waiting += named & members.keys()
    return found


def loads_models(function):
    """Whether a function names another by which weights, models or tables are read."""
    code = function.__code__
    names = _list_names(code)
    if (LOADING | _MODELS) & names:
        return True
    used = [function.__globals__[name] for name in names if name in function.__globals__]
    used += [sys.modules[module] for module, _ in _list_imports(code) if module in sys.modules]
    roots = {_root(value.__name__) for value in used if isinstance(value, types.ModuleType)}
    if roots & _LOADERS and _calls_load(code):
        return True
    used += [value for _, value in list_named(function)]
    for name, _, attributes in _list_loads(code):
        module = function.__globals__.get(name, sys.modules.get(name))
        if isinstance(module, types.ModuleType) and attributes:
            used.append(getattr(module, attributes[0], None))
    return any(map(_reads, used))


def _reads(value):
    """Whether something is a function that reads models or tables, whatever it is called here."""
    name, module = (getattr(value, key, None) for key in ("__name__", "__module__"))
    return name in _READ and isinstance(module, str) and _root(module) in _LOADERS | _TABLES


def _root(name):
    return name.partition(".")[0]


@functools.lru_cache(maxsize=4096)
def looks_up_by_text(code):
    """Whether code uses what it does not name: by ``globals()``, ``sys.modules`` or ``eval``."""
    loads = [(name, *attributes[:1]) for name, own, attributes in _list_loads(code) if not own]
    return any(load[0] in _BY_TEXT or load == ("sys", "modules") for load in loads)


@functools.lru_cache(maxsize=4096)
def _calls_load(code):
    """Whether something is asked for its "load", other than the object itself for a value."""
    steps, own = list(dis.get_instructions(code)), code.co_varnames[: min(code.co_argcount, 1)]
    for i, step in enumerate(steps):
        if step.argval != "load" or step.opname.startswith("STORE"):
            continue
        called = step.opname == "LOAD_METHOD" or "NULL|self" in step.argrepr
        if called or step.opname != "LOAD_ATTR" or steps[i - 1].argval not in own:
            return True
    return any(map(_calls_load, list_inner(code)))


def _follow(found, name, value, attributes):
    """Note a variable; of one of the user's modules what is asked of it."""
    while isinstance(value, types.ModuleType) and attributes and is_users_module(value):
        name, attributes = f"{name}.{attributes[0]}", attributes[1:]
        value = getattr(value, name.rpartition(".")[2], None)
    if not isinstance(value, types.ModuleType):
        found[name] = value


def is_users_module(module):
    """Whether a module is of the user's own code; see `is_users_own`."""
    return is_users_own(types.SimpleNamespace(__module__=module.__name__))


@functools.lru_cache(maxsize=4096)
def _list_loads(code):
    """Variables that code loads: name, whether of a function around it, attributes asked for."""
    steps, found = list(dis.get_instructions(code)), []
    for i, step in enumerate(steps):
        if step.opname not in ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF", "LOAD_CLASSDEREF"):
            continue
        name, attributes = step.argval, []
        for later in steps[i + 1 :]:
            if later.opname not in ("LOAD_ATTR", "LOAD_METHOD"):
                break
            attributes.append(later.argval)
        measured = i > 0 and steps[i - 1].argval == "len"
        if not (measured or (attributes and attributes[0] in _FORM)):
            found.append((name, "DEREF" in step.opname, tuple(attributes)))
    return [*found, *(pair for inner in list_inner(code) for pair in _list_loads(inner))]


@functools.lru_cache(maxsize=4096)
def _list_imports(code):
    """Modules that code imports itself, with the one name that it takes from each."""
    found, module = [], None
    for step in dis.get_instructions(code):
        if step.opname == "IMPORT_NAME":
            module = step.argval
        elif step.opname == "IMPORT_FROM":
            found.append((module, (step.argval,)))
    return [*found, *(pair for inner in list_inner(code) for pair in _list_imports(inner))]


def _list_names(code):
    return set(code.co_names).union(*(_list_names(inner) for inner in list_inner(code)))


def list_inner(code):
    """Code of the functions that are defined inside."""
    return [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
