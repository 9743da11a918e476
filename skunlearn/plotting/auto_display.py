"""What an `AutoUnlearner` has looked at on its way, and where it ended."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from skunlearn.plotting._style import BAND, PALETTE, SIZE, axes_of, calm, legend_below

__all__ = ["AutoUnlearnerDisplay"]

_NEAR = 0.15  # share of the axis that a label may take


class AutoUnlearnerDisplay:
    """Distance to the reference against time, a point for each net that was looked at.

    The nets are those of one request: the one before it, those that were looked at on the way,
    with the share of the old weights that they were shrunk to, and the one that was taken. The
    line at 0 is the floor, a net trained from scratch within the same budget that never saw the
    rows; within the band a net counts as forgotten.

    Parameters
    ----------
    epochs : array-like of shape (n_nets,)
        Of the request, when each net was looked at; the last net was taken.
    distances : array-like of shape (n_nets,)
        Largest difference to the reference over all scores, with its sign.
    shares : array-like of shape (n_nets,)
        Of the old weights; 1 before the request.
    target : float
        Half of the band's height: the difference that counts as forgotten.
    floor_epochs : int, default=None
        Epochs of the reference.

    Attributes
    ----------
    line_ : matplotlib Line2D
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skunlearn.plotting import AutoUnlearnerDisplay
    >>> display = AutoUnlearnerDisplay(
    ...     epochs=[0, 2, 5], distances=[0.2, 0.08, 0.01], shares=[1, 0.6, 0.4], target=0.03
    ... ).plot()
    >>> [text.get_text() for text in display.ax_.texts]
    ['before', '60 %', 'taken, 40 %']
    """

    def __init__(self, *, epochs, distances, shares, target, floor_epochs=None):
        self.epochs, self.distances, self.shares = epochs, distances, shares
        self.target, self.floor_epochs = target, floor_epochs

    def plot(self, ax=None, **options):
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.
        **options : dict
            For ``Axes.plot``.

        Returns
        -------
        display : AutoUnlearnerDisplay
        """
        self.ax_, self.figure_ = axes_of(ax, (5.0, 3.8))
        x, y = np.asarray(self.epochs, dtype=float), np.asarray(self.distances, dtype=float)
        said = f"counts as forgotten: within {self.target:g}"
        self.ax_.axhspan(-self.target, self.target, color=BAND, lw=0, zorder=0, label=said)
        floor = "floor: from scratch"
        if self.floor_epochs is not None:
            floor += f", {self.floor_epochs} epoch{'s' * (self.floor_epochs != 1)}"
        self.ax_.axhline(0, color=PALETTE["retrained"], lw=1.5, zorder=1, label=floor)
        said = "nets looked at; %: of the old weights"
        drawn = {"color": PALETTE["unlearned"], "marker": "o", "lw": 1.2, "label": said} | options
        (self.line_,) = self.ax_.plot(x, y, **drawn)
        self.ax_.plot(x[:1], y[:1], "o", color=PALETTE["original"], zorder=3)
        ring = {"ms": 14, "mfc": "none", "mec": PALETTE["forget"], "mew": 2}
        self.ax_.plot(x[-1:], y[-1:], "s", zorder=3, **ring)
        below, last = True, -np.inf  # labels of points that are near each other take turns
        for k, share in enumerate(self.shares):
            words = ["taken"] if k == len(x) - 1 else []
            words += [f"{100 * share:.0f} %"] if k else ["before"]
            if len(words) == 1 and k and share == self.shares[k - 1]:
                continue  # it was not shrunk again
            end = k == len(x) - 1 and k > 0
            if k and not end:
                below = not (below and x[k] - last < _NEAR * np.ptp(x))
                last = x[k]
            rising = below and not end and k > 0 and y[k] > y[k - 1]  # its line comes from below
            self.ax_.annotate(
                ", ".join(words),
                (x[k], y[k]),
                xytext=(6, 14) if end else (8, 5) if k == 0 else (6 * rising, -16 if below else 8),
                textcoords="offset points",
                ha="right" if end else "left" if k == 0 or rising else "center",
                fontsize=SIZE,
                bbox={"fc": "white", "ec": "none", "alpha": 0.8, "pad": 1},  # above lines
            )
        self.ax_.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        self.ax_.margins(x=0.08, y=0.2)
        self.ax_.set(xlabel="epochs of the request", ylabel="largest difference\nto the reference")
        legend_below(self.ax_, ncols=1)
        calm(self.ax_)
        return self

    @classmethod
    def from_estimator(cls, unlearner, *, request=-1, ax=None, **options):
        """Draw a request of an unlearner.

        Parameters
        ----------
        unlearner : fitted AutoUnlearner that has forgotten
            Its log holds what it looked at on the way.
        request : int, default=-1
            Position in its log; the last one when -1.
        ax : matplotlib Axes, default=None
            To draw on; a new figure when None.
        **options : dict
            For ``Axes.plot``.

        Returns
        -------
        display : AutoUnlearnerDisplay

        Raises
        ------
        TypeError
            When the request was not an `AutoUnlearner`'s.
        ValueError
            When nothing was forgotten, or there was nothing to judge by: no rows that the model
            has never seen.
        """
        log = unlearner.deletions_
        if not log:
            raise ValueError(f"{type(unlearner).__name__} has not forgotten anything yet.")
        found = log[request].get("auto")
        if found is None:
            raise TypeError(
                f"The request was carried out by {log[request]['method']}: only AutoUnlearner "
                "looks at its net on the way."
            )
        if found["retrained"] and not found["judged"]:
            raise ValueError("This request was a training anew: there was nothing to look at.")
        if not found["judged"]:
            raise ValueError(
                "Nobody has looked at the net in this request: pass unlearn(..., X_val=, y_val=), "
                "rows with labels that it has never seen."
            )
        strongest = [max(found[key].values(), key=abs) for key in ("before", "after")]
        looks = found["looks"]
        display = cls(
            epochs=[0, *(look["epochs"] for look in looks), found["epochs"]],
            distances=[strongest[0], *(look["distance"] for look in looks), strongest[1]],
            shares=[1.0, *(look["share"] for look in looks), found["shares"][-1]],
            target=log[request]["parameters"]["target"],
            floor_epochs=found["reference_epochs"],
        )
        return display.plot(ax, **options)
