"""Picture of a stress test: every model under every condition."""

import numpy as np

from skunlearn.plotting._style import OTHER, RETRAINED, SERIES, calm

__all__ = ["RobustnessDisplay"]

_METRICS = ("retained accuracy", "forget accuracy", "residual knowledge")
_MARKERS = "osD^vP*X"
_COLOURS = [color for color in SERIES if color not in (OTHER, "#F0E442")]  # yellow is too faint


class RobustnessDisplay:
    """What each condition does to each model: one row of panels per forget set.

    The retrained model's mark is where the others should be. Corruptions are drawn as the mean
    over their severities, with a line from the mildest to the harshest.

    Parameters
    ----------
    frame : pandas.DataFrame
        From `skunlearn.robustness.robustness_report`.

    Attributes
    ----------
    axes_ : dict of (str, str) to matplotlib Axes
        By forget set and metric.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import pandas as pd
    >>> from skunlearn.plotting import RobustnessDisplay
    >>> columns = ["forget set", "condition", "severity", "model", "metric", "value"]
    >>> frame = pd.DataFrame(
    ...     [
    ...         ("random", "clean", 0, "mine", "retained accuracy", 0.99),
    ...         ("random", "clean", 0, "retrained", "retained accuracy", 0.98),
    ...     ],
    ...     columns=columns,
    ... )
    >>> display = RobustnessDisplay.from_frame(frame)
    >>> list(display.axes_)
    [('random', 'retained accuracy')]
    """

    def __init__(self, frame):
        self.frame = frame

    def plot(self, *, forget_sets=None, metrics=None, figure=None, title=None):
        """Draw the panels.

        Parameters
        ----------
        forget_sets : list of str, default=None
            All when None.
        metrics : list of str, default=None
            None takes "retained accuracy", "forget accuracy" and "residual knowledge", and
            "backdoor success" where it was measured.
        figure : matplotlib Figure, default=None
            An empty one to draw on; a new one of pyplot when None.
        title : str, default=None

        Returns
        -------
        display : RobustnessDisplay

        Raises
        ------
        ValueError
            When the report holds nothing of that name.
        """
        sets = _chosen(forget_sets, self.frame["forget set"], None, "forget set")
        metrics = _chosen(metrics, self.frame["metric"], (*_METRICS, "backdoor success"), "metric")
        frame = self.frame[self.frame["metric"].isin(metrics)]
        conditions = {
            name: frame[frame["forget set"] == name]["condition"].unique() for name in sets
        }
        if figure is None:
            import matplotlib.pyplot as plt

            figure = plt.figure()
        heights = [1.2 + 0.3 * len(conditions[name]) for name in sets]
        figure.set_size_inches(3.2 * len(metrics) + 2.2, sum(heights) + 0.6)
        figure.set_layout_engine("constrained")
        self.figure_, self.axes_ = figure, {}
        grid = figure.subplots(
            len(sets), len(metrics), squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        models = list(frame["model"].unique())
        for row, name in zip(grid, sets):
            for ax, metric in zip(row, metrics):
                rows = frame[(frame["forget set"] == name) & (frame["metric"] == metric)]
                if rows.empty:
                    ax.set_axis_off()
                    continue
                self.axes_[name, metric] = ax
                _draw(ax, rows, models, conditions[name])
                ax.set_xlabel(f"{metric}, %")
            row[0].set_yticks(np.arange(len(conditions[name]))[::-1], conditions[name])
            row[0].set_title(name, loc="left", fontweight="bold")
            for ax in row[1:]:
                ax.set_yticks(row[0].get_yticks(), [])
            calm(*row)
        handles = {
            h.get_label(): h for ax in grid.flat for h in ax.get_lines() if h.get_label()[0] != "_"
        }
        figure.legend(
            handles=[handles[m] for m in models if m in handles],
            loc="outside lower center",
            ncols=min(6, len(models)),
            frameon=False,
        )
        if title:
            figure.suptitle(title)
        return self

    @classmethod
    def from_frame(cls, frame, *, forget_sets=None, metrics=None, figure=None, title=None):
        """Draw a report.

        Parameters
        ----------
        frame : pandas.DataFrame
            From `skunlearn.robustness.robustness_report`.
        forget_sets, metrics, figure, title
            See `plot`.

        Returns
        -------
        display : RobustnessDisplay
        """
        return cls(frame).plot(forget_sets=forget_sets, metrics=metrics, figure=figure, title=title)


def _draw(ax, rows, models, conditions):
    place = dict(zip(conditions, np.arange(len(conditions))[::-1]))
    shift = np.linspace(0.28, -0.28, len(models)) if len(models) > 1 else [0.0]
    for k, model in enumerate(models):
        mine = rows[rows["model"] == model].groupby("condition", sort=False)["value"]
        if not mine.ngroups:
            continue
        color = {"retrained": RETRAINED, "original": OTHER}.get(model, _COLOURS[k % len(_COLOURS)])
        means = 100 * mine.mean()
        y = np.array([place[name] for name in means.index]) + shift[k]
        ax.hlines(y, 100 * mine.min(), 100 * mine.max(), color=color, lw=1.2, alpha=0.6)
        marker = _MARKERS[k % len(_MARKERS)]
        ax.plot(means, y, ls="", marker=marker, color=color, ms=5, label=model)
    ax.set(xlim=(-4, 104), ylim=(-0.6, len(conditions) - 0.4))


def _chosen(wanted, column, usual, kind):
    present = list(column.unique())
    if wanted is None:
        return [name for name in usual if name in present] if usual else present
    missing = [name for name in wanted if name not in present]
    if missing:
        raise ValueError(f"the report has no {kind} {missing[0]!r}, only {present}.")
    return list(wanted)
