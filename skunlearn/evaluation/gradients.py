"""Gradients of a net's loss by its inputs."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skunlearn._fitted_model import model_of
from skunlearn._rows.views import Rows
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.batches.net_rows import make_reader
from skunlearn._torch.columns import columns_of
from skunlearn._torch.parts.tasks import need_one_class

__all__ = ["input_gradients"]


def input_gradients(model, X, y, *, batch_size=256):
    """Gradient of each row's loss by the row itself, in evaluation mode.

    Parameters
    ----------
    model : fitted skorch net or unlearner of one
        Of a classifier; it is not changed.
    X : array-like of shape (n, ...), float
        Rows as the module takes them.
    y : array-like of shape (n,)
        Labels; column numbers where the model is a plain net.
    batch_size : int, default=256
        Rows at a time, which bounds the memory; the gradients do not depend on it.

    Returns
    -------
    gradients : ndarray of the shape of `X`, float32

    Raises
    ------
    TypeError
        When the model is no skorch net, or rows are not a plain array.
    ValueError
        When a label is not among the model's classes.

    See Also
    --------
    skunlearn.metrics.gaussian_unlearning_score : What they are for.

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.evaluation import input_gradients
    >>> from skunlearn.nets import DigitsNet
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = NeuralNetClassifier(
    ...     DigitsNet,
    ...     criterion=torch.nn.CrossEntropyLoss,
    ...     max_epochs=1,
    ...     train_split=None,
    ...     verbose=0,
    ... ).fit(X, y)
    >>> input_gradients(net, X[:20], y[:20]).shape
    (20, 1, 8, 8)
    """
    check_is_fitted(model)
    net = model_of(model)
    if not skorch_nets.is_net(net):
        raise TypeError(f"input_gradients needs a skorch net, got {type(net).__name__}.")
    X = X.numpy(force=True) if isinstance(X, torch.Tensor) else X
    if not isinstance(X, np.ndarray):
        raise TypeError(f"X must be an array or tensor, got {type(X).__name__}.")
    classes = columns_of(net) if net is model else model._classes
    need_one_class(classes, "input_gradients", TypeError)
    y = np.asarray(y)
    columns = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
    if y.shape != (len(X),) or not np.array_equal(classes[columns], y):
        raise ValueError(
            f"y must hold one label per row of X, each among {classes.tolist()}; got shape "
            f"{y.shape}."
        )
    data = make_reader(net, Rows(X, columns, np.arange(len(y))))
    found = []
    with inference.evaluating(net):
        for start in range(0, len(y), batch_size):
            rows = np.arange(start, min(start + batch_size, len(y)))
            x, target = data.batch(rows)
            x = x.to(net.device).float().requires_grad_()
            # Rows do not meet in evaluation mode: the gradient of the sum is that of each.
            loss = -inference.log_likelihoods(net, (x, target), classes).sum()
            found.append(torch.autograd.grad(loss, x)[0].float().cpu().numpy())
    return np.concatenate(found)
