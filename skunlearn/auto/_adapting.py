"""Shrinks a net in the middle of its training for as long as it knows the forget rows."""

import numpy as np
from skorch.callbacks import Callback

from skunlearn.auto._judge import excess, strongest
from skunlearn.finetuning._shrinking import shrink

_UNTIL = 0.4  # share of the epochs after which the rest is left to settle
_LOOKS = 3  # at most, at the net
_LEAST = 0.22  # share of the old weights below which hardly anything is left of single rows


class Adapting(Callback):
    """Look at the net after some epochs, and shrink it again where it knows too much.

    Parameters
    ----------
    judge : Judge
    new : skorch net, untrained
    share : float
        Share of the old weights at the beginning.
    margin : float
        Excess over the reference that is no reason to shrink.

    Attributes
    ----------
    shares_ : list of float
        Of the old weights, after each shrinking.
    seen_ : list of dict
        What was found at each look: "epochs" done, "share" of the old weights then, and the largest
        "distance" to the reference, with its sign.
    """

    def __init__(self, judge, new, share, margin):
        self.judge, self.new, self.margin = judge, new, margin
        self.shares_, self.seen_ = [share], []

    def on_train_begin(self, net, **kwargs):
        """Choose when to look."""
        n = net.max_epochs
        last = max(1, int(_UNTIL * n))
        looks = np.linspace(max(1, last / _LOOKS), last, min(_LOOKS, last))
        self.looks_ = set(np.ceil(looks).astype(int).tolist()) - ({n} if n > 1 else set())
        self.epoch_ = 0

    def on_epoch_end(self, net, **kwargs):
        """Look, and shrink."""
        self.epoch_ += 1
        if self.epoch_ not in self.looks_ or self.shares_[-1] <= 1.01 * _LEAST:
            return
        seen = self.judge.look(net)
        differences = self.judge.differences(seen)
        found = round(float(strongest(differences)[1]), 4)
        done = {"epochs": self.epoch_, "share": round(self.shares_[-1], 4), "distance": found}
        self.seen_.append(done)
        too_much = excess(differences)
        # More than chance alone would show.
        if too_much > max(self.margin, self.judge.error(seen, strongest(differences)[0])):
            least = _LEAST / self.shares_[-1]
            factor = max(least, float(np.clip(np.sqrt(self.margin / too_much), 0.5, 0.8)))
            shrink(net, self.new, factor)
            for name in net._optimizers:  # momentum belongs to where the weights were
                getattr(net, name + "_").state.clear()
            self.shares_.append(self.shares_[-1] * factor)
