"""Diagrams, drawn by matplotlib when the site is built: what unlearning is, and the rooms."""

from pathlib import Path

import numpy as np
import rooms
from matplotlib import rc_context
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from stored_figures import judged

from skunlearn.plotting import PALETTE

FOLDER = Path(__file__).parents[1] / "_static" / "generated"
_INK = "#222222"
# Methods that the picture of closeness names, and how many points away the names stand.
_NAMED = {
    "retrained": ("retrained, another seed", (8, -6)),
    "floor": ("fewer epochs anew", (-8, -2)),
    "Auto": ("AutoUnlearner", (0, -13)),
    "ShrinkPerturb": ("ShrinkPerturb", (16, 12)),
    "NoT": ("NoT", (-8, 3)),
    "Amnesiac": ("Amnesiac", (8, 5)),
    "Sharded": ("five shards, all touched", (0, 14)),
    "L1Sparse": ("L1-sparse", (8, 0)),
    "NegGradPlus": ("NegGrad+", (8, 0)),
    "FineTune": ("fine-tuning", (-8, -4)),
    "SalUn": ("SalUn", (0, -13)),
    "SCRUB": ("SCRUB", (8, -3)),
    "SSD": ("SSD", (-8, 0)),
    "BadTeacher": ("Bad Teacher", (-8, 10)),
}


def _box(axes, x, y, width, height, text, colour):
    axes.add_patch(
        FancyBboxPatch(
            (x, y), width, height, boxstyle="round,pad=0.02", facecolor=colour, edgecolor=_INK
        )
    )
    axes.text(x + width / 2, y + height / 2, text, ha="center", va="center", color=_INK)


def _arrow(axes, start, end, text="", at=(0, 0), style="-|>", dashed=False):
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle=style,
            mutation_scale=14,
            color=_INK,
            linestyle="--" if dashed else "-",
            shrinkA=3,
            shrinkB=3,
        )
    )
    if text:
        axes.text(*at, text, ha="center", va="center", color=_INK, fontstyle="italic")


def _axes(width, height):
    figure = Figure(figsize=(width, height), facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.axis("off")
    return figure, axes


def overview():
    """Training, unlearning and retraining, and what is compared."""
    figure, axes = _axes(9, 4.3)
    pale = {role: 0.8 + 0.2 * np.array(to_rgb(colour)) for role, colour in PALETTE.items()}
    _box(axes, 0.2, 3.0, 1.9, 0.9, "retained rows", pale["retain"])
    _box(axes, 0.2, 2.2, 1.9, 0.6, "rows to forget", pale["forget"])
    _box(axes, 0.2, 0.45, 1.9, 0.9, "retained rows", pale["retain"])
    _box(axes, 3.5, 2.5, 2.0, 1.1, "original model\nhas seen all rows", pale["original"])
    _box(axes, 6.9, 2.5, 1.9, 1.1, "unlearned\nmodel", pale["unlearned"])
    _box(axes, 6.9, 0.35, 1.9, 1.1, "retrained\nmodel", pale["retrained"])
    _arrow(axes, (2.15, 3.05), (3.45, 3.05), "fit", (2.8, 3.25))
    _arrow(axes, (5.55, 3.05), (6.85, 3.05), "unlearn", (6.2, 3.25))
    _arrow(axes, (2.15, 0.9), (6.85, 0.9), "fit again: slow, and the yardstick", (4.5, 1.1))
    _arrow(axes, (7.85, 2.45), (7.85, 1.5), style="<|-|>", dashed=True)
    axes.text(7.7, 1.98, "should be alike", ha="right", va="center", fontstyle="italic")
    return figure


def architecture():
    """The rooms of the package, as its files import one another."""
    return rooms.draw()


def closeness():
    """Methods for nets: what they cost, and how far they are from retrained nets."""
    means = {}
    stored = list(judged().values())
    for name in stored[0]:
        found = [task[name] for task in stored if "time" in task.get(name, ())]  # or it refused
        if len(found) == len(stored):
            means[name] = [np.mean([f[key] for f in found]) for key in ("time", "worst AUC")]
    figure = Figure(figsize=(9, 5.4), facecolor="white", layout="constrained")
    axes = figure.add_subplot()
    level = means.pop("original")[1]
    axes.axhline(level, color=PALETTE["original"], linestyle="--")
    axes.text(7.5, 1.02 * level, "original", color=PALETTE["original"], ha="right", va="bottom")
    for name, (time, apart) in means.items():
        colour = PALETTE["retrained" if name == "retrained" else "unlearned"]
        axes.plot(time, apart, "o", color=colour if name in _NAMED else "#bbbbbb")
        if name in _NAMED:
            text, shift = _NAMED[name]
            where = {8: "left", -8: "right"}.get(shift[0], "center")
            axes.annotate(
                text, (time, apart), shift, textcoords="offset points", ha=where, va="center",
                color=colour,
            )  # fmt: skip
    axes.set(
        xscale="log", xlabel="time of a request / retraining", xlim=(0.06, 8), yscale="log",
        ylabel="largest difference of an attack's AUC\nto retrained nets",
        ylim=(0.8 * min(apart for _, apart in means.values()), None),  # room for a name below
    )  # fmt: skip
    for set_ticks, ticks in (
        (axes.set_xticks, (0.1, 0.2, 0.5, 1, 2, 5)),
        (axes.set_yticks, (0.03, 0.05, 0.1, 0.2, 0.3)),
    ):
        set_ticks(ticks, [f"{tick:g}" for tick in ticks])
        set_ticks([], minor=True)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def public_backbone():
    """Thumbnail: what has seen private rows, and what a deletion touches."""
    figure, axes = _axes(4, 2.8)
    pale = {role: 0.8 + 0.2 * np.array(to_rgb(colour)) for role, colour in PALETTE.items()}
    _box(axes, 0.15, 1.75, 1.15, 0.75, "public\nimages", "#eeeeee")
    _box(axes, 1.75, 0.45, 0.95, 2.05, "frozen\nback-\nbone", "#dddddd")
    _box(axes, 0.15, 0.95, 1.15, 0.55, "private", pale["retain"])
    _box(axes, 0.15, 0.45, 1.15, 0.42, "a person's", pale["forget"])
    _box(axes, 3.15, 0.45, 0.7, 1.05, "exact\nhead", pale["unlearned"])
    _arrow(axes, (1.35, 2.1), (1.7, 2.1))
    _arrow(axes, (1.35, 1.2), (1.7, 1.2))
    _arrow(axes, (1.35, 0.66), (1.7, 0.66))
    _arrow(axes, (2.75, 1.2), (3.1, 1.2))
    _arrow(axes, (2.75, 0.66), (3.1, 0.66))
    axes.plot([2.85, 3.0], [0.5, 0.82], color=PALETTE["forget"], linewidth=3)
    axes.plot([2.85, 3.0], [0.82, 0.5], color=PALETTE["forget"], linewidth=3)
    axes.text(2, 0.18, "a deletion touches the head alone", ha="center", va="center", fontsize=11)
    return figure


def deletion_service():
    """Thumbnail: requests wait for a batch, and every answer is of one whole version."""
    figure, axes = _axes(4, 2.8)
    versions = ((0.15, "original"), (1.45, "unlearned"), (2.75, "unlearned"))
    for number, (start, role) in enumerate(versions, 1):
        pale = 0.8 + 0.2 * np.array(to_rgb(PALETTE[role]))
        _box(axes, start, 1.3, 1.1, 0.6, f"version {number}", pale)
    for x in (0.3, 0.6, 0.85, 1.1, 1.6, 1.85, 2.1, 2.4, 2.9, 3.2, 3.6):
        _arrow(axes, (x, 1.95), (x, 2.3))
    axes.text(2, 2.5, "predictions", ha="center", va="center")
    for batch, publishes in (((0.3, 0.6, 1.0), 1.45), ((1.7, 2.3), 2.75)):
        for x in batch:
            axes.plot(x, 0.75, "o", color=PALETTE["forget"], markersize=8)
            _arrow(axes, (x, 0.75), (publishes + 0.05, 1.25))
    axes.plot(3.3, 0.75, "o", color="white", markeredgecolor=PALETTE["forget"], markersize=8)
    axes.text(2, 0.35, "requests wait for a batch", ha="center", va="center")
    return figure


def not_run():
    """Thumbnail of examples that have no picture."""
    figure, axes = _axes(4, 2.8)
    axes.text(2, 1.4, "no picture", ha="center", va="center", fontsize=22, color="#666")
    return figure


# Of examples that the build does not run, and that have no stored picture.
THUMBNAILS = (public_backbone, deletion_service)


def write(*_):
    """Draw all of them."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.hashsalt": "skunlearn", "svg.fonttype": "none", "font.size": 13}):
        for draw, kind in (
            (overview, "svg"),
            (architecture, "svg"),
            (closeness, "svg"),
            *((draw, "png") for draw in (*THUMBNAILS, not_run)),
        ):
            path = FOLDER / f"{draw.__name__}.{kind}"
            # The rooms follow the package, whose files change more often than this one.
            fresh = path.exists() and path.stat().st_mtime >= Path(__file__).stat().st_mtime
            if draw in (architecture, closeness) or not fresh:
                draw().savefig(path, metadata={"Date": None} if kind == "svg" else None)


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write)
    return {"parallel_read_safe": True}
