"""Rows that a net's own train_split holds out of a training.

They steer early stopping and thresholds, so that the net has seen them: the record counts them as
training rows. Each training holds rows out of those that are left, as skorch would.
"""

import warnings
from contextlib import contextmanager

import numpy as np
from sklearn.pipeline import Pipeline
from skorch import NeuralNet
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch.utils.data import Subset

from skunlearn import _skorch
from skunlearn._net_rows import dataset


def own_split(net):
    """The net's train_split where it takes validation rows from those it is given, or None."""
    split = net.train_split
    return None if split is None or _skorch.is_predefined(split) else split


def count(estimator, rows):
    """How many of `rows` a training of `estimator` on them holds out; None where it never does."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    if not isinstance(estimator, NeuralNet) or own_split(estimator) is None:
        return None
    return len(rows) - len(_parts(estimator, rows)[0])


@contextmanager
def holding_out(net, recipe, rows):
    """Yield the rows to train `net` on; those that `recipe` holds out are its validation rows.

    The net's own parameter is None outside of the block; see `restore`.
    """
    if own_split(recipe) is None:
        yield rows
        return
    kept, valid = _parts(recipe, rows)
    if isinstance(valid, np.ndarray):
        valid = dataset(net, rows.take(valid)) if len(valid) else None
    before = net.train_split
    net.train_split = None if valid is None else predefined_split(valid)
    try:
        yield rows.take(kept)
    finally:
        net.train_split = before


def restore(model, recipe):
    """Give a trained net the train_split of its recipe, for trainings to come."""
    if _skorch.is_net(model) and _skorch.is_net(recipe) and own_split(recipe) is not None:
        model.train_split = recipe.train_split
    return model


def _parts(net, rows):
    """Numbers of the rows to train on, and of those held out, or a data set of others."""
    numbers = Dataset(np.arange(len(rows)), rows.y)
    try:
        with warnings.catch_warnings():
            # That a class has fewer rows than there are folds is nothing to be done about here.
            warnings.filterwarnings("ignore", "The least populated class", UserWarning)
            train, valid = net.train_split(numbers, y=rows.y)
    except ValueError as error:
        raise ValueError(
            f"train_split={net.train_split!r} cannot hold rows out of the {len(rows)} that the net "
            f"would be trained on: {error} Pass train_split=None, or "
            "skorch.helper.predefined_split(valid_dataset) with rows of its own."
        ) from error
    kept = _numbers_of(train, numbers)
    if kept is None or len(kept) == 0:
        raise ValueError(
            f"train_split={net.train_split!r} must return the data set that it is given, or a "
            "torch.utils.data.Subset of it, to train on."
        )
    held = None if valid is None else _numbers_of(valid, numbers)
    return kept, valid if held is None else held


def _numbers_of(part, whole):
    """Positions of a Subset in the data set, or None where it is of another one."""
    if part is whole:
        return np.arange(len(whole))
    if isinstance(part, Subset):
        inner = _numbers_of(part.dataset, whole)
        return None if inner is None else inner[np.asarray(part.indices, dtype=np.intp)]
    return None
