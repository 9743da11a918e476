"""What each metric tells apart: a table of what ``benchmarks/bench_metrics.py`` stored."""

import json

from method_table import write_lines
from stored_figures import BENCHMARKS

FILE = BENCHMARKS / "metrics.json"
# Kinds that whoever would be found out by a metric is expected to be.
KNOWING = ("known by heart", "the reference's seed", "fine-tuned away", "ascent")
WEAK = 0.8  # AUC below which a metric does not tell a kind apart


def stored():
    """The figures of all metrics."""
    return json.loads(FILE.read_text())


def weak(found=None):
    """Names of functions that miss one of `KNOWING`, with some of their options at least."""
    table = (found or stored())["auc"]
    return sorted(
        {
            name.split(",")[0]
            for name, row in table.items()
            if min(row[kind] for kind in KNOWING) < WEAK
        }
    )


def lines(found=None):
    """The table, a line for each metric."""
    found = found or stored()
    kinds = list(next(iter(found["auc"].values())))
    widths = " ".join(["30", *["10"] * len(kinds)])
    text = [
        ".. list-table::",
        "   :header-rows: 1",
        f"   :widths: {widths}",
        "",
        *_row(["Metric", *kinds]),
        *_row(
            ["*right on forgotten rows*"]
            + [f"{100 * found['accuracies'][kind][0]:.0f} %" for kind in kinds]
        ),
    ]
    for name, row in found["auc"].items():
        function, _, option = name.partition(", ")
        link = f":py:obj:`~skunlearn.metrics.{function}`" + (f", {option}" if option else "")
        text += _row([link, *(_figure(row[kind]) for kind in kinds)])
    again = 100 * found["accuracies"]["retrained"][0]
    return [
        *text,
        "",
        f"Retrained nets are right on {again:.0f} % of the forgotten rows. Bold: below {WEAK}, so",
        "that the metric misses this kind. From ``benchmarks/bench_metrics.py``",
        f"({found['nets']} nets of each kind).",
    ]


def write(*_):
    """The table, for a page to include."""
    write_lines("metric_table", lines())


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}


def _figure(value):
    return f"**{value:.2f}**" if value < WEAK else f"{value:.2f}"


def _row(cells):
    return [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(cells)]
