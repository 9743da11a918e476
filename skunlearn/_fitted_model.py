"""A fitted model of any kind, and rows that it is asked about."""

import numpy as np
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skunlearn._rows.checking import check_finite
from skunlearn._rows.containers import is_dataset, is_mapping, n_rows, to_numpy
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.columns import classes_of
from skunlearn._torch.parts.net_kinds import kind_for
from skunlearn._torch.parts.tasks import task_of
from skunlearn._unlearning import validation
from skunlearn._unlearning.accuracy_guard import of_validation
from skunlearn._unlearning.unseen_rows import find_predefined_rows
from skunlearn.base import BaseUnlearner


def model_of(estimator):
    """The model inside a fitted unlearner, or the estimator itself.

    Scikit-learn's ensembles have an ``estimator_`` too, which is something else.
    """
    return estimator.estimator_ if isinstance(estimator, BaseUnlearner) else estimator


def ask_about(model, X, y):
    """What `observe` takes: the model itself, the rows with encoded targets, and its classes.

    Parameters
    ----------
    model : fitted unlearner, skorch net or scikit-learn estimator
        Labels are those of its ``classes_``; for a plain net column numbers.
    X, y : rows and targets
    """
    check_is_fitted(model)
    rows = read_rows(model, X, y)
    return model_of(model), rows, find_classes(model, rows.y)


def read_rows(model, X, y, name=None):
    """Rows that did not come with ``fit``, checked, with targets as the model was trained on them.

    Parameters
    ----------
    model : as in `ask_about`; an unlearner need not have trained yet
    X, y : rows and targets; None for those of a torch Dataset
    name : str, default=None
        Messages call them ``X_<name>`` and ``y_<name>``.
    """
    X_name, y_name = ("X", "y") if name is None else (f"X_{name}", f"y_{name}")
    reader = None
    if isinstance(model, BaseUnlearner):
        X, reader = validation.check_X(model, X), model._reader
    elif not is_dataset(X):
        X = X if is_mapping(X) or hasattr(X, "shape") else np.asarray(X)
        allow_nan = get_tags(model).input_tags.allow_nan
        check_finite(X, X_name, allow_nan=allow_nan)
    y = read_targets(model, X, y, y_name)
    if not len(y):
        raise ValueError(f"{X_name} holds no rows.")
    return Rows(X, y, np.arange(len(y)), reader=reader)


def read_unseen(unlearner):
    """Rows that the net has never seen: those of the request, or of its predefined split; or None.

    Those of labels that ``fit`` has not seen are left out.

    Parameters
    ----------
    unlearner : unlearner in the middle of a request
    """
    removal = unlearner._removal
    given = (removal and removal.unseen) or find_predefined_rows(unlearner)
    with of_validation(removal and removal.unseen):
        return None if given is None else _read_known(unlearner, *given)


def _read_known(unlearner, X, y):
    """As `read_rows`, without rows of labels that ``fit`` has not seen, if others are left."""
    classes = unlearner._classes
    if not task_of(classes).has_one_class:
        return read_rows(unlearner, X, y)
    y = validation.dataset_targets(X) if y is None and is_dataset(X) else y
    labels = to_numpy(y)  # of a tensor on another device too
    labels = labels[:, 0] if labels.shape[1:] == (1,) else labels
    known = np.isin(labels, classes)
    if labels.ndim != 1 or known.all() or not known.any():
        return read_rows(unlearner, X, y)
    filled = np.where(known, labels, labels[known][0])
    return read_rows(unlearner, X, filled).take(np.flatnonzero(known))


def read_targets(model, X, y, name="y"):
    """Targets of rows in a container, encoded as the model was trained on them."""
    if y is None and is_dataset(X):
        y = validation.dataset_targets(X)
    if y is None:
        raise ValueError(f"{name} is missing: the model is asked about targets too, pass {name}.")
    classes = find_classes(model, y)
    y = validation.check_like(y, len(X) if is_dataset(X) else n_rows(X), classes, name)
    if task_of(classes).has_one_class:
        if skorch_nets.is_net(model) and not (y.dtype.kind in "biu" and np.isin(y, classes).all()):
            raise ValueError(
                f"{name} must hold column numbers that the net was trained on, "
                f"{np.asarray(classes).tolist()}, got dtype {y.dtype} with values such as "
                f"{y[:3].tolist()}."
            )
        return validation.encode(y, classes, name)
    if classes is None and isinstance(model, BaseUnlearner) and model._record.y_dtype.kind == "f":
        return y.astype(model._record.y_dtype)
    return y


def find_classes(model, y):
    """What `task_of` takes of a model, for targets like `y`."""
    if isinstance(model, BaseUnlearner):
        return model._classes
    kind = kind_for(model, y)
    if kind not in ("classifier", "regressor"):
        raise TypeError(f"{type(model).__name__} is neither a classifier nor a regressor.")
    if skorch_nets.is_net(model):
        return classes_of(model, y)
    return np.asarray(model.classes_) if kind == "classifier" else None


def need_net(model, caller):
    """The fitted net in `model`; TypeError when there is none."""
    check_is_fitted(model)
    net = model_of(model)
    if not skorch_nets.is_net(net):
        raise TypeError(
            f"{caller} needs a fitted skorch net or an unlearner of one, got "
            f"{type(model).__name__}."
        )
    return net
