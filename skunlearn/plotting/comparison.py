"""Picture of a comparison."""

import numpy as np

__all__ = ["plot_comparison"]

# Okabe and Ito's palette, told apart with any colour vision; markers differ as well.
_SERIES = (
    ("retained test", "#0072B2", "o", "retained classes, test"),
    ("forget train", "#D55E00", "s", "forget rows"),
    ("forget unseen", "#E69F00", "^", "same classes, unseen"),
)


def plot_comparison(table, *, title=None):
    """Draw accuracies, the matched attack and the time of a comparison.

    Parameters
    ----------
    table : pandas.DataFrame
        From `skunlearn.evaluation.compare`.
    title : str, default=None

    Returns
    -------
    figure : matplotlib.figure.Figure
        Three panels with one row per model. The shaded band is the interval of the retrained
        model: an unlearned model should fall into it.

    Examples
    --------
    >>> from skunlearn.plotting import plot_comparison
    >>> plot_comparison(table).savefig("comparison.png")  # doctest: +SKIP
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.6 + 0.45 * len(table)), layout="constrained")
    accuracy, attack, time = figure.subplots(
        1, 3, sharey=True, gridspec_kw={"width_ratios": [3, 3, 2]}
    )
    position = np.arange(len(table))[::-1]
    for column, color, marker, label in _SERIES:
        accuracy.plot(100 * table[column], position, marker, color=color, label=label, markersize=8)
    accuracy.set(xlabel="accuracy, %", xlim=(-4, 104), ylim=(-0.6, len(table) - 0.4))
    accuracy.set_yticks(position, table.index)
    accuracy.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)

    best = table.loc["retrained"]
    attack.axvspan(best["AUC low"], best["AUC high"], color="#009E73", alpha=0.2, lw=0)
    attack.axvline(0.5, color="0.6", lw=1, ls=":")
    errors = np.abs(table[["AUC low", "AUC high"]].to_numpy().T - table["AUC"].to_numpy())
    attack.errorbar(
        table["AUC"], position, xerr=errors, fmt="D", color="#000000", capsize=4, markersize=6
    )
    level = f"{100 * table.attrs['confidence']:g} %"
    attack.set(xlabel=f"AUC of the matched attack, {level} interval")
    attack.set_title("band: retrained model's interval", fontsize="medium")

    seconds = table["seconds"].to_numpy(dtype=float)
    time.barh(position, np.nan_to_num(seconds), color="#56B4E9", height=0.5)
    for where, value, share in zip(position, seconds, table["of retraining"]):
        text = "(trained on all rows)" if np.isnan(value) else f" {value:.3g} s = {share:.2f}×"
        time.text(np.nan_to_num(value), where, text, va="center", fontsize="small")
    time.set(xlabel="seconds to forget", xlim=(0, 2.1 * np.nanmax(seconds)))
    time.set_title("× time of retraining", fontsize="medium")
    for axes in (accuracy, attack, time):
        axes.grid(axis="x", color="0.9")
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    if title:
        figure.suptitle(title)
    return figure
