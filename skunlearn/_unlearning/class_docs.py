"""What the docstring of a class takes over from those of its base classes."""

import functools
import inspect
import re

_SLOT = re.compile(r"\{(\w+(?:, \w+)*)\}")
_SECTIONS = ("Parameters", "Attributes")


def inherit_entries(cls):
    """Describe in a class docstring what it names only, in the words of the base classes.

    A line ``{lr, max_epochs}`` under Parameters or Attributes becomes the entries of these names
    in the nearest base class that describes them; indented lines below it are added to the last.
    A line with a name that no base class describes stays as it is. Under ``python -OO`` there are
    no docstrings, and nothing happens.

    Parameters
    ----------
    cls : type
        Its ``__doc__`` is replaced.
    """
    doc = cls.__dict__.get("__doc__")
    if not doc:
        return
    lines, section, changed = inspect.cleandoc(doc).splitlines(), None, False
    for i, line in enumerate(lines):
        if _is_title(lines, i):
            section = line
        slot = _SLOT.fullmatch(line)
        if slot is None or section not in _SECTIONS:
            continue
        entries = [_find(cls, section, name) for name in slot[1].split(", ")]
        if all(entries):
            lines[i], changed = "\n".join(entries), True
    if changed:
        cls.__doc__ = "\n".join(lines)


def _find(cls, section, name):
    for base in cls.__mro__[1:]:
        entry = _entries(base.__dict__.get("__doc__") or "").get((section, name))
        if entry is not None:
            return entry
    return None


@functools.cache
def _entries(doc):
    """Entries of the two sections, by section and name."""
    lines, section, name, found = inspect.cleandoc(doc).splitlines(), None, None, {}
    for i, line in enumerate(lines):
        if _is_title(lines, i):
            section, name = line, None
        elif section in _SECTIONS and line and not line.startswith((" ", "---")):
            name = line.split(" : ")[0]
            found[section, name] = [line]
        elif name is not None:
            found[section, name].append(line)
    return {key: "\n".join(entry).rstrip() for key, entry in found.items()}


def _is_title(lines, i):
    return i + 1 < len(lines) and bool(lines[i]) and lines[i + 1] == "-" * len(lines[i])
