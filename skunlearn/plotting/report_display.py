"""Picture of an audit: how far every model lies from the retrained one."""

import numpy as np

from skunlearn.evaluation._showing.palette import VERDICTS, sign_of
from skunlearn.evaluation._showing.panels import panels
from skunlearn.evaluation._showing.short_names import shorten
from skunlearn.evaluation.audit import audit, audit_logits
from skunlearn.plotting._style import BAND, PALETTE, SIZE, calm, colours_of, wrap_text

__all__ = ["UnlearningReportDisplay"]

_LEAST = 1.35  # inches of a panel
_LETTER = 0.085  # inches
_LONG = 20  # letters of a name, beyond which it takes two lines


class UnlearningReportDisplay:
    """Differences to the retrained model, a dot for each model and a panel for each key figure.

    The green line is the retrained model and the band where it may lie by the interval of its own
    figure (of several retrained models: by those of all). Bars are intervals of the difference,
    from the same rows of both models. Panels: the verdict, accuracy on the forget set, accuracy on
    unseen rows of the retained classes (mean squared error and R² of regressors), each attack, and
    time. Without a retrained model the figures themselves are drawn, and the attack's line is
    chance.

    Parameters
    ----------
    report : Report
        From `skunlearn.evaluation.audit`, `audit_logits` or `compare`.

    Attributes
    ----------
    axes_ : dict of str to matplotlib Axes
        "verdict", and the names of the figures in the report's frame: "forget train",
        "retained test", "AUC" and the like, and "of retraining" or "seconds" where times are known.
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
    >>> list(display.axes_)
    ['verdict', 'forget train', 'retained test', 'AUC', 'AUC entropy', 'AUC modified entropy']
    """

    def __init__(self, report):
        self.report = report

    def plot(self, *, figure=None, title=None, width=5.0):
        """Draw the report.

        Parameters
        ----------
        figure : matplotlib Figure, default=None
            An empty one to draw on; a new one of pyplot when None.
        title : str, default=None
            Above the whole; none when None.
        width : float, default=5.0
            Of the figure in inches; panels go to as many rows as they need.

        Returns
        -------
        display : UnlearningReportDisplay

        Raises
        ------
        ValueError
            When the report holds nothing but the retrained model.
        """
        shown = panels(self.report)
        if not shown:
            raise ValueError("The report holds no model beside the retrained one: nothing to draw.")
        models = shown[0].models
        names = [_cut_in_two(name) for name in models]
        left = min(0.3 + _LETTER * max(len(line) for n in names for line in n.split("\n")), 2.2)
        n_columns = max(1, min(int((width - left) // _LEAST), len(shown) + 1))
        n_rows = -(-(len(shown) + 1) // n_columns)
        line = 0.38 if any("\n" in name for name in names) else 0.27
        height = n_rows * (1.05 + line * len(models)) + 0.6 + (0.3 if title else 0)
        if figure is None:
            import matplotlib.pyplot as plt

            figure = plt.figure()
        figure.set_size_inches(width, height)
        figure.set_layout_engine("constrained")
        self.figure_ = figure
        grid = figure.subplots(n_rows, n_columns, squeeze=False)
        position = np.arange(len(models))[::-1]
        colours = colours_of(models, self.report.roles)
        # One blue for all that was unlearned: the names tell them apart.
        colours = {
            name: colour if colour in (PALETTE["original"], PALETTE["retrained"])
            else PALETTE["unlearned"]
            for name, colour in colours.items()
        }  # fmt: skip
        self.axes_ = dict(zip(["verdict", *(panel.metric for panel in shown)], grid.flat))
        _draw_verdicts(self.axes_["verdict"], self.report, models, position)
        for panel in shown:
            ax = self.axes_[panel.metric]
            _draw_panel(ax, panel, position, [colours[name] for name in models])
            calm(ax)
            ax.grid(visible=False, axis="y")
        for ax in grid.flat:
            ax.set_ylim(-0.7, len(models) - 0.3)
            ax.set_yticks(position, [])
            ax.tick_params(axis="y", length=0)
        for ax in grid[:, 0]:
            ax.set_yticks(position, names, fontsize=SIZE)
        for ax in grid.flat[len(self.axes_) :]:
            ax.set_axis_off()
        figure.supxlabel(wrap_text(self._caption(shown), width), fontsize=SIZE, color="0.3")
        if title:
            figure.suptitle(title, fontsize=SIZE + 2)
        return self

    def _caption(self, shown):
        level = f"{100 * self.report.confidence:g} %"
        first = self.report.roles["retrained"]
        if first is None:
            return f"No retrained model to compare with. Bars: {level} intervals."
        said = f"Differences to {first} (green line; its own {level} interval shaded)"
        return f"{said}, with {level} intervals."

    @classmethod
    def from_report(cls, report, *, figure=None, title=None, width=5.0):
        """Draw a report.

        Parameters
        ----------
        report : Report
            From `skunlearn.evaluation.audit`, `audit_logits` or `compare`.
        figure : matplotlib Figure, default=None
            An empty one to draw on; a new one of pyplot when None.
        title : str, default=None
            Above the whole; none when None.
        width : float, default=5.0
            Of the figure in inches; panels go to as many rows as they need.

        Returns
        -------
        display : UnlearningReportDisplay
        """
        return cls(report).plot(figure=figure, title=title, width=width)

    @classmethod
    def from_estimator(
        cls, unlearner, X_test, y_test, *, figure=None, title=None, width=5.0, **options
    ):
        """Audit an unlearner and draw it.

        Parameters
        ----------
        unlearner : fitted unlearner that has forgotten, or UnlearningPipeline
            What its last request named is looked at.
        X_test, y_test : rows and labels never seen
            Of all classes, those of the forgotten rows among them. A torch Dataset has its labels
            with it, and `y_test` is None.
        figure : matplotlib Figure, default=None
            An empty one to draw on; a new one of pyplot when None.
        title : str, default=None
            Above the whole; none when None.
        width : float, default=5.0
            Of the figure in inches; panels go to as many rows as they need.
        **options : dict
            `retrained`, `n_seeds`, `attacks` and what else `skunlearn.evaluation.audit` takes.

        Returns
        -------
        display : UnlearningReportDisplay
        """
        report = audit(unlearner, X_test, y_test, **options)
        return cls(report).plot(figure=figure, title=title, width=width)

    @classmethod
    def from_predictions(cls, outputs, labels, *, figure=None, title=None, width=5.0, **options):
        """Audit models by their logits and draw them.

        Parameters
        ----------
        outputs : dict of str to dict of str to array-like of shape (n_rows, n_classes)
            For each model its logits on the rows of "forget", "unseen" and others; one called
            "retrained" is the reference.
        labels : dict of str to array-like of shape (n_rows,), int
            For each of these sets the columns of the true classes, the same for all models.
        figure : matplotlib Figure, default=None
            An empty one to draw on; a new one of pyplot when None.
        title : str, default=None
            Above the whole; none when None.
        width : float, default=5.0
            Of the figure in inches; panels go to as many rows as they need.
        **options : dict
            What else `skunlearn.evaluation.audit_logits` takes.

        Returns
        -------
        display : UnlearningReportDisplay
        """
        report = audit_logits(outputs, labels, **options)
        return cls(report).plot(figure=figure, title=title, width=width)


def _cut_in_two(name):
    """A long name in two lines, the second cut where it must be."""
    if len(name) <= _LONG:
        return name
    head, tail = name[:_LONG], name[_LONG:]
    if " " in head:
        at = head.rindex(" ")
        head, tail = name[:at], name[at + 1 :]
    return f"{head}\n{shorten(tail, _LONG)}"


def _draw_verdicts(ax, report, models, position):
    for name, where in zip(models, position):
        verdict = report.verdicts.get(name)
        if verdict is not None:
            said = f"{sign_of(verdict)} {verdict.kind}"
            ax.text(0, where, said, va="center", fontsize=SIZE, color=VERDICTS[verdict.kind])
    ax.set(xlim=(0, 1), xticks=[])
    ax.set_title("verdict", loc="left", fontsize=SIZE)
    ax.spines[:].set_visible(False)
    ax.patch.set_visible(False)


def _draw_panel(ax, panel, position, colours):
    green = panel.unit != "s" and (panel.band is not None or panel.unit == "× retraining")
    if panel.band is not None:
        ax.axvspan(*panel.band, color=BAND, lw=0, zorder=0)
    if panel.zero is not None:
        colour = PALETTE["retrained"] if green or panel.zero == 0 else "0.6"
        ax.axvline(panel.zero, color=colour, lw=1.5, ls="-" if colour != "0.6" else ":", zorder=1)
    arms = np.array([panel.values - panel.low, panel.high - panel.values])
    for k, (value, where, colour) in enumerate(zip(panel.values, position, colours)):
        if np.isnan(value):
            # At the edge, in words: a dash among the points would pass for one.
            ax.text(0.02, where, "no value", transform=ax.get_yaxis_transform(), va="center",
                    fontsize=SIZE, color="0.4")  # fmt: skip
            continue
        arm = np.maximum(np.nan_to_num(arms[:, k : k + 1]), 0)
        ax.errorbar(
            [value], [where], xerr=arm, fmt="o", ms=5, color=colour, lw=1.5, capsize=0, zorder=3
        )
    ax.set_title(_cut_in_two(panel.title), loc="left", fontsize=SIZE)
    ax.set_xlabel(panel.unit)
    _scale(ax, panel)


def _scale(ax, panel):
    """Few ticks that are far enough apart, and room for the marks; times from 0."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    known = panel.values[~np.isnan(panel.values)]
    if panel.unit in ("s", "× retraining"):
        most, least = max(known.max(), panel.zero or 0), known.min()
        if least > 0 and most / least > 30:
            ax.set_xscale("log")
            ax.set_xlim(least / 2, most * 2)
            ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            ax.minorticks_off()
            return
        ax.set_xlim(0, 1.1 * most)
    elif panel.zero == 0:
        # At least a few points to each side, or noise looks like an effect.
        ends = np.concatenate([panel.values, panel.low, panel.high, panel.band or (0,)])
        ends = ends[np.isfinite(ends)]
        least = {"points": 5.0, "AUC": 0.05}.get(panel.unit, 1e-9)
        low, high = min(ends.min(), -least), max(ends.max(), least)
        ax.set_xlim(low - 0.06 * (high - low), high + 0.06 * (high - low))
        ax.xaxis.set_major_formatter(FuncFormatter(_format_signed))
    ax.xaxis.set_major_locator(MaxNLocator(3, min_n_ticks=2))


def _format_signed(x, _):
    return "0" if abs(x) < 1e-12 else f"{x:+.3g}".replace("-", "−")
