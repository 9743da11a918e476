"""What the package promises to the outside: names, docstrings, a quiet import."""

import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys

import pytest

import skunlearn

MODULES = ["skunlearn"] + [
    module.name
    for module in pkgutil.walk_packages(skunlearn.__path__, "skunlearn.")
    if not any(part.startswith("_") for part in module.name.split("."))
]
if importlib.util.find_spec("torch_geometric") is None:  # skunlearn.graph cannot be imported then
    MODULES = [name for name in MODULES if not name.startswith("skunlearn.graph")]


def public_objects():
    found = {}
    for name in MODULES:
        module = importlib.import_module(name)
        for attribute in getattr(module, "__all__", ()):
            item = getattr(module, attribute)
            if inspect.isclass(item) or inspect.isfunction(item):
                found.setdefault(f"{item.__module__}.{item.__qualname__}", item)
    return found


OBJECTS = public_objects()


@pytest.mark.parametrize("name", MODULES)
def test_all_names_exist(name):
    module = importlib.import_module(name)
    names = getattr(module, "__all__", [])
    assert len(set(names)) == len(names)
    for attribute in names:
        assert hasattr(module, attribute)
    assert module.__doc__


def test_packages_declare_what_is_public():
    for name in MODULES:
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):
            assert module.__all__, name


def parameters_of(item):
    if inspect.isclass(item) and item.__init__ is object.__init__:
        return []
    signature = inspect.signature(item)
    return [
        name
        for name, p in signature.parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]


def is_exception(item):
    return inspect.isclass(item) and issubclass(item, Exception)


@pytest.mark.parametrize("name", [n for n, item in OBJECTS.items() if not is_exception(item)])
def test_docstrings(name):
    """numpydoc: Parameters that name every parameter, and an Examples section."""
    item = OBJECTS[name]
    doc = inspect.getdoc(item)
    assert doc, f"{name} has no docstring"
    wanted = parameters_of(item)
    if wanted and "Parameters and errors are those of" not in doc:
        section = "Attributes" if dataclasses.is_dataclass(item) else "Parameters"
        underlined = rf"^{section}\n-{{10}}$"
        assert re.search(underlined, doc, re.M), f"{name} documents no parameters"
        for parameter in wanted:
            pattern = rf"^(.*, )?\**{parameter}\b(, .*)?( : .*)?$"
            assert re.search(pattern, doc, re.M), f"{name} does not document {parameter}"
    # Neither base classes nor the results of other functions are made by users.
    made_by_users = item not in (skunlearn.BaseUnlearner, skunlearn.NetUnlearner)
    if made_by_users and not dataclasses.is_dataclass(item):
        assert re.search(r"^Examples\n-{8}$", doc, re.M), f"{name} has no example"


@pytest.mark.parametrize("name", [n for n, item in OBJECTS.items() if inspect.isclass(item)])
def test_public_methods_have_docstrings(name):
    for key, method in inspect.getmembers(OBJECTS[name], inspect.isfunction):
        if not key.startswith("_") and method.__module__.startswith("skunlearn"):
            assert inspect.getdoc(method), f"{name}.{key}"


IMPORT = """
import random, sys, warnings
import numpy as np, sklearn, torch
before = (
    torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate(),
    list(warnings.filters), sklearn.get_config(), torch.get_num_threads(),
    torch.get_default_dtype(), np.geterr(), np.get_printoptions(),
    torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled(),
)
import skorch, sklearn.frozen, safetensors.torch
filters = list(warnings.filters)
drawn = random.getstate()  # accelerate draws when skorch imports it
loaded = set(sys.modules)
import skunlearn
after = (
    torch.get_rng_state().tolist(), repr(np.random.get_state()),
    before[2] if random.getstate() == drawn else random.getstate(),
    before[3] if list(warnings.filters) == filters else list(warnings.filters),
    sklearn.get_config(), torch.get_num_threads(),
    torch.get_default_dtype(), np.geterr(), np.get_printoptions(),
    torch.backends.cudnn.benchmark, torch.are_deterministic_algorithms_enabled(),
)
assert before == after
new = {name.split(".")[0] for name in set(sys.modules) - loaded}
print(sorted(new & {"torchvision", "matplotlib", "pandas", "pytest", "PIL"}))
"""


def test_import_changes_nothing_and_is_light():
    run = subprocess.run(
        [sys.executable, "-c", IMPORT], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == "[]"


def test_estimators_are_found_where_their_names_say():
    for name in skunlearn.__all__:
        item = getattr(skunlearn, name)
        if name.endswith("Unlearner") and "Base" not in name and "Net" not in name:
            stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.removesuffix("Unlearner")).lower()
            # The package `influence` has a function of that name.
            stems = (stem, stem.replace("_", ""), f"{stem}_unlearner")
            assert item.__module__.rsplit(".", 1)[-1] in stems, name
