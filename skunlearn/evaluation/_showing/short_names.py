"""Names of models in little room: how wide they are, and what is left out of long ones."""

from unicodedata import combining, east_asian_width

_NARROW = set("fijlrtI .,:;'|!()[]/")
_BROAD = set("mwMW@%—…жшщюыЖШЩЮ")


def count_columns(text):
    """How many columns of a terminal a text takes."""
    return sum(_count(letter) for letter in text)


def estimate_width(text):
    """How wide a text is at most in proportional letters, in units of their size."""
    return sum(map(_estimate, text))


def shorten(name, room, measure=count_columns):
    """A name that fits, cut in its middle: names that differ may differ at their ends alone.

    Parameters
    ----------
    name : str
    room : float
        What `measure` may say of the result.
    measure : callable, default=count_columns

    Returns
    -------
    short : str
    """
    if measure(name) <= room:
        return name
    best = "…"
    for kept in range(1, len(name)):
        head, tail = name[: (kept + 1) // 2].rstrip(), name[len(name) - kept // 2 :].lstrip()
        short = f"{head}…{tail}"
        if measure(short) > room:
            break
        best = short
    return best


def justify(text, width):
    """Fill up a text to a number of columns."""
    return text + " " * (width - count_columns(text))


def _count(letter):
    if combining(letter):
        return 0
    return 2 if east_asian_width(letter) in "WF" else 1


def _estimate(letter):
    if combining(letter):
        return 0.0
    if letter in _NARROW:
        return 0.41
    if letter in _BROAD or east_asian_width(letter) in "WF":
        return 1.0
    if letter.isascii():
        return 0.84 if letter in "<>=+~#&^" else 0.78 if letter.isupper() else 0.64
    return 0.85
