"""Where the rows of a forgotten class go."""

import numpy as np

from skunlearn.plotting._style import SIZE, axes_of, calm, colours_of, legend_below

__all__ = ["ForgottenClassDisplay"]

_OTHERS = "others"


class ForgottenClassDisplay:
    """Classes that models name for rows of a class that was forgotten, side by side.

    A retrained model gives each of these rows to the class that it looks like. An unlearned one
    that sends them all elsewhere, to one class say, or still to their own, is not a retrained one.

    Parameters
    ----------
    predicted : dict of str to array-like of shape (n_rows,)
        For each model the labels that it gives to the rows.
    label : object, default=None
        The forgotten class, for the title.

    Attributes
    ----------
    shares_ : pandas.DataFrame
        Share of the rows, a row for each class that is drawn and a column for each model.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skunlearn.plotting import ForgottenClassDisplay
    >>> display = ForgottenClassDisplay.from_predictions(
    ...     {"unlearned": list("aaab"), "retrained": list("abab")}, label="c"
    ... )
    >>> display.shares_.loc["a"].to_dict()
    {'unlearned': 0.75, 'retrained': 0.5}
    """

    def __init__(self, predicted, label=None):
        self.predicted, self.label = predicted, label

    def plot(self, ax=None, *, max_classes=10):
        """Draw a bar for each class and model.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            A new figure when None.
        max_classes : int, default=10
            The most frequent ones; all others are put together.

        Returns
        -------
        display : ForgottenClassDisplay
        """
        import pandas as pd

        counted = {
            name: pd.Series(np.asarray(labels)).value_counts(normalize=True)
            for name, labels in self.predicted.items()
        }
        shares = pd.DataFrame(counted).fillna(0.0)
        shares = shares.loc[shares.max(axis=1).sort_values(ascending=False, kind="stable").index]
        if len(shares) > max_classes:
            rest = shares.iloc[max_classes - 1 :].sum().rename(_OTHERS)
            shares = pd.concat([shares.iloc[: max_classes - 1], rest.to_frame().T])
        self.shares_ = shares[list(self.predicted)]
        n_classes, n_models = self.shares_.shape
        size = 5.0, 1.5 + 0.22 * n_models + n_classes * (0.12 + 0.13 * n_models)
        self.ax_, self.figure_ = axes_of(ax, size)
        places, height = np.arange(n_classes)[::-1], 0.8 / n_models
        for k, (name, colour) in enumerate(colours_of(self.shares_).items()):
            where = places + 0.4 - height * (k + 0.5)
            bars = self.ax_.barh(
                where, 100 * self.shares_[name], 0.9 * height, color=colour, label=name
            )
            if n_models <= 3:
                self.ax_.bar_label(bars, fmt="%.0f", padding=3, fontsize=SIZE)
        names = [str(c) + " (forgotten)" * (c == self.label) for c in self.shares_.index]
        self.ax_.set_yticks(places, names)
        n = len(np.asarray(next(iter(self.predicted.values()))))
        whose = "" if self.label is None else f" of class {self.label}"
        self.ax_.set(xlabel=f"share of {n} rows{whose}, %", ylabel="named")
        self.ax_.set_xlim(0, 112)
        self.ax_.set_xticks(range(0, 101, 25))
        legend_below(self.ax_)
        calm(self.ax_)
        self.ax_.grid(visible=False, axis="y")
        return self

    @classmethod
    def from_predictions(cls, predicted, *, label=None, ax=None, max_classes=10):
        """Draw labels that models gave.

        Parameters
        ----------
        predicted : dict of str to array-like of shape (n_rows,)
            The same rows, all of the forgotten class.
        label : object, default=None
            The forgotten class, for the title.
        ax : matplotlib Axes, default=None
            To draw on; a new figure when None.
        max_classes : int, default=10
            The most frequent ones; all others are put together.

        Returns
        -------
        display : ForgottenClassDisplay

        Raises
        ------
        ValueError
            When there is no model or no row, or models have different numbers of rows.
        """
        lengths = {name: len(np.asarray(labels)) for name, labels in predicted.items()}
        if not lengths or 0 in lengths.values() or len(set(lengths.values())) > 1:
            raise ValueError(
                f"predicted needs labels of the same rows, at least one, for each model; got "
                f"{lengths}."
            )
        return cls(predicted, label).plot(ax, max_classes=max_classes)

    @classmethod
    def from_estimator(
        cls, unlearner, X_test, y_test, *, models=None, label=None, ax=None, max_classes=10
    ):
        """Ask an unlearner, and other models, about rows of a class that it has forgotten.

        Parameters
        ----------
        unlearner : fitted classifier unlearner that has forgotten a class
            It is drawn under the name "unlearned".
        X_test : array-like of n rows
            Rows that no model has seen; of the forgotten class one at least.
        y_test : array-like of shape (n,)
            Those of the forgotten class are drawn.
        models : dict of str to fitted classifier, default=None
            To draw beside it: ``{"retrained": other}``. They predict labels as `y_test` holds.
        label : object, default=None
            The class; None takes that of the last request, when it was one.
        ax : matplotlib Axes, default=None
            To draw on; a new figure when None.
        max_classes : int, default=10
            The most frequent ones; all others are put together.

        Returns
        -------
        display : ForgottenClassDisplay

        Raises
        ------
        ValueError
            When no class, or more than one, was forgotten and `label` says none, or no row of
            `X_test` is of the class.
        """
        if label is None:
            log = unlearner.deletions_
            gone = log[-1]["classes_forgotten"] if log else []
            if len(gone) != 1:
                said = f"{len(gone)} classes, {gone}" if gone else "no class"
                raise ValueError(
                    f"The last request has emptied {said}: name the class to show in label=."
                )
            (label,) = gone
        mine = np.flatnonzero(np.asarray(y_test) == label)
        if not len(mine):
            raise ValueError(f"X_test holds no row of class {label!r}.")
        rows = X_test.iloc[mine] if hasattr(X_test, "iloc") else X_test[mine]
        asked = {"unlearned": unlearner} | (models or {})
        predicted = {name: model.predict(rows) for name, model in asked.items()}
        return cls.from_predictions(predicted, label=label, ax=ax, max_classes=max_classes)
