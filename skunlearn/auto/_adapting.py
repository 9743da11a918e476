"""Shrinks a net in the middle of its training for as long as it knows the forget rows."""

import numpy as np
from skorch.callbacks import Callback

from skunlearn.auto._judge import NAMED, excess, known, strongest
from skunlearn.auto._renewing import shrink_evenly
from skunlearn.callbacks import LinearDecay

_UNTIL = 0.2  # share of the epochs after which the rest is left to settle
_LOOKS = 3  # at most, at the net
_FEWEST = 3  # epochs, of which the first may end with a look
# Share of the old weights below which hardly anything is left: of a class sooner than of single
# rows, of which wide layers keep more.
LEAST = {"class": 0.22, "rows": 0.12}
# Shares of the run in which the rates fall: of shrunk weights, and of those that are hardly so.
_FALLING = 0.3, 1.0
_SHRUNK = 0.5, 0.9  # shares of the old weights


class LateDecay(LinearDecay):
    """Learning rates that fall to zero at the end of a run only, the more so the less is kept.

    In few epochs what was shrunk is trained back farther than under rates that fall from the
    beginning: on a net for texts that was 3 points of accuracy. What was hardly shrunk has nothing
    to be trained back, and is fine-tuned, under rates as there.

    Parameters
    ----------
    shares : list of float
        Of the old weights, after each shrinking so far.
    """

    def __init__(self, shares):
        super().__init__()
        self.shares = shares

    def share_at(self, step, n_steps):
        """The rate of a step, as a share of the rate to start from."""
        falling = np.interp(self.shares[-1], _SHRUNK, _FALLING)
        return min(1.0, (1 - step / n_steps) / falling)


class Adapting(Callback):
    """Look at the net after some epochs, and shrink it again where it knows too much.

    Parameters
    ----------
    judge : Judge
    new : skorch net
        That the weights are drawn towards: the reference, which has hardly been trained.
    share : float
        Share of the old weights at the beginning.
    margin : float
        Excess over the reference that is no reason to shrink.
    least : float
        Share of the old weights that is left at least.
    kept : float
        Of what is left then, what is kept at least at a look.
    sparse : set of str
        See `find_sparse`.

    Attributes
    ----------
    shares_ : list of float
        Of the old weights, after each shrinking.
    seen_ : list of dict
        What was found at each look: "epochs" done, "share" of the old weights then, and the largest
        "distance" to the reference, with its sign.
    """

    def __init__(self, judge, new, share, margin, least, kept, sparse=frozenset()):
        self.judge, self.new, self.margin, self._sparse = judge, new, margin, sparse
        self.least, self.kept = least, kept
        self.shares_, self.seen_ = [share], []

    def on_train_begin(self, net, **kwargs):
        """Choose when to look."""
        n = net.max_epochs
        last = max(1, int(_UNTIL * n))
        looks = np.linspace(max(1, last / _LOOKS), last, min(_LOOKS, last))
        # What is shrunk at the end of one epoch, or in the middle of two, stays untrained.
        self.looks_ = set(np.ceil(looks).astype(int).tolist()) if n >= _FEWEST else set()
        self.epoch_ = 0

    def on_epoch_end(self, net, **kwargs):
        """Look, and shrink."""
        self.epoch_ += 1
        if self.epoch_ not in self.looks_ or self.shares_[-1] <= 1.01 * self.least:
            return
        seen = self.judge.look(net)
        differences = self.judge.differences(seen)
        if NAMED in differences and self.shares_[-1] > _SHRUNK[0]:
            # What is left of a name goes on falling as it has begun to.
            left = max(0.0, differences[NAMED])
            differences[NAMED] = left ** (net.max_epochs / self.epoch_)
        found = round(float(strongest(differences)[1]), 4)
        done = {"epochs": self.epoch_, "share": round(self.shares_[-1], 4), "distance": found}
        self.seen_.append(done)
        doubt = self.judge.error(seen, "entropy") if "entropy" in differences else 0.0
        differences = known(differences, doubt)
        too_much = excess(differences)
        if too_much > max(self.margin, self._chance(seen, strongest(differences)[0])):
            least = self.least / self.shares_[-1]
            factor = np.sqrt(self.margin / too_much)
            factor = max(least, float(np.clip(factor, self.kept, max(self.kept, 0.8))))
            shrink_evenly(net, self.new, factor, self._sparse)
            for name in net._optimizers:  # momentum belongs to where the weights were
                getattr(net, name + "_").state.clear()
            self.shares_.append(self.shares_[-1] * factor)

    def _chance(self, seen, name):
        """What chance alone would show: of few rows often more than a standard error."""
        error = self.judge.error(seen, name)
        return error if name == NAMED else error + max(0.0, error - 2 * self.margin)
