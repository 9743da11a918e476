"""From what users pass to a function to a net and views of rows."""

import numpy as np
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from skunlearn._rows.containers import is_dataset, is_mapping, n_rows
from skunlearn._rows.finite import check_finite
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.columns import classes_of
from skunlearn._torch.parts.tasks import task_of
from skunlearn._unlearning import validation
from skunlearn.base import BaseUnlearner, model_of


def net_of(estimator, caller):
    """The fitted net in `estimator`; TypeError when there is none."""
    check_is_fitted(estimator)
    net = model_of(estimator)
    if not skorch_nets.is_net(net):
        raise TypeError(
            f"{caller} needs a fitted skorch net or an unlearner of one, got "
            f"{type(estimator).__name__}."
        )
    return net


def rows_of(estimator, X, y, name):
    """Rows that came with labels of the user's type, encoded as the net was trained on them.

    Labels of a plain classifier net are the numbers of its columns.
    """
    if y is None and is_dataset(X):
        y = validation.dataset_targets(X)
    if y is None:
        raise ValueError(f"y_{name} is missing: a row's loss needs its target.")
    if isinstance(estimator, BaseUnlearner):
        X = validation.check_X(estimator, X)
    elif not is_dataset(X):
        X = X if is_mapping(X) or hasattr(X, "shape") else np.asarray(X)
        allow_nan = get_tags(model_of(estimator)).input_tags.allow_nan
        check_finite(X, f"X_{name}", allow_nan=allow_nan)
    n = len(X) if is_dataset(X) else n_rows(X)
    classes = task_classes(estimator, y)
    y = validation.check_like(y, n, classes)
    if n == 0:
        raise ValueError(f"X_{name} holds no rows.")
    if isinstance(estimator, BaseUnlearner):
        y = estimator._encode(y, f"y_{name}")
    elif task_of(classes).has_one_class:
        y = _columns(model_of(estimator), y, f"y_{name}")
    return Rows(X, y, np.arange(n))


def task_classes(estimator, y):
    """Of an unlearner or a plain net what `task_of` takes, for targets like `y`."""
    return estimator._classes if isinstance(estimator, BaseUnlearner) else classes_of(estimator, y)


def _columns(net, y, name):
    classes = classes_of(net, y)
    if y.dtype.kind not in "biu" or not np.isin(y, classes).all():
        raise ValueError(
            f"{name} must hold column numbers that the net was trained on, {classes.tolist()}, "
            f"got dtype {y.dtype} with values such as {y[:3].tolist()}."
        )
    return y.astype(np.int64)
