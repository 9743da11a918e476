"""Where to look for a method's settings, in the forms that searches take."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["Choice", "Integers", "LogUniform", "Uniform"]


@dataclass(frozen=True)
class LogUniform:
    """Positive numbers on a logarithmic scale.

    Attributes
    ----------
    low : float
        Smallest value.
    high : float
        Largest value.

    Examples
    --------
    >>> from skunlearn.search_spaces import LogUniform
    >>> LogUniform(0.001, 0.1).grid(3)
    [0.001, 0.01, 0.1]
    """

    low: float
    high: float

    def distribution(self):
        """For ``RandomizedSearchCV``: what it draws from."""
        return stats.loguniform(self.low, self.high)

    def grid(self, n):
        """`n` values for ``GridSearchCV``, both ends among them, of three significant digits.

        Parameters
        ----------
        n : int
            Number of values, at least 2.
        """
        return [float(f"{v:.3g}") for v in np.geomspace(self.low, self.high, n)]

    def optuna(self, distributions):
        """For Optuna, by its module `distributions`.

        Parameters
        ----------
        distributions : module
            ``optuna.distributions``, so that this package need not import Optuna.
        """
        return distributions.FloatDistribution(self.low, self.high, log=True)


@dataclass(frozen=True)
class Uniform:
    """Numbers on a linear scale.

    Attributes
    ----------
    low : float
        Smallest value.
    high : float
        Largest value.

    Examples
    --------
    >>> from skunlearn.search_spaces import Uniform
    >>> Uniform(0.0, 1.0).grid(3)
    [0.0, 0.5, 1.0]
    """

    low: float
    high: float

    def distribution(self):
        """For ``RandomizedSearchCV``: what it draws from."""
        return stats.uniform(self.low, self.high - self.low)

    def grid(self, n):
        """`n` values for ``GridSearchCV``, both ends among them, of three significant digits.

        Parameters
        ----------
        n : int
            Number of values, at least 2.
        """
        return [float(f"{v:.3g}") for v in np.linspace(self.low, self.high, n)]

    def optuna(self, distributions):
        """For Optuna, by its module `distributions`.

        Parameters
        ----------
        distributions : module
            ``optuna.distributions``, so that this package need not import Optuna.
        """
        return distributions.FloatDistribution(self.low, self.high)


@dataclass(frozen=True)
class Integers:
    """Integers from `low` to `high`, both included.

    Attributes
    ----------
    low : int
        Smallest value.
    high : int
        Largest value.

    Examples
    --------
    >>> from skunlearn.search_spaces import Integers
    >>> Integers(1, 5).grid(3)
    [1, 3, 5]
    """

    low: int
    high: int

    def distribution(self):
        """For ``RandomizedSearchCV``: what it draws from."""
        return stats.randint(self.low, self.high + 1)

    def grid(self, n):
        """At most `n` values for ``GridSearchCV``.

        Parameters
        ----------
        n : int
            Most values; whole numbers that repeat are left out.
        """
        values = np.linspace(self.low, self.high, min(n, self.high - self.low + 1))
        return sorted({int(v) for v in values.round()})

    def optuna(self, distributions):
        """For Optuna, by its module `distributions`.

        Parameters
        ----------
        distributions : module
            ``optuna.distributions``, so that this package need not import Optuna.
        """
        return distributions.IntDistribution(self.low, self.high)


@dataclass(frozen=True)
class Choice:
    """One of some values.

    Attributes
    ----------
    values : tuple
        What to choose from.

    Examples
    --------
    >>> from skunlearn.search_spaces import Choice
    >>> Choice(("linear", "constant")).grid(5)
    ['linear', 'constant']
    """

    values: tuple

    def distribution(self):
        """For ``RandomizedSearchCV``: what it draws from."""
        return list(self.values)

    def grid(self, n):
        """All values, whatever `n` is.

        Parameters
        ----------
        n : int
            Ignored: choices have no order in which some could be left out.
        """
        return list(self.values)

    def optuna(self, distributions):
        """For Optuna, by its module `distributions`.

        Parameters
        ----------
        distributions : module
            ``optuna.distributions``, so that this package need not import Optuna.
        """
        return distributions.CategoricalDistribution(self.values)


def in_form(space, kind, n_points):
    """A space in the form that a search takes.

    Parameters
    ----------
    space : dict of str to LogUniform, Uniform, Integers or Choice
    kind : {"random", "grid", "optuna"}
    n_points : int
        Values of each numeric parameter in a grid.

    Returns
    -------
    space : dict of str to distribution or list

    Raises
    ------
    ValueError
        When `kind` is unknown.
    ImportError
        When `kind` is "optuna" and Optuna is not installed.
    """
    if kind == "random":
        return {name: values.distribution() for name, values in space.items()}
    if kind == "grid":
        return {name: values.grid(n_points) for name, values in space.items()}
    if kind == "optuna":
        try:
            from optuna import distributions
        except ImportError as error:
            raise ImportError("kind='optuna' needs Optuna: pip install optuna.") from error
        return {name: values.optuna(distributions) for name, values in space.items()}
    raise ValueError(f"kind must be 'random', 'grid' or 'optuna', got {kind!r}.")
