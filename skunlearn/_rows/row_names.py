"""Names of the rows of `fit`, ids and groups, as the record holds them: by their digests."""

from contextlib import suppress
from datetime import datetime

import numpy as np

from skunlearn._rows.containers import DIGEST_SIZE, find_repeated, match, name_digests
from skunlearn._rows.identifiers import plain_names

_SOME = 20  # names of which other forms are looked up


class NameTable:
    """Digests of identifiers, each computed when it is first asked for.

    Names that are plain are looked up by what ``hash`` makes of them, which finds one among a
    million some hundred times sooner than their digests are made; digests decide.

    Parameters
    ----------
    names : list of str or of int, or None
        A list that nobody else has. Each name is let go of when its row is, and all of them once
        all digests are known.
    digests : ndarray of shape (n, 16), or None
    """

    def __init__(self, names, digests=None):
        self._names, self._digests, self._hashes = names, digests, None
        if digests is None:  # zeros take no memory before they are written to
            self._digests = np.zeros((len(names), DIGEST_SIZE), dtype=np.uint8)
        # Which digests are known; written before a name goes, and read after it by other threads.
        self._known = None if names is None else np.zeros(len(names), dtype=bool)

    @property
    def digests(self):
        """Digests of all, of shape (n, 16)."""
        if self._names is not None:
            self._complete(np.arange(len(self._known)))
            self._names = self._hashes = None
        return self._digests

    def digests_at(self, positions):
        """Digests of the names at `positions`."""
        self._complete(positions)
        return self._digests[positions]

    def let_go(self, positions):
        """Hold no name of these rows in plain text."""
        self._complete(positions)
        names = self._names
        for i in positions if names is not None else ():
            names[i] = None

    def match(self, wanted):
        """Positions at which each of these names stands, a list of integer arrays."""
        digests, names = name_digests(wanted), self._names
        if names is None or not _are_plain(wanted):
            return match(self.digests, digests)
        hashes = self._hashes
        if hashes is None:
            self._hashes = hashes = np.fromiter(map(hash, names), np.int64, len(names))
        asked = np.fromiter(map(hash, wanted), np.int64, len(wanted))
        # Those that are gone may have gone before they had a hash.
        likely = np.flatnonzero(np.isin(hashes, asked) | self._known)
        return [likely[hits] for hits in match(self.digests_at(likely), digests)]

    def _complete(self, positions):
        names = self._names
        if names is None:
            return
        positions = np.asarray(positions)
        missing = positions[~self._known[positions]]
        pairs = [(i, names[i]) for i in missing.tolist() if names[i] is not None]
        if pairs:
            at, names = map(list, zip(*pairs))
            places = {name: place for place, name in enumerate(dict.fromkeys(names))}
            made = name_digests(list(places))
            self._digests[at] = made[[places[name] for name in names]]
            self._known[at] = True


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


def join_names(names, limit=6):
    """The first of these as text, and how many more there are, for messages."""
    rest = len(names) - limit
    return ", ".join(map(str, names[:limit])) + (f" and {rest} more" if rest > 0 else "")


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
