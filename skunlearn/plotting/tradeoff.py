"""Accuracy against forgetting over the candidates of a search."""

import numpy as np
from matplotlib.ticker import MaxNLocator

from skunlearn.plotting._style import BAND, PALETTE, SIZE, axes_of, calm

__all__ = ["TradeoffDisplay"]

_LETTER = 0.65 * SIZE  # points that a bold letter is wide


class TradeoffDisplay:
    """Accuracy against forgetting, one point per candidate, the chosen one marked.

    Both axes are scores: right and up is better. Bars are standard errors over the folds. The
    shaded region holds the candidates whose forgetting lies within one standard error of the
    best, among which `skunlearn.model_selection.one_standard_error` takes the most accurate.
    Labelled are the chosen candidate, the one that forgets best, and the first and the last.

    Parameters
    ----------
    accuracy : ndarray of shape (n_candidates,)
        Mean over the folds of the score of accuracy.
    forgetting : ndarray of shape (n_candidates,)
        Mean over the folds of the score of forgetting.
    accuracy_error : ndarray of shape (n_candidates,), default=None
        Standard errors of `accuracy`.
    forgetting_error : ndarray of shape (n_candidates,), default=None
        Standard errors of `forgetting`.
    labels : list of str, default=None
        What each point is; a few of them are labelled.
    chosen : int, default=None
        Index of the candidate that was refitted.

    Attributes
    ----------
    best_ : int or None
        Index of the candidate that forgets best; None when no score is finite.
    region_ : (float, float) or None
        Forgetting of the shaded region, where standard errors are known.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skunlearn.plotting import TradeoffDisplay
    >>> display = TradeoffDisplay.from_predictions(
    ...     [0.85, 0.86, 0.87], [-0.02, -0.03, -0.4], labels=["0", "0.01", "0.1"], chosen=1
    ... )
    >>> display.ax_.get_xlabel()
    'forgetting (score, 0 is best)'
    """

    def __init__(
        self,
        *,
        accuracy,
        forgetting,
        accuracy_error=None,
        forgetting_error=None,
        labels=None,
        chosen=None,
    ):
        self.accuracy, self.forgetting = accuracy, forgetting
        self.accuracy_error, self.forgetting_error = accuracy_error, forgetting_error
        self.labels, self.chosen = labels, chosen

    def plot(self, ax=None):
        """Draw the points.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.

        Returns
        -------
        display : TradeoffDisplay
        """
        self.ax_, self.figure_ = axes_of(ax)
        accuracy, forgetting = (
            np.asarray(values, dtype=float) for values in (self.accuracy, self.forgetting)
        )
        drawn = np.isfinite(accuracy) & np.isfinite(forgetting)  # a fit that failed has no scores
        self.best_ = self.region_ = None
        if drawn.any():
            self.best_ = int(np.argmax(np.where(drawn, forgetting, -np.inf)))
            self._shade(forgetting)
        self.ax_.errorbar(
            forgetting,
            accuracy,
            xerr=self.forgetting_error,
            yerr=self.accuracy_error,
            fmt="o",
            color=PALETTE["unlearned"],
            ecolor="0.65",
            lw=1,
        )
        if self.chosen is not None and drawn[self.chosen]:
            at = forgetting[self.chosen], accuracy[self.chosen]
            ring = {"ms": 14, "mfc": "none", "mec": PALETTE["forget"], "mew": 2}
            self.ax_.plot(*at, "s", zorder=3, **ring)
        self.ax_.set(xlabel="forgetting (score, 0 is best)", ylabel="accuracy")
        if self.region_ is not None:  # not in the title's place, which is the caller's
            said = "shaded: within one standard error of the best"
            self.ax_.set_xlabel(f"{self.ax_.get_xlabel()}\n{said}")
        self.ax_.margins(0.12, 0.2)
        self.ax_.xaxis.set_major_locator(MaxNLocator(5))
        calm(self.ax_)
        self._label(forgetting, accuracy, drawn)
        return self

    def _shade(self, forgetting):
        if self.forgetting_error is None or not np.isfinite(self.forgetting_error[self.best_]):
            return
        best = forgetting[self.best_]
        self.region_ = float(best - self.forgetting_error[self.best_]), float(best)
        self.ax_.axvspan(self.region_[0], self.region_[1], color=BAND, lw=0, zorder=0)

    def _label(self, forgetting, accuracy, drawn):
        """Names of the chosen, the best, the first and the last, away from one another."""
        known = np.flatnonzero(drawn)
        if not len(known):
            return
        words = {}
        for index, word in ((self.chosen, "chosen"), (self.best_, "best forgetting")):
            if index is not None and drawn[index]:
                words.setdefault(int(index), []).append(word)
        if self.labels is not None:
            for index in (known[0], known[-1]):
                words.setdefault(int(index), [])
        # In a column on the side where there is room; where two would meet the upper one moves up.
        middle = (forgetting[drawn].min() + forgetting[drawn].max()) / 2
        self.figure_.draw_without_rendering()  # places are known then
        per_point = self.figure_.dpi / 72
        x, y = self.ax_.transData.transform(np.column_stack([forgetting, accuracy])).T / per_point
        sides = {index: bool(forgetting[index] <= middle) for index in words}
        column = {
            True: max((x[i] for i in words if sides[i]), default=0) + 16,
            False: min((x[i] for i in words if not sides[i]), default=0) - 16,
        }
        points = np.column_stack([x, y])[drawn]
        top = {True: -np.inf, False: -np.inf}
        for index in sorted(words, key=lambda index: accuracy[index]):
            lines = [] if self.labels is None else [str(self.labels[index])]
            lines += [", ".join(words[index])] if words[index] else []
            right = sides[index]
            height = len(lines) * 1.3 * SIZE
            width = max(map(len, lines)) * _LETTER
            ends = column[right] + (np.array([0, width]) if right else np.array([-width, 0]))
            lifted = _lift(points, ends, max(y[index], top[right] + height / 2 + 3), height)
            top[right] = lifted + height / 2
            self.ax_.annotate(
                "\n".join(lines),
                (forgetting[index], accuracy[index]),
                xytext=(column[right] - x[index], lifted - y[index]),
                textcoords="offset points",
                ha="left" if right else "right",
                va="center",
                fontsize=SIZE,
                fontweight="bold" if index == self.chosen else None,
                bbox={"fc": "white", "ec": "none", "alpha": 0.75, "pad": 1},
                arrowprops={"arrowstyle": "-", "color": "0.6", "lw": 0.8},
            )

    @classmethod
    def from_predictions(cls, accuracy, forgetting, *, ax=None, **parts):
        """Draw scores that were computed anywhere.

        Parameters
        ----------
        accuracy, forgetting : array-like of shape (n_candidates,)
            Scores of each candidate, of which higher is better.
        ax : matplotlib Axes, default=None
            To draw on; a new figure when None.
        **parts : dict
            `accuracy_error`, `forgetting_error`, `labels`, `chosen`: see the class.

        Returns
        -------
        display : TradeoffDisplay
        """
        accuracy, forgetting = np.asarray(accuracy, float), np.asarray(forgetting, float)
        if accuracy.shape != forgetting.shape or accuracy.ndim != 1:
            raise ValueError(
                "accuracy and forgetting need one score per candidate, got shapes "
                f"{accuracy.shape} and {forgetting.shape}."
            )
        return cls(accuracy=accuracy, forgetting=forgetting, **parts).plot(ax)

    @classmethod
    def from_estimator(cls, search, *, accuracy="accuracy", forgetting="forgetting", ax=None):
        """Draw a fitted search.

        Parameters
        ----------
        search : fitted GridSearchCV or the like, with several scorers
            Its ``cv_results_`` are drawn; the candidate of its ``best_index_`` is the chosen one.
        accuracy, forgetting : str, default="accuracy", "forgetting"
            Names of the two scorers in its ``scoring``.
        ax : matplotlib Axes, default=None
            To draw on; a new figure when None.

        Returns
        -------
        display : TradeoffDisplay

        Raises
        ------
        ValueError
            When the search has no scorer of that name.
        """
        results = search.cv_results_
        parts = {}
        for key, name in (("accuracy", accuracy), ("forgetting", forgetting)):
            if f"mean_test_{name}" not in results:
                known = sorted(k.removeprefix("mean_test_") for k in results if "mean_test_" in k)
                raise ValueError(f"The search has no scorer {name!r}, only {known}.")
            parts[key] = np.asarray(results[f"mean_test_{name}"])
            parts[f"{key}_error"] = results[f"std_test_{name}"] / np.sqrt(
                max(1, search.n_splits_ - 1)
            )
        labels = [
            ", ".join(f"{k.split('__')[-1]}={_short(v)}" for k, v in candidate.items())
            for candidate in results["params"]
        ]
        return cls(**parts, labels=labels, chosen=getattr(search, "best_index_", None)).plot(ax)


def _lift(points, ends, middle, height):
    """Where a label of that height may stand, from `middle` upwards, and hide no point."""
    beside = (points[:, 0] > ends[0] - SIZE) & (points[:, 0] < ends[1] + SIZE)
    for y in np.sort(points[beside, 1]):
        if abs(y - middle) < (height + SIZE) / 2:
            middle = y + (height + SIZE) / 2
    return middle


def _short(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)
