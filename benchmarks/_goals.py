"""Measured ratios beside their goals: each benchmark reports its own, the runner prints all.

    from _goals import goal
    goal("fine-tuning epoch / hand-written loop, MLP", ratio, at_most=1.10)

Alone, a benchmark prints a line for each. Under ``run.py`` (``make bench``) the lines also go to a
file, from which the table and ``goals.json`` are made.
"""

import json
import os
import re
import statistics
from pathlib import Path

_FILE = "SKUNLEARN_BENCH_LINES"
_PART = re.compile(r"(<!-- goals: begin -->\n).*?(<!-- goals: end -->)", re.S)


def goal(name, ratio, *, at_most=None, at_least=None):
    """Report a ratio and the goal for it; exactly one bound is given."""
    if (at_most is None) == (at_least is None):
        raise TypeError("Give either at_most or at_least.")
    met = ratio <= at_most if at_least is None else ratio >= at_least
    line = {"name": name, "ratio": float(ratio), "at_most": at_most, "at_least": at_least}
    line["met"] = bool(met)
    print("  " + _text(line, len(name)), flush=True)
    if path := os.environ.get(_FILE):
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")


def read(path):
    """What the benchmarks reported to the file at `path`."""
    path = Path(path)
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def listening(path):
    """Environment under which benchmarks report to the file at `path`."""
    return os.environ | {_FILE: str(path)}


def table(lines):
    """One line of text for each goal, and how many are met."""
    width = max((len(line["name"]) for line in lines), default=0)
    rows = [_text(line, width) for line in lines]
    met = sum(line["met"] for line in lines)
    return "\n".join([*rows, f"{met} of {len(lines)} goals met"])


def put_into(text, lines):
    """A page with a table of all goals between its marks; those that are missed come first."""
    met = sum(line["met"] for line in lines)
    rows = [
        f"{met} of {len(lines)} goals are met.",
        "",
        "| ratio | measured | goal | |",
        "|---|---|---|---|",
    ]
    for line in sorted(lines, key=lambda line: line["met"]):
        sign, bound, verdict = _bound_and_verdict(line)
        rows.append(f"| {line['name']} | {line['ratio']:.3f} | {sign} {bound:g} | {verdict} |")
    return _PART.sub(lambda match: match[1] + "\n".join(rows) + "\n" + match[2], text)


def paired(result, base, clock=1):
    """Median over the rounds of `timed_rounds` of two contenders' ratio; CPU time by default.

    Both are timed seconds apart, so that what else the machine does hits both alike: on a busy one
    this moves less than the ratio of two medians.
    """
    return statistics.median(a[clock] / b[clock] for a, b in zip(result, base, strict=True))


def _bound_and_verdict(line):
    sign, bound = ("≤", line["at_most"]) if line["at_least"] is None else ("≥", line["at_least"])
    return sign, bound, "pass" if line["met"] else "SHORT"


def _text(line, width):
    sign, bound, verdict = _bound_and_verdict(line)
    return f"{line['name']:<{width}} {line['ratio']:8.3f}  {sign} {bound:<6g} {verdict}"
