"""Accuracy against forgetting over the candidates of a search."""

import numpy as np

from skunlearn.plotting._style import FORGET, RETAIN, axes_of, calm

__all__ = ["TradeoffDisplay"]


class TradeoffDisplay:
    """Accuracy against forgetting, one point per candidate, the chosen one marked.

    Both axes are scores: right and up is better. Bars are standard errors over the folds.

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
        What to write beside each point.
    chosen : int, default=None
        Index of the candidate that was refitted.

    Attributes
    ----------
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
        self.ax_.errorbar(
            self.forgetting,
            self.accuracy,
            xerr=self.forgetting_error,
            yerr=self.accuracy_error,
            fmt="o",
            color=RETAIN,
            ecolor="0.7",
            capsize=3,
        )
        if self.chosen is not None:
            self.ax_.plot(
                self.forgetting[self.chosen],
                self.accuracy[self.chosen],
                "s",
                ms=14,
                mfc="none",
                mec=FORGET,
                mew=2,
                label="chosen",
            )
            self.ax_.legend(frameon=False)
        for x, y, text in zip(self.forgetting, self.accuracy, self.labels or ()):
            self.ax_.annotate(
                text, (x, y), xytext=(8, 6), textcoords="offset points", fontsize="small"
            )
        self.ax_.set(xlabel="forgetting (score, 0 is best)", ylabel="accuracy")
        self.ax_.margins(0.15)
        calm(self.ax_)
        return self

    @classmethod
    def from_predictions(cls, accuracy, forgetting, *, ax=None, **parts):
        """Draw scores that were computed anywhere.

        Parameters
        ----------
        accuracy, forgetting : array-like of shape (n_candidates,)
        ax : matplotlib Axes, default=None
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
        accuracy, forgetting : str, default="accuracy", "forgetting"
            Names of the two scorers in its ``scoring``.
        ax : matplotlib Axes, default=None

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


def _short(value):
    return f"{value:.3g}" if isinstance(value, float) else str(value)
