"""API pages, generated from `__all__` of every public module."""

import importlib
import inspect
import pkgutil
from pathlib import Path

import skunlearn

FOLDER = Path(__file__).parents[1] / "api"


def modules():
    """Every public module that can be imported, by name."""
    found = {"skunlearn": skunlearn}
    for info in pkgutil.walk_packages(skunlearn.__path__, "skunlearn."):
        if any(part.startswith("_") for part in info.name.split(".")):
            continue
        try:
            found[info.name] = importlib.import_module(info.name)
        except ImportError:  # an extra is not installed
            continue
    return found


def pages():
    """Public names of each module, every object under the first module that exports it.

    Packages come before single modules, and the top level before all: `ProximalUnlearner` is
    listed as ``skunlearn.ProximalUnlearner``, where users import it.

    Returns
    -------
    pages : dict of str to list of str
    """
    found, seen = {}, set()
    order = sorted(
        modules().items(), key=lambda m: (m[0].count("."), not hasattr(m[1], "__path__"))
    )
    for name, module in order:
        for attribute in getattr(module, "__all__", ()):
            item = getattr(module, attribute)
            if not (inspect.isclass(item) or inspect.isfunction(item)):
                continue
            if id(item) not in seen:
                seen.add(id(item))
                found.setdefault(name, []).append(attribute)
    return found


def kind(item):
    """Heading under which an object is listed."""
    if inspect.isfunction(item):
        return "Functions"
    if issubclass(item, Warning):
        return "Warnings"
    return "Errors" if issubclass(item, Exception) else "Classes"


def constants(module):
    """Public names of a module that are neither classes nor functions."""
    return [
        name
        for name in getattr(module, "__all__", ())
        if not name.startswith("_") and not callable(getattr(module, name))
    ]


def _type_of(module, name):
    return type(getattr(module, name)).__name__


def _sentence(module):
    return inspect.getdoc(module).split("\n\n")[0]


def write():
    """One page for each module, and the index."""
    FOLDER.mkdir(exist_ok=True)
    names = pages()
    lines = [
        "API reference",
        "=============",
        "",
        "Everything that is public: all names of ``__all__``. Unlearners are imported from",
        "``skunlearn``, everything else from the module it stands in. What is listed stays for",
        "one minor release after its successor is there: :doc:`/project/contributing`.",
        "",
        ".. toctree::",
        "   :hidden:",
        "",
        *(f"   {name}" for name in names),
        "",
        ".. list-table::",
        "   :header-rows: 1",
        "   :widths: 35 65",
        "",
        "   * - Module",
        "     - What is in it",
    ]
    for name in names:
        lines += [f"   * - :doc:`{name}`", f"     - {_sentence(importlib.import_module(name))}"]
    _update(FOLDER / "index.rst", lines)
    for name, attributes in names.items():
        module = importlib.import_module(name)
        page = [name, "=" * len(name), "", f".. module:: {name}", "", _sentence(module)]
        groups = {}
        for attribute in attributes:
            groups.setdefault(kind(getattr(module, attribute)), []).append(attribute)
        for heading in sorted(groups):
            page += ["", heading, "-" * len(heading), "", ".. autosummary::"]
            page += ["   :toctree: generated", "   :nosignatures:", ""]
            page += [f"   {attribute}" for attribute in sorted(groups[heading], key=str.lower)]
        for constant in constants(module):
            page += ["", f".. py:data:: {constant}", f"   :type: {_type_of(module, constant)}"]
        _update(FOLDER / f"{name}.rst", page)


def _update(path, lines):
    # A page that stays the same keeps its date, so that the next build is quick.
    text = "\n".join(lines) + "\n"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def skip_inherited(app, what, name, item, skip, options):
    """Leave out what scikit-learn, skorch and torch bring along, and what is private to us."""
    origin = getattr(item, "__module__", None) or ""
    if isinstance(item, property):
        origin = item.fget.__module__
    if what == "class" and not origin.startswith("skunlearn"):
        return True if callable(item) or isinstance(item, property) else skip
    return skip


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", lambda app, config: write(), priority=100)
    app.connect("autodoc-skip-member", skip_inherited)
    return {"parallel_read_safe": True}
