"""What the makers of forget sets return."""

from dataclasses import dataclass, field

import numpy as np

__all__ = ["ForgetSet", "PlantedForgetSet"]


@dataclass(frozen=True, eq=False)
class ForgetSet:
    """Rows to forget, and how they were chosen.

    Attributes
    ----------
    mask : bool ndarray of shape (n,)
        The rows to forget: for ``fit(X, y, forget=mask)``, ``ForgetSplit(forget=mask)`` and
        ``compare(..., forget=mask)``.
    kind : str
        "random", "class", "worst case", ...
    description : str
        One sentence.
    details : dict, default={}
        What else is known of the choice: sizes, classes, scores, by kind.
    """

    mask: np.ndarray = field(repr=False)
    kind: str
    description: str
    details: dict = field(default_factory=dict, repr=False)

    @property
    def indices(self):
        """Positions of the rows, for ``unlearn(indices=...)``.

        Returns
        -------
        indices : ndarray of int
        """
        return np.flatnonzero(self.mask)

    def __len__(self):
        return int(self.mask.sum())

    def __str__(self):
        return f"{self.kind}: {self.description}"


@dataclass(frozen=True, eq=False)
class PlantedForgetSet(ForgetSet):
    """Rows into which something was planted that forgetting should take out again.

    Train on ``planted_set.data(X, y)``, forget ``planted_set.mask``, and look whether the effect
    is gone: as far gone as in a model that was trained without *all* planted rows.

    Attributes
    ----------
    mask : bool ndarray of shape (n,)
        Planted rows that are known, hence can be named in a request.
    kind : str
        "mislabelled", "backdoor", ...
    description : str
        One sentence.
    details : dict, default={}
        What else is known of the choice: sizes, classes, scores, by kind.
    planted : bool ndarray of shape (n,)
        All planted rows, known or not.
    X : array of the type of the rows that were given, or None
        Training rows with the planted ones changed; None when rows stay as they are.
    y : ndarray of shape (n,), or None
        Labels with the planted ones changed; None when labels stay as they are.
    trigger : callable or None
        ``trigger(X_test)`` returns test rows with the backdoor's trigger.
    noise : ndarray of shape (n_planted, ...), float32, or None
        What was added to the rows at ``flatnonzero(planted)``, after rounding and clipping.
    """

    planted: np.ndarray = field(default=None, repr=False)
    X: object = field(default=None, repr=False)
    y: object = field(default=None, repr=False)
    trigger: object = field(default=None, repr=False)
    noise: object = field(default=None, repr=False)

    def data(self, X, y):
        """Training rows and labels with everything planted in its place.

        Parameters
        ----------
        X, y : rows and labels from which the set was made
            The very ones: what was changed is held as a whole.

        Returns
        -------
        X, y : the changed ones where something was changed, otherwise those that were passed
        """
        return (X if self.X is None else self.X), (y if self.y is None else self.y)
