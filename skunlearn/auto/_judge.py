"""How far a net is from nets that never saw the forget rows, by every score of an attack."""

import numpy as np

from skunlearn._torch.observation import observe
from skunlearn._torch.parts.tasks import task_of
from skunlearn.metrics._attacks.comparing import aucs_by_name
from skunlearn.metrics._scorers.observed import observe_scores
from skunlearn.metrics._statistics.intervals import delong_covariance
from skunlearn.metrics._statistics.matching import match_weights

_MOST_FORGET, _MOST_UNSEEN = 2000, 5000  # rows that are asked about
_MOST_KEPT = 1000  # for the accuracy
_SIDES = 4, 200  # unseen rows for each to forget, and in all, beyond which an AUC gains little
_GROWTH = 1.0  # of the reference's gap, by which that of easier rows grows with training
_FEWEST = 5  # rows of a side from which an attack is made
_FEW_UNLIKE = 0.1  # share of forget rows that no AUC shows
_WITHOUT_LABELS = ("entropy",)  # scores
_RARE = 0.05  # share of other rows that are known as badly as one that is odd
NAMED = "named"  # share of the rows of whole classes that are named rightly
# Score of each row: whether it is named rightly. Of rows with wrong labels half may be known by
# heart, and have larger losses than any other row all the same, so that no loss tells.
CORRECT = "correct"


class Judge:
    """Differences between a net and a reference, which never saw the forget rows.

    A reference knows forget and unseen rows alike at any stage of its training, so that one that
    was trained for a few epochs stands in for a retrained one.

    Parameters
    ----------
    classes : see `task_of`
    forget : Rows
    unseen : Rows or None
        Without them whole classes alone can be judged.
    reference : fitted net
    whole : bool
        Whether whole classes are forgotten.
    seed : int
    unlike : float, default=0.0
        Share of the forget rows that no net without them can know as it does others: those of a
        user, say, whose vector has never been trained. How sure a net is of them has nothing to do
        with memory then, and changes with every epoch for the others. Labels tell.
    """

    def __init__(self, classes, forget, unseen, reference, whole, seed, unlike=0.0):
        self.classes, self.whole, self.weights = classes, whole, None
        self.left_out = _WITHOUT_LABELS if unlike > _FEW_UNLIKE else ()
        self.named = self.forget = forget.sample(_MOST_FORGET, seed)
        self.unseen = self.kept = None
        if unseen is not None:
            self._choose(unseen.sample(_MOST_UNSEEN, seed), np.unique(forget.y), seed)
        self.reference, self.score = self.look_well(reference)
        self._theirs = self._figures(self.reference)

    def _choose(self, rows, gone, seed):
        """Which unseen rows are looked at beside those to forget, and which for the accuracy."""
        one_class, rng = task_of(self.classes).has_one_class, np.random.default_rng(seed)
        asked, stay = np.arange(len(rows)), np.arange(len(rows))
        if self.whole:
            stay = stay[~np.isin(rows.y, gone)]
        if one_class:
            self._comparable = np.isin(self.forget.y, rows.y)
            self.forget = self.forget.take(np.flatnonzero(self._comparable))
            asked = asked[np.isin(rows.y, self.forget.y)]
        stay = _draw(stay, _MOST_KEPT, rng)
        self.kept = rows.take(stay)
        if min(len(self.forget), len(asked)) < _FEWEST:
            return
        asked = _draw(asked, max(_SIDES[0] * len(self.forget), _SIDES[1]), rng)
        self.unseen = rows.take(asked)
        both = np.union1d(asked, stay)
        self._both = rows.take(both), np.searchsorted(both, asked), np.searchsorted(both, stay)
        if one_class:
            self.weights = match_weights(self.forget.y, self.unseen.y)

    @property
    def sees(self):
        """Whether there is anything to judge by."""
        return self.unseen is not None or self.whole

    def differences(self, seen):
        """Of each AUC, and of the share of rows of whole classes that are named rightly.

        `seen` is what `look` returned of a net.
        """
        ours = self._figures(seen)
        return {name: ours[name] - self._theirs[name] for name in seen if name not in self.left_out}

    def odd(self, seen):
        """Share of forget rows that are unlike others, and known all the same.

        A net that never saw them knows hardly any other row as badly: their labels are wrong, say.
        """
        if self.whole or "loss" not in seen:
            return 0.0
        ours, (theirs, others) = seen["loss"][0], self.reference["loss"]
        odd = find_odd(theirs, others, self.weights) & (ours > theirs)
        return round(float(odd.mean()), 4)

    def remembered(self, differences):
        """Those of the `differences` that may come of what the net remembers.

        A net that tells the forget rows apart less than the reference remembers nothing of them:
        nobody pushed them away. Where they are harder than the unseen ones for a net that never saw
        them (their labels are wrong, say), or a few of them happen to be, such a gap grows with the
        training, and the reference's was short. Where they are easier the gap grows as well, by
        about as much again at most: so it did on digits of which the unseen ones alone had wrong
        labels.
        """
        return {
            name: value
            for name, value in differences.items()
            if value > 0 and (name == NAMED or not self._grows(name, value))
        }

    def _grows(self, name, value):
        """Whether a difference may come of a longer training alone."""
        easier = self._theirs[name] - 0.5
        return value <= _GROWTH * easier and easier > 2 * self._chance(name)

    def _chance(self, name):
        """Standard error of the reference's AUC."""
        sides = (scores[None] for scores in self.reference[name])
        _, cov = delong_covariance(*sides, weights=self.weights)
        return float(np.sqrt(max(0.0, np.ravel(cov)[0])))

    def _figures(self, seen):
        """AUC of each score, and the share of rows that is named."""
        sides = {name: both for name, both in seen.items() if name != NAMED}
        found = aucs_by_name(sides, self.weights) if sides else {}
        return found | {name: share for name, share in seen.items() if name == NAMED}

    def error(self, seen, name):
        """Standard error of one of the `differences`, over the rows."""
        if name == NAMED:
            return 0.5 / np.sqrt(len(self.named))
        pairs = zip(seen[name], self.reference[name], strict=True)
        members, others = (np.stack(pair) for pair in pairs)
        _, cov = delong_covariance(members, others, weights=self.weights)
        return float(np.sqrt(max(0.0, cov[0, 0] + cov[1, 1] - 2 * cov[0, 1])))

    def look(self, net):
        """Scores of forget and unseen rows by name, and the share of rows that is named."""
        unseen = None if self.unseen is None else observe(net, self.unseen, self.classes)
        return self._compare(net, unseen)

    def look_well(self, net):
        """What `look` returns, and the score on unseen rows of classes that stay, if any."""
        if self.unseen is None:
            some = self.kept is not None and len(self.kept)
            score = observe(net, self.kept, self.classes).score() if some else None
            return self.look(net), score
        rows, asked, stay = self._both  # in one pass, as they may be the same rows
        seen = observe(net, rows, self.classes)
        return self._compare(net, seen.take(asked)), seen.take(stay).score() if len(stay) else None

    def _compare(self, net, unseen):
        if not self.whole:
            if unseen is None:
                return {}
            return _score(observe(net, self.forget, self.classes), unseen)
        forget = observe(net, self.named, self.classes)
        found = {NAMED: forget.score()}
        if unseen is None:
            return found
        return found | _score(forget.take(self._comparable), unseen)


def _score(forget, unseen):
    """Scores of both sides, by name."""
    found = observe_scores(forget, unseen)
    if not forget.task.has_one_class:
        return found
    return found | {CORRECT: tuple((e.predicted == e.y).astype(float) for e in (forget, unseen))}


def _draw(places, size, rng):
    """At most `size` of the places."""
    return places if len(places) <= size else np.sort(rng.choice(places, size, replace=False))


def strongest(differences):
    """Name and value of the largest difference."""
    name = max(differences, key=lambda key: abs(differences[key]))
    return name, differences[name]


def known(differences, doubt):
    """How much more than the reference a net knows of the forget rows, by name.

    Of scores without labels it may have either sign: of a row with a wrong label, which it half
    knows, a net is less sure than of others. From the other side these count by what is beyond
    `doubt` alone.
    """
    return {
        name: max(value, -value - doubt) if name in _WITHOUT_LABELS else value
        for name, value in differences.items()
    }


def excess(differences):
    """The most that is known; at least 0."""
    return max(0.0, *differences.values())


def find_odd(scores, others, weights=None):
    """Rows that are known as badly as hardly any of the others is.

    Parameters
    ----------
    scores : ndarray of shape (n,)
        The larger, the better a row is known.
    others : ndarray of shape (m,)
        Of rows of the same kind.
    weights : ndarray of shape (m,), default=None
        Of these.

    Returns
    -------
    odd : ndarray of shape (n,), bool
        No row is, beside fewer than 20 others.
    """
    weights = np.ones(len(others)) if weights is None else weights
    order = np.argsort(others)
    below = np.r_[0.0, np.cumsum(weights[order])][np.searchsorted(others[order], scores, "right")]
    return (1 + below) / (1 + weights.sum()) < _RARE
