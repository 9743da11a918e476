"""The six figures that say most, and how any figure is written."""

import numpy as np

PERCENT = (
    "test",
    "retained test",
    "retained train",
    "over-fit",
    "forget train",
    "forget unseen",
    "TPR at 1% FPR",
    "forget agreement",
    "unseen agreement",
    "average gap",
)
_PLAIN = ("unmatched AUC", "seconds", "of retraining")  # without intervals in tables
_KEYS = (
    ("forget train", "forget train error", "forget train MSE"),
    ("retained test", "test error", "test R²", "test", "test MSE"),
    ("AUC",),
    ("AUC difference",),
    ("forget agreement", "forget distance"),
    ("of retraining", "seconds"),
)


def key_figures(report):
    """At most six names of figures of a report, in the order in which to read them."""
    held = set(report.frame["metric"])
    return [next(name for name in names if name in held) for names in _KEYS if held & set(names)]


def title_of(metric):
    """The name with its unit."""
    return f"{metric}, %" if metric in PERCENT else metric


def cell(row, metric, *, interval=True):
    """A figure of the frame as text; "-" where there is none.

    Parameters
    ----------
    row : dict
        "value", "low" and "high".
    metric : str
    interval : bool, default=True
        Whether to add it in brackets.
    """
    value, low, high = row["value"], row["low"], row["high"]
    if np.isnan(value):
        return "-"
    scale, digits = (100, 1) if metric in PERCENT else (1, 3)
    if metric in _PLAIN:
        return f"{value:.3g}"
    if np.isnan(low) or not interval:
        return f"{scale * value:.{digits}f}"
    return f"{scale * value:.{digits}f} [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
