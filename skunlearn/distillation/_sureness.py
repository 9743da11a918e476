"""How sure oracles are made to be: as sure as the net is of the same rows, by a temperature."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr
from skorch.callbacks import Callback

from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import task_of
from skunlearn._torch.row_scores import auc

_COLDEST, _HOTTEST = 0.02, 50.0


class Temperature(Callback):
    """One number by which the oracle's logits are divided, kept for all of a training.

    Attributes
    ----------
    value : float or None
        None where outputs are no logits.
    """

    def __init__(self, value):
        self.value = value


class MatchedTemperature(Temperature):
    """At which an attack by entropy does not tell the oracle's answers from the net's.

    Both are asked of the same rows, again after every epoch: a net that goes on training grows
    surer or less sure of rows that it has never seen, and what is taught is to stay like them.

    Parameters
    ----------
    net : skorch net
    rows : Rows
        Which neither was trained on; if `seen`, those that both were.
    said : ndarray of shape (n, n_outputs)
        Logits of the oracle on them.
    classes : see `task_of`
    seen : bool
        Then the net is surer of them than of others, and half of the way is gone, once.
    """

    def __init__(self, net, rows, said, classes, seen):
        self.rows, self.said, self.classes, self.seen = rows, said, classes, seen
        self.look(net)

    def on_train_begin(self, net, **kwargs):
        """Look again: of another try the net has its first weights."""
        if not self.seen:
            self.look(net)

    def on_epoch_end(self, net, **kwargs):
        """Look again."""
        self.on_train_begin(net)

    def look(self, net):
        """Set the value by what the net says now."""
        theirs = entropies(observe(net, self.rows, self.classes).logits, self.classes)
        found = match_sureness(lambda t: entropies(self.said / t, self.classes), theirs)
        self.value = float(np.sqrt(min(1.0, found))) if self.seen else found


def entropies(logits, classes):
    """Of each row's answer in nats; the mean over the labels where a row has several."""
    p = task_of(classes).probabilities(np.asarray(logits, dtype=np.float64))
    if task_of(classes).has_one_class:
        return entr(p).sum(axis=1)
    return (entr(p) + entr(1 - p)).mean(axis=1)


def match_sureness(entropies_at, others):
    """The temperature at which answers are as often surer as less sure than others.

    Parameters
    ----------
    entropies_at : callable
        Entropies at a temperature, with which they grow.
    others : ndarray

    Returns
    -------
    temperature : float
        Between 0.02 and 50.
    """

    def excess(log_t):
        return auc(entropies_at(np.exp(log_t)), others) - 0.5

    bounds = np.log([_COLDEST, _HOTTEST])
    if excess(bounds[0]) >= 0:
        return _COLDEST
    if excess(bounds[1]) <= 0:
        return _HOTTEST
    return float(np.exp(brentq(excess, *bounds, xtol=1e-4)))
