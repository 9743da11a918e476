"""Names of the rows of `fit`, ids and groups, as the record holds them: by their digests."""

from contextlib import suppress
from datetime import datetime

from skunlearn._rows.containers import find_repeated, match, name_digests
from skunlearn._rows.identifiers import plain_names

_SOME = 20  # names of which other forms are looked up


class NameTable:
    """Digests of identifiers, computed when they are first asked for.

    Parameters
    ----------
    names : list of str or of int, or None
        They are let go of once their digests are known.
    digests : ndarray of shape (n, 16), or None
    """

    def __init__(self, names, digests=None):
        self._names, self._digests = names, digests

    @property
    def digests(self):
        """Digests of all, of shape (n, 16)."""
        names = self._names  # first: another thread may be faster
        if self._digests is None:
            self._digests = name_digests(names)
            self._names = None
        return self._digests


def read_ids(ids, n):
    """The table of identifiers, each of which must be another."""
    ids = _list(ids, n, "ids")
    if _are_plain(ids) and len(set(ids)) == n:
        return NameTable(ids)
    digests = name_digests(ids)
    if len(first := find_repeated(digests)):
        repeated = [ids[i] for i in first]
        raise ValueError(
            f"ids must be unique, but {len(repeated)} repeat ({show_some(repeated)}). Use groups= "
            "to name all rows of one person."
        )
    return NameTable(None, digests)


def read_groups(groups, n):
    """The table of groups."""
    groups = _list(groups, n, "groups")
    return NameTable(groups) if _are_plain(groups) else NameTable(None, name_digests(groups))


def show_some(values, limit=5):
    """The first of these as text, for messages."""
    text = ", ".join(str(value) for value in values[:limit])
    return text + (", ..." if len(values) > limit else "")


def advise_on(unknown, table, kind):
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


def _list(names, n, kind):
    names = plain_names(names)
    if len(names) != n:
        raise ValueError(f"{kind} has {len(names)} entries, but X has {n} rows.")
    return names


def _are_plain(names):
    """Whether names are all text or all whole numbers, which are equal as Python compares them.

    Not texts that may be UUIDs, of which another spelling is the same.
    """
    kinds = set(map(type, names))
    return kinds == {int} or (kinds == {str} and 36 not in set(map(len, names)))
