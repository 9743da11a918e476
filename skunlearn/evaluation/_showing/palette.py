"""The one palette: a colour means the same in every picture and in every report."""

# Told apart with any colour vision (most are Okabe and Ito's), and dark enough for thin lines on
# white; styles and markers differ too.
PALETTE = {
    # models
    "original": "#7f7f7f",
    "unlearned": "#0072B2",
    "retrained": "#009E73",
    # sets of rows
    "forget": "#D55E00",
    "unseen": "#222222",
    "retain": "#8C6BB1",
}
# Of several unlearned models on the same axes.
SERIES = (PALETTE["unlearned"], "#CC6199", "#8C510A", "#332288", "#3C96C8", "#882255")
BAND = "#d9efe8"  # where a retrained model may lie

VERDICTS = {
    "indistinguishable": PALETTE["retrained"],
    "not forgotten": PALETTE["forget"],
    "over-forgotten": "#882255",
    "no reference": PALETTE["original"],
}
_SIGNS = {"not forgotten": "✗", "over-forgotten": "✗", "no reference": "?"}

_BEFORE = ("original", "before")


def sign_of(verdict):
    """A tick only where a difference that matters is ruled out, not where none was found."""
    return _SIGNS.get(verdict.kind) or ("✓" if verdict.within_margin else "≈")


def role_of(name):
    """ "original", "unlearned" or "retrained", by the names that reports and displays give."""
    if name in _BEFORE:
        return "original"
    never = name.startswith(("retrained", "short reference"))
    return "retrained" if never else "unlearned"


def role_among(name, roles):
    """The same of a model of a report with these `roles`; the floor never saw the rows either."""
    given = next((role for role, other in (roles or {}).items() if other == name), None)
    return "retrained" if given == "floor" else given or role_of(name)


def colours_of(names, roles=None):
    """A colour for each model: grey, green, and a series for all others.

    Parameters
    ----------
    names : sequence of str
    roles : dict, default=None
        "original", "retrained" and "floor": names of those models, as in a report.

    Returns
    -------
    colours : dict of str to str
    """
    found, others = {}, 0
    for name in names:
        role = role_among(name, roles)
        if role == "unlearned":
            found[name] = SERIES[others % len(SERIES)]
            others += 1
        else:
            found[name] = PALETTE[role]
    return found
