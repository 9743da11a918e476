"""Tables of methods, generated from `all_unlearners()` and the classes' docstrings."""

import inspect
import re
from pathlib import Path

import taxonomy
from stored_figures import in_words, judged, left_out, spread, words

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
        "They prove it or refuse. Of nets it costs accuracy: see the certificate.",
    ),
    (
        "The model is a scikit-learn estimator of any kind",
        {"any_estimator": True},
        "Everything else takes skorch nets, or models of one family, which are named below.",
    ),
    (
        "A net, and the forget rows may not be read any more",
        {"nets": True, "needs_forget": False, "exact": False},
        "They work on the retained rows alone.",
    ),
    (
        "A net, and hardly a retained row is at hand",
        {"nets": True, "needs_retain": False},
        "For whole classes; of single rows the others pay, or nothing is forgotten. A few retained "
        "rows come with the request (``X_retain=``): :doc:`questions`. Watch the accuracy on the "
        "retained classes: nothing defends it.",
    ),
    (
        "A net, and the labels of the forget rows are missing or wrong",
        {"nets": True, "needs_forget": True, "needs_labels": False},
        "They read the forget rows, but not their labels.",
    ),
    (
        "A net, and a whole class is to go",
        {"nets": True, "class_only": True},
        "Made for it; fine-tuning does it too where its rate is high.",
    ),
    (
        "The training is still to come",
        {"watches_training": True},
        "They must watch it, and cannot start from a trained model. All others can.",
    ),
]

# Question, and where a yes leads: condition and methods. A no leads to the next question.
TREE = [
    (
        "**Must the result be that of a training without the rows?**",
        [
            ("chosen before the training, any estimator", ["ShardedUnlearner"]),
            ("forests, bagging", ["ForestUnlearner"]),
            ("naive Bayes, LDA, neighbours", ["SufficientStatisticsUnlearner"]),
            ("ridge and linear regression", ["RidgeUnlearner"]),
            ("everything else", ["RetrainUnlearner"]),
        ],
    ),
    (
        "**Is a proven (ε, δ) wanted?**",
        [
            (
                "logistic regression",
                ["CertifiedRemovalUnlearner", "DescentToDeleteUnlearner", "LangevinUnlearner"],
            ),
            ("a net, where no retraining can be had", ["NoisyFineTuneUnlearner"]),
        ],
    ),
    (
        "**Is it a net whose class, or a function that builds it, you have?**",
        [("rows and classes", ["AutoUnlearner"])],
    ),
    (
        "**A net alone, and the rows that stay can be read?**",
        [("rows and classes", ["NoTUnlearner"]), ("rows", ["AMUNUnlearner"])],
    ),
    (
        "**A net, a whole class is to go, and hardly any other row is at hand?**",
        [("", ["DELETEUnlearner"])],
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


def tree():
    """The questions of `TREE`, each with where a yes leads; a no leads to the next."""
    lines = [".. container:: tree"]
    for number, (question, answers) in enumerate(TREE):
        last = number == len(TREE) - 1
        lines += ["", f"   .. container:: {'step last' if last else 'step'}", ""]
        lines += ["      .. container:: question", "", f"         {question}", ""]
        lines += ["      .. container:: answer", ""]
        for condition, names in answers:
            said = f"{condition}: " if condition else ""
            lines.append(f"         | {said}{', '.join(map(_link, names))}")
    return lines


def promise_of(cls):
    """What is known of a method's result without measuring."""
    tags = unlearner_tags(cls)
    return "proved" if tags.certified else "exact" if tags.exact else "measured"


def by_promise(promise):
    """The methods of one promise, with what the stored benchmark says of nets."""
    rows = []
    for name, cls in all_unlearners().items():
        if promise_of(cls) == promise:
            kind = "whole classes" if unlearner_tags(cls).class_only else cls._promises.made_for
            rows.append((_link(name), _summary(cls).removesuffix("."), kind, *measured(name)))
    header = ("Method", "What it does", "Made for", "Apart, rows", "Apart, classes", "Time")
    if not any("".join(row[3:]) for row in rows):
        return _rows(header[:3], [row[:3] for row in rows], "28 52 20")
    return _rows(header, rows, "23 31 13 11 11 11")


def measured(name):
    """Cells of the benchmark of all nets at their defaults; empty for methods of other models."""
    if name == "RetrainUnlearner":
        name = "retrained"
    bounds = [
        spread(name, "worst AUC", tasks="rows"),
        spread(name, "worst AUC", tasks="class"),
        spread(name, "time"),
    ]
    digits = (3, 3, 2)
    return [words(b, d).replace("–", "–\u200b") if b else "" for b, d in zip(bounds, digits)]


def context():
    """What the columns of `by_promise` mean, and the original net's figures."""
    rows, classes, _ = measured("original")
    n_rows, n_classes = (in_words(len(judged(kind))) for kind in ("rows", "class"))
    return [
        "*Apart* is the largest difference of an attack's AUC to that of retrained nets, over five",
        f"scores, at the method's defaults: lowest and highest of {n_rows} tasks where",
        f"single rows are forgotten, and of {n_classes} with a class. The original nets are {rows}",
        f"and {classes} apart. {left_out()}",
        "*Time* is that of a request over that of a retraining, on nets so small that looking",
        "counts as well. Empty cells: not a method for nets. From ``benchmarks/bench_defaults.py``",
        "(:doc:`/project/benchmarks`).",
    ]


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
    """The tables, for pages to include."""
    missing = set(all_unlearners()) - taxonomy.placed()
    if missing:
        raise ValueError(f"docs/_ext/taxonomy.py has no place for {sorted(missing)}.")
    for name, lines in {
        "decision_table": decision(),
        "decision_tree": tree(),
        "method_table": everything(),
        "promise_exact": by_promise("exact"),
        "promise_proved": by_promise("proved"),
        "promise_measured": by_promise("measured"),
        "promise_context": context(),
        "taxonomy_table": places(),
    }.items():
        write_lines(name, lines)


def write_lines(name, lines):
    """A page to include; one that says the same is not touched, or others were built again."""
    FOLDER.mkdir(exist_ok=True)
    path, text = FOLDER / f"{name}.rst", "\n".join(lines) + "\n"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}
