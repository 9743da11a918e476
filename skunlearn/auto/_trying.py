"""Whether what a net knows holds for rows like its own, where there are no unseen rows to ask."""

import numpy as np

from skunlearn._torch.loop.fit_loop import train
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import set_weights, weights
from skunlearn._torch.parts.tasks import task_of
from skunlearn.auto._judge import find_odd
from skunlearn.auto._keeping import most_of_odd
from skunlearn.auto._renewing import shrink_evenly
from skunlearn.metrics._statistics.intervals import delong_covariance

TRIED = 0.5  # share of the old weights
# Score of withheld rows that is lost then: up to which what the net knows holds for any row, and
# from which it was known by heart. It was 0.00-0.08 on eleven nets that named unseen rows as well
# as their own or nearly so, and 0.19-0.40 on six that knew wrong labels.
_LOST = 0.05, 0.18
# The same in how far an attack by losses tells rows of these epochs from the withheld ones, its AUC
# beyond 0.5 and its standard error: 0 on nine nets that may keep 0.7, 0.03 on one, and 0.07 to 0.09
# on faces, of which hardly a withheld one was lost, and 0.22 of an AUC was left.
_TOLD = 0.0, 0.04
# Share that is kept of what holds for any row; of rows that stand out and of whole classes, and of
# rows that stand out and are known all the same.
_GENTLE, _HARD, _KNOWN = 0.7, TRIED, 0.35
_RARE = 0.05  # share of the withheld rows that is known as badly as a row that stands out
_HARDER = 0.1, 0.3  # shares of the forget rows that do: up to which they are like others
# Probability of their labels: up to which they are not known, and from which they are. Of a tenth
# so much was left at a share of a half that faces with wrong labels were told from others.
_LEFT = 0.02, 0.06
_WITHHELD, _MOST = 0.2, 1000  # share and number of the retained rows
FEWEST = 50  # retained rows, of which enough are withheld


class Trial:
    """A few epochs on half of the old weights, which bring back what holds for any row.

    What was known by heart of single rows goes. So the net knows retained rows that are withheld
    from these epochs about as well after them as rows that it has never seen, or less well than
    those of these epochs, where it learns by heart what it names rightly without.

    Parameters
    ----------
    net : skorch net
        Trained in place.
    new : skorch net of untrained weights
    retain, forget : Rows
    classes : ndarray
    epochs : int
    seed : int
    sparse : set of str
        See `find_sparse`.

    Attributes
    ----------
    scores : list of float
        Of the withheld rows, before and after.
    hard : float
        Share of the forget rows that stand out: known worse after than before, and as badly as
        hardly any withheld row, or no longer named.
    told : float
        How far an attack by losses tells rows of these epochs from withheld ones, after: its AUC
        beyond 0.5 and its standard error.
    odd : float
        Share of the forget rows that are known worse after than before, and as badly as hardly any
        withheld row: of rows like these no more than that share by chance.
    left : float
        Mean probability of the labels of rows that stand out, after.
    """

    def __init__(self, net, new, retain, forget, classes, epochs, seed, sparse=frozenset()):
        self.net, self.new, self.epochs, self._sparse = net, new, epochs, sparse
        self._original = weights(net)
        order = np.random.default_rng(seed).permutation(len(retain))
        n = min(_MOST, round(_WITHHELD * len(retain)))
        held, rest = (retain.take(np.sort(part)) for part in (order[:n], order[n:]))
        asked = held, forget.sample(_MOST, seed)
        self.whole = task_of(classes).covers(retain.y, forget.y)
        before, known = (observe(net, rows, classes) for rows in asked)
        shrink_evenly(net, new, TRIED, sparse)
        train(net, rest, epochs=epochs, shuffle=True)
        after, gone = (observe(net, rows, classes) for rows in asked)
        self.scores = [before.score(), after.score()]
        self.told = _tell(observe(net, rest.sample(_MOST, seed), classes), after)
        losses, others = gone.losses(), np.sort(after.losses())
        odd = find_odd(-losses, -others) & (losses > known.losses())
        self.odd = 0.0 if self.whole else round(float(odd.mean()), 4)
        stand_out = len(others) - np.searchsorted(others, losses) < _RARE * len(others)
        stand_out |= (known.predicted == known.y) & (gone.predicted != gone.y)
        stand_out &= losses > known.losses()
        self.hard = round(float(stand_out.mean()), 4)
        self.left = 0.0
        if stand_out.any():
            self.left = round(float(np.exp(-losses[stand_out]).mean()), 4)

    def choose(self, by_heart):
        """Share to keep of the old weights: `by_heart`, or more where they hold for any row."""
        gentle, most = _HARD, 1.0
        if not self.whole:
            hard = np.interp(self.left, _LEFT, (_HARD, _KNOWN))
            gentle = np.interp(self.hard, _HARDER, (_GENTLE, hard))
            most = np.interp(self.hard, _HARDER, (1.0, hard))
            most = min(most, most_of_odd(self.odd))
        holds = 1 - max(
            np.interp(self.scores[0] - self.scores[1], _LOST, (0, 1)),
            np.interp(self.told, _TOLD, (0, 1)),
        )
        return float(min(most, by_heart + holds * max(0.0, gentle - by_heart)))

    def leave(self, share):
        """Shrink the net to `share` of the old weights: from where it is, if it may hold less."""
        net = self.net
        for name in net._optimizers:  # momentum belongs to where the weights were
            getattr(net, name + "_").state.clear()
        net.initialize_history()  # the request's epochs are those that follow
        if share <= TRIED:
            shrink_evenly(net, self.new, share / TRIED, self._sparse)
            return
        set_weights(net, self._original)
        shrink_evenly(net, self.new, share, self._sparse)

    def describe(self):
        """For the log."""
        score = [round(float(found), 4) for found in self.scores]
        seen = {"hard": self.hard, "left": self.left, "told": self.told}
        return {"epochs": self.epochs, "score": score} | seen


def _tell(own, others):
    """How far an attack by losses tells the rows of a training from others, beyond chance."""
    own, others = own.losses(), others.losses()
    if not (np.isfinite(own).all() and np.isfinite(others).all()):
        return 0.0  # the training has diverged, and no attack has anything to go by
    found, cov = delong_covariance(-own[None], -others[None])
    return round(max(0.0, float(found[0] - 0.5 - np.sqrt(max(0.0, np.ravel(cov)[0])))), 4)


def is_ordinary(trial, shares):
    """Whether the rows of a request, by the log, were known no better than others of the kind."""
    return trial["hard"] <= _HARDER[0] and shares[0] > TRIED
