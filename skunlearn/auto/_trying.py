"""Whether what a net knows holds for rows like its own, where there are no unseen rows to ask."""

import numpy as np

from skunlearn._torch.loop.fit_loop import train
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import set_weights, weights
from skunlearn._torch.parts.tasks import task_of
from skunlearn.finetuning._shrinking import shrink

TRIED = 0.5  # share of the old weights
# Score of withheld rows that is lost then: up to which what the net knows holds for any row, and
# from which it was known by heart. It was 0.00-0.08 on eleven nets that named unseen rows as well
# as their own or nearly so, and 0.19-0.40 on six that knew wrong labels.
_LOST = 0.05, 0.18
# Share that is kept of what holds for any row; and where more of the forget rows is lost than of
# others, between which excesses.
_GENTLE, _HARD, _HARDER = 0.7, TRIED, (0.1, 0.3)
_WITHHELD, _MOST = 0.2, 1000  # share and number of the retained rows
_FEWEST = 10  # rows of which a score says something


class Trial:
    """A few epochs on half of the old weights, which bring back what holds for any row.

    What was known by heart of single rows goes. So the net knows retained rows that are withheld
    from these epochs about as well after them as rows that it has never seen.

    Parameters
    ----------
    net : skorch net
        Trained in place.
    new : skorch net of untrained weights
    retain, forget : Rows
    classes : see `task_of`
    epochs : int
    seed : int

    Attributes
    ----------
    scores : list of float
        Of the withheld rows, before and after.
    hard : float or None
        Share of the forget rows that is named rightly before and not after.
    """

    def __init__(self, net, new, retain, forget, classes, epochs, seed):
        self.net, self.new, self.epochs = net, new, epochs
        self._original = weights(net)
        order = np.random.default_rng(seed).permutation(len(retain))
        n = min(_MOST, round(_WITHHELD * len(retain)))
        held, rest = (retain.take(np.sort(part)) for part in (order[:n], order[n:]))
        asked = held, forget.sample(_MOST, seed)
        self._enough = n >= _FEWEST

        def ask():
            return [observe(net, rows, classes) if len(rows) else None for rows in asked]

        before = ask()
        shrink(net, new, TRIED)
        train(net, rest, epochs=epochs, shuffle=True)
        after = ask()
        self.scores = [said.score() if self._enough else None for said, _ in (before, after)]
        self.hard = None
        if task_of(classes).has_one_class:
            named = [said.predicted == said.y for _, said in (before, after)]
            self.hard = float((named[0] & ~named[1]).mean())

    def choose(self, by_heart):
        """Share to keep of the old weights: `by_heart`, or more where they hold for any row."""
        if None in self.scores or not np.isfinite(self.scores).all():
            return by_heart
        lost = self.scores[0] - self.scores[1]
        gentle = _GENTLE
        if self.hard is not None:  # of whole classes all are
            gentle = np.interp(self.hard - max(0.0, lost), _HARDER, (_GENTLE, _HARD))
        holds = 1 - np.interp(lost, _LOST, (0, 1))
        return float(by_heart + holds * max(0.0, gentle - by_heart))

    def leave(self, share):
        """Shrink the net to `share` of the old weights: from where it is, if it may hold less."""
        net = self.net
        for name in net._optimizers:  # momentum belongs to where the weights were
            getattr(net, name + "_").state.clear()
        net.initialize_history()  # the request's epochs are those that follow
        if share <= TRIED:
            shrink(net, self.new, share / TRIED)
            return
        set_weights(net, self._original)
        shrink(net, self.new, share)

    def describe(self):
        """For the log."""
        rounded = [None if v is None else round(float(v), 4) for v in (*self.scores, self.hard)]
        return {"epochs": self.epochs, "score": rounded[:2], "hard": rounded[2]}
