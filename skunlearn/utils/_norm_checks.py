"""Checks of nets with running statistics of normalisation."""

from contextlib import contextmanager

import numpy as np
import torch
from sklearn.base import clone

from skunlearn._rows.seeding import seeded
from skunlearn._torch.loop.norms import NORMS
from skunlearn._torch.skorch_nets import is_net
from skunlearn.utils._check_tools import FORGET, is_classifier, prepare, quietly

_REVIVED = 0.1  # share of a class's rows that other running statistics may bring back
_APART = 0.2  # mean distance to the statistics of kept rows, in standard deviations


def has_running_statistics(estimator):
    """Whether a net has layers of the kind."""
    if not is_net(estimator):
        return False
    with seeded(0):
        module = clone(estimator).initialize().module_
    return any(isinstance(m, NORMS) and m.track_running_stats for m in module.modules())


@quietly
def check_running_statistics(estimator):
    """Running statistics are those of the kept rows; taking them anew brings no class back."""
    new, X, y = prepare(estimator)
    forget = np.flatnonzero(y == 1) if is_classifier(new) else FORGET
    new.fit(X, y).unlearn(indices=forget)
    net = new.estimator_
    if not is_net(net):
        return  # an ensemble, say, of models that were trained anew
    kept = np.delete(X, forget, axis=0)
    named = _name_classes(new, X[forget])
    with _statistics_of(net, kept) as distances:
        revived = _name_classes(new, X[forget])
    for layer, distance in distances.items():
        assert distance < _APART, (
            f"the running mean of {layer} lies {distance:.2f} standard deviations from that of "
            "the kept rows: it still holds forgotten ones"
        )
    assert revived <= named + _REVIVED, (
        f"the forgotten class is named for {named:.2f} of its rows, and for {revived:.2f} after "
        "running statistics were taken anew from kept rows"
    )


def _name_classes(estimator, X):
    if not is_classifier(estimator):
        return 0.0
    return float(np.mean(estimator.predict(X) == 1))


@contextmanager
def _statistics_of(net, X):
    """Give the net the running statistics of these rows; yields how far its own were from them."""
    net._set_training(True)
    norms = {
        name: m
        for name, m in net.module_.named_modules()
        if isinstance(m, NORMS) and m.running_mean is not None and m.training
    }
    before = {
        name: (m.momentum, m.running_mean.clone(), m.running_var.clone())
        for name, m in norms.items()
    }
    for m in norms.values():
        m.momentum = 1.0  # the batch alone
    dtype = next(net.module_.parameters()).dtype
    with seeded(0), torch.no_grad():
        net.infer(torch.as_tensor(X, dtype=dtype))
    distances = {
        name: float(
            ((m.running_mean - before[name][1]).abs() / (m.running_var + m.eps).sqrt()).mean()
        )
        for name, m in norms.items()
    }
    net._set_training(False)
    try:
        yield distances
    finally:
        for name, m in norms.items():
            m.momentum, mean, var = before[name]
            m.running_mean.copy_(mean)
            m.running_var.copy_(var)
