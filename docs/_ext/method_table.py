"""Tables of methods, generated from `all_unlearners()` and the classes' docstrings."""

import inspect
import re
from pathlib import Path

import taxonomy

from skunlearn.utils import all_unlearners, unlearner_tags

FOLDER = Path(__file__).parents[1] / "generated"

# Question, and the tags that answer it.
QUESTIONS = [
    (
        "The result must be that of a training without the rows",
        {"exact": True},
        "Exact. ``ShardedUnlearner`` must be chosen before the training.",
    ),
    (
        "A proven (ε, δ) is wanted",
        {"certified": True},
        "For logistic regression; they prove it or refuse.",
    ),
    (
        "The model is a scikit-learn estimator of any kind",
        {"any_estimator": True},
        "Everything else takes skorch nets, or models of one family: see the last column below.",
    ),
    (
        "A net, and the forget rows may not be read any more",
        {"nets": True, "needs_forget": False, "exact": False},
        "They work on the retained rows alone.",
    ),
    (
        "A net, and the retained rows are not at hand",
        {"nets": True, "needs_retain": False},
        "Watch the accuracy on the retained classes: nothing defends it.",
    ),
    (
        "A net, and the labels of the forget rows are missing or wrong",
        {"nets": True, "needs_forget": True, "needs_labels": False},
        "They read the forget rows, but not their labels.",
    ),
    (
        "A net, and a whole class is to go",
        {"nets": True, "class_only": True},
        "Made for it; fine-tuning is often enough too.",
    ),
    (
        "The training is still to come",
        {"watches_training": True},
        "They must watch it, and cannot start from a trained model. All others can.",
    ),
]


def _link(name):
    return f":py:obj:`~skunlearn.{name}`"


def _summary(cls):
    return " ".join(inspect.getdoc(cls).split("\n\n", 1)[0].split())


def _choose(cls):
    """The docstring's paragraph on when to choose the method, its first sentence."""
    for paragraph in inspect.getdoc(cls).split("\n\n"):
        if paragraph.startswith("Choose it"):
            text = " ".join(paragraph.split())
            return re.split(r"(?<=[.:;])\s+(?=[A-Z`])", text)[0].rstrip(":;")
    return _summary(cls)


def _rows(header, rows, widths):
    lines = [".. list-table::", "   :header-rows: 1", "   :class: methods", f"   :widths: {widths}"]
    for row in [header, *rows]:
        lines += ["", *(f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row))]
    return lines


def decision():
    """From what is wanted to the methods that give it."""
    rows = []
    for question, tags, note in QUESTIONS:
        names = ", ".join(map(_link, all_unlearners(**tags)))
        if names:
            rows.append((question, names, note))
    return _rows(("You have, or want", "Choose among", "Note"), rows, "30 45 25")


def everything():
    """Every method, and when to choose it."""
    rows = []
    for name, cls in all_unlearners().items():
        tags = unlearner_tags(cls)
        promise = "(ε, δ)" if tags.certified else "exact" if tags.exact else "measured"
        forget = "yes" if tags.needs_labels else "not labels" if tags.needs_forget else "no"
        reads = "forget rows: {}; retained rows: {}".format(
            forget, "yes" if tags.needs_retain else "no"
        )
        kind = "whole classes" if tags.class_only else cls._promises.made_for
        rows.append((_link(name), _choose(cls), promise, reads, kind))
    header = ("Method", "When", "Promise", "Reads", "Made for")
    return _rows(header, rows, "20 40 10 18 12")


def places():
    """Every method with its place in the survey's taxonomy."""
    rows = []
    methods = all_unlearners()
    for place, (meaning, names) in taxonomy.PLACES.items():
        links = ", ".join(_link(name) for name in names if name in methods)
        if place in taxonomy.ELSEWHERE:
            links = ", ".join(filter(None, [links, taxonomy.ELSEWHERE[place]]))
        rows.append((place, meaning, links or "none here"))
    return _rows(("Place", "How it works", "Methods"), rows, "22 38 40")


def write(*_):
    """The three tables, for pages to include."""
    FOLDER.mkdir(exist_ok=True)
    missing = set(all_unlearners()) - taxonomy.placed()
    if missing:
        raise ValueError(f"docs/_ext/taxonomy.py has no place for {sorted(missing)}.")
    for name, lines in {
        "decision_table": decision(),
        "method_table": everything(),
        "taxonomy_table": places(),
    }.items():
        path, text = FOLDER / f"{name}.rst", "\n".join(lines) + "\n"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}
