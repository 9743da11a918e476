"""Outcome of a membership-inference attack, with its reference and its words."""

from dataclasses import dataclass, field

import numpy as np

from skunlearn.metrics.intervals import Interval
from skunlearn.metrics.rates import TruePositives

__all__ = ["MembershipInference"]


@dataclass(frozen=True)
class MembershipInference:
    """Outcome of a membership-inference attack on forgotten against unseen rows.

    Attributes
    ----------
    auc : float
        Chance that a forgotten row looks more like a member than an unseen row does.
    interval : Interval
        Of `auc`.
    n_forget, n_unseen : int
        Rows compared; unseen rows of weight 0 do not count.
    attack : str
    matched : bool
        Whether the unseen rows were weighted to the class proportions of the forget set.
    reference_auc : float
        The AUC of a model that never saw the forget set, or 0.5 where none is at hand.
    reference_kind : {"chance", "retrained"}
    reference_interval : Interval or None
        Of `reference_auc`, where it was given.
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

    @property
    def distinguishable(self):
        """Whether the reference lies outside the interval.

        A reference with an interval of its own must differ by more than both half-widths, added
        in squares (Zou and Donner, 2008, Statistics in Medicine 27, 1693–1702). Two models judged
        on the same rows err alike, which makes this cautious.
        """
        low, high = self.interval.low, self.interval.high
        if self.reference_interval is not None:
            reference = self.reference_interval
            low = self.auc - np.hypot(self.auc - low, reference.high - self.reference_auc)
            high = self.auc + np.hypot(high - self.auc, self.reference_auc - reference.low)
        return not low <= self.reference_auc <= high

    def __str__(self):
        i = self.interval
        matched = "matched" if self.matched else "unmatched"
        return (
            f"{matched} {self.attack} attack: AUC {i.estimate:.3f} ({100 * i.confidence:g}% "
            f"interval {i.low:.3f}–{i.high:.3f}, {i.method}, {self.n_forget} forgotten vs "
            f"{self.n_unseen} unseen); reference: {self._reference()}; {self._verdict()} "
            f"{self._direction()}"
        )

    def _reference(self):
        if self.reference_kind == "chance":
            return "chance 0.500"
        return f"retrained model {self.reference_interval or format(self.reference_auc, '.3f')}"

    def _verdict(self):
        if not self.distinguishable:
            return "not distinguishable at this sample size."
        side = "above" if self.auc > self.reference_auc else "below"
        return f"distinguishable: it lies {side} the reference."

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
