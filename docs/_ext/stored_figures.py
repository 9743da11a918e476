"""Figures that the README and the pages quote, read from what the benchmarks stored."""

import json
from pathlib import Path

_HARDLY = 0.1
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def first_minute():
    """What ``bench_first_minute.py`` stored: figures by net, and where they come from."""
    return json.loads((BENCHMARKS / "first_minute.json").read_text())


def defaults():
    """What ``bench_defaults.py`` stored: figures by task and method."""
    return json.loads((BENCHMARKS / "defaults.json").read_text())


def judged(tasks=""):
    """Tasks with rows enough: retrained nets are hardly apart by an attack's AUC."""
    return {
        task: by
        for task, by in defaults().items()
        if tasks in task and by["retrained"]["worst AUC"] < _HARDLY
    }


def left_out():
    """Which tasks `judged` leaves out, and why, in a sentence; empty where it leaves out none."""
    apart = [
        f"{task} ({by['retrained']['worst AUC']:.2f})"
        for task, by in defaults().items()
        if task not in judged()
    ]
    if not apart:
        return ""
    return (
        f"Tasks where retrained nets are {_HARDLY} or more apart from each other are left out, as "
        f"they could not tell a method from a retraining: {', '.join(apart)}."
    )


def spread(name, figure, *, tasks=""):
    """Lowest and highest figure of a method over the tasks whose names hold `tasks`.

    Returns
    -------
    bounds : (float, float), or None where the method was not measured
    """
    short = name.removesuffix("Unlearner")
    found = [
        by[short][figure]
        for task, by in judged().items()
        if tasks in task and figure in by.get(short, {})  # not where it refuses
    ]
    return (min(found), max(found)) if found else None


def in_words(number):
    """Up to ten in words, as in a text."""
    names = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    return names[number] if number < len(names) else str(number)


def words(bounds, digits=2):
    """The two as text."""
    low, high = (f"{value:.{digits}f}" for value in bounds)
    return low if low == high else f"{low}–{high}"


def percent(share):
    """Two digits of what is left where little is."""
    value = 100 * share
    return f"{value:.0f} %" if value > 99.95 or value == 0 else f"{value:.1f} %"
