"""Figures that the README and the pages quote, read from what the benchmarks stored."""

import json
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def first_minute():
    """What ``bench_first_minute.py`` stored: figures by net, and where they come from."""
    return json.loads((BENCHMARKS / "first_minute.json").read_text())


def defaults():
    """What ``bench_defaults.py`` stored: figures by task and method."""
    return json.loads((BENCHMARKS / "defaults.json").read_text())


def spread(name, figure, *, tasks=""):
    """Lowest and highest figure of a method over the tasks whose names hold `tasks`.

    Returns
    -------
    bounds : (float, float), or None where the method was not measured
    """
    short = name.removesuffix("Unlearner")
    found = [by[short][figure] for task, by in defaults().items() if tasks in task and short in by]
    return (min(found), max(found)) if found else None


def words(bounds, digits=2):
    """The two as text."""
    low, high = (f"{value:.{digits}f}" for value in bounds)
    return low if low == high else f"{low}–{high}"


def percent(share):
    """Two digits of what is left where little is."""
    value = 100 * share
    return f"{value:.0f} %" if value > 99.95 or value == 0 else f"{value:.1f} %"
