"""What the guide lists where it is there: pages, modules and examples that others bring."""

import importlib
import inspect
from pathlib import Path

from api_pages import pages

DOCS = Path(__file__).parents[1]
PAGES = ("scaling", "threat_model")

# For pages of the guide: modules or names, examples, and pages to go on to.
MORE = {
    "influence": (
        ("skunlearn.InfluenceUnlearner", "skunlearn.PUMAUnlearner", "skunlearn.influence"),
        ("plot_influence",),
        (),
    ),
    "evaluation": (
        (
            "skunlearn.robustness",
            "skunlearn.evaluation.over_unlearning",
            "skunlearn.evaluation.reconstruction_attack",
            "skunlearn.evaluation.relearning_attack",
            "skunlearn.evaluation.verification_attack",
            "skunlearn.forget_sets.costly_forget_set",
            "skunlearn.forget_sets.damaging_forget_set",
        ),
        ("plot_robustness", "plot_poisoned_model", "plot_faces", "plot_cifar10_conditions"),
        (),
    ),
    "deletion_requests": (
        (
            "skunlearn.production",
            "skunlearn.verify",
            "skunlearn.evaluation.check_deletion",
            "skunlearn.evaluation.utility_change",
        ),
        (),
        ("threat_model",),
    ),
    "large_data": ((), (), ("scaling",)),
}


def summary(item):
    """First sentence of a docstring."""
    return " ".join(inspect.getdoc(item).split("\n\n")[0].split())


def objects(name):
    """The public objects that a name of `MORE` stands for, with the names they are listed under."""
    listed = pages()
    if name in listed:
        module = importlib.import_module(name)
        return [(f"{name}.{attribute}", getattr(module, attribute)) for attribute in listed[name]]
    module, _, attribute = name.rpartition(".")
    if attribute in listed.get(module, ()):
        return [(name, getattr(importlib.import_module(module), attribute))]
    return []


def more(page):
    """Lines for the end of a page; none when nothing is there yet."""
    names, examples, others = MORE[page]
    lines = []
    for name in names:
        for path, item in objects(name):
            lines.append(f"- :py:obj:`~{path}`: {summary(item)}")
    for stem in examples:
        if (DOCS.parent / "examples" / f"{stem}.py").exists():
            lines.append(f"- :doc:`/auto_examples/{stem}`, in the gallery")
    lines += [f"- :doc:`/{other}`" for other in others if (DOCS / f"{other}.rst").exists()]
    return ["Go on with", "----------", "", *lines, ""] if lines else [""]


def write(*_):
    """The parts for the guide to include."""
    folder = DOCS / "generated"
    folder.mkdir(exist_ok=True)
    found = [name for name in PAGES if (DOCS / f"{name}.rst").exists()]
    table = [".. toctree::", "   :hidden:", "", *(f"   /{name}" for name in found), ""]
    parts = {"optional_toctree": table if found else [""]}
    parts |= {f"more_{page}": more(page) for page in MORE}
    for name, lines in parts.items():
        path, text = folder / f"{name}.rst", "\n".join(lines) + "\n"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}
