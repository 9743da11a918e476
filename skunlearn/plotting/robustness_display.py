"""Picture of a stress test: every model under every condition."""

import numpy as np

from skunlearn.plotting._style import MARKERS, SIZE, calm, colours_of, role_of, wrap_text

__all__ = ["RobustnessDisplay"]

_METRICS = ("retained accuracy", "forget accuracy", "residual knowledge")
_LETTER = 0.085  # inches
_LEAST = 1.5  # inches of a panel


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

    def plot(self, *, forget_sets=None, metrics=None, figure=None, title=None, width=5.0):
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
            Above the whole; none when None.
        width : float, default=5.0
            Of the figure in inches; panels go to as many rows as they need.

        Returns
        -------
        display : RobustnessDisplay

        Raises
        ------
        ValueError
            When the report holds nothing of that name.
        """
        sets = _choose(forget_sets, self.frame["forget set"], None, "forget set")
        metrics = _choose(metrics, self.frame["metric"], (*_METRICS, "backdoor success"), "metric")
        frame = self.frame[self.frame["metric"].isin(metrics)]
        if figure is None:
            import matplotlib.pyplot as plt

            figure = plt.figure()
        models = list(frame["model"].unique())
        labels = frame.loc[frame["forget set"].isin(sets), "condition"].astype(str).unique()
        left = 0.3 + _LETTER * max(map(len, labels))
        n_columns = max(1, min(int((width - left) // _LEAST), len(metrics)))
        # A forget set begins a new row; only panels that hold something take a place.
        places, row = {}, -1
        for name in sets:
            held = set(frame.loc[frame["forget set"] == name, "metric"])
            for k, metric in enumerate(m for m in metrics if m in held):
                row += k % n_columns == 0
                places[name, metric] = row, k % n_columns
        # A row of panels shows the conditions of which one of them holds something.
        conditions = []
        for number in range(row + 1):
            held = _is_of(frame, [at for at, (row, _) in places.items() if row == number])
            conditions.append(frame.loc[held & frame["value"].notna(), "condition"].unique())
        step = 0.2 + 0.07 * len(models)
        heights = [1.0 + step * len(shown) for shown in conditions]
        figure.set_layout_engine("constrained")
        legend = _legend_lines(models, width)
        figure.set_size_inches(width, sum(heights) + 0.25 * legend[1] + (0.4 if title else 0.1))
        self.figure_, self.axes_ = figure, {}
        grid = figure.subplots(
            len(heights), n_columns, squeeze=False, gridspec_kw={"height_ratios": heights}
        )
        for ax in grid.flat:
            ax.set_axis_off()
        colours = colours_of(models)
        for (name, metric), (row, column) in places.items():
            ax = self.axes_[name, metric] = grid[row, column]
            ax.set_axis_on()
            shown = conditions[row]
            rows = frame[_is_of(frame, [(name, metric)])]
            _draw(ax, rows, models, shown, colours)
            ax.set_xlabel(wrap_text(f"{metric}, %", (width - left) / n_columns))
            ax.set_yticks(np.arange(len(shown))[::-1], shown if column == 0 else [])
            calm(ax)
            if column == 0:
                ax.set_title(name, loc="left", fontweight="bold", fontsize=SIZE)
        handles = {
            h.get_label(): h for ax in grid.flat for h in ax.get_lines() if h.get_label()[0] != "_"
        }
        figure.legend(
            handles=[handles[m] for m in models if m in handles],
            loc="outside lower center",
            ncols=legend[0],
            frameon=False,
            fontsize=SIZE,
        )
        if title:
            figure.suptitle(title, fontsize=SIZE + 2)
        return self

    @classmethod
    def from_frame(
        cls, frame, *, forget_sets=None, metrics=None, figure=None, title=None, width=5.0
    ):
        """Draw a report.

        Parameters
        ----------
        frame : pandas.DataFrame
            From `skunlearn.robustness.robustness_report`.
        forget_sets : list of str, default=None
            Names as in the report; all when None.
        metrics : list of str, default=None
            None takes "retained accuracy", "forget accuracy" and "residual knowledge", and
            "backdoor success" where it was measured.
        figure : matplotlib Figure, default=None
            An empty one to draw on; a new one of pyplot when None.
        title : str, default=None
            Above the whole; none when None.
        width : float, default=5.0
            Of the figure in inches; panels go to as many rows as they need.

        Returns
        -------
        display : RobustnessDisplay
        """
        return cls(frame).plot(
            forget_sets=forget_sets, metrics=metrics, figure=figure, title=title, width=width
        )


def _is_of(frame, panels):
    """Rows of the panels, named by forget set and metric."""
    return np.array([at in panels for at in zip(frame["forget set"], frame["metric"])], dtype=bool)


def _legend_lines(models, width):
    """Columns and lines of a legend that fits the width."""
    columns = max(1, int(width // (0.5 + _LETTER * max(map(len, models)))))
    columns = min(columns, len(models))
    return columns, -(-len(models) // columns)


def _draw(ax, rows, models, conditions, colours):
    place = dict(zip(conditions, np.arange(len(conditions))[::-1]))
    shift = np.linspace(0.28, -0.28, len(models)) if len(models) > 1 else [0.0]
    for k, model in enumerate(models):
        mine = rows[rows["model"] == model].groupby("condition", sort=False)["value"]
        if not mine.ngroups:
            continue
        color = colours[model]
        means = 100 * mine.mean()
        y = np.array([place[name] for name in means.index]) + shift[k]
        ax.hlines(y, 100 * mine.min(), 100 * mine.max(), color=color, lw=1.2, alpha=0.6)
        marker = MARKERS[k % len(MARKERS)]
        # Those to compare with lie under the others.
        order = 2 if role_of(model) == "unlearned" else 1.5
        ax.plot(means, y, ls="", marker=marker, color=color, ms=5, label=model, zorder=order)
    ax.set(xlim=(-4, 104), xticks=(0, 50, 100), ylim=(-0.6, len(conditions) - 0.4))


def _choose(wanted, column, usual, kind):
    present = list(column.unique())
    if wanted is None:
        return [name for name in usual if name in present] if usual else present
    missing = [name for name in wanted if name not in present]
    if missing:
        raise ValueError(f"the report has no {kind} {missing[0]!r}, only {present}.")
    return list(wanted)
