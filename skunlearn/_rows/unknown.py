"""What may be wrong with a request that names identifiers nobody knows."""

from contextlib import suppress
from datetime import datetime

from skunlearn._rows.containers import match, name_digests

_SOME = 20  # names of which other forms are looked up


def advice_on(unknown, table, kind):
    """What may be wrong with names that are not in `table`."""
    pairs = [(name, other) for name in unknown[:_SOME] for other in _misspelt(name)]
    for (name, other), hit in zip(pairs, match(table, name_digests([o for _, o in pairs]))):
        if len(hit):
            return (
                f"But {other!r} ({type(other).__name__}) is among the {kind} that fit was given, "
                f"and {name!r} ({type(name).__name__}) is another name than that."
            )
    return (
        f"Pass {kind} as fit was given them, and look for spaces, upper and lower case, leading "
        "zeros, and numbers that are text in one place and not in the other."
    )


def _misspelt(name):
    """Other forms in which the same name often stands elsewhere."""
    if not isinstance(name, str | bytes):
        text = str(name)
        return (text, text.removesuffix(".0"))
    text = name.decode(errors="replace") if isinstance(name, bytes) else name
    others = [text, text.strip(), text.lower(), text.upper(), text.encode()]
    for kind in (int, float, datetime.fromisoformat):
        with suppress(ValueError):
            others.append(kind(text))
    return others
