"""The picture of a report as inline SVG: strips that keep their size on a phone."""

import html

import numpy as np

from skunlearn.evaluation._showing.palette import BAND, PALETTE, role_among
from skunlearn.evaluation._showing.short_names import estimate_width, shorten

_WIDTH, _LEFT, _RIGHT, _ROW, _TOP = 312, 118, 12, 22, 26
_SIZE = 12  # of letters, in pixels
_TICKS = 4  # at most
_NEAR = 1e-9  # of rounding


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
        short = shorten(name, (_LEFT - 8) / _SIZE, estimate_width)
        parts.append(
            f"<text x='{_LEFT - 8}' y='{y + 4:.1f}' text-anchor='end'>{html.escape(short)}"
            f"<title>{html.escape(name)}</title></text>"
        )
        value = panel.values[k]
        if np.isnan(value):
            parts.append(f"<text x='{_LEFT + 4}' y='{y + 4:.1f}' fill='#555'>no value</text>")
            continue
        colour = PALETTE[role_among(name, roles)]
        if not np.isnan(panel.low[k]):
            parts.append(_line(x(panel.low[k]), y, x(panel.high[k]), y, colour))
        parts.append(f"<circle cx='{x(value):.1f}' cy='{y:.1f}' r='4' fill='{colour}'/>")
    for value in _find_ticks(low, high):
        parts.append(_line(x(value), bottom, x(value), bottom + 4, "#999", 1))
        parts.append(
            f"<text x='{x(value):.1f}' y='{bottom + 16}' text-anchor='middle' fill='#555'>"
            f"{_write_number(value)}</text>"
        )
    return "".join(parts) + "</svg>"


def _line(x1, y1, x2, y2, colour, width=2):
    return (
        f"<line x1='{x1:.1f}' y1='{y1:.1f}' x2='{x2:.1f}' y2='{y2:.1f}' stroke='{colour}' "
        f"stroke-width='{width}'/>"
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


def _find_ticks(low, high):
    """Round numbers, of which 0 is one where it lies on the axis."""
    power = 10.0 ** np.floor(np.log10((high - low) / _TICKS))
    for step in (power, 2 * power, 5 * power, 10 * power):
        first, last = int(np.ceil(low / step - _NEAR)), int(np.floor(high / step + _NEAR))
        if last - first < _TICKS:
            break
    return [step * k for k in range(first, last + 1)]


def _write_number(value):
    return f"{value:,.10g}".replace("-", "−")
