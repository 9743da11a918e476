"""What stands on the page of an example that the build did not run: the outcome of a stored run.

``docs/stored/plot_x.txt`` holds what the example printed, below a first line with command, date and
machine; ``docs/stored/plot_x.png`` its picture. Both may be missing.
"""

import os
from pathlib import Path

from gallery import is_long, missing_packages

DOCS = Path(__file__).parents[1]
EXAMPLES = DOCS.parent / "examples"


def insert(app, docname, source):
    """Add a note, and the stored run, to the top and the end of the page."""
    folder, _, stem = docname.rpartition("/")
    example = EXAMPLES / f"{stem}.py"
    if folder != "auto_examples" or not example.exists():
        return
    missing = missing_packages(example)
    if missing:
        note = [
            "",
            ".. note::",
            "",
            f"   Not run when this site was built: {', '.join(missing)} was not installed there.",
            "",
        ]
        source[0] = _after_title(source[0], note)
        return
    if not is_long(example):
        return
    if os.environ.get("SKUNLEARN_DOCS_LONG") == "1":
        return
    note = [
        "",
        ".. note::",
        "",
        "   Not run when this site was built: it takes long, and reads images that are not",
        f"   bundled. ``python examples/{stem}.py`` runs it alone, and with",
        "   ``SKUNLEARN_DOCS_LONG=1`` ``make docs`` runs it for this page.",
        "",
    ]
    if stored(stem):
        note[-1:] = [f"   The outcome of a stored run stands :ref:`below <stored_run_{stem}>`.", ""]
    source[0] = _after_title(source[0], note) + "\n".join(stored(stem))


def stored(stem):
    """The stored run as lines of reStructuredText."""
    text, picture = DOCS / "stored" / f"{stem}.txt", DOCS / "stored" / f"{stem}.png"
    lines = []
    if picture.exists():
        what = (
            f"Picture that a stored run of {stem}.py drew; its figures are in the text beside it."
        )
        lines += [f".. image:: /stored/{stem}.png", f"   :alt: {what}", "   :width: 100%", ""]
    if text.exists():
        first, _, rest = text.read_text().partition("\n")
        command, _, where = first.partition(",")
        lines += [f"``{command}``,{where}:", "", ".. code-block:: none", ""]
        lines += [f"   {line}".rstrip() for line in rest.strip().splitlines()] + [""]
    if not lines:
        return []
    return ["", "", f".. _stored_run_{stem}:", "", "A stored run", "-" * 12, "", *lines]


def _after_title(source, note):
    lines = source.splitlines()
    rule = next(i for i, line in enumerate(lines) if line and set(line) == {"="})
    return "\n".join([*lines[: rule + 1], *note, *lines[rule + 1 :]])


def setup(app):
    """Sphinx's hook."""
    app.connect("source-read", insert)
    return {"parallel_read_safe": True}
