"""Rows as they are, for measuring: without the random augmentation that training reads."""

import numpy as np
import torch
from torch.utils.data import Subset

from skunlearn._rows.checking import warn
from skunlearn._rows.containers import is_dataset, is_mapping, n_rows, shares_memory, take
from skunlearn._rows.items import ItemSample, pick_spread
from skunlearn._rows.leave_out import leave_out
from skunlearn._rows.views import Rows
from skunlearn._torch.batches.net_rows import has_plain_dataset
from skunlearn._torch.batches.training_batch import label_of
from skunlearn._torch.skorch_nets import is_net
from skunlearn._unlearning.validation import check_dataset
from skunlearn.exceptions import AugmentedRowsWarning

_FEW = 64  # rows of an array of which a net's own class of data sets is made to be looked at


class PlainRows:
    """How rows are read to be measured.

    Parameters
    ----------
    source : what ``fit`` was given; None when it is not at hand
    dataset : torch Dataset of the same rows without augmentation, or None
    transform : callable that is left out, or None
    net : skorch net whose class of data sets augments arrays, or None

    Without `dataset` and `transform` rows are read through the augmentation: they are noisy.
    """

    def __init__(self, source=None, *, dataset=None, transform=None, net=None):
        self.source, self.dataset, self.transform, self.net = source, dataset, transform, net

    @property
    def noisy(self):
        """Whether nobody has said how to read rows without the augmentation."""
        return self.dataset is None and self.transform is None

    def container(self, X):
        """`X`, or a Dataset of its rows as they are."""
        if self.transform is not None:
            holder = X if is_dataset(X) else self.net.get_dataset(X, None)
            plain = leave_out(holder, self.transform)
            return X if plain is None else plain
        if self.dataset is None or self.source is None:
            return X
        if is_dataset(X):
            return self._part(X)
        return self.dataset if len(self.dataset) == n_rows(X) and self._is_source(X) else X

    def rows(self, rows):
        """A view of the same rows as they are."""
        if self.noisy:
            return Rows(rows.source, rows.all_y, rows.index)
        if is_dataset(rows.source) or self.dataset is not None:
            return Rows(self.container(rows.source), rows.all_y, rows.index)
        X, y = rows.arrays()
        return Rows(self.container(X), y, np.arange(len(rows)))

    def among(self, held, source):
        """For `source`, which holds these of the rows in this order."""
        dataset = None if self.dataset is None else Subset(self.dataset, held)
        return PlainRows(source, dataset=dataset, transform=self.transform, net=self.net)

    def without_rows(self):
        """What is left where the rows are not at hand: they were augmented."""
        return PlainRows()

    def _part(self, X):
        if X is self.source:
            return self.dataset
        if type(X) is Subset:
            inner = self._part(X.dataset)
            return X if inner is X.dataset else Subset(inner, X.indices)
        return X

    def _is_source(self, X):
        return not is_dataset(self.source) and shares_memory(self.source, X)


def look_at(X, y, net, measure_on, retained=None):
    """What training reads of some rows, and how they are read for measuring.

    Parameters
    ----------
    X : container of rows
    y : ndarray of shape (n,), targets as the user gave them
    net : skorch net or any other estimator
    measure_on : see `BaseUnlearner.fit`
    retained : ndarray of int, or None
        Rows that may be read; all when None.

    Returns
    -------
    sample : ItemSample, or None where rows are no items
    reader : PlainRows, or None where nothing is random
    """
    name, rows = "measure_on", np.arange(len(y)) if retained is None else retained
    items = _read_items(X, y, net, rows)
    sample = None if items is None else ItemSample.of(*items)
    own = sample if is_dataset(X) else None
    if measure_on is None:
        if sample is None or not sample.is_random:
            return own, None
        warn(
            "A training row that is read twice differs: X is augmented at random. What is measured "
            "on training rows (in the log, by warnings, guards, attacks and scores) is then not "
            "what the model says of them as they are, and an attack on them without a retrained "
            f"reference is refused. Pass {name}= to fit: a Dataset of the same rows without the "
            "augmentation, or the transform to leave out.",
            AugmentedRowsWarning,
        )
        return own, PlainRows(X)
    if is_dataset(measure_on):
        check_dataset(measure_on, name)
        if len(measure_on) != len(y):
            raise ValueError(
                f"{name} has {len(measure_on)} rows, but X has {len(y)}: it must hold the same "
                "rows in the same order, without the augmentation."
            )
        _check_labels(X, y, measure_on, rows)
        reader, plain = PlainRows(X, dataset=measure_on), (measure_on, rows)
    elif callable(measure_on):
        if items is None:
            raise TypeError(
                f"{name} names a transform to leave out, but X is no Dataset and the net has no "
                "dataset= of its own: nothing is augmented, and rows are measured as they are."
            )
        plain = leave_out(items[0], measure_on), items[1]
        if plain[0] is None:
            raise ValueError(
                f"{name}, {measure_on!r}, was not found in {type(items[0]).__name__}. Pass the "
                "very object that it applies, or a Dataset of the same rows without augmentation."
            )
        reader = PlainRows(X, transform=measure_on, net=_drop_weights(net))
        _check_kind(items[0], *plain, name)
    else:
        raise TypeError(
            f"{name} must be a torch Dataset or a transform to leave out, got "
            f"{type(measure_on).__name__}."
        )
    if ItemSample.of(*plain).is_random:
        raise ValueError(
            f"A row of {name} that is read twice still differs. Leave out every transform that "
            "draws at random (in one Compose, say), or pass a Dataset without them."
        )
    return own, reader


def _read_items(X, y, net, rows):
    """The Dataset of which training reads items, and their positions; None where it has none."""
    if is_dataset(X):
        return X, rows
    if not is_net(net) or has_plain_dataset(net):
        return None
    some = rows[:_FEW]
    codes = np.unique(y, return_inverse=True)[1] if y.dtype.kind in "OSU" else y
    return net.get_dataset(take(X, some), codes[some]), np.arange(len(some))


def _drop_weights(net):
    """A net that can make data sets, and nothing else."""
    if not is_net(net):
        return None
    new = object.__new__(type(net))
    weights = ("module", "criterion", "optimizer")
    kept = {k: v for k, v in vars(net).items() if not k.endswith("_") and k not in weights}
    vars(new).update(kept)
    return new


def _check_labels(X, y, measure_on, rows):
    for i in pick_spread(rows).tolist():
        ours = _label(X[i]) if is_dataset(X) else y[i]
        theirs = _label(measure_on[i])
        if ours is None or theirs is None:
            continue
        if np.shape(ours) == np.shape(theirs) and np.any(ours != theirs):
            raise ValueError(
                f"Row {i} of measure_on has the label {theirs}, and in X it has {ours}: it must "
                "hold the same rows in the same order."
            )


def _label(item):
    if not is_mapping(item) and (not isinstance(item, tuple | list) or len(item) < 2):
        return None
    label = label_of(item)
    label = np.asarray(label.detach().cpu() if isinstance(label, torch.Tensor) else label)
    return label[()] if label.dtype.kind in "biufSU" else None


def _check_kind(items, plain, rows, name):
    pairs = [data[int(rows[0])] for data in (items, plain)]
    pairs = [item[0] if isinstance(item, tuple | list) else item for item in pairs]
    kinds = [type(value) for value in pairs]
    tensors = [issubclass(kind, torch.Tensor | np.ndarray) for kind in kinds]
    if tensors[0] and not tensors[1]:
        raise ValueError(
            f"Without {name} a row is of the kind {kinds[1].__name__}, where the net takes "
            f"{kinds[0].__name__}: leave out the random part alone, not what turns rows into "
            "tensors."
        )
