"""What the package promises to the outside: names and docstrings."""

import dataclasses
import importlib
import importlib.util
import inspect
import pkgutil
import re

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


def test_estimators_are_found_where_their_names_say():
    for name in skunlearn.__all__:
        item = getattr(skunlearn, name)
        if name.endswith("Unlearner") and "Base" not in name and "Net" not in name:
            stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name.removesuffix("Unlearner")).lower()
            # The package `influence` has a function of that name.
            stems = (stem, stem.replace("_", ""), f"{stem}_unlearner")
            assert item.__module__.rsplit(".", 1)[-1] in stems, name


# ------------------------------------------------------------------ every parameter, described


def entries_of(item, *sections):
    """Header and description of each entry under Parameters or Attributes, by name."""
    section, name, found = None, None, {}
    sections = sections or ("Parameters", "Attributes")
    lines = inspect.getdoc(item).splitlines()
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if line and following == "-" * len(line):
            section, name = line, None
        elif section in sections and re.match(r"\w|\*", line):
            name, *kind = line.split(" : ", 1)
            found[name] = ["".join(kind), ""]
        elif name is not None:
            found[name][1] = f"{found[name][1]} {line}".strip()
    return found


MADE = {
    name: item
    for name, item in OBJECTS.items()
    if inspect.isclass(item) and not is_exception(item) and parameters_of(item)
}


@pytest.mark.parametrize("name", MADE)
def test_help_describes_every_parameter(name):
    item = MADE[name]
    found, signature = entries_of(item), inspect.signature(item)
    doc = inspect.getdoc(item)
    assert not re.search(r"^\s*\{\w+(, \w+)*\}$", doc, re.M)
    # What came from a base class names no reference of that one.
    assert set(re.findall(r"(\[\d\])_", doc)) <= set(re.findall(r"^\.\. (\[\d\])", doc, re.M))
    for parameter in parameters_of(item):
        assert parameter in found, f"{name} has no entry of its own for {parameter}"
        kind, text = found[parameter]
        assert kind, f"{name} does not say what {parameter} is"
        assert re.sub(r"[Ss]ee [`\w.]*", "", text).strip(" ."), (
            f"{name} does not say of {parameter}"
        )
        default = signature.parameters[parameter].default
        # Results of functions are made by these alone.
        made_by_users = not dataclasses.is_dataclass(item) or ">>>" in inspect.getdoc(item)
        default = [] if str(default) == "<factory>" else default
        if default is not inspect.Parameter.empty and made_by_users:
            assert "default=" in kind, f"{name} does not say the default of {parameter}"
            said = kind.split("default=")[1].strip('"')
            assert said in (str(default), str(default).strip('"')) or eval(said) == default, (
                f"{name}: {parameter} is said to be {said}, and is {default!r}"
            )


def test_a_class_takes_descriptions_from_its_bases():
    class Outsider(skunlearn.FineTuneUnlearner):
        """A method of somebody else.

        Parameters
        ----------
        {estimator}
            With a head.
        own : int, default=3
            Described here.
        {lr, random_state}
        {nobody}

        Attributes
        ----------
        {classes_}

        Notes
        -----
        {lr}
        """

        def __init__(self, estimator, *, own=3, lr=None, random_state=None):
            super().__init__(estimator, lr=lr, random_state=random_state)
            self.own = own

    described, found = entries_of(skunlearn.FineTuneUnlearner), entries_of(Outsider)
    assert list(found) == ["estimator", "own", "lr", "random_state", "classes_"]
    for name in ("lr", "classes_"):
        assert found[name] == described[name]
    assert found["own"] == ["int, default=3", "Described here."]
    # Words of its own come after those of the base; what has no base stays as it is.
    assert found["estimator"][1] == described["estimator"][1] + "     With a head."
    assert found["random_state"][1] == described["random_state"][1] + " {nobody}"
    assert inspect.getdoc(Outsider).endswith("Notes\n-----\n{lr}")

    class Undocumented(skunlearn.FineTuneUnlearner):
        pass  # as every class is under python -OO

    assert Undocumented.__doc__ is None


# ------------------------------------------------------------------ in their own words

# Called by skorch or PyTorch, not by people.
_HOOKS = re.compile(r"on_\w+|forward|train_step_single")


def _list_documented():
    for name, item in OBJECTS.items():
        if is_exception(item):
            continue
        yield name, item
        if inspect.isclass(item):
            for key, method in inspect.getmembers(item, inspect.isroutine):
                public = key == "__call__" or not key.startswith("_")
                ours = (getattr(method, "__module__", None) or "").startswith("skunlearn")
                if ours and public and not _HOOKS.fullmatch(key) and inspect.getdoc(method):
                    yield f"{name}.{key}", method


def _each_once(documented):
    """Without methods that another class has shown."""
    shown = set()
    for name, item in documented:
        code = getattr(item, "__func__", item)
        if code not in shown:
            shown.add(code)
            yield name, item


DOCUMENTED = dict(_each_once(_list_documented()))


def not_explained(item):
    """Parameters of which a docstring says nothing, or where to read of them only."""
    found = {}
    for header, (_, text) in entries_of(item, "Parameters").items():
        said = re.sub(r"(See|As (in|of|for)) [`:\[][^`]*`", "", text)
        for parameter in header.replace("*", "").split(", "):
            found[parameter] = not text.startswith("See ") and bool(said.strip(" ."))
    plain = inspect.isclass(item) and not dataclasses.is_dataclass(item)
    asked = parameters_of(item) if plain or inspect.isroutine(item) else []
    elsewhere = "Parameters and errors are those of" in inspect.getdoc(item)
    missing = [p for p in asked if p not in found and p not in ("self", "cls") and not elsewhere]
    return missing + [parameter for parameter, said in found.items() if not said]


@pytest.mark.parametrize("name", DOCUMENTED)
def test_parameters_are_explained_where_they_are_asked_for(name):
    """``help(compare)`` says what `tolerance` is, and does not send the reader elsewhere."""
    assert not_explained(DOCUMENTED[name]) == []
    for parameter, (_, said) in entries_of(DOCUMENTED[name]).items():
        assert not re.match(r"See [`\[]", said), f"{parameter}: {said}"
    assert not re.search(r"^\{[a-z_]\w*(, \w+)*\}$", inspect.getdoc(DOCUMENTED[name]), re.M)


def test_what_is_not_explained_is_found():
    def asked(a, b, c, d, e, *, f=1, **options):
        """Words.

        Parameters
        ----------
        a : int
            Explained.
        b, c
            See `other`.
        d : int
            As in `other`.
        e : int
        **options : dict
            For `other`.

        Returns
        -------
        g : int
        """

    assert not_explained(asked) == ["f", "b", "c", "d", "e"]


@pytest.mark.parametrize("name", ["audit", "audit_logits", "compare"])
def test_reports_explain_their_own_parameters(name):
    found = entries_of(getattr(skunlearn.evaluation, name))
    assert "decides the verdict" in found["attacks"][1]
    assert "Practical margin" in found["tolerance"][1]
    assert found["confidence"] == ["float, default=0.95", "Level of all intervals."]
