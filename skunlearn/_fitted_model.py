"""A fitted model of any kind, and rows that it is asked about."""

import numpy as np
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skunlearn._rows.containers import is_dataset, n_rows
from skunlearn._rows.finite import check_finite
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.columns import classes_of
from skunlearn._torch.parts.net_kinds import kind_for
from skunlearn._torch.parts.tasks import task_of
from skunlearn._unlearning import validation
from skunlearn.base import BaseUnlearner, model_of


def asked(model, X, y):
    """The model itself, the rows with encoded targets, and its classes (see `task_of`).

    Parameters
    ----------
    model : fitted unlearner, skorch net or scikit-learn estimator
        Labels are those of its ``classes_``; for a plain net column numbers.
    X, y : rows and targets
    """
    check_is_fitted(model)
    if y is None and is_dataset(X):
        y = validation.dataset_targets(X)
    if y is None:
        raise ValueError("The model is asked about labels too: pass y.")
    reader = None
    if isinstance(model, BaseUnlearner):
        X, classes, reader = validation.check_X(model, X), model._classes, model._reader
    else:
        kind = kind_for(model, y)
        if kind is None:
            raise TypeError(f"{type(model).__name__} is neither a classifier nor a regressor.")
        if skorch_nets.is_net(model):
            classes = classes_of(model, y)
        else:
            classes = np.asarray(model.classes_) if kind == "classifier" else None
        X = np.asarray(X) if isinstance(X, list) else X
        if not is_dataset(X):
            check_finite(X, "X", allow_nan=get_tags(model).input_tags.allow_nan)
    n = len(X) if is_dataset(X) else n_rows(X)
    y = validation.check_like(y, n, classes)
    if task_of(classes).has_one_class:
        y = validation.encode(y, classes)
    return model_of(model), Rows(X, y, np.arange(n), reader=reader), classes
