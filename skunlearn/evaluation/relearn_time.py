"""Relearn time: how soon does a model know its forgotten rows again?"""

from numbers import Integral, Real

import numpy as np
from sklearn.utils import check_scalar
from sklearn.utils.validation import check_is_fitted
from skorch.callbacks import Callback

from skunlearn._fitted_model import model_of
from skunlearn._rows.checking import check_models
from skunlearn._rows.seeding import seeded
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.columns import columns_of
from skunlearn._torch.loop.fit_loop import StopTraining, train
from skunlearn._torch.loop.learning_rates import scale_rates
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import need_one_class

__all__ = ["relearn_time"]

_SAMPLE = 1000  # forgotten rows on which the loss is followed


def relearn_time(
    models,
    X_forget,
    y_forget,
    *,
    original="original",
    retrained="retrained",
    lr=(0.1, 1.0),
    tolerance=0.1,
    max_epochs=20,
    random_state=0,
):
    """Steps of training on the forget set until a model knows it as the original did.

    A model that has truly forgotten takes as long as a retrained one; one that only hides what
    it knew takes a few steps. The figure depends strongly on the learning rate, so that several
    are tried; it is for audits, not for tuning.

    Parameters
    ----------
    models : dict of str to skorch net or unlearner of one
        With the original one among them. None is changed.
    X_forget : rows that were forgotten
        All of them are trained on, in batches of the net's own size.
    y_forget : array-like of shape (n,)
        Their labels; column numbers where the models are plain nets.
    original, retrained : str
        Names among `models`: of the one whose loss is to be reached, and of the one to divide
        by (which may be missing).
    lr : sequence of float, default=(0.1, 1.0)
        Learning rates in units of the net's own.
    tolerance : float, default=0.1
        The original's mean loss is reached within this share of the way from it to the loss of
        chance, ln C.
    max_epochs : int, default=20
        Passes over the forget set before giving up.
    random_state : int, default=0
        Of the order of rows.

    Returns
    -------
    times : pandas.DataFrame
        Index (model, lr); columns "steps" (batches; infinity when the loss was not reached),
        "loss before", "loss to reach", and "ratio" to the retrained model's steps (nearer to 1
        is better).

    Raises
    ------
    TypeError
        When a model is no skorch net.
    ValueError
        When the original is missing or labels do not fit.

    References
    ----------
    Golatkar, Achille and Soatto (2020), "Forgetting outside the box: scrubbing deep networks of
    information accessible from input-output observations", https://arxiv.org/abs/2003.02960

    Examples
    --------
    >>> import torch
    >>> from skorch import NeuralNetClassifier
    >>> from skunlearn import RetrainUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.evaluation import relearn_time
    >>> from skunlearn.nets import DigitsNet
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = NeuralNetClassifier(
    ...     DigitsNet, criterion=torch.nn.CrossEntropyLoss, lr=0.1, max_epochs=5, train_split=None
    ... )
    >>> unlearner = RetrainUnlearner(net, random_state=0).fit(X[y < 9], y[y < 9])
    >>> models = {"original": unlearner.estimator_}
    >>> unlearner = unlearner.unlearn(indices=range(50))
    >>> models["retrained"] = unlearner.estimator_
    >>> X, y = X[y < 9][:50], y[y < 9][:50]
    >>> relearn_time(models, X, y, lr=[1.0])["steps"].tolist()[0]
    0.0
    """
    import pandas as pd

    check_models(models)
    if original not in models:
        raise ValueError(
            f"models holds no {original!r}, whose loss is to be reached: {sorted(models)}."
        )
    check_scalar(max_epochs, "max_epochs", Integral, min_val=1)
    check_scalar(tolerance, "tolerance", Real, min_val=0)
    lr = [check_scalar(rate, "lr", Real, min_val=0) for rate in np.atleast_1d(lr).tolist()]
    nets, classes = _nets(models)
    y = np.asarray(y_forget)
    encoded = np.searchsorted(classes, y)
    if not np.array_equal(classes[np.minimum(encoded, len(classes) - 1)], y):
        raise ValueError(f"y_forget holds labels that are not among {classes.tolist()}.")
    rows = Rows(X_forget, encoded, np.arange(len(y)))
    followed = rows.sample(_SAMPLE, 0)
    start = {name: _loss(net, followed, classes) for name, net in nets.items()}
    goal = start[original] + tolerance * max(0.0, np.log(len(classes)) - start[original])
    found = {
        (name, rate): _steps(net, rows, followed, classes, goal, rate, max_epochs, random_state)
        for name, net in nets.items()
        for rate in lr
    }
    table = pd.DataFrame(
        {"steps": found, "loss before": {k: start[k[0]] for k in found}, "loss to reach": goal}
    )
    table.index.names = ["model", "lr"]
    if retrained in models:
        base = [found[(retrained, rate)] for _, rate in table.index]
        with np.errstate(divide="ignore", invalid="ignore"):
            table["ratio"] = table["steps"] / np.asarray(base)
    return table


def _nets(models):
    """The nets themselves, and the labels of their columns."""
    nets, classes = {}, None
    for name, model in models.items():
        check_is_fitted(model)
        nets[name] = model_of(model)
        if not skorch_nets.is_net(nets[name]):
            raise TypeError(f"{name!r} is no skorch net, but {type(nets[name]).__name__}.")
        if classes is None or nets[name] is not model:
            own = nets[name] is model
            classes = columns_of(model) if own else model._classes
            need_one_class(classes, "relearn_time", TypeError)
    return nets, np.asarray(classes)


class _Reached(Callback):
    """Count batches until the loss on some rows is low enough, then stop."""

    def __init__(self, rows, classes, goal):
        self.rows, self.classes, self.goal = rows, classes, goal
        self.steps, self.reached = 0, False

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.steps += 1
            if _loss(net, self.rows, self.classes) <= self.goal:
                self.reached = True
                raise StopTraining


def _steps(net, rows, followed, classes, goal, rate, max_epochs, seed):
    if _loss(net, followed, classes) <= goal:
        return 0.0
    with seeded(seed):
        new = skorch_nets.copy_net(net, keep_schedule=False, max_epochs=max_epochs)
        scale_rates(new, rate)
        watch = _Reached(followed, classes, goal)
        train(new, rows, callbacks=[("skunlearn_reached", watch)], shuffle=True)
    return float(watch.steps) if watch.reached else np.inf


def _loss(net, rows, classes):
    return float(observe(net, rows, classes).losses().mean())
