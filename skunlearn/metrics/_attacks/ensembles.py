"""Outputs of several models on the same rows."""

import numpy as np
from sklearn.utils import check_random_state

from skunlearn.metrics._arrays import to_array

_MIN_MODELS = 4  # two halves of two


def check_ensemble(values, name, like=None):
    """Outputs of shape (n_models, n) as finite float64."""
    values = to_array(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] == 0:
        several = (
            ""
            if values.ndim != 3
            else (
                " Margins of several labels per row go in as reshape(n_models, n * n_labels), each "
                "label as a row of its own."
            )
        )
        raise ValueError(f"{name} must have shape (n_models, n), got {values.shape}.{several}")
    if len(values) < _MIN_MODELS:
        raise ValueError(
            f"{name} holds {len(values)} models; distributions over models need at least "
            f"{_MIN_MODELS}, and say little below some dozens."
        )
    if like is not None and values.shape[1] != like.shape[1]:
        raise ValueError(
            f"{name} has {values.shape[1]} rows and the other ensemble {like.shape[1]}: give the "
            "outputs of all models on the same rows."
        )
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        raise ValueError(f"{name} holds NaN or infinity: model {bad[0][0]}, row {bad[0][1]}.")
    return values


def split_null(null, retrained, random_state):
    """Two ensembles of models of the same kind: `null` and `retrained`, or halves of the latter."""
    if null is not None:
        return check_ensemble(null, "null", like=retrained), retrained
    order = check_random_state(random_state).permutation(len(retrained))
    return retrained[order[: len(order) // 2]], retrained[order[len(order) // 2 :]]
