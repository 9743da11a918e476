"""One shadow model: trained, made to forget if it can, asked about every row."""

import threading
from contextlib import nullcontext

import numpy as np
from sklearn.base import clone

from skunlearn._recipe import training
from skunlearn._torch import skorch_nets
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import Labels
from skunlearn._unlearning.fitted import Fitted
from skunlearn._unlearning.removal import Removal
from skunlearn._unlearning.row_reader import RowReader
from skunlearn.base import BaseUnlearner
from skunlearn.metrics._logits import margin

# Torch has one generator for all threads: nets of one process are trained in turn.
_TURN = threading.Lock()


def train_one(store, i, estimator, members, requested, task, seed, keeps):
    """Train one model, make it forget if it can, and return or store its margins.

    And, if it `keeps` them, its outputs, else None in their place.
    """
    with _TURN if skorch_nets.is_net(getattr(estimator, "estimator", estimator)) else nullcontext():
        return _train_in_turn(store, i, estimator, members, requested, task, seed, keeps)


def _train_in_turn(store, i, estimator, members, requested, task, seed, keeps):
    everything, population, classes = task
    rows = everything.take(members)
    if isinstance(estimator, BaseUnlearner):
        model = _train_and_forget(estimator, everything, members, requested, classes, seed)
    else:
        model = training.train(estimator, rows, classes, seed)
    found, outputs = [], None
    for view in (everything, population):
        if view is not None:
            seen = observe(model, view, classes)
            if seen.logits is None:
                raise ValueError(f"{type(model).__name__} gives no probabilities to attack.")
            found.append(margin(seen.logits, seen.y))
        if keeps and view is everything:
            outputs = seen.logits.astype(np.float32)
    found = np.concatenate(found).astype(np.float32)
    if store is None:
        return i, (found, outputs)
    store.put(i, found, outputs)
    return i, None


def _train_and_forget(unlearner, everything, members, requested, classes, seed):
    worker = clone(unlearner).set_params(memory=None, verbose=0)
    worker._check_parameters()
    if isinstance(classes, Labels):
        seen = RowReader.of(np.arange(len(classes)), classes, len(classes))
    else:
        seen = RowReader.of(classes[np.unique(everything.all_y)], classes)
    worker._fitted = Fitted(seed, None, seen)
    worker._change(model=worker._train(everything.take(members)))
    retain = members[~np.isin(members, requested)]
    if not len(retain):
        raise ValueError(
            "nothing is left to retain: every row is a candidate. Mark the forgotten rows and "
            "unseen ones to compare with as fit's candidates."
        )
    removal = Removal(requested, everything.take(requested), everything.take(retain))
    return worker._renew_model(removal)[0]
