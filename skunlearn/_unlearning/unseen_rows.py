"""Forget rows beside rows that the model has never seen, before and after a request."""

from dataclasses import dataclass, field

import numpy as np
from torch.utils.data import Subset

from skunlearn._rows.containers import is_dataset, n_rows
from skunlearn._rows.neighbours import count_agreeing
from skunlearn._rows.order import is_in_no_order
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.held_out_rows import find_never_trained, write_split
from skunlearn._torch.parts.tasks import task_of
from skunlearn._torch.row_scores import SQUARED, auc, auc_error, class_weights, scores_of
from skunlearn._unlearning import validation

_MOST = 2000  # rows that are asked about, of the forget rows' classes and of others
FEWEST = 5  # of a side, from which anything is said
_BIN, _BINS = 20, 5  # unseen rows of like confidence at least, and how many such groups at most
NEAR = 0.03  # distance that is none, beside what chance shows
BEYOND = 0.05  # the same on the other side
_PLAIN = 0.08  # error up to which a distance that is not seen is none
_HALF = 0.45  # share of a distance that is about half of it
# Two signs together, in standard errors of their sum: more on 2 of 358 nets trained anew.
TOGETHER = 2.8
_SOME = 1.64  # errors of one of them that is a sign at all
APART = 3.5  # the same of margin and entropy on opposite sides: at most 2.6 on 446 such nets
_BY_HEART = 0.12  # distance of retained from unseen rows in a net that has learnt them by heart
_LOST = 0.15  # share of it that easy rows lose: 0.19 and up in 40 such nets trained anew
_AGREEING = (0.15, 0.45, 0.75, 0.95)  # of their neighbours, between which rows are alike
RIGHT = "rightly named at equal confidence"


def read_unseen(unlearner, given, forget):
    """Rows that the model has never seen, as it reads them, or None.

    Of many some, of the forget rows' classes and of others; those of labels that ``fit`` has not
    seen are left out.

    Parameters
    ----------
    unlearner : fitted unlearner
    given : (rows, labels) or None
        None takes those of the net's ``predefined_split``.
    forget : Rows or None
    """
    given = given or find_predefined_rows(unlearner)
    if given is None or forget is None:
        return None
    X, y = validation.check_X(unlearner, given[0]), given[1]
    rng = np.random.default_rng(unlearner._seed)
    n = len(X) if is_dataset(X) else n_rows(X)
    if y is None and n > 2 * _MOST:  # each is read for its label
        X, n = Subset(X, np.sort(rng.choice(n, 2 * _MOST, replace=False)).tolist()), 2 * _MOST
    if y is None:
        y = validation.dataset_targets(X)
    classes, places = unlearner._classes, np.arange(n)
    y = validation.check_like(y, n, classes, "y_val")
    if task_of(classes).has_one_class:
        places = np.flatnonzero(np.isin(y, classes))
        if not len(places):
            validation.encode(y, classes, "y_val")  # labels of another type, say: the error tells
        codes = np.zeros(n, dtype=np.int64)
        codes[places] = validation.encode(y[places], classes, "y_val")
        y = codes
        places = _draw_alike(places, y, forget, rng)
    else:
        if classes is None and unlearner._record.y_dtype.kind == "f":
            y = y.astype(unlearner._record.y_dtype)
        places = _draw_some(places, rng)
    return Rows(X, y, places, reader=unlearner._reader) if len(places) else None


def find_held_out(unlearner, net, retain):
    """Positions of retained rows that the net's own train_split keeps out of every training.

    Out of those of the request and of all before it; None where nobody can say.
    """
    if skorch_nets.own_split(net) is None:
        return None
    known = unlearner._fitted.never_trained
    if not unlearner.deletions_:
        split = unlearner._fitted.split
        if split is None or split != write_split(net):  # set since, or that of another net
            return None
        rows = unlearner._record.view(np.arange(len(unlearner._record)))
        known = find_never_trained(net, rows)
        # Of rows in an order those at one end may be others than those to forget.
        if known is not None and not is_in_no_order(rows, np.isin(rows.positions, known)):
            known = None
    return None if known is None else find_never_trained(net, retain, known)


def view_held_out(unlearner, positions, forget):
    """Those of `find_held_out`; of many some, as of unseen rows."""
    rows, rng = unlearner._record.view(positions), np.random.default_rng(unlearner._seed)
    if task_of(unlearner._classes).has_one_class:
        return rows.take(_draw_alike(np.arange(len(rows)), rows.y, forget, rng))
    return rows.take(_draw_some(np.arange(len(rows)), rng))


def _draw_alike(places, y, forget, rng):
    """Some of the rows of the forget rows' classes, and some of others."""
    alike = np.isin(y[places], forget.y)
    return np.sort(np.r_[_draw_some(places[alike], rng), _draw_some(places[~alike], rng)])


def _draw_some(places, rng):
    return places if len(places) <= _MOST else rng.choice(places, _MOST, replace=False)


def find_predefined_rows(unlearner):
    """Those of the net's ``predefined_split``, a data set and None for its labels; or None."""
    net = skorch_nets.unwrap(unlearner.estimator)
    return (net.train_split.keywords["valid_ds"], None) if skorch_nets.is_predefined(net) else None


@dataclass(frozen=True)
class Apart:
    """How forget rows are told from unseen rows.

    Distances of the AUC of each score from 0.5; and of rows of classes that stay how many more of
    them are named rightly than of the unseen rows of which the model is as sure, where it makes
    little difference whether they are easier, or harder, than these.

    Rows that were picked are no random draw: see `Change.ease`. Harder ones are compared to the
    unseen rows whose neighbours have their label as seldom. Easier ones a model that has never seen
    them knows better than others, too. Where retained rows are known by heart it is told from one
    that remembers them by what the request has cost them, beside unseen rows.

    Attributes
    ----------
    rows : int
        Unseen rows that were compared.
    before, after : dict of str to float
        Distances by name.
    errors : dict of str to float
        Standard errors by chance, after the request.
    ease : dict of str to float
        By name, how much easier, or harder, than others the forget rows plainly are; {} if not.
    matched : bool
        Whether they are compared to unseen rows that are as hard.
    whole : bool
        Whether they are all of classes that are gone.
    kept : bool
        Whether easy rows have lost next to nothing of what a net has by heart that knows retained
        rows better than unseen ones.
    """

    rows: int
    before: dict
    after: dict
    errors: dict
    ease: dict = field(default_factory=dict)
    matched: bool = False
    whole: bool = False
    kept: bool = False

    @classmethod
    def of(cls, change):
        """Look at a `Change`; None where there is nothing to compare."""
        sides = [
            (change.forget_before, change.unseen_before),
            (change.forget_after, change.unseen_after),
        ]
        if any(
            said is None or said.noisy or not said.is_finite() for pair in sides for said in pair
        ):
            return None
        places = _find_twins(*sides[1])
        ours, theirs = sides[1][0].take(places[0]), sides[1][1].take(places[1])
        if min(len(ours.y), len(theirs.y)) < FEWEST:
            return None
        one_class = ours.task.has_one_class
        if one_class and ours.logits is None:
            return None
        emptied = one_class and bool(change.emptied)
        whole = emptied and bool(np.isin(ours.y, change.emptied).all())
        if one_class and not whole and (emptied or len(theirs.y) < _BIN):
            return None
        if whole and len(ours.y) < _BIN:
            return None  # a few rows of one class are alike, and may be surer by chance
        weights, alike = class_weights(theirs.y, ours.y) if one_class else None, None
        if one_class and not whole and change.is_hard:
            found = _match_agreeing(change.rows, places, weights)
            if found is not None:
                places, weights = found
                alike = weights
        sides = [tuple(said.take(at) for said, at in zip(p, places, strict=True)) for p in sides]
        was, now = (_aucs(*pair, weights) for pair in sides)
        n, counted = len(places[0]), _count_weighted(alike, len(places[1]))
        errors = dict.fromkeys(now, auc_error(n, counted))
        if one_class and not whole:
            (was[RIGHT], _), (now[RIGHT], errors[RIGHT]) = (_right_beyond(*p, alike) for p in sides)
        ease = {} if whole else change.ease
        kept = bool(ease) and one_class and change.is_easy and _have_kept(change, sides)
        return cls(len(places[1]), was, now, errors, ease, alike is not None, whole, kept)

    def remembered(self, but=None):
        """Name of what gives away the forget rows as before, by more than half; or None.

        `but` is one that is not to count.
        """
        # Of classes that are gone rows may be too surely taken for others, too.
        names = (
            (RIGHT, "margin", SQUARED) if RIGHT in self.after else ("margin", SQUARED, "entropy")
        )
        if self._are_easy:
            names = [name for name in names if name != RIGHT]  # of which they are more often right
        for name in [name for name in names if name != but]:
            if name in self.after and (name == RIGHT or self._is_no_ease()):
                least = self._explained(name) + NEAR + 2 * self.errors[name]
                if self.after[name] > max(least, self.before[name] / 2):
                    return name
        if self._are_easy:
            return "margin" if self.kept else None
        # Each alone may be too little to be seen among so few rows.
        signs = [(name, self.after[name]) for name in (RIGHT, "margin") if RIGHT in self.after]
        if signs and min(value for _, value in signs) > 0 and self._together(*signs):
            for name, value in signs:
                if name != but and value > max(NEAR, _HALF * self.before[name]):
                    return name
        return None

    def leans(self):
        """Whether forget rows are rather better known than unseen ones, if not plainly."""
        name = "margin" if "margin" in self.after else SQUARED
        return self.after[name] > self._explained(name) + _SOME * self.errors[name]

    def are_alike(self):
        """Whether rows of classes that stay are plainly no better known than unseen ones.

        Of rows without a class one score tells, if the rows are many.
        """
        names = [name for name in (RIGHT, "margin", SQUARED) if name in self.after]
        if self.whole or self.errors[names[0]] > _PLAIN:
            return False
        if self.ease and not (self._are_easy or self.matched):
            return False  # harder ones are known less well in any case
        if self._are_easy:
            names = [name for name in names if name != RIGHT]
        return not self.kept and all(
            self.after[name] <= self._explained(name) + NEAR + self.errors[name] for name in names
        )

    @property
    def _are_easy(self):
        return self.ease.get("margin", self.ease.get(SQUARED, 0.0)) > 0

    def _explained(self, name):
        """Distance that comes of how easy the rows are."""
        return max(0.0, self.ease.get(name, 0.0))

    def stands_out(self):
        """Whether the model was taught to be less sure of the forget rows than of unseen ones."""
        if "entropy" not in self.after or not self._is_no_ease():
            return False
        if self.ease and not (self._are_easy or self._are_opposed()):
            return False  # of hard rows it is less sure in any case
        error, unsure = self.errors["entropy"], -self.after["entropy"]
        least = BEYOND + 2 * error
        named = (RIGHT, self.after.get(RIGHT, -np.inf))
        if self._are_opposed() or self._together(("entropy", unsure), named):
            least = max(NEAR, _SOME * error)
        return unsure > max(least, -self.before["entropy"])

    def _together(self, *signs, least=TOGETHER):
        """Whether two signs, each not enough alone, are more than chance shows."""
        found = sum(value / self.errors.get(name, 1) for name, value in signs)
        return found > least * np.sqrt(2)

    def _are_opposed(self):
        """Whether the model knows the labels better than it says, as of no rows that are hard."""
        if "entropy" not in self.after:
            return False
        signs = ("margin", self.after["margin"]), ("entropy", -self.after["entropy"])
        return self._together(*signs, least=APART)

    def _is_no_ease(self):
        """Whether more than how easy, or hard, the rows are may tell them from others."""
        if RIGHT not in self.after or self._are_opposed():
            return True
        return self.after[RIGHT] > self.errors[RIGHT]

    def describe(self):
        """The same in JSON's types."""
        found = {"before": self.before, "after": self.after, "error": self.errors}
        if self.ease:
            found["easier"] = self.ease
        return {"rows": self.rows} | {
            key: {name: round(float(value), 4) for name, value in values.items()}
            for key, values in found.items()
        }


def _find_twins(forget, unseen):
    """Places of rows of the same classes on both sides."""
    if not forget.task.has_one_class:
        return np.arange(len(forget.y)), np.arange(len(unseen.y))
    ours, theirs = np.isin(forget.y, unseen.y), np.isin(unseen.y, forget.y)
    return np.flatnonzero(ours), np.flatnonzero(theirs)


def _match_agreeing(rows, places, weights):
    """Places on both sides, and weights, with which their neighbours have their labels as often.

    Forget rows like which no unseen ones are go. None where rows cannot be compared.
    """
    if rows is None:
        return None
    forget, retain, unseen = rows
    shares = [count_agreeing(part, retain, 0) for part in (forget, unseen)]
    if any(share is None for share in shares):
        return None
    ours, theirs = (np.digitize(s[at], _AGREEING) for s, at in zip(shares, places, strict=True))
    shared = [k for k in np.unique(ours) if np.sum(theirs == k) >= FEWEST]
    ours_kept, theirs_kept = np.isin(ours, shared), np.isin(theirs, shared)
    if min(ours_kept.sum(), theirs_kept.sum()) < _BIN:
        return None
    ours, theirs, weights = ours[ours_kept], theirs[theirs_kept], weights[theirs_kept].copy()
    for k in shared:
        weights[theirs == k] *= np.mean(ours == k) / weights[theirs == k].sum()
    return (places[0][ours_kept], places[1][theirs_kept]), weights


def _have_kept(change, sides):
    """Whether easy forget rows are as far ahead of unseen ones as ever; see `Apart`."""
    (ours_was, theirs_was), (ours, theirs) = (
        [scores_of(said)["margin"] for said in pair] for pair in sides
    )
    if min(len(ours), len(theirs)) < _BIN:
        return False
    known = change.retain_before.take(np.isin(change.retain_before.y, sides[0][0].y))
    known = scores_of(known)["margin"]
    if auc(known, theirs_was) - 0.5 <= _BY_HEART:
        return False
    ahead = np.median(known) - np.median(theirs_was)
    return bool(np.median(ours_was - ours) - np.median(theirs_was - theirs) < _LOST * ahead)


def _count_weighted(weights, n):
    """How many rows without weights would tell as much."""
    return n if weights is None else weights.sum() ** 2 / (weights**2).sum()


def _aucs(ours, theirs, weights):
    ours, theirs = scores_of(ours), scores_of(theirs)
    return {name: auc(ours[name], theirs[name], weights) - 0.5 for name in ours}


def _right_beyond(ours, theirs, weights=None):
    """Share of forget rows rightly named beyond that of unseen rows that are as sure, and error."""
    sure, theirs_sure = (said.task.confidences(said.logits) for said in (ours, theirs))
    n_bins = int(np.clip(len(theirs_sure) // _BIN, 1, _BINS))
    edges = np.quantile(theirs_sure, np.linspace(0, 1, n_bins + 1)[1:-1])
    place, theirs_place = (np.searchsorted(edges, values) for values in (sure, theirs_sure))
    right, theirs_right = (said.predicted == said.y for said in (ours, theirs))
    weights = np.ones(len(theirs_sure)) if weights is None else weights
    beyond, variance = 0.0, 0.0
    for k in range(n_bins):
        a, b, mass = right[place == k], *(v[theirs_place == k] for v in (theirs_right, weights))
        if not len(a) or not len(b):
            continue
        share, usual, m = len(a) / len(right), np.average(b, weights=mass), _count_weighted(mass, 0)
        pooled = (a.sum() + m * usual) / (len(a) + m)
        beyond += share * (a.mean() - usual)
        variance += share**2 * pooled * (1 - pooled) * (1 / len(a) + 1 / m)
    return beyond, float(np.sqrt(variance))
