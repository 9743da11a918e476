"""The page on reports: the report that its code makes, and every row explained."""

import contextlib
import io
import time
import warnings
from pathlib import Path
from unittest import mock

import run_code

from skunlearn.evaluation._showing.explained import EXPLAINED
from skunlearn.evaluation.figures import DIRECTIONS

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "start" / "reading_report.rst"
REPORT = DOCS / "generated" / "real_report.html"


def rows():
    """Every row of a report, of streams and stress tests: what it is, and what is better."""
    lines = [".. list-table::", "   :header-rows: 1", "   :class: methods", "   :widths: 22 62 16"]
    header = ("Row", "What it is", "Better")
    cells = [
        (f"**{key}**", f"*{said.name}.* {said.text}", DIRECTIONS.get(key, ""))
        for key, said in EXPLAINED.items()
    ]
    for row in [header, *cells]:
        lines += ["", *(f"   {'* -' if i == 0 else '  -'} {cell}" for i, cell in enumerate(row))]
    return lines


def real_report():
    """The report of the page's code, as HTML.

    Its times are the processor's: those of a clock would tell how busy the machine was.
    """
    space = {"__name__": "__main__"}
    quiet = contextlib.redirect_stdout(io.StringIO())
    clock = mock.patch.object(time, "perf_counter", time.process_time)
    with quiet, clock, warnings.catch_warnings():  # the page has filters of its own
        exec(compile(run_code.blocks(PAGE)[0][0], str(PAGE), "exec"), space)
    return space["report"].to_html()


def is_fresh():
    """Whether the report was made after all that it is made of was last changed."""
    sources = [PAGE, *(DOCS.parent / "skunlearn" / "evaluation").rglob("*.py")]
    newest = max(path.stat().st_mtime for path in sources)
    return REPORT.exists() and REPORT.stat().st_mtime >= newest


def write(*_):
    """Both parts for the page to include."""
    REPORT.parent.mkdir(exist_ok=True)
    if not is_fresh():
        REPORT.write_text(real_report())
    path, text = REPORT.with_name("explained.rst"), "\n".join(rows()) + "\n"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}
