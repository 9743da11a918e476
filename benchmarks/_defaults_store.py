"""What `bench_defaults.py` stores, method by method, and the tables and counts made from it."""

import json
import os
import re
from pathlib import Path

import numpy as np

SCORES = ("loss", "margin", "confidence", "entropy", "modified_entropy")
BASELINES = {
    "original": "original",
    "retrained": "retrained, other seed",
    "floor": "retrained for the same budget",
}
EXACT = ("Sharded",)
OVERSHOOT, LOST, NOISE = 0.05, 0.03, 0.03
_PART = re.compile(r"(<!-- defaults: begin -->\n).*?(<!-- defaults: end -->)", re.S)


class Store:
    """Figures by task, method and seed, in a JSON file that is whole after each method."""

    def __init__(self, path):
        self.path = Path(path) if path else None
        there = self.path is not None and self.path.exists()
        self.tasks = json.loads(self.path.read_text()) if there else {}

    def has(self, task, name, seed):
        return str(seed) in self.tasks.get(task, {}).get(name, {}).get("seeds", {})

    def list_due(self, task, seed, wanted, again):
        """Names to run: baselines first, then others; what is there already only if `again`."""
        due = [n for n in BASELINES if n not in wanted and not self.has(task, n, seed)]
        due += [n for n in wanted if again or not self.has(task, n, seed)]
        return sorted(due, key=lambda name: name not in BASELINES)

    def add(self, task, name, seed, row):
        """Put in the row of one seed, and write the means over all that are there."""
        found = self.tasks.setdefault(task, {}).setdefault(name, {"seeds": {}})
        seeds = found["seeds"] | {str(seed): row}
        self.tasks[task][name] = summary(dict(sorted(seeds.items())))
        if self.path is not None:
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps(self.tasks, indent=1) + "\n")
            os.replace(new, self.path)


def summary(seeds):
    """Means over the seeds that were not refused, those themselves, and how many warned.

    A seed marked "older" was judged by the rows that the request brought; the next run over it
    (--again) takes the mark away.
    """
    done = [row for row in seeds.values() if "refused" not in row]
    said = [row.get("refused") or row.get("warned") for row in seeds.values()]
    found = {"warned": sum(map(bool, said)), "of": len(seeds)}
    if done:
        found |= _means(done)
    if any(row.get("older") for row in seeds.values()):
        found["older"] = True
    return found | {"seeds": seeds}


def _means(rows):
    keys = ("distance", "named", "accuracy", "time")
    found = {key: float(np.mean([row[key] for row in rows])) for key in keys}
    apart = [max(abs(row["AUC"][s]) for s in SCORES) for row in rows]
    return found | {
        # The largest difference is not to cancel between seeds.
        "worst AUC": float(np.mean(apart)),
        **{f"AUC {s}": float(np.mean([row["AUC"][s] for row in rows])) for s in SCORES},
    }


def in_order(found):
    """Names of a task's rows: the baselines, `AutoUnlearner`, and the others by name."""
    return sorted(found, key=lambda n: (n not in BASELINES, [*BASELINES, n].index(n), n != "Auto"))


def silent_faults(found, name):
    """What is wrong with a method on a task where it said nothing; empty where nothing is.

    At least half of the way from the original to retrained nets by loss and by entropy, no more
    than `OVERSHOOT` beyond, and at most `LOST` of the accuracy that original and retrained nets
    both have. A difference of `NOISE` is none, nor one that retrained nets have between them.
    """
    seeds = found[name]["seeds"]
    quiet = {k: row for k, row in seeds.items() if not (row.get("warned") or "refused" in row)}
    if not quiet:
        return []
    # Beside the originals of the same seeds: what a request began with is no fault of it.
    originals = [row for k, row in found["original"]["seeds"].items() if k in quiet]
    means, before, faults = _means(quiet.values()), _means(originals), []
    again = found["retrained"]["seeds"].values()
    for score in ("loss", "entropy"):
        left, was = means[f"AUC {score}"], before[f"AUC {score}"]
        chance = float(np.mean([abs(row["AUC"][score]) for row in again])) + 1e-9  # rounding
        if left > max(0.5 * was, NOISE, chance):
            faults.append(f"{score} {left:+.2f} of {was:+.2f}")
        elif left < -max(OVERSHOOT, chance) and left < was:
            faults.append(f"{score} {left:+.2f}, too far")
    least = min(before["accuracy"], 0.0)
    if means["accuracy"] < least - LOST:
        faults.append(f"accuracy {100 * (means['accuracy'] - least):+.0f}")
    return faults


def count(tasks):
    """Approximate methods with nothing wrong in silence, by task; and what is, by method."""
    names = {name for found in tasks.values() for name in found} - {*BASELINES, *EXACT}
    faults = {}
    for name in sorted(names):
        here = {task: silent_faults(found, name) for task, found in tasks.items() if name in found}
        faults[name] = {task: said for task, said in here.items() if said}
    right = {}
    for task, found in tasks.items():
        there = [name for name in names if name in found]
        right[task] = f"{sum(task not in faults[name] for name in there)} of {len(there)}"
    return right, faults


def cell(found, name):
    """One cell of the table: apart, distance, accuracy, and how often it warned."""
    if name not in found:
        return ""
    row = found[name]
    warned = f" (w {row['warned']}/{row['of']})" if row["warned"] else ""
    warned += " †" if row.get("older") else ""
    if "distance" not in row:
        return "refused"
    return f"{row['worst AUC']:.3f}, {row['distance']:.2f}, {100 * row['accuracy']:+.1f}{warned}"


def table(tasks):
    """Every method and task, and the counts, in Markdown."""
    together = {name: None for found in tasks.values() for name in found}
    lines = ["| | " + " | ".join(tasks) + " |", "|---" * (len(tasks) + 1) + "|"]
    for name in in_order(together):
        cells = [cell(found, name) for found in tasks.values()]
        label = BASELINES.get(name, f"`{name}Unlearner`")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    right, faults = count(tasks)
    everywhere = [name for name, said in faults.items() if not said]
    lines += [
        "",
        "Time of `AutoUnlearner` over that of a retraining, and the floor's: "
        + "; ".join(
            f"{task} {found['Auto']['time']:.2f} ({found['floor']['time']:.2f})"
            for task, found in tasks.items()
            if "Auto" in found
        )
        + ".",
        "",
        f"Of {len(faults)} approximate methods at their defaults, so many move at least half of "
        f"the way by loss and by entropy, overshoot by at most {OVERSHOOT} and lose at most "
        f"{100 * LOST:.0f} points, or warn or refuse (what retrained nets are apart is none): "
        + ", ".join(f"{task} {of}" for task, of in right.items())
        + f"; on every task {len(everywhere)}. In silence fail:",
        "",
    ]
    for name, said in faults.items():
        if said:
            where = "; ".join(f"{task} ({', '.join(f)})" for task, f in said.items())
            lines.append(f"- `{name}Unlearner`: {where}")
    return "\n".join(lines) + "\n"


def render(text, tasks):
    """A page with the table that is stored now between its marks."""
    return _PART.sub(lambda match: match[1] + table(tasks) + match[2], text)
