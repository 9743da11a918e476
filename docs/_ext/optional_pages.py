"""Pages of the guide that are written beside it, listed where they are there."""

from pathlib import Path

DOCS = Path(__file__).parents[1]
PAGES = ("scaling", "threat_model")


def write(*_):
    """A table of contents for the guide's index to include."""
    found = [name for name in PAGES if (DOCS / f"{name}.rst").exists()]
    lines = [".. toctree::", "   :maxdepth: 2", "", *(f"   /{name}" for name in found), ""]
    path, text = DOCS / "generated" / "optional_toctree.rst", "\n".join(lines) if found else "\n"
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}
