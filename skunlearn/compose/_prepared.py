"""What a pipeline keeps of its training rows, so that requests need not begin at the beginning."""

from dataclasses import dataclass, replace

import numpy as np

from skunlearn._recipe import step_kinds
from skunlearn._rows.containers import n_rows, take
from skunlearn.compose import _front_steps
from skunlearn.exact._scaling import STATISTICS
from skunlearn.exact.steady_kmeans import ClusterStatistic, SteadyKMeans

_STATISTICS = STATISTICS | {SteadyKMeans: ClusterStatistic}


class Held:
    """Training rows as the leading steps show them that never change, by position.

    Parameters
    ----------
    X : container of rows
    slot : int array of shape (n,)
        Row of `X` for each position in ``fit``; -1 where none is held.
    """

    def __init__(self, X, slot=None):
        self.X, self.slot = X, np.arange(n_rows(X)) if slot is None else slot

    def take(self, positions):
        """The rows at `positions`, copied."""
        return take(self.X, self.slot[positions])

    def without(self, positions):
        """A copy that does not hold the rows at `positions` any more."""
        kept = self.slot >= 0
        kept[positions] = False
        slot = np.full(len(kept), -1)
        slot[kept] = np.arange(kept.sum())
        return Held(self.take(kept), slot)


@dataclass(frozen=True)
class Subtraction:
    """The first step that learns, as sums over the rows, where it follows from such.

    Attributes
    ----------
    place : int
        Its place among the steps.
    statistic : object of `skunlearn.exact._scaling`, or ClusterStatistic
    made_for : tuple of class and settings of the step, as it was then
    """

    place: int
    statistic: object
    made_for: tuple = ()

    @classmethod
    def of(cls, steps, X, first=0):
        """What fitted `steps` have learnt from `X`, which those before `first` have made, or None.

        The steps behind it see other rows whenever it changes, so that theirs are not kept.
        """
        for place, (_, step) in enumerate(steps[first:], first):
            if step is None or isinstance(step, str):
                continue
            if step_kinds.learns(step):
                kind = _STATISTICS.get(type(step))
                statistic = None if kind is None else kind.of(step, X)
                return None if statistic is None else cls(place, statistic, _read(step))
            X = step.transform(X)
        return None

    def without(self, steps, X, kept, first=0):
        """The step without rows `X`, and its sums; None when it must be fitted anew.

        `X` and the rows that are `kept` are as the steps before `first` show them.
        """
        step = steps[self.place][1]
        if _read(step) != self.made_for:
            return None  # set since then
        shown = [X, kept] if getattr(self.statistic, "reads_rows", False) else [X]
        shown = [_front_steps.transform(steps[first : self.place], rows) for rows in shown]
        found = self.statistic.without(step, *shown)
        return None if found is None else (found[1], replace(self, statistic=found[0]))


def _read(step):
    """Class and settings of a step."""
    return type(step), step.get_params()
