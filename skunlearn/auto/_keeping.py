"""How much of the old weights a request begins with."""

import numpy as np

from skunlearn._torch.observation import observe
from skunlearn.auto._judge import NAMED, known

_MOST = 1000  # retained rows that are asked about
# Shares between which it is chosen where what the net knows is known by heart.
_SHARES = {"class": (0.25, 0.3), "rows": (0.22, 0.8)}
_MEMORY = 0.5  # of the target, that may be left
# As much more in regressions: what shrunk weights have left too small no scaling mends at the end.
_OF_VALUES = 2.0
# Of what is left is kept at least so much at a look; of regressions more, as what they have lost no
# scaling mends at the end: on one in thirteen nets a half cost 3.5 points of R².
_KEPT, _KEPT_OF_VALUES, _KEPT_WORTH = 0.5, 0.75, 0.8
# Where what the net knows holds for rows that it has never seen: the share where the budget would
# not bring it back and where it would, and how much has to hold for any of it, and for all.
_WORTH, _WORTH_ENOUGH, _SOME, _ALL = 0.9, 0.7, 0.55, 0.85
# The same of few rows, where unseen ones are named as rightly as the net's own or nearly so: what a
# reference has not learnt yet of a small table is little. Between which differences.
_NEARLY = 0.04, 0.12
_WORTH_RARE = 0.5  # of a few rows that stand out
# Where nobody can see what holds: the share of what may be known by heart; that of nets trained
# for few epochs, which do not even know their own rows; and what few and knowing are. Three epochs
# brought as much back as from 0.9 and 0.8, on a net for CIFAR-10 and on four of five others, and
# 0.01 to 0.04 less of what an AUC shows was left.
_BLIND, _BLIND_WORTH = 0.25, {"class": 0.65, "rows": 0.7}
_BLIND_OF_VALUES = 0.4  # nearer to retrained nets than 0.25 on all of four regressions
_EPOCHS, _KNOWN = (4, 10), (0.9, 0.97)
# Of what such nets know, as much has to hold for unseen rows for the whole of the target to be
# left: of none of it, and of all. On three tables trained for 8 epochs it cost 9 points otherwise.
_AT_RISK = 0.2, 0.5
# What is kept of rows that are unlike others, and shares of the forget rows that are: up to which
# they come of chance, and from which the request is about them. Of rows with wrong labels a share
# of 0.43 left a difference of 0.11 in entropy, 0.2 one of 0.04 and none at all one of 0.03.
OF_ODD, _ODD = 0.12, (0.1, 0.3)
# Errors up to which a difference may be chance, and from which rows are known by heart. Between
# them lay what was seen of 20 faces of which 0.19 of an AUC was left at a share of 0.7.
_SHOWN = 1.0, 2.0
_COMMON = 0.1  # share of requests from which one that stands out as much is nothing to forget


class Keeping:
    """Chooses the share of the old weights that a request begins with.

    Old weights hold what is true of any row and what is true of single rows of the training. The
    less of them is kept the less is known of the latter, and the former has to be learnt anew: in
    most of a long training that is done soon, in a short one it is all that there was.

    Parameters
    ----------
    classes : see `task_of`
    own : callable
        Returns the share of the retained rows that the net named rightly before the request.

    Attributes
    ----------
    kept : float
        Of the old weights that are left at a look, what is kept at least.
    memory : float
        Of the target, that may be left.
    odd : float or None
        Share of the forget rows that are unlike others; None where unseen rows do not tell.
    """

    def __init__(self, classes, own):
        self.classes, self.own, self.odd = classes, own, None
        self.kept = _KEPT_OF_VALUES if classes is None else _KEPT
        self.memory = _MEMORY

    def choose(self, judge, seen, before, accuracy, kind, target, epochs, found=None):
        """The share.

        Parameters
        ----------
        judge : Judge or None
        seen, before : dict or None
            What the judge saw of the net, and the differences to the reference.
        accuracy : float or None
            Of the net on unseen rows; None where there are none.
        kind : {"class", "rows"}
        target : float
        epochs : int
            Of the request.
        found : float or None
            The `rarity` of few rows, before anything is done.
        """
        if judge is None or judge.unseen is None:
            # What holds for rows of other classes is no reason to keep what nobody can see.
            share = self._guess(kind, epochs)
            if found is None:
                return share
            worth = self._find_worth(accuracy, judge.score, len(judge.kept))
            most = _WORTH_RARE if found < _COMMON else _most_worth(epochs)
            return share + worth * max(0.0, most - share)
        most = max(before.keys() - {NAMED}, key=before.get)
        error = judge.error(seen, most)
        holds = self._hold(accuracy, judge.score)
        at_risk = _few(epochs) * _rise(holds, *_AT_RISK)
        self.memory += at_risk * (1 - self.memory)
        doubt = 2 * judge.error(seen, "entropy") if "entropy" in before else 0.0
        ours = known(before, doubt)
        share = share_that_forgets(ours, error, kind, target, self.classes, at_risk)
        worth, surely = _rise(holds, _SOME, _ALL), max(0.0, *ours.values())
        if kind == "rows" and error > target and before[most] < 2 * error:
            # Too few to tell: what unseen rows show of the net says more than these do.
            worth = self._find_worth(accuracy, judge.score, len(judge.kept))
        self.kept += worth * max(0.0, _KEPT_WORTH - self.kept)
        most_worth = _most_worth(epochs)
        if kind == "rows" and self.classes is not None and surely > 0:
            # These are known by heart, whatever holds for others, and the epochs bring it back.
            leaves = np.sqrt(target / (surely + max(0.0, error - target)))
            leaves = np.clip(leaves, _few(epochs) * most_worth, most_worth)
            shown = _rise(surely, *(n * error for n in _SHOWN)) if error else 1.0
            most_worth += shown * (leaves - most_worth)
        share += worth * max(0.0, most_worth - share)
        self.odd = judge.odd(seen)
        return float(min(share, most_of_odd(self.odd)))

    @property
    def is_about_odd(self):
        """Whether the request is about rows that are unlike others, more than not.

        Wrong labels that it knows by heart make a net unsure of unseen rows, which a retrained one
        is not: on tables with such rows it was 2.7 times as far from these as they from each other
        with the old doubt about unseen rows, and 1.3 times with that about retained ones.
        """
        return self.odd is not None and self.odd > np.mean(_ODD)

    def _guess(self, kind, epochs):
        """The share where there is no unseen row."""
        if self.classes is None:
            return _BLIND_OF_VALUES
        few = _few(epochs)
        unsure = 1 - _rise(self.own(), *_KNOWN) if few else 0.0
        return _BLIND + (_BLIND_WORTH[kind] - _BLIND) * few * unsure

    def _find_worth(self, accuracy, theirs, n_unseen):
        """From 0, where what the net knows was known by heart, to 1, where it holds for any row."""
        worth = _rise(self._hold(accuracy, theirs), _SOME, _ALL)
        if self.classes is None or accuracy is None or worth == 1:
            return worth
        chance = np.sqrt(accuracy * (1 - accuracy) / n_unseen)
        return max(worth, 1 - _rise(self.own() - accuracy - chance, *_NEARLY))

    def _hold(self, accuracy, theirs):
        """Of what the net knows of its rows beyond the reference, what it knows of unseen ones."""
        if self.classes is None or accuracy is None or accuracy <= theirs:
            return 0.0
        gained = accuracy - theirs
        return gained / max(self.own() - theirs, gained)


def score_own(net, retain, classes, seed):
    """Share of the retained rows, or of some of them, that `net` names rightly."""
    return observe(net, retain.sample(_MOST, seed), classes).score()


def most_of_odd(odd):
    """The share that may be kept where `odd` of the forget rows are unlike others."""
    return float(np.interp(odd, _ODD, (1.0, OF_ODD)))


def _few(epochs):
    """Whether so few epochs bring back little of what has been shrunk."""
    return 1 - _rise(epochs, *_EPOCHS)


def _most_worth(epochs):
    """The share where all that the net knows holds for unseen rows."""
    return _WORTH_ENOUGH + _few(epochs) * (_WORTH - _WORTH_ENOUGH)


def share_that_forgets(before, error, kind, target, classes, at_risk=0.0):
    """The share after which no more than half of the target is known: the less, the more it was.

    Rows may be known better than they seem, where there are too few to tell: an error beyond the
    target counts as knowledge.

    Parameters
    ----------
    before : dict of float
        Differences to the reference.
    error : float
        Standard error of the largest.
    kind : {"class", "rows"}
    target : float
    classes : see `task_of`
    at_risk : float, default=0.0
        Whether the accuracy is, by which the whole of the target may be known.
    """
    low, high = _SHARES[kind]
    high += at_risk * (_SHARES["rows"][1] - high)
    memory = _MEMORY + at_risk * (1 - _MEMORY)
    known = max(0.0, *(value for name, value in before.items() if name != NAMED))
    known += max(0.0, error - target)
    share = np.sqrt(memory * target / max(known, 1e-9))
    share *= _OF_VALUES if classes is None else 1.0
    return float(np.clip(share, low, high))


def _rise(value, low, high):
    """0 up to `low`, 1 from `high`."""
    return float(np.clip((value - low) / (high - low), 0, 1))
