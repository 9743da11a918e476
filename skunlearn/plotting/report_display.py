"""Picture of an audit: accuracies, attack, curve and time of every model."""

import numpy as np

from skunlearn.evaluation.audit import audit, audit_logits
from skunlearn.plotting._style import FORGET, RETAIN, RETRAINED, SERIES, STYLES, UNSEEN, calm
from skunlearn.plotting.curve import MIACurveDisplay

__all__ = ["UnlearningReportDisplay"]

# Markers differ as well as colours.
_ACCURACIES = (
    ("retained test", RETAIN, "o", "retained classes, unseen rows"),
    ("forget train", FORGET, "s", "forget set"),
    ("forget unseen", UNSEEN, "^", "same classes, unseen rows"),
)
_FITS = (
    ("test R²", RETAIN, "o", "unseen rows"),
    ("retained train R²", FORGET, "s", "retained rows"),
)


class UnlearningReportDisplay:
    """Accuracies (R² of regressors), attack, its ROC curve, and time, one row per model.

    The green band is the retrained model's interval: an unlearned model should fall into it.

    Parameters
    ----------
    report : Report
        From `skunlearn.evaluation.audit`, `audit_logits` or `compare`.

    Attributes
    ----------
    axes_ : dict of str to matplotlib Axes
        "accuracy", "attack", "curve" and, where times are known, "time".
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.plotting import UnlearningReportDisplay
    >>> rng = np.random.default_rng(0)
    >>> labels = {"forget": rng.integers(3, size=200), "unseen": rng.integers(3, size=400)}
    >>> outputs = {
    ...     model: {name: rng.normal(size=(len(y), 3)) for name, y in labels.items()}
    ...     for model in ("mine", "retrained")
    ... }
    >>> display = UnlearningReportDisplay.from_predictions(outputs, labels)
    >>> sorted(display.axes_)
    ['accuracy', 'attack', 'curve']
    """

    def __init__(self, report):
        self.report = report

    def plot(self, *, figure=None, title=None):
        """Draw the report.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            An empty one to draw on; a new one of pyplot when None.
        title : str, default=None

        Returns
        -------
        display : UnlearningReportDisplay
        """
        table = self.report.wide
        timed = "seconds" in table
        position = np.arange(len(table))[::-1]
        if figure is None:
            import matplotlib.pyplot as plt

            figure = plt.figure()
        figure.set_size_inches(12, 5.2 + 0.4 * len(table))
        figure.set_layout_engine("constrained")
        self.figure_ = figure
        grid = self.figure_.subplot_mosaic(
            [["accuracy", "attack"], ["curve", "time" if timed else "."]],
            gridspec_kw={"height_ratios": [1 + 0.35 * len(table), 4]},
        )
        self.axes_ = grid
        self._draw_accuracy(grid["accuracy"], table, position)
        self._draw_attack(grid["attack"], table, position)
        self._draw_curves(grid["curve"])
        if timed:
            _draw_time(grid["time"], table, position)
        for name in ("attack", "time"):
            if name in grid:
                grid[name].set_yticks(position, table.index)
        calm(*grid.values())
        if title:
            self.figure_.suptitle(title)
        return self

    def _draw_accuracy(self, ax, table, position):
        classes = "test" in table
        for metric, color, marker, label in _ACCURACIES if classes else _FITS:
            if metric in table:
                values = (100 if classes else 1) * table[metric]
                ax.plot(values, position, marker, color=color, label=label, ms=8)
        ax.set(xlabel="accuracy, %" if classes else "R²", ylim=(-0.6, len(table) - 0.4))
        if classes:
            ax.set_xlim(-4, 104)
        ax.set_yticks(position, table.index)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)

    def _draw_attack(self, ax, table, position):
        rows = self.report.frame.query("metric == 'AUC'").set_index("model").loc[table.index]
        best = self.report.roles["retrained"]
        if best is not None:
            low, high = rows.loc[best, ["reference low", "reference high"]]
            ax.axvspan(low, high, color=RETRAINED, alpha=0.2, lw=0, label="retrained's interval")
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
        ax.axvline(0.5, color="0.6", lw=1, ls=":")
        errors = np.abs(rows[["low", "high"]].to_numpy().T - rows["value"].to_numpy())
        ax.errorbar(rows["value"], position, xerr=errors, fmt="D", color="#000000", capsize=4)
        matched = "matched " if "test" in table else ""
        ax.set(
            xlabel=f"AUC of the {matched}attack, {100 * self.report.confidence:g} % interval",
            ylim=(-0.6, len(table) - 0.4),
        )

    def _draw_curves(self, ax):
        best = self.report.roles["retrained"]
        for k, (name, scores) in enumerate(self.report.curves.items()):
            color = RETRAINED if name == best else SERIES[k % len(SERIES)]
            MIACurveDisplay.from_scores(
                scores["forget"], scores["unseen"], weights=scores["weights"], name=name
            ).plot(ax, color=color, ls=STYLES[k % len(STYLES)])

    @classmethod
    def from_report(cls, report, *, figure=None, title=None):
        """Draw a report.

        Parameters
        ----------
        report : Report
        figure, title
            See `plot`.

        Returns
        -------
        display : UnlearningReportDisplay
        """
        return cls(report).plot(figure=figure, title=title)

    @classmethod
    def from_estimator(cls, unlearner, X_test, y_test, *, figure=None, title=None, **options):
        """Audit an unlearner and draw it.

        Parameters
        ----------
        unlearner : fitted unlearner that has forgotten, or UnlearningPipeline
        X_test, y_test : rows and labels never seen
        figure, title
            See `plot`.
        **options : dict
            For `skunlearn.evaluation.audit`.

        Returns
        -------
        display : UnlearningReportDisplay
        """
        return cls(audit(unlearner, X_test, y_test, **options)).plot(figure=figure, title=title)

    @classmethod
    def from_predictions(cls, outputs, labels, *, figure=None, title=None, **options):
        """Audit models by their logits and draw them.

        Parameters
        ----------
        outputs, labels : dict
            See `skunlearn.evaluation.audit_logits`.
        figure, title
            See `plot`.
        **options : dict
            For `skunlearn.evaluation.audit_logits`.

        Returns
        -------
        display : UnlearningReportDisplay
        """
        return cls(audit_logits(outputs, labels, **options)).plot(figure=figure, title=title)


def _draw_time(ax, table, position):
    seconds = table["seconds"].to_numpy(dtype=float)
    ax.barh(position, np.nan_to_num(seconds), color="#56B4E9", height=0.5)
    shares = table.get("of retraining", np.full(len(table), np.nan))
    for where, value, ratio in zip(position, seconds, shares):
        if np.isnan(value):
            continue
        text = f" {value:.3g} s" + ("" if np.isnan(ratio) else f" = {ratio:.2f}×")
        ax.text(value, where, text, va="center", fontsize="small")
    ax.set(
        xlabel="seconds to forget (× time of retraining)",
        xlim=(0, 1.4 * np.nanmax(seconds)),
        ylim=(-0.6, len(table) - 0.4),
    )
