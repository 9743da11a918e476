"""Gives a net that was trained for a short while what a full training settles last."""

import numpy as np
import torch
from scipy.optimize import brentq
from torch import nn

from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import parts
from skunlearn._torch.parts.tasks import Labels

_MOST = 500  # rows that are asked about
_FEWEST = 10
# Of the factor of the logits. Two nets that would have needed more had learnt too little to be as
# sure: with four the loss on unseen rows was half as much again, or the forget rows stood out.
_FARTHEST = np.log(2.0)
_OTHERWISE = 0.02  # share of rows of which two nets that are as good name other classes
_CLOSE = 0.01  # logarithms of factors that change nothing worth a second look
_LEFT = 1e-4  # mass that is left to classes that are gone, at least
_PROBES = 32  # rows by which a layer is tried
_TRIED = 3  # layers, from the last one
_COARSE = 2.0**-6  # of the largest logit, by which rounding to bfloat16 may move others


class Confidence:
    """How sure a net is of rows that it has never seen: the entropy of its outputs.

    It falls with every epoch, long after the accuracy has settled, so that a net of fewer epochs is
    told from a retrained one by it alone. As sure as the original is of unseen rows a retrained net
    is as well, but for the classes that it does not know. A net that is surer already is left: that
    comes of the rows or of the class that goes, not of the epochs, and on a small table such nets
    ended three times as far from retrained ones. Nor does one become so sure that its loss on
    unseen rows is larger than the original's, as it may that has learnt less.

    Parameters
    ----------
    net : skorch net, as it was before the request
    rows : Rows
        That it has never seen, of classes that stay.
    classes : ndarray or Labels
    gone : array of int
        Encoded classes that are forgotten.
    trained : bool, default=False
        Whether these are rows of the training, retained ones: a retrained net is as sure of them as
        the original is. Of those that one net knows by heart and the other does not nothing can be
        said, so that those alone count which both name rightly.
    """

    def __init__(self, net, rows, classes, gone, trained=False):
        self.rows, self.classes, self.trained = rows.sample(_MOST, 0), classes, trained
        self.stay = slice(None)
        if not isinstance(classes, Labels):
            self.stay = np.setdiff1d(np.arange(len(classes)), gone)
        enough = len(self.rows) >= _FEWEST and not (len(gone) and len(self.stay) < 2)
        said = said_of(net, self.rows, classes) if enough else None
        self.target, self.said = None if said is None else self._entropies(said), said
        asked = said is not None and not trained and not isinstance(classes, Labels)
        self.loss = self._loss(said) if asked else None

    def agrees(self, net):
        """Whether of all but a few of the rows `net` names the class that the original does."""
        if self.said is None:
            return False
        both = self.said, said_of(net, self.rows, self.classes)
        others = np.not_equal(*(said[:, self.stay].argmax(axis=1) for said in both))
        return bool(others.sum() <= 1 + _OTHERWISE * len(others))

    def match(self, net):
        """Scale up the logits of `net`, in place, until it is as sure as the original was.

        Returns
        -------
        factor : float or None
            Of the logits; None where nothing was done.
        """
        if self.target is None:
            return None
        said = said_of(net, self.rows, self.classes)
        counted = slice(None)
        if self.trained:
            counted = np.flatnonzero(self._is_right(self.said) & self._is_right(said))
            if len(counted) < _FEWEST:
                return None
        found = self._log_factor(said[counted], self.target[counted])
        if found < _CLOSE:
            return None
        factor, some = float(np.exp(found)), np.arange(min(_PROBES, len(said)))

        def scale(layer):
            for p in (layer.weight, layer.bias):
                if p is not None:
                    p.mul_(factor)

        said, probes = said[some], self.rows.take(some)
        done = change_last(net, scale, probes, said, factor * said, self.classes)
        return factor if done else None

    def _is_right(self, said):
        return said[:, self.stay].argmax(axis=1) == np.searchsorted(self.stay, self.rows.y)

    def _log_factor(self, said, target):
        """Logarithm of the factor; no farther from 0 than the rows show beyond chance."""

        def beyond(log_factor):
            found = self._entropies(np.exp(log_factor) * said) - target
            return found.mean() - found.std(ddof=1) / np.sqrt(len(found))

        # The entropy falls as the factor grows.
        if not np.isfinite(beyond(_FARTHEST)) or beyond(0.0) <= 0:
            return 0.0
        found = _FARTHEST if beyond(_FARTHEST) >= 0 else brentq(beyond, 0.0, _FARTHEST)
        if self.loss is None:
            return found

        def worse(log_factor):
            return self._loss(np.exp(log_factor) * said) - self.loss

        # A loss is convex in the factor: as large as the original's it becomes once.
        if worse(found) <= 0:
            return found
        return 0.0 if worse(0.0) >= 0 else brentq(worse, 0.0, found)

    def _loss(self, logits):
        """Mean loss on the rows, whose labels are those of unseen ones."""
        log_p = log_p_of(logits[:, self.stay], self.classes)
        places = np.searchsorted(self.stay, self.rows.y)
        return -log_p[np.arange(len(places)), places].mean()

    def _entropies(self, logits):
        log_p = log_p_of(logits[:, self.stay], self.classes)
        found = -(np.exp(log_p) * log_p).sum(axis=-1)
        return found.mean(axis=1) if found.ndim > 1 else found


def silence(net, forget, retain, classes):
    """Lower the logits of classes that are gone, where the training has not done so yet.

    No retained row has them, so that a training lowers them for as long as it lasts: 60 epochs left
    a class of wines 1e-5 of the mass of its own rows, 20 epochs 1e-2. Some is left to them by the
    longest one where labels are smoothed, as to any class, of all rows: to the rows of classes that
    are gone no less than to retained ones.

    Parameters
    ----------
    net : skorch net, changed in place
    forget : Rows
        Of these classes, all that are there.
    retain : Rows
    classes : ndarray

    Returns
    -------
    lowered : float or None
        How far; None where nothing was done.
    named : float
        Share of the rows to forget that was named rightly before.
    """
    rows, gone = forget.sample(_MOST, 0), np.unique(forget.y)
    said = said_of(net, rows, classes)
    named = float((said.argmax(axis=1) == rows.y).mean())
    others = said_of(net, retain.sample(_MOST, 0), classes)
    least = max(_LEFT, float(np.median(_mass(others, gone, classes))))

    def left(shift):
        lower = said.copy()
        lower[:, gone] -= shift
        return _mass(lower, gone, classes).mean() - least

    farthest = 50.0
    if not np.isfinite(left(0.0)) or left(0.0) <= 0 or left(farthest) > 0:
        return None, named
    shift = float(brentq(left, 0.0, farthest))
    some = np.arange(min(_PROBES, len(rows)))
    said, probes = said[some], rows.take(some)
    expected = said.copy()
    expected[:, gone] -= shift

    def lower(layer):
        if layer.bias is not None and len(layer.bias) >= len(classes):
            layer.bias[torch.as_tensor(gone)] -= shift

    done = change_last(net, lower, probes, said, expected, classes)
    return shift if done else None, named


def _mass(logits, gone, classes):
    """Mass of the classes `gone`, of each row."""
    return np.exp(log_p_of(logits, classes))[:, gone].sum(axis=1)


@torch.no_grad()
def change_last(net, change, probes, said, expected, classes):
    """Change the layer that makes the logits, if there is one; whether there is.

    Which one it is the logits show: those of `probes`, now as `said`, are to be as `expected`
    afterwards, up to what no probability depends on.
    """
    coarse = _COARSE * np.abs(expected).max() if _is_rounded(said) else 0.0
    before, expected = log_p_of(said, classes), log_p_of(expected, classes)
    for layer in last_layers(net):
        own = [p for p in (layer.weight, layer.bias) if p is not None]
        kept = [p.clone() for p in own]
        change(layer)
        found = log_p_of(said_of(net, probes, classes), classes)
        if np.allclose(found, expected, rtol=1e-3, atol=1e-3 + coarse) and (
            # What is no more than rounding does not show whether a layer is the one.
            not coarse or _mean_distance(found, expected) < _mean_distance(before, expected) / 4
        ):
            return True
        for p, value in zip(own, kept, strict=True):
            p.copy_(value)
    return False


def _is_rounded(said):
    """Whether outputs are numbers of 8 bits, as of modules under autocast."""
    return bool((torch.as_tensor(said).bfloat16().double().numpy() == said).all())


def _mean_distance(a, b):
    return np.abs(a - b).mean()


def said_of(net, rows, classes):
    """Logits of `rows`, in double precision."""
    return observe(net, rows, classes).logits.astype(np.float64)


def log_p_of(logits, classes):
    """Log-probabilities of the outcomes, along the last axis."""
    if isinstance(classes, Labels):
        logits = np.stack([np.zeros_like(logits), logits], axis=-1)
    return torch.log_softmax(torch.as_tensor(logits), dim=-1).numpy()


def last_layers(net):
    """Layers that may make the logits, from the last one that learns."""
    kinds = nn.Linear | nn.Conv1d | nn.Conv2d
    layers = [
        layer
        for _, part in parts(net)
        for layer in part.modules()
        if isinstance(layer, kinds)
        and isinstance(layer.weight, nn.Parameter)
        and all(p is None or p.requires_grad for p in (layer.weight, layer.bias))
    ]
    return layers[: -_TRIED - 1 : -1]
