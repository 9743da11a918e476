"""A model before a request, what became of what it says, and what `rules` ask of that."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skunlearn._rows.neighbours import average_neighbours, name_by_neighbours
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.observation import Evidence, summarise
from skunlearn._torch.parts.tasks import Labels, Values
from skunlearn._torch.row_scores import SQUARED
from skunlearn._torch.skorch_nets import unwrap
from skunlearn._unlearning import traces
from skunlearn._unlearning.promises import Promises
from skunlearn._unlearning.unseen_rows import Apart
from skunlearn.exceptions import UnlearningError

MOVED = 1e-3  # rise of the mean forget loss, relative to max(1, loss before), that counts
GREW = 0.3  # the same of a small loss, relative to itself
SHAKEN = 0.3  # change of the log of a loss, of easy rows in nets trained anew: 0.34 to 2.8
# See `measure_move`: a model is as it was; one that has its rows by heart, and one that knows the
# forget rows better than their neighbours do. Nets trained anew: 0.05 and up, and 0.18 by heart.
UNMOVED, UNMOVED_BY_HEART, HARDLY_MOVED = 0.04, 0.15, 0.1
STEADY = 0.01  # the same of weights, relative: nets trained anew, from one seed too, 0.23 and up
STILL = 1e-3  # the same up to which new running statistics alone are what moved the losses
BETTER, LIKELY, PERHAPS = 0.01, 0.05, 0.2  # levels of the test of `Facts.level_of_neighbours`
FEW, EVEN = 7, 0.5  # rows below which it reaches none of them, and what then stands for the last
LOST = 0.03  # accuracy on unseen rows that is worth a warning, beside what chance shows
WRECKED = (
    0.6  # share of what a net that was still learning knew: two seeds hardly ever differ by more
)
ABOVE = 0.1  # the least of it that may be what is not known by heart, without any row to ask
MOST = 0.15  # points that they do, of nets that know little yet
SETTLED = 300  # steps of a training from which they do not: by 0.044 at most, of 57 nets
# R² up to which such a net knows next to nothing, and times its squared error that it then may
# have: 2.1 to 2.9 in four nets trained anew, of 73.
LITTLE, TIMES = 0.3, 3
ENOUGH = 50  # unseen rows from which accuracy is measured on them
_DRAWN = 0.3  # over √n for n retained rows: what two seeds differ by where these are few
_DRAWN_OF_VARIANCE = 2.5  # the same of R², as a share of what a model leaves unexplained
# Powers of the number of rows by which errors are taken to fall. Of 230 nets trained anew six lose
# more than is usual by this one, and by twice the power.
_FALLS, _FALLS_SQUARED = 0.25, 0.5
_ASKED = 1000  # forget rows for which neighbours are looked up, at most


@dataclass(frozen=True)
class Before:
    """What is known of a model before it forgets.

    Attributes
    ----------
    weights : str
        Digest of them.
    said : (Evidence, Evidence, Evidence)
        What it says of the forget rows, of the sample of the others, and of rows that it has never
        seen; None where there are none.
    brought : list of str
        What came along trained, and no training renews, which takes an exact method its
        guarantee; see `name_trained`.
    declared : list of dict
        What came along trained, and is declared public; see `public_parts.list_declarations`.
    """

    weights: str
    said: tuple[Evidence | None, Evidence | None, Evidence | None]
    brought: list
    declared: list


@dataclass(frozen=True)
class Change:
    """What a model said before a request and says after it, of some rows each.

    Attributes
    ----------
    forget_before, retain_before, forget_after, retain_after : Evidence or None
        None where the rows are not at hand.
    unseen_before, unseen_after : Evidence or None
        Of rows that the model has never seen, where there are any.
    emptied : tuple of int
        Encoded classes, or labels, of which no retained row is left.
    rows : (Rows, Rows, Rows) or None
        To forget, retained, and never seen, whose neighbours may be asked.
    model : the new model, or None
    """

    forget_before: Evidence | None
    retain_before: Evidence | None
    forget_after: Evidence | None
    retain_after: Evidence | None
    unseen_before: Evidence | None = None
    unseen_after: Evidence | None = None
    emptied: tuple = ()
    rows: tuple | None = None
    model: object = None

    @classmethod
    def between(cls, before, after, emptied=(), rows=None, model=None):
        """From what the old and the new model said; raises where the latter gives no numbers."""
        for evidence in after[:2]:
            if evidence is not None and not evidence.is_finite():
                raise UnlearningError(
                    "The training diverged, or the rows that are left give no model: its outputs "
                    "hold NaN or infinity. The model is as it was before. Try a smaller learning "
                    "rate, or for a model that is computed from its rows more smoothing (a naive "
                    "Bayes without any has no answer where a class has a single value)."
                )
        return cls(*before[:2], *after[:2], before[2], after[2], emptied, rows, model)

    def measure(self):
        """Losses and scores, for the log."""
        names = ["forget_before", "forget_after", "retain_before", "retain_after"]
        if self.unseen_after is not None:
            names += ["unseen_before", "unseen_after"]
        return {name: summarise(getattr(self, name)) for name in names}

    @cached_property
    def ease(self):
        """How much easier the forget rows are than retained ones, as of no random draw; or {}."""
        return traces.find_ease(self.forget_before, self.retain_before)

    @property
    def is_easy(self):
        """Whether they plainly are."""
        return self._leading_ease > 0

    @property
    def is_hard(self):
        """Whether they are plainly harder."""
        return self._leading_ease < 0

    @property
    def _leading_ease(self):
        return self.ease.get("margin", self.ease.get(SQUARED, 0.0))

    @cached_property
    def apart(self):
        """How forget rows are told from those that were never seen, `Apart`; None without."""
        return None if self.unseen_after is None else Apart.of(self)


@dataclass(frozen=True)
class Damage:
    """Accuracy that a request has cost, where it is worth a warning.

    Attributes
    ----------
    lost : float
    rows : str
        Those on which it was measured.
    allowed : float
        Beyond it a model is wrecked.
    least : float or None
        What was lost on rows that nobody need know by heart, where that was asked.
    may_be_heart : bool
        Whether all of it may have been known by heart, and nobody can say.
    """

    lost: float
    rows: str
    allowed: float
    least: float | None = None
    may_be_heart: bool = False

    @property
    def is_doubtful(self):
        """Whether wrong labels alone may be what was lost."""
        return self.may_be_heart or (self.least is not None and self.least <= self.allowed)


class Facts:
    """What the `rules` ask, each found when one of them first does.

    Parameters
    ----------
    unlearner : BaseUnlearner
    change : Change
    measured : dict
        Losses and scores before and after, as in the log.
    most_lost : float
        The loss of accuracy on retained rows that is worth a warning.
    removal : Removal
        Looked up.
    trained : Evidence or None
        Before the request, of the retained rows that the model was trained on, if not of all.
    """

    _unit = 1.0  # of losses; those of a regression are shares of its targets' variance

    def __init__(self, unlearner, change, measured, most_lost, removal, trained=None):
        self.unlearner, self.change, self.removal = unlearner, change, removal
        self.measured, self.most_lost = measured, most_lost
        self.name, self.promises = type(unlearner).__name__, unlearner._make_promises()
        self.adds_noise = self.promises.adds_noise
        self.emptied, self.apart = change.emptied, change.apart
        self.trained = change.retain_before if trained is None else trained
        # Classes, of which a row has one, and no labels.
        said = change.forget_after
        self.classes_gone = self.emptied and said is not None and said.task.has_one_class
        self.losses = measured["forget_before"]["loss"], measured["forget_after"]["loss"]
        said = change.retain_before or change.forget_before
        if said is not None and isinstance(said.task, Values):
            self._unit = said.task.chance(said.y) or 1.0

    def hold(self, fact):
        """Whether it is so; ``"not "`` before the name of a fact turns it round."""
        name = fact.removeprefix("not ")
        return bool(getattr(self, name)) == (name == fact)

    @property
    def labels_left(self):
        """Those of the retained rows; where none is held, of those that came with the request."""
        record = self.removal.record
        return record.retained_y if record.has_data else self.removal.retain.y

    @cached_property
    def gone_and_kept(self):
        """What is said of rows of classes that are gone, and of others, and the classes that stay.

        After the request, and before it.
        """
        change, kept = self.change, np.unique(self.labels_left)
        gone = np.isin(change.forget_after.y, self.emptied)
        after = change.forget_after.take(gone), change.retain_after, kept
        return after, (change.forget_before.take(gone), change.retain_before, kept)

    @cached_property
    def learning(self):
        """Whether the net was still learning."""
        return traces.is_learning(self.unlearner.estimator_, self.trained)

    @cached_property
    def by_heart(self):
        """Whether it knew its rows by heart."""
        return traces.knows_by_heart(self.trained)

    @cached_property
    def moved(self):
        """How far the request has moved the model."""
        return traces.measure_move(self.change)

    @property
    def raised(self):
        """Whether the loss on the forget rows rose, as that of a net that has not seen them."""
        return self.rose and not (self.stuck and self._rose_by_little)

    @cached_property
    def rose(self):
        """The same, whatever became of the weights."""
        change, unit = self.change, self._unit
        before, after = self.losses[0] / unit, self.losses[1] / unit
        raised = after - before > min(MOVED * max(1.0, before), GREW * before)
        if not raised and change.is_easy:
            # Of these a net trained anew knows some less well and others better.
            sides = change.forget_before.losses(), change.forget_after.losses()
            raised = traces.measure_shift(*sides) > SHAKEN
        said = change.forget_after
        few, none_right = len(said.y) < FEW, not np.any(said.predicted == said.y)
        if raised and few and (self.moved >= UNMOVED or none_right):
            return raised  # as it is whatever neighbours say, which takes time to find out
        # By next to nothing, of rows that others do not give away.
        if raised and self.moved < HARDLY_MOVED and self.level_of_neighbours is not None:
            if self.moved < UNMOVED and few:
                return self.level_of_neighbours > EVEN
            return self.level_of_neighbours >= (PERHAPS if self.moved < UNMOVED else BETTER)
        return raised

    @property
    def _rose_by_little(self):
        """Whether the loss rose by no more than new statistics, or a few steps, make of it."""
        before, after = self.losses[0] / self._unit, self.losses[1] / self._unit
        little = after - before < GREW * before
        if traces.has_new_statistics(self.unlearner.estimator_, self.change.model):
            return little or self.weights_moved < STILL
        limit = UNMOVED_BY_HEART if self.by_heart else HARDLY_MOVED
        return (little and self.moved < limit) or after - before < MOVED

    @cached_property
    def alike(self):
        """Whether unseen rows are known as well: what is known then is not remembered."""
        return self.apart is not None and self.apart.are_alike()

    @property
    def plainly_alike(self):
        """The same of rows that are not easier than others."""
        return self.alike and not self.change.is_easy

    @property
    def excused(self):
        """The same in a model that has moved."""
        return self.plainly_alike and not self.stuck

    @cached_property
    def level_of_neighbours(self):
        """Level of a test that more forget rows are named rightly than by retained neighbours.

        None where nobody can say.
        """
        said, removal, seed = self.change.forget_after, self.removal, self.unlearner._seed
        if said is None or removal.forget is None or removal.retain is None:
            return None
        if not said.task.has_one_class:
            return None
        some = np.random.default_rng(seed).permutation(len(removal.forget))[:_ASKED]
        named = name_by_neighbours(removal.forget.take(some), removal.retain, seed)
        return None if named is None else traces.level_of_knowing_more(said.take(some), named)

    @cached_property
    def unmoved(self):
        """Whether the model is as it was: by what it says, or by its weights.

        These tell it where running statistics were renewed, which moves what a net says and
        forgets nothing, or where the median of one row or five says little.
        """
        if self.moved < (UNMOVED_BY_HEART if self.by_heart else UNMOVED):
            return True
        return self.weights_moved < STEADY

    @cached_property
    def weights_moved(self):
        """How far the request has moved the weights; infinity where that is no answer."""
        return traces.measure_weights(self.unlearner.estimator_, self.change.model)

    @cached_property
    def stuck(self):
        """Whether the weights are as they were, of a method that would have had to train them.

        A few of them that are edited may change what a net says, as may a short step that is
        computed; and a net of one layer ends where it was, whatever it begins with.
        """
        if self.weights_moved >= STEADY or self.unlearner._has_judged():
            return False
        edited = self.promises.edits_weights and self.weights_moved > 0
        return not edited and traces.has_layers(self.unlearner.estimator_)

    def may_know(self, level):
        """Whether the model is as it was, or knows the rows better than neighbours do."""
        if self.unmoved:
            return True
        if len(self.change.forget_after.y) < 3:
            return False  # no level that is asked can be reached
        found = self.level_of_neighbours
        if found is None:  # of a row or two another seed may know more by chance
            return self.by_heart and len(self.change.forget_after.y) > 2
        return found < level

    @cached_property
    def damage(self):
        """`Damage` that is worth a warning, or None.

        Where there are rows that the model has never seen they are asked: retained rows may have
        been known by heart, which is no accuracy to keep. Without them neighbours tell that.
        """
        if not np.isfinite(self.most_lost):
            return None
        unseen = lost_on_unseen(self.change)
        if unseen is None:
            damage, too_much, known = *self._lost_on_retained(), self.change.retain_before
        else:
            lost, error, known = unseen
            usual = LOST + error + self._usual_loss(known)
            if known.task.has_one_class or known.by_row is not None:
                usual = min(self.most_lost, usual)
            elif isinstance(known.task, Labels):  # rows with all of them
                usual = max(self.most_lost, usual)
            too_much = lost > usual
            given = self.removal.others.positions is None
            rows = "rows that it has never seen" if given else "rows that its train_split held out"
            damage = Damage(lost, rows, self.most_lost)
        if too_much and self.learning and not self._has_settled:
            knew = traces.share_above_chance(known)
            too_much = damage.lost > max(MOST, WRECKED * knew)
            if isinstance(known.task, Values) and knew < LITTLE:
                too_much = damage.lost > (TIMES - 1) * (1 - knew)  # there is no end below 0
        return damage if too_much else None

    def _usual_loss(self, known):
        """What a training without the rows may cost: luck of its seed, and rows to learn from."""
        values = isinstance(known.task, Values)
        left = max(1, self.removal.record.retained.sum())
        gone = len(self.removal.positions)
        error = max(0.0, 1 - (known.score() or 0.0))
        drawn = _DRAWN_OF_VARIANCE * error if values else _DRAWN
        fewer = (1 + gone / left) ** (_FALLS_SQUARED if values else _FALLS) - 1
        return drawn / np.sqrt(left) + error * fewer

    @property
    def _has_settled(self):
        """Whether a training had so many steps that other seeds would lead to nets as good."""
        one = self.unlearner
        net = unwrap(one.estimator)
        # A net that was trained on since tells of that alone.
        epochs = net.max_epochs if one.deletions_ else len(one.estimator_.history)
        return epochs * n_batches(net, len(one._record)) >= SETTLED

    @property
    def wrecked(self):
        """Whether it is beyond what is allowed, without a doubt."""
        damage = self.damage
        return damage is not None and damage.lost > damage.allowed and not damage.is_doubtful

    def _lost_on_retained(self):
        """`Damage`, and whether it is too much."""
        change, allowed = self.change, min(self.most_lost, Promises.accuracy_drop)
        judged = self.unlearner._has_judged()
        scores = self.measured["retain_before"]["score"], self.measured["retain_after"]["score"]
        lost = 0.0 if None in scores else scores[0] - scores[1]
        # Methods that lose what was known by heart may lose more: of that alone.
        if self.most_lost > allowed and not judged and isinstance(change.retain_after.task, Labels):
            # Of six labels that were known by heart, one wrong one makes the whole row wrong: where
            # a twelfth of them was let go of, that was two fifths of the rows.
            sides = change.retain_before, change.retain_after
            lost = float(np.subtract(*((said.predicted == said.y).mean() for said in sides)))
        asks = lost > allowed and not (self.learning or judged)
        least = self._lost_at_least() if asks else None
        too_much = lost > self.most_lost or (least is not None and least > allowed)
        # Where many labels are wrong, neighbours agree with some of these by chance.
        heart = too_much and not judged and lost > allowed and (least is None or least > allowed)
        heart = heart and self._knows_as_neighbours_do()
        rows = self.measured.get("asked", "the retained rows")
        return Damage(lost, rows, allowed, least, heart), too_much

    def _lost_at_least(self):
        """Accuracy lost on retained rows that nobody need know by heart; None without an answer."""
        change, sample = self.change, self.removal.sample
        before, after = change.retain_before, change.retain_after
        if sample is None or after.noisy or not after.task.has_one_class:
            return None
        named = name_by_neighbours(sample, None, self.unlearner._seed)
        return None if named is None else traces.lost_where_neighbours_agree(before, after, named)

    def _knows_as_neighbours_do(self):
        """Whether retained rows are known as well as their neighbours, or chance, know them."""
        after, sample, named = self.change.retain_after, self.removal.sample, None
        if sample is not None and not after.noisy and after.by_row is None:
            one = after.task.has_one_class
            named = name_by_neighbours(sample, None, 0) if one else average_neighbours(sample)
        if named is None:
            return traces.share_above_chance(after) > ABOVE
        return traces.is_named_as_well(after, named)


def lost_on_unseen(change):
    """Accuracy, or R², lost on unseen rows of classes that stay.

    Returns
    -------
    lost, error : float
    known : Evidence of those rows before the request
        None in the place of the three where there are too few.
    """
    sides = change.unseen_before, change.unseen_after
    if any(said is None or said.noisy for said in sides):
        return None
    if sides[0].task.has_one_class:
        sides = [said.take(~np.isin(said.y, change.emptied)) for said in sides]
    n = len(sides[0].y)
    if n < ENOUGH:
        return None
    before, after = (traces.score_rows(said, change.emptied) for said in sides)
    lost = before - after
    return float(lost.mean()), float(np.sqrt(np.square(lost).mean() / n)), sides[0]
