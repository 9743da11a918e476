"""A report as text: the verdict first, then six columns, at most 100 letters wide."""

import shutil
import textwrap

from skunlearn.evaluation._showing.key_figures import cell, key_figures, title_of
from skunlearn.evaluation._showing.palette import sign_of
from skunlearn.evaluation._showing.short_names import count_columns, justify, shorten

WIDTH = 100  # at most, and where there is no terminal
_NARROWEST = 76  # six columns and names
_FEWEST = 8  # letters of a name
_SHORT = 10  # letters of a head that stays in one line


def describe(report, notes):
    """What ``print(report)`` shows.

    Parameters
    ----------
    report : Report
    notes : str
        What else the reader should know of the figures.
    """
    columns = shutil.get_terminal_size((WIDTH, 24)).columns
    width = min(WIDTH, max(_NARROWEST, columns))
    lines = []
    for name, verdict in report.verdicts.items():
        lines += _wrap(f"{sign_of(verdict)} {name}: {verdict}.", width)
    if lines:
        lines.append("")
    lines += [*_table(report, width), ""]
    for text in report.warnings:
        lines += _wrap(f"Warning: {text}", width)
    for line in notes.split("\n") if notes else []:
        lines += _wrap(line, width)
    n = len(report.frame["metric"].unique())
    lines += _wrap(
        f"All {n} figures with {100 * report.confidence:g} % intervals: "
        "print(report.table().to_string()) or report.to_html(path).",
        width,
    )
    return "\n".join(lines)


def _wrap(text, width):
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)


def _table(report, room):
    """A line for each model; heads in two lines, and the interval of the difference.

    Where there is little room the names have it: the verdicts tell the interval too.
    """
    metrics = key_figures(report)
    held = {(row["model"], row["metric"]): row for row in report.frame.to_dict("records")}
    columns = []
    for metric in metrics:
        title = title_of(metric)
        above, _, below = title.partition(" ")
        head = [above, below] if len(title) > _SHORT else ["", title]
        interval = metric == "AUC difference" and room >= WIDTH
        cells = [
            cell(held[name, metric], metric, interval=interval) if (name, metric) in held else "-"
            for name in report.frame["model"].unique()
        ]
        width = max(map(len, head + cells))
        columns.append([text.rjust(width) for text in head + cells])
    room -= sum(len(column[0]) + 2 for column in columns)
    names = ["", "", *report.frame["model"].unique()]
    width = max(_FEWEST, min(room, max(map(count_columns, names))))
    names = [justify(shorten(name, width), width) for name in names]
    return ["  ".join(line).rstrip() for line in zip(names, *columns)]
