"""The picture of a report as inline SVG: strips that keep their size on a phone."""

import html

import numpy as np

from skunlearn.evaluation._showing.palette import BAND, PALETTE, role_of

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 320, 118, 12, 22, 26
_LETTERS = 15  # of a name


def draw(panel, roles):
    """One panel.

    Parameters
    ----------
    panel : Panel
    roles : dict
        As of a report.

    Returns
    -------
    svg : str
    """
    known = {name: role for role, name in roles.items()}
    bottom = _TOP + _ROW * len(panel.models)
    low, high = _ends(panel)

    def x(value):
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    said = html.escape(f"{panel.title}, {panel.unit}")
    parts = [
        f"<svg viewBox='0 0 {_WIDTH} {bottom + 22}' width='{_WIDTH}' height='{bottom + 22}' "
        f"role='img' aria-label='{said}'><text x='0' y='14' font-weight='bold'>{said}</text>"
    ]
    if panel.band is not None:
        start, end = (x(np.clip(value, low, high)) for value in panel.band)
        parts.append(
            f"<rect x='{start:.1f}' y='{_TOP}' width='{max(end - start, 1):.1f}' "
            f"height='{bottom - _TOP}' fill='{BAND}'/>"
        )
    if panel.zero is not None:
        colour = PALETTE["retrained"] if roles["retrained"] is not None else "#999"
        parts.append(_line(x(panel.zero), _TOP, x(panel.zero), bottom, colour))
    for k, name in enumerate(panel.models):
        y = _TOP + _ROW * (k + 0.5)
        short = name if len(name) <= _LETTERS else name[: _LETTERS - 1] + "…"
        parts.append(
            f"<text x='{_LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{html.escape(short)}"
            f"<title>{html.escape(name)}</title></text>"
        )
        value = panel.values[k]
        if np.isnan(value):
            parts.append(f"<text x='{(_LEFT + _WIDTH) / 2:.0f}' y='{y + 4:.1f}'>–</text>")
            continue
        colour = PALETTE[known.get(name) or role_of(name)]
        if not np.isnan(panel.low[k]):
            parts.append(_line(x(panel.low[k]), y, x(panel.high[k]), y, colour))
        parts.append(f"<circle cx='{x(value):.1f}' cy='{y:.1f}' r='4' fill='{colour}'/>")
    for value, anchor in ((low, "start"), (high, "end")):
        parts.append(
            f"<text x='{x(value):.1f}' y='{bottom + 15}' text-anchor='{anchor}' fill='#555'>"
            f"{_number(value)}</text>"
        )
    return "".join(parts) + "</svg>"


def _line(x1, y1, x2, y2, colour):
    return (
        f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' "
        "stroke-width='2'/>"
    )


def _ends(panel):
    """Of the axis: all marks, the line, and some room."""
    given = [panel.values, panel.low, panel.high, panel.band or (), [panel.zero or 0.0]]
    ends = np.concatenate([np.asarray(values, dtype=float) for values in given])
    if panel.zero is None and panel.unit not in ("s", "× retraining"):
        ends = ends[:-1]
    ends = ends[np.isfinite(ends)]
    low, high = ends.min(), ends.max()
    room = 0.05 * (high - low) or 0.05
    return (0.0 if panel.unit in ("s", "× retraining") else low - room), high + room


def _number(value):
    return f"{value:.2g}".replace("-", "−")
