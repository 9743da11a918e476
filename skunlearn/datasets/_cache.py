"""Decoded arrays on disk: where they lie, how they get there whole, and when they go."""

import hashlib
import json
import os
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["find_cached_folder", "default_home"]

FORMAT = 1  # raise it when the files of a cache change their meaning
STALE_SECONDS = 3600  # a temporary folder older than this belongs to a killed process


def default_home():
    """``$XDG_CACHE_HOME/skunlearn``, by default ``~/.cache/skunlearn``."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join("~", ".cache")
    return Path(base).expanduser() / "skunlearn"


def _home(cache_dir):
    if cache_dir is None:
        cache_dir = os.environ.get("SKUNLEARN_CACHE") or default_home()
    return Path(cache_dir).expanduser()


def find_cached_folder(source_path, subset, fingerprint, variant, build, cache_dir=None):
    """The folder that ``build(folder)`` fills for this source, built once.

    It is ``<cache>/images/<name>-<digest of path and subset>/<fingerprint>-<variant>``. `build`
    writes into a temporary neighbour, which is renamed when complete: a kill leaves no half
    cache, and of two processes that build at once the later one uses the earlier one's. Entries
    of other fingerprints are removed: rows deleted from the source do not live on in the cache.
    """
    source_path = Path(source_path).resolve()
    key = _digest([str(source_path), subset or ""])
    place = _home(cache_dir) / "images" / f"{source_path.name.split('.')[0]}-{key}"
    prefix = _digest([fingerprint, FORMAT])
    final = place / f"{prefix}-{_digest(variant)}"
    if not final.is_dir():
        place.mkdir(parents=True, exist_ok=True)
        with _temporary_neighbour(place) as folder:
            build(folder)
            try:
                os.replace(folder, final)
            except OSError:
                if not final.is_dir():  # not a race that another process won
                    raise
    _remove_outdated(place, prefix)
    return final


def _digest(value):
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:16]


@contextmanager
def _temporary_neighbour(place):
    folder = tempfile.mkdtemp(prefix="tmp-", dir=place)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # already renamed when all went well
        with suppress(OSError):
            place.rmdir()  # nothing but a failed attempt was ever there


def _remove_outdated(place, prefix):
    for entry in place.iterdir():
        if entry.name.startswith("tmp-"):
            try:
                outdated = time.time() - entry.stat().st_mtime > STALE_SECONDS
            except FileNotFoundError:  # its process finished meanwhile
                continue
        else:
            outdated = not entry.name.startswith(prefix)
        if outdated:
            shutil.rmtree(entry, ignore_errors=True)
