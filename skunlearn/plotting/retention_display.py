"""Accuracy of the classes that stay over many requests."""

from matplotlib.ticker import MaxNLocator

from skunlearn.plotting._style import PALETTE, axes_of, calm, colours_of, legend_below, style_of

__all__ = ["RetentionCurveDisplay"]

_BANDS = 4  # of more methods bands would hide one another


class RetentionCurveDisplay:
    """What repeated requests cost the retained classes, a line for each method.

    The line is the mean over the classes that stay, the thin one the worst of them; a band
    between them (of up to four methods) shows one that keeps the mean at the cost of one class.
    Models trained anew are drawn where a curve has them: what they lose is due to the missing rows.

    Parameters
    ----------
    curves : dict of str to RetentionCurve
        From `skunlearn.evaluation.retention_curve`.

    Attributes
    ----------
    lines_ : dict of str to matplotlib Line2D
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from skunlearn.evaluation import RetentionCurve
    >>> from skunlearn.plotting import RetentionCurveDisplay
    >>> accuracy = pd.DataFrame([[0.9, 0.75], [1.0, 0.75], [0.9, 0.5]], columns=["cat", "dog"])
    >>> curve = RetentionCurve(accuracy, kept=np.array([True, True]))
    >>> display = RetentionCurveDisplay({"mine": curve}).plot()
    >>> display.lines_["mine"].get_label()
    'mine: BWT -12.5'
    """

    def __init__(self, curves):
        self.curves = curves

    def plot(self, ax=None, *, worst=True, **options):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.
        worst : bool, default=True
            Whether the worst class is drawn too.
        **options : dict
            For ``Axes.plot``.

        Returns
        -------
        display : RetentionCurveDisplay
        """
        self.ax_, self.figure_ = axes_of(ax, (5.0, 3.2 + 0.12 * len(self.curves)))
        self.lines_ = {}
        retrained = None
        colours = colours_of(self.curves)
        for i, (name, curve) in enumerate(self.curves.items()):
            color, style = colours[name], style_of(i)
            label = f"{name}: BWT {100 * curve.backward_transfer():+.1f}"
            drawn = {"color": color, "ls": style, "label": label} | options
            (self.lines_[name],) = self.ax_.plot(
                curve.mean.index, 100 * curve.mean.to_numpy(), **drawn
            )
            if worst:
                thin = drawn | {"lw": 0.7, "label": None}
                self.ax_.plot(curve.worst.index, 100 * curve.worst.to_numpy(), **thin)
            if worst and len(self.curves) <= _BANDS:
                self.ax_.fill_between(
                    curve.mean.index,
                    100 * curve.worst.to_numpy(),
                    100 * curve.mean.to_numpy(),
                    color=drawn["color"],
                    alpha=0.08,
                    lw=0,
                )
            retrained = curve if retrained is None and curve.retrained is not None else retrained
        if retrained is not None:
            anew = 100 * retrained.retrained.loc[:, retrained.kept].mean(axis=1)
            (self.lines_["retrained"],) = self.ax_.plot(
                anew.index,
                anew.to_numpy(),
                color=PALETTE["retrained"],
                lw=2.5,
                zorder=1,
                label="retrained",
            )
        self.ax_.set(xlabel="requests", ylabel="unseen rows of retained\nclasses: accuracy, %")
        self.ax_.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        legend_below(self.ax_)
        calm(self.ax_)
        return self

    @classmethod
    def from_curves(cls, curves, *, ax=None, worst=True, **options):
        """Draw curves.

        Parameters
        ----------
        curves : RetentionCurve, or dict of str to RetentionCurve
            From `skunlearn.evaluation.retention_curve`; one alone is called "unlearned".
        ax : matplotlib Axes, default=None
            To draw on; a new figure when None.
        worst : bool, default=True
            Whether the worst class is drawn too.
        **options : dict
            For ``Axes.plot``.

        Returns
        -------
        display : RetentionCurveDisplay
        """
        curves = curves if hasattr(curves, "items") else {"unlearned": curves}
        return cls(curves).plot(ax, worst=worst, **options)
