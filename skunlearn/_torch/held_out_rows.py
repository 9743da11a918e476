"""Rows that a net's own train_split holds out of a training.

They steer early stopping and thresholds, so that the net has seen them: the record counts them as
training rows. Each training holds rows out of those that are left, as skorch would, and fewer of
them where the rows are too few for that: small shards are nobody's choice.
"""

import copy
import warnings
from contextlib import contextmanager, suppress

import numpy as np
from sklearn.model_selection import KFold, ShuffleSplit, StratifiedKFold, StratifiedShuffleSplit
from sklearn.pipeline import Pipeline
from skorch import NeuralNet
from skorch.dataset import Dataset, ValidSplit
from skorch.helper import predefined_split
from torch.utils.data import Subset

from skunlearn._rows import checking
from skunlearn._rows.seeding import seeded
from skunlearn._torch.batches.net_rows import make_dataset
from skunlearn._torch.skorch_nets import own_split

_CV = KFold | StratifiedKFold | ShuffleSplit | StratifiedShuffleSplit


def count(estimator, rows):
    """How many of `rows` a training of `estimator` on them holds out; None where it never does."""
    net = find_holding(estimator)
    return None if net is None else len(rows) - len(_parts(net, rows)[0])


def find_holding(estimator):
    """The net, in a pipeline or not, whose training holds rows out; None where none does."""
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    holds = isinstance(estimator, NeuralNet) and own_split(estimator) is not None
    return estimator if holds else None


def write_split(net):
    """A split of skorch's in words, by which another is known; None of other kinds, or of none."""
    split = getattr(net, "train_split", None)
    if type(split) is not ValidSplit or not isinstance(split.cv, int | float | _CV):
        return None
    return repr((split.cv, split.stratified, split.random_state))


def find_never_trained(net, rows, known=None):
    """Positions of the rows that a training of `net` on `rows` holds out, among those `known`.

    None where there are none, or where nobody can say: where splits are drawn at random, or are
    another kind than skorch's own.

    Parameters
    ----------
    net : skorch net with a train_split of its own
    rows : Rows with positions
    known : ndarray of int, or None for all
    """
    kept = []
    if write_split(net) is None:
        return None
    for seed in (0, 1):
        with seeded(seed), suppress(ValueError):  # which the training has told, or will
            kept.append(_parts(net, rows)[0])
    if len(kept) < 2 or not np.array_equal(*kept):
        return None
    held = np.delete(rows.positions, kept[0])
    held = held if known is None else held[np.isin(held, known)]
    return held if len(held) else None


def check_given(net, rows):
    """Refuse a split of skorch's that does not fit the rows of ``fit``, as skorch does.

    These are the user's choice, while requests and shards decide which rows a training is left.
    """
    if type(net.train_split) is ValidSplit:
        try:
            _split(net.train_split, Dataset(np.arange(len(rows)), rows.y), rows.y)
        except ValueError as error:
            _refuse(net, rows, error)


@contextmanager
def holding_out(net, recipe, rows):
    """Yield the rows to train `net` on; those that `recipe` holds out are its validation rows.

    The net's own parameter is None outside of the block; see `restore_split`.
    """
    if own_split(recipe) is None:
        yield rows
        return
    kept, valid = _parts(recipe, rows)
    if valid is None and len(rows) == 1:
        valid = kept  # callbacks that wait for a validation have one
        checking.warn(
            "A training on a single row can hold none out: it is validated on that row itself.",
            UserWarning,
        )
    if isinstance(valid, np.ndarray):
        valid = make_dataset(net, rows.take(valid)) if len(valid) else None
    before = net.train_split
    net.train_split = None if valid is None else predefined_split(valid)
    try:
        yield rows.take(kept)
    finally:
        net.train_split = before


def _parts(net, rows):
    """Numbers of the rows to train on, and of those held out, or a data set of others."""
    numbers = Dataset(np.arange(len(rows)), rows.y)
    try:
        train, valid = _split(net.train_split, numbers, rows.y)
    except ValueError as error:
        for smaller in _smaller(net.train_split, rows.y):
            with suppress(ValueError):
                train, valid = _split(smaller, numbers, rows.y)
                break
        else:
            _refuse(net, rows, error)
    kept = _numbers_of(train, numbers)
    if kept is None or len(kept) == 0:
        raise ValueError(
            f"train_split={net.train_split!r} must return the data set that it is given, or a "
            "torch.utils.data.Subset of it, to train on."
        )
    held = None if valid is None else _numbers_of(valid, numbers)
    return kept, valid if held is None else held


def _split(split, numbers, y):
    with warnings.catch_warnings():
        # That a class has fewer rows than there are folds is nothing to be done about here.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        return split(numbers, y=y)


def _smaller(split, y):
    """Splits in the manner of skorch's own for rows that are too few for it, the likest first."""
    cv = getattr(split, "cv", None)
    if type(split) is not ValidSplit or not (cv is None or isinstance(cv, int | float | _CV)):
        return
    stratified = split.stratified or isinstance(cv, StratifiedKFold | StratifiedShuffleSplit)
    if stratified and (y.ndim != 1 or y.dtype.kind == "f"):
        return  # of such targets no rows are enough
    folds = getattr(cv, "n_splits", cv)
    if isinstance(cv, KFold | StratifiedKFold | int):
        for n in range(min(folds - 1, len(y)), 1, -1):
            fewer = n
            if not isinstance(cv, int):
                fewer = copy.copy(cv)
                fewer.n_splits = n
            yield ValidSplit(fewer, stratified=split.stratified)
    if len(y) > 1:
        yield ValidSplit(min(5, len(y)))
    else:
        yield lambda numbers, y: (numbers, None)


def _refuse(net, rows, error):
    raise ValueError(
        f"train_split={net.train_split!r} cannot hold rows out of the {len(rows)} that the net "
        f"would be trained on: {error} Pass train_split=None, or "
        "skorch.helper.predefined_split(valid_dataset) with rows of its own."
    ) from error


def _numbers_of(part, whole):
    """Positions of a Subset in the data set, or None where it is of another one."""
    if part is whole:
        return np.arange(len(whole))
    if isinstance(part, Subset):
        inner = _numbers_of(part.dataset, whole)
        return None if inner is None else inner[np.asarray(part.indices, dtype=np.intp)]
    return None
