"""Axes that all pictures share; the colours are those of `skunlearn.evaluation`."""

import textwrap

from matplotlib.transforms import ScaledTranslation

from skunlearn.evaluation._showing.palette import BAND, PALETTE, SERIES, colours_of, role_of

__all__ = [
    "BAND",
    "MARKERS",
    "PALETTE",
    "SERIES",
    "SIZE",
    "axes_of",
    "calm",
    "colours_of",
    "legend_below",
    "role_of",
    "style_of",
    "wrap_text",
]

_STYLES = ("-", "--", "-.", (0, (1, 1)))
MARKERS = "osD^vP*X"
SIZE = 10  # points of all text: 9 pixels also where a picture 5 inches wide is shown on a phone
_CHARACTERS = 13  # of that size to an inch


def style_of(k):
    """Line style of the k-th line, another one when colours begin anew."""
    return _STYLES[(k + k // len(SERIES)) % len(_STYLES)]


def axes_of(ax, size=(5.0, 3.6)):
    """`ax`, or axes of a new figure of pyplot, and their figure."""
    if ax is None:
        import matplotlib.pyplot as plt

        _, ax = plt.subplots(figsize=size, layout="constrained")
    return ax, ax.figure


def calm(*axes):
    """Few lines, behind the data, and text of one size."""
    for ax in axes:
        ax.grid(color="0.92")
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=SIZE)
        for text in (ax.xaxis.label, ax.yaxis.label):
            text.set_fontsize(SIZE)


def legend_below(ax, *, ncols=None, **options):
    """A legend below the axes and their label, never on what they show.

    Parameters
    ----------
    ax : matplotlib Axes
    ncols : int, default=None
        None: as many as fit.
    **options : dict
        For ``Axes.legend``.
    """
    handles, labels = ax.get_legend_handles_labels()
    if not labels:
        return None
    if ncols is None:
        room = ax.figure.get_figwidth() * ax.get_position().width / 0.8  # less what ticks take
        ncols = max(1, int(room * _CHARACTERS // (max(map(len, labels)) + 7)))
    # Below ticks, their numbers and the label.
    lowered = ScaledTranslation(0, -3.7 * SIZE / 72, ax.figure.dpi_scale_trans)
    return ax.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=ax.transAxes + lowered,
        frameon=False,
        fontsize=SIZE,
        ncols=min(ncols, len(labels)),
        borderaxespad=0,
        borderpad=0.2,
        handletextpad=0.5,
        columnspacing=1.2,
        handlelength=1.6,
        **options,
    )


def wrap_text(text, inches):
    """`text` in lines that fit."""
    return "\n".join(textwrap.wrap(text, max(8, int(inches * _CHARACTERS))))
