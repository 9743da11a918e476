"""The folders in which data sets are looked for, and downloaded to."""

import os
from pathlib import Path

from skunlearn.datasets._cache import default_home

__all__ = ["data_homes", "first_writable"]


def data_homes(data_home):
    """`data_home`, ``$SKUNLEARN_DATA`` and the default, without those that are not given."""
    candidates = [data_home, os.environ.get("SKUNLEARN_DATA"), default_home()]
    homes = [Path(home).expanduser() for home in candidates if home]
    return list(dict.fromkeys(homes))


def first_writable(homes):
    """The first of the folders that can be made or written to, or the last."""
    for home in homes:
        existing = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
        if os.access(existing, os.W_OK):
            return home
    return homes[-1]
