"""Puts stored figures into the README: ``python docs/_ext/readme.py``.

What stands between ``<!-- figures NAME: begin -->`` and ``<!-- figures NAME: end -->`` is written
by this file, from what the benchmarks stored.
"""

import re
import textwrap
from pathlib import Path

import first_minute
from stored_figures import first_minute as stored
from stored_figures import in_words, judged, left_out, percent, spread, words

README = Path(__file__).parents[2] / "README.md"
_PART = re.compile(r"(<!-- figures ([\w ]+): begin -->\n).*?(<!-- figures \2: end -->)", re.S)


def picture():
    """The picture, and what it says."""
    found = stored()
    before, after, gold = (found["models"][n] for n in ("original", "unlearned", "retrained"))
    left, gone = percent(before["repeated"]), percent(after["repeated"])
    right, was = percent(after["accuracy"]), percent(before["accuracy"])
    text = (
        f"A net has learnt a hundred wrong labels by heart and repeats {left} of them. After "
        f"`unlearn` it repeats {gone} (a net that was retrained without them "
        f"{percent(gold['repeated'])}) and is right on {right} of unseen digits instead of {was}, "
        f"in {after['seconds'] / gold['seconds']:.2f} of the time of a retraining "
        f"(`{found['command']}`)."
    )
    alt = f"![{first_minute.describe(found)}](docs/_static/first_minute.svg)"
    return f"{alt}\n\n{_wrapped(text)}\n"


def which():
    """Five rows, and how far each is from retrained nets."""
    rows = [
        ("a net that is trained already", ["Auto"], "measured"),
        ("the same, but not its class or a function that builds it", ["NoT"], "measured"),
        ("deletions to come, which must be exact; any estimator", ["Sharded"], "exact"),
        (
            "a forest, bagging; naive Bayes, LDA, neighbours; ridge regression",
            ["Forest", "SufficientStatistics", "Ridge"],
            "exact",
        ),
        (
            "logistic regression, and a proven (ε, δ) is wanted",
            ["CertifiedRemoval", "DescentToDelete", "Langevin"],
            "proved",
        ),
    ]
    lines = [
        "| you have | take | promise | apart | time |",
        "|---|---|---|---|---|",
    ]
    for have, names, promise in rows:
        take = ", ".join(f"`{name}Unlearner`" for name in names)
        apart, time = (spread(names[0], key) for key in ("worst AUC", "time"))
        apart = words(apart, 3) if apart else ""
        time = words(time) if time and promise == "measured" else ""
        if names == ["Sharded"]:
            time = "a shard's, for one row"
        lines.append(f"| {have} | {take} | {promise} | {apart} | {time} |")
    original, again = (words(spread(name, "worst AUC"), 2) for name in ("original", "retrained"))
    note = (
        "Apart: the largest difference of an attack's AUC to that of retrained nets, on "
        f"{in_words(len(judged()))} tasks with rows known by heart (`python "
        f"benchmarks/bench_defaults.py`). Original nets are {original} apart, nets retrained with "
        f"another seed {again}. {left_out()} Time: over that of a retraining."
    )
    return "\n".join([*lines, "", _wrapped(note)]) + "\n"


def interval():
    """How wide the interval of an AUC of 0.5 is, by Hanley and McNeil's formula."""
    few, many = 50, 500
    width = 2 * 1.96 * ((few + many + 1) / (12 * few * many)) ** 0.5
    return (
        f"- **With an interval.** {few} forgotten against {many} unseen rows leave one about "
        f"{width:.2f} wide (Hanley and\n  McNeil's formula); smaller differences are noise, and "
        "`refit=one_standard_error` does not choose by them.\n"
    )


def _wrapped(text):
    return textwrap.fill(text, 100, break_on_hyphens=False)


PARTS = {"picture": picture, "which": which, "interval": interval}


def render(text):
    """The README with the figures that are stored now."""
    return _PART.sub(lambda match: match[1] + PARTS[match[2]]() + match[3], text)


if __name__ == "__main__":
    README.write_text(render(README.read_text()))
