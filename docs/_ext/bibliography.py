"""The bibliography: every paper that a docstring cites, and who cites it."""

import importlib
import re
from pathlib import Path

from api_pages import pages
from numpydoc.docscrape import NumpyDocString

PAGE = Path(__file__).parents[1] / "references.rst"
_ARXIV = re.compile(r"https://arxiv\.org/abs/[\d.]+\d")
_TITLE = re.compile(r'["“](.+?),?["”]')


def entries(doc):
    """References of a docstring, one string each.

    Parameters
    ----------
    doc : str

    Returns
    -------
    entries : list of str
    """
    lines = NumpyDocString(doc)["References"] if doc else []
    text = re.sub(r"(?m)^\.\. \[\w+\]\s+", "\n", "\n".join(lines))
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", text))
    return [part for part in parts if part]


def key(entry):
    """What makes two entries the same paper: the arXiv number, or else the title."""
    title = _TITLE.search(entry)
    if title:
        return re.sub(r"\W+", "", title.group(1)).lower()[:40]
    arxiv = _ARXIV.search(entry)
    return arxiv.group() if arxiv else entry.lower()


def _surname(entry):
    first = re.split(r"[,&(]| et al| and ", entry)[0]
    return first.split()[-1].lower() if first.split() else entry


def collect():
    """Papers by first author: the longest form of each, and the objects that cite it."""
    found = {}
    for module, names in pages().items():
        for name in names:
            doc = getattr(importlib.import_module(module), name).__doc__
            for entry in entries(doc):
                text, cited = found.setdefault(key(entry), [entry, []])
                if len(entry) > len(text):
                    found[key(entry)][0] = entry
                cited.append(f"{module}.{name}")
    return sorted(found.values(), key=lambda pair: (_surname(pair[0]), pair[0]))


def write(*_):
    """The page."""
    lines = [
        "References",
        "==========",
        "",
        "Collected from the docstrings, each with what is built on it.",
        "",
    ]
    for text, cited in collect():
        uses = ", ".join(f":py:obj:`~{name}`" for name in dict.fromkeys(cited))
        # "B. Balle" would begin an enumeration.
        text = re.sub(r"^(?=[A-Z]\.)", r"\\", text)
        lines += [f"- {text}", "", f"  Used by {uses}", ""]
    page = "\n".join(lines)
    if not PAGE.exists() or PAGE.read_text() != page:
        PAGE.write_text(page)


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write, priority=200)
    return {"parallel_read_safe": True}
