"""Performance criteria: what is wanted of a net, as averages of differentiable row losses."""

import numpy as np
import torch

from skunlearn._torch.parts.tasks import need_one_class

NAMES = ("retained", "classes")


def check_criteria(criteria):
    """The criteria as a list; TypeError or ValueError when one is none."""
    listed = list(criteria) if isinstance(criteria, list) else [criteria]
    if not listed:
        raise ValueError("criteria is empty: name at least one.")
    for one in listed:
        known = isinstance(one, str) and one in NAMES
        pair = isinstance(one, tuple) and len(one) == 2
        if not (known or pair or callable(one)):
            raise TypeError(
                "criteria must be 'retained', 'classes', a tuple (X, y) of validation rows, a "
                f"function of (outputs, targets), or a list of these; got {one!r}."
            )
    return listed


def slopes(objective, rows, criteria, read, classes):
    """Gradient of each criterion by the weights.

    Parameters
    ----------
    objective : Objective
    rows : Rows
        Those that "retained", "classes" and functions are about.
    criteria : list
        As `check_criteria` returns it.
    read : function of ``(X, y)`` to Rows
        For validation rows.
    classes : see `task_of`

    Returns
    -------
    slopes : tensor of shape (k, P)
    """
    found = []
    for one in criteria:
        if one == "classes":
            need_one_class(classes, "criteria='classes'")
            parts = [rows.take(np.flatnonzero(rows.y == label)) for label in np.unique(rows.y)]
            found += [_mean_slope(objective, part) for part in parts]
        elif isinstance(one, tuple):
            found.append(_mean_slope(objective, read(*one)))
        else:
            found.append(_mean_slope(objective, rows, None if one == "retained" else one))
    return torch.stack(found)


def _mean_slope(objective, rows, losses=None):
    if losses is None:
        return objective.gradient(rows, penalised=False) / objective.mass(rows)

    def checked(out, y):
        values = losses(out, y.to(out.device))
        if not isinstance(values, torch.Tensor) or values.shape != (len(out),):
            raise TypeError(
                f"The criterion {losses!r} must return a tensor of one value per row, of shape "
                f"({len(out)},), got {getattr(values, 'shape', type(values))}."
            )
        return values

    n = len(rows) if rows.weights is None else rows.weights.sum()
    return objective.gradient(rows, penalised=False, losses=checked) / n
