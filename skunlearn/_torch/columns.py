"""Which column of a net's output each label is trained on."""

import numpy as np

from skunlearn._rows.seeding import seeded
from skunlearn._rows.views import Rows
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.parts import net_kinds
from skunlearn._torch.parts.net_kinds import has_labels, is_plain, kind_for, make_criterion
from skunlearn._torch.parts.tasks import Labels

_NO_INDEX = -100  # torch's default of ignore_index, which is no column


def label_columns(net, y, width):
    """The label of each column of an untrained classifier net, up to the last that has one.

    Integer labels are the columns that they name, as in skorch alone, also where some have no
    row: a fold may lack a class, and per-class weights of the criterion are by column. Labels that
    are no columns are numbered in their order.

    Parameters
    ----------
    net : skorch classifier net
    y : ndarray of labels
    width : callable
        ``width()`` gives the number of columns; it is asked only where it matters.

    Returns
    -------
    labels : ndarray of shape (n_columns,)

    Raises
    ------
    ValueError
        When labels are numbered anew while the criterion has settings by column, so that one
        class could get those of another.
    """
    labels = np.unique(y)
    if labels.dtype.kind in "biu":
        if net_kinds.is_binary(net):
            named = labels[0] >= 0 and labels[-1] <= 1
            return np.arange(2).astype(labels.dtype) if named else labels
        if labels[0] >= 0 and (labels[-1] < len(labels) or labels[-1] < width()):
            return np.arange(int(labels[-1]) + 1).astype(labels.dtype)
    if not net_kinds.is_binary(net):
        _refuse_settings(net, labels, width)
    return labels


def columns_of(net):
    """The label of each column of a net that skorch itself has trained: the column's number."""
    labels = np.asarray(net.classes_)
    if getattr(net, "classes", None) is not None or labels.dtype.kind not in "biu":
        return labels
    if labels.min() < 0:
        return labels
    return np.arange(max(int(labels.max()) + 1, 2 if net_kinds.is_binary(net) else 1))


def classes_of(net, y):
    """What `task_of` takes of a net that skorch itself has trained, for targets like `y`."""
    if kind_for(net, y) != "classifier":
        return None
    if is_plain(net):
        # It notes no classes: they go up to the largest label.
        return Labels(y.shape[1]) if has_labels(y) else np.arange(max(int(np.max(y)) + 1, 2))
    return columns_of(net)


def width_of(net, X):
    """Columns of a net's output for rows like those of `X`."""
    out = ask_one(net, X)
    return out.shape[1] if out.ndim > 1 else 1


def ask_one(estimator, X):
    """Raw outputs for the first of some rows, of a net with new weights or in a FrozenEstimator."""
    net = skorch_nets.unwrap(estimator)
    with seeded(0):
        if net is estimator:
            probe = skorch_nets.fresh_net(net, verbose=0, compile=False)
        else:
            probe = skorch_nets.stand_in(net)
        return inference.outputs(probe, Rows(X, None, [0]))


def _refuse_settings(net, labels, width):
    """Raise where the criterion has settings by column and labels are numbered anew."""
    criterion = make_criterion(net)
    ignored = getattr(criterion, "ignore_index", None)
    if ignored is not None and labels.dtype.kind in "iuf" and ignored in labels:
        raise ValueError(
            f"y holds the label {ignored}, which is the criterion's ignore_index: these rows teach "
            "nothing, and there is nothing to forget. Leave them out of X and y."
        )
    settings = {
        "weight": getattr(criterion, "weight", None) is not None,
        "ignore_index": ignored not in (None, _NO_INDEX),
    }
    given = [f"{name}=" for name, is_given in settings.items() if is_given]
    if not given or np.array_equal(labels, np.arange(len(labels)).astype(labels.dtype)):
        return
    # Of names there is one order, as long as every column has one.
    if labels.dtype.kind not in "biufc" and len(labels) == width():
        return
    shown = ", ".join(map(repr, labels[:5].tolist())) + (", ..." if len(labels) > 5 else "")
    raise ValueError(
        f"The criterion has {' and '.join(given)} by column, but the labels {shown} are no columns "
        "of the net's output and would be numbered in their order, so that a class could get what "
        "is meant for another. Tell the net the label of each column: "
        f"{type(net).__name__}(..., classes=[...])."
    )
