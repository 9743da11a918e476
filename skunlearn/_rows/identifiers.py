"""Identifiers of records, compared as Python compares them."""

import re
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from numbers import Number
from uuid import UUID

import numpy as np

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_PER_SECOND = {"ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}


def identifier_text(name):
    """Text that stands for an identifier: equal identifiers have equal texts, others do not.

    As in Python 4.0 is 4, scalars of numpy and torch are what they hold, and ``"4"`` is another
    identifier than 4. Beyond Python, a date is its midnight, as in numpy and pandas, and a UUID is
    what it is written as.
    """
    kind = type(name)
    if kind is int:
        return repr(name)
    if isinstance(name, str):
        text = str.__str__(name)
        return repr(text.lower() if len(text) == 36 and _UUID.fullmatch(text) else text)
    if isinstance(name, UUID):
        return repr(str(name))
    if isinstance(name, np.datetime64 | np.timedelta64):
        return _numpy_time(name)
    if isinstance(name, date | timedelta):  # a datetime is a date; pandas' classes are these too
        return _time(name)
    if hasattr(name, "tolist"):
        plain = name.tolist()
        if type(plain) is not kind:
            return identifier_text(plain)
    if isinstance(name, Number):
        return _number(name)
    if isinstance(name, tuple):
        inner = ", ".join(map(identifier_text, name))
        return f"({inner},)" if len(name) == 1 else f"({inner})"
    if isinstance(name, list):
        return f"[{', '.join(map(identifier_text, name))}]"
    if isinstance(name, frozenset):
        return f"frozenset({', '.join(sorted(map(identifier_text, name)))})"
    return repr(name)


def list_names(names):
    """Identifiers as a list; text, bytes and whatever is no collection is one identifier."""
    if isinstance(names, str | bytes) or not np.iterable(names):
        return [names]
    return plain_names(names)


def plain_names(names):
    """Identifiers as a list, those of numpy as Python's own, which are written down sooner."""
    if isinstance(names, np.ndarray) and names.ndim == 1 and names.dtype.kind in "biufSU":
        return names.tolist()
    return list(names)


def _number(name):
    if isinstance(name, complex | np.complexfloating):
        if name.imag != 0:
            return repr(complex(name))
        name = name.real
    try:
        exact = Fraction(*name.as_integer_ratio())
    except (OverflowError, ValueError):  # infinite, or not a number
        return repr(float(name))
    if exact.denominator == 1:
        return repr(exact.numerator)
    return repr(float(exact)) if float(exact) == exact else str(exact)


def _numpy_time(name):
    kind = "time" if isinstance(name, np.datetime64) else "duration"
    if np.isnat(name):
        return "NaT"
    unit, count = np.datetime_data(name.dtype)
    if unit in _PER_SECOND:
        return _instant(kind, int(name.astype(np.int64)) * count, _PER_SECOND[unit])
    return _instant(kind, int(name.astype(f"{name.dtype.kind}8[s]").astype(np.int64)), 1)


def _time(name):
    if name != name:  # pandas' NaT
        return "NaT"
    finer = int(getattr(name, "nanosecond", getattr(name, "nanoseconds", 0)))  # pandas has them
    if isinstance(name, timedelta):
        kind, since = "duration", name
    else:
        kind, zero = "time", datetime(1970, 1, 1)
        if not isinstance(name, datetime):
            name = datetime(name.year, name.month, name.day)
        elif name.utcoffset() is not None:
            kind, zero = "time with zone", zero.replace(tzinfo=UTC)
        since = name - zero
    micros = (since.days * 86400 + since.seconds) * 10**6 + since.microseconds
    return _instant(kind, micros * 1000 + finer, 10**9)


def _instant(kind, ticks, per_second):
    seconds = Fraction(ticks, per_second)
    return f"<{kind} {seconds}>"
