"""What a condition is."""

import inspect
from dataclasses import dataclass, fields

import numpy as np

from skunlearn._rows.containers import digest_of


@dataclass(frozen=True)
class Perturbed:
    """Rows under a condition.

    Attributes
    ----------
    test, forget : ndarray, or None where the condition is not about such rows
    test_rows, forget_rows : ndarray of int
        Which of all test rows, and of all forget rows, they are.
    """

    test: np.ndarray
    test_rows: np.ndarray
    forget: np.ndarray | None = None
    forget_rows: np.ndarray | None = None


class Condition:
    """What conditions share.

    A subclass has a ``name``, a ``severity``, and ``perturb(task, seed)``; where that depends on
    the model, ``white_box`` is true, it is ``perturb(task, seed, model)``, and
    ``foreign(task, seed, retrained)`` gives the forget rows that are put to every model.
    """

    white_box = False
    severity = 0

    def suits(self, task):
        """Whether the condition makes sense for the task.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        """
        return True

    def recipe(self, task):
        """Digest of everything that the outcome depends on, besides the task.

        Parameters
        ----------
        task : object
            Rows, labels and settings of the report: ``X_test``, ``y_test``, ``X_forget``,
            ``y_forget`` and more.
        """
        parts = [f"{f.name}={_stable(getattr(self, f.name))}" for f in fields(self)]
        return digest_of(";".join([type(self).__name__, *parts]).encode())


def _stable(value):
    """A text that is the same in every process."""
    if not callable(value):
        return repr(value)
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return getattr(value, "__qualname__", type(value).__qualname__)
