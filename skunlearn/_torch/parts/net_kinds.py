"""Which task a skorch net is made for, by its class or by its criterion."""

import numpy as np
import torch
from scipy import sparse
from sklearn.utils import get_tags
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor

from skunlearn._torch.parts.net_state import uncompiled

_SIGMOID = (torch.nn.BCEWithLogitsLoss, torch.nn.BCELoss, torch.nn.MultiLabelSoftMarginLoss)
_CLASSES = (*_SIGMOID, torch.nn.CrossEntropyLoss, torch.nn.NLLLoss, torch.nn.MultiMarginLoss)
_VALUES = (
    torch.nn.MSELoss,
    torch.nn.L1Loss,
    torch.nn.SmoothL1Loss,
    torch.nn.HuberLoss,
    torch.nn.PoissonNLLLoss,
)


def is_plain(net):
    """Whether `net` is skorch's ``NeuralNet``, which does not say what it predicts."""
    told = NeuralNetClassifier, NeuralNetBinaryClassifier, NeuralNetRegressor
    return isinstance(net, NeuralNet) and not isinstance(net, told)


def has_sigmoid(net):
    """Whether the criterion of a plain net takes every output for a label of its own."""
    return is_plain(net) and issubclass(_criterion_class(net), _SIGMOID)


def is_binary(net):
    """Whether a classifier net has one output, which is thresholded."""
    return isinstance(net, NeuralNetBinaryClassifier) or has_sigmoid(net)


def kind_of(estimator):
    """``"classifier"`` or ``"regressor"``; None of a plain net with a criterion of its own."""
    if not is_plain(estimator):
        return get_tags(estimator).estimator_type
    criterion = _criterion_class(estimator)
    if issubclass(criterion, _CLASSES):
        return "classifier"
    return "regressor" if issubclass(criterion, _VALUES) else None


def kind_for(estimator, y):
    """``"classifier"`` or ``"regressor"``; of a plain net with a criterion of its own by `y`.

    Whole numbers and text are classes, 0 and 1 in several columns labels, and floats values.
    """
    found = kind_of(estimator)
    if found is not None or not is_plain(estimator):
        return found
    y = np.asarray(y.toarray() if sparse.issparse(y) else y)
    if y.ndim == 2 and y.shape[1] > 1:
        return "classifier" if np.isin(y, [0, 1]).all() else "regressor"
    return "regressor" if y.dtype.kind == "f" else "classifier"


def has_labels(y):
    """Whether targets are those of a multi-label task: an indicator matrix of several columns."""
    return len(getattr(y, "shape", ())) == 2 and y.shape[1] > 1


def make_criterion(net):
    """The criterion of a net that need not be initialised; None where it cannot be made yet."""
    if isinstance(net.criterion, torch.nn.Module):
        return net.criterion
    try:
        return net.criterion(**net.get_params_for("criterion"))
    except Exception:  # its own business, when the net is initialised
        return None


def _criterion_class(net):
    if hasattr(net, "criterion_"):
        return type(uncompiled(net.criterion_))
    if isinstance(net.criterion, type):
        return net.criterion
    return type(make_criterion(net))
