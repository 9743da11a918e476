"""Outcome of a membership-inference attack, with its reference and its words."""

from dataclasses import dataclass, field

from skunlearn.metrics._attacks.differences import difference_interval
from skunlearn.metrics._statistics.interval_forms import Interval
from skunlearn.metrics._statistics.true_positives import TruePositives

__all__ = ["MembershipInference", "ScoreDistance"]


@dataclass(frozen=True)
class ScoreDistance:
    """AUC of one score beside its reference.

    Attributes
    ----------
    interval : Interval
        Of the AUC.
    reference_auc : float
        AUC of the same score of a model that never saw the forget set, or 0.5.
    reference_interval : Interval or None, default=None
        Of `reference_auc`, where it was given.
    correlation : float
        Of the two AUCs, where both are of the same rows.
    """

    interval: Interval
    reference_auc: float
    reference_interval: Interval | None = None
    correlation: float = 0.0

    @classmethod
    def of(cls, interval, reference, correlation):
        """Of an AUC's interval and its reference, an Interval or a float.

        Parameters
        ----------
        interval : Interval
            Of the AUC.
        reference : Interval or float
            The AUC of the reference.
        correlation : float
            Of the two AUCs, from rows that both models were asked about; used of an Interval alone.
        """
        if isinstance(reference, Interval):
            return cls(interval, reference.estimate, reference, correlation)
        return cls(interval, float(reference))

    @property
    def difference(self):
        """AUC less its reference, an `Interval`."""
        reference = self.reference_interval or self.reference_auc
        return difference_interval(self.interval, reference, self.correlation)

    @property
    def distinguishable(self):
        """Whether the interval of the difference leaves 0 out."""
        return 0 not in self.difference


@dataclass(frozen=True)
class MembershipInference:
    """Outcome of a membership-inference attack on forgotten against unseen rows.

    Attributes
    ----------
    auc : float
        Chance that a forgotten row looks more like a member than an unseen row does.
    interval : Interval
        Of `auc`.
    n_forget : int
        Forgotten rows compared.
    n_unseen : int
        Unseen rows compared; those of weight 0 do not count.
    attack : str
        Name of the attack, as passed to the function that made this.
    strongest : str
        The score that lies farthest from its reference, of which all figures here are, where the
        attack has several; otherwise `attack`.
    scores : dict of str to ScoreDistance, or None
        All scores of an attack that has several. Their intervals hold together with their
        nominal confidence, so that they hold for the largest difference too.
    matched : bool
        Whether the unseen rows were weighted to the class proportions of the forget set.
    reference_auc : float
        The AUC of a model that never saw the forget set, or 0.5 where none is at hand.
    reference_kind : {"chance", "retrained", "short"}
        "short" is a model trained without the forget set for a share of the epochs.
    reference_note : str
        How a short reference was trained.
    reference_interval : Interval or None
        Of `reference_auc`, where it was given.
    correlation : float
        Of `auc` and `reference_auc`, where both were measured on the same rows, which makes their
        difference vary by less.
    score : float
        −|auc − reference_auc|; higher is better, 0 is best.
    advantage : float
        Largest ``|TPR − FPR|`` over all thresholds. The threshold is chosen on the rows that it is
        judged on, so that the figure lies above 0 even without any leak.
    best_threshold_accuracy : float
        Balanced accuracy at that threshold, (1 + advantage) / 2: more than an attacker gets who
        does not know the answers. Without any leak it was 0.576 on average over 500 simulations
        of 40 forgotten and 100 unseen rows.
    attack_accuracy : float or None
        Balanced accuracy of an attacker who chooses the threshold on one half of the rows and is
        judged on the other, mean of both ways round (Song and Mittal, 2021). It was 0.497 in the
        same simulations. None with fewer than two rows on a side.
    per_class : dict of label to Interval, or None
        AUC within each class, when asked for.
    skipped_classes : tuple
        Classes of the forget set with fewer than 10 rows on a side, left out of `per_class`.
    tpr_at_1pct : TruePositives or None
        True-positive rate at a false-positive rate of at most 1 % (`tpr_at_fpr`); None with
        fewer than 100 unseen rows.
    """

    auc: float
    interval: Interval
    n_forget: int
    n_unseen: int
    attack: str
    matched: bool
    reference_auc: float
    reference_kind: str
    score: float
    advantage: float
    best_threshold_accuracy: float
    attack_accuracy: float | None
    reference_interval: Interval | None = None
    per_class: dict | None = field(default=None, hash=False)
    skipped_classes: tuple = ()
    tpr_at_1pct: TruePositives | None = None
    correlation: float = 0.0
    reference_note: str = ""
    strongest: str = ""
    scores: dict | None = field(default=None, hash=False)

    @property
    def difference(self):
        """`auc` less `reference_auc`, an `Interval`.

        The two half-widths are added in squares, less what the two share (Zou, 2007, Psychological
        Methods 12, 399–413).
        """
        return self._distance().difference

    @property
    def distinguishable(self):
        """Whether the interval of `difference` leaves 0 out; of several scores, any of them."""
        found = [self._distance()] if self.scores is None else self.scores.values()
        return any(score.distinguishable for score in found)

    @property
    def decisive(self):
        """Name of the score that a verdict rests on.

        The one with the largest difference among those that are distinguishable, or among all.
        """
        if self.scores is None:
            return self.strongest or self.attack
        found = {n: s for n, s in self.scores.items() if s.distinguishable} or self.scores
        return max(found, key=lambda name: abs(found[name].difference.estimate))

    def distance_of(self, name):
        """The `ScoreDistance` of one score of the attack.

        Parameters
        ----------
        name : str
            A score of `membership_scores` where there are several ("strongest"); of one score it is
            not looked at.

        Returns
        -------
        distance : ScoreDistance
        """
        return self._distance() if self.scores is None else self.scores[name]

    def table(self):
        """Every score of the attack beside its reference.

        Returns
        -------
        table : pandas.DataFrame
            One row per score, the strongest first: ``AUC``, ``reference`` and ``difference`` with
            ``low`` and ``high``, and whether it is ``distinguishable``.
        """
        import pandas as pd

        rows = {}
        for name, found in (self.scores or {self.attack: self._distance()}).items():
            d = found.difference
            values = found.interval.estimate, found.reference_auc, d.estimate, d.low, d.high
            rows[name] = [*values, found.distinguishable]
        columns = ["AUC", "reference", "difference", "low", "high", "distinguishable"]
        table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
        order = table["difference"].abs().sort_values(ascending=False, kind="stable").index
        return table.loc[order]

    def _distance(self):
        return ScoreDistance(
            self.interval, self.reference_auc, self.reference_interval, self.correlation
        )

    def __str__(self):
        i = self.interval
        matched = "matched" if self.matched else "unmatched"
        by = "" if self.scores is None else f" ({self.strongest.replace('_', ' ')})"
        return (
            f"{matched} {self.attack} attack{by}: AUC {i.estimate:.3f} ({100 * i.confidence:g}% "
            f"interval {i.low:.3f}–{i.high:.3f}, {i.method}, {self.n_forget} forgotten vs "
            f"{self.n_unseen} unseen); reference: {self._reference()}; {self._verdict()} "
            f"{self._direction()}"
        )

    def _reference(self):
        if self.reference_kind == "chance":
            return "chance 0.500"
        kind = "short reference" if self.reference_kind == "short" else "retrained model"
        note = f" ({self.reference_note})" if self.reference_note else ""
        return f"{kind}{note} {self.reference_interval or format(self.reference_auc, '.3f')}"

    def _verdict(self):
        said = ""
        if self.reference_kind != "chance":
            said = f", difference {format_signed(self.difference)}"
        if not self.distinguishable:
            return f"not distinguishable at this sample size{said}."
        decisive = self.decisive
        found = self.distance_of(decisive)
        side = "above" if found.difference.estimate > 0 else "below"
        if self.scores is not None and decisive != self.strongest:
            return (
                f"distinguishable by {decisive.replace('_', ' ')}: it lies {side} the reference, "
                f"difference {format_signed(found.difference)}."
            )
        return f"distinguishable: it lies {side} the reference{said}."

    def _direction(self):
        if self.attack == "blind":
            return (
                "This attack never asks the model: away from 0.5 on either side, the two sets "
                "differ in distribution and an attack on the model says nothing about membership."
            )
        return (
            "Closer to the reference is better; both sides count (AUC below "
            f"{'0.5' if self.reference_kind == 'chance' else 'the reference'} is a leak too)."
        )


def format_signed(interval):
    """A difference with its interval, as "−0.06 [−0.13, +0.02]"."""
    ends = (interval.low, interval.high)
    # An end near 0 says on which side of it the interval lies.
    digits = [2, *(3 if abs(end) < 0.005 else 2 for end in ends)]
    value, low, high = (
        f"{x:+.{n}f}".replace("-", "−") for x, n in zip([interval.estimate, *ends], digits)
    )
    return f"{value} [{low}, {high}]"
