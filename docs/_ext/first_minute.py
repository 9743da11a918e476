"""The first picture: wrong labels still repeated, accuracy, time.

``python docs/_ext/first_minute.py`` draws it anew. It is kept in ``docs/_static/first_minute.svg``,
where the README shows it, and drawn from
``benchmarks/first_minute.json``.
"""

from pathlib import Path

from stored_figures import first_minute, percent

from skunlearn.plotting import PALETTE

PICTURE = Path(__file__).parents[1] / "_static" / "first_minute.svg"
_PANELS = (
    ("repeated", "wrong labels", "still repeated", percent),
    ("accuracy", "right on", "unseen digits", percent),
    ("seconds", "time", "it took", lambda seconds: f"{seconds:.1f} s"),
)
_WIDTH, _HEIGHT, _LEFT, _STEP, _BAR = 480, 176, 88, 132, 66


def draw(stored):
    """The picture as SVG.

    Parameters
    ----------
    stored : dict
        See `first_minute`.

    Returns
    -------
    svg : str
    """
    models = stored["models"]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="13" role="img">',
        f"<title>{describe(stored)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
    ]
    for row, name in enumerate(models):
        lines.append(_text(_LEFT - 10, _y(row) + 15, name, PALETTE[name], "end", bold=True))
    for number, (key, *title, form) in enumerate(_PANELS):
        x = _LEFT + number * _STEP
        longest = max(figures[key] for figures in models.values())
        lines += [_text(x, 18 + 16 * i, line) for i, line in enumerate(title)]
        for row, (name, figures) in enumerate(models.items()):
            width = max(1.5, _BAR * figures[key] / longest)
            lines.append(
                f'<rect x="{x}" y="{_y(row)}" width="{width:.1f}" height="22" '
                f'fill="{PALETTE[name]}"/>'
            )
            lines.append(_text(x + width + 5, _y(row) + 16, form(figures[key])))
    note = f"100 wrong labels among 1,200 digits, means over {stored['seeds']} seeds"
    lines += [_text(_LEFT, _HEIGHT - 10, note, "#555555"), "</svg>"]
    return "\n".join(lines) + "\n"


def describe(stored):
    """What the picture shows, for those who do not see it."""
    models = stored["models"]
    said = (
        f"{name} {percent(found['repeated'])}, {percent(found['accuracy'])}, "
        f"{found['seconds']:.1f} s"
        for name, found in models.items()
    )
    return "Wrong labels still repeated, right on unseen digits, time: " + "; ".join(said) + "."


def _y(row):
    return 48 + 34 * row


def _text(x, y, text, colour="#222222", anchor="start", bold=False):
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:.1f}" y="{y}" fill="{colour}" text-anchor="{anchor}"{weight}>{text}</text>'


def write_page(*_):
    """The picture with its text, for the front page to include."""
    lines = [
        ".. image:: /_static/first_minute.svg",
        f"   :alt: {describe(first_minute())}",
        "   :width: 100%",
    ]
    path, text = PICTURE.parents[1] / "generated" / "first_picture.rst", "\n".join(lines) + "\n"
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app):
    """Sphinx's hook."""
    app.connect("config-inited", write_page)
    return {"parallel_read_safe": True}


if __name__ == "__main__":
    PICTURE.write_text(draw(first_minute()))
