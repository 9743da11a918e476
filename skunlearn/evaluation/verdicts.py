"""What the figures of an audit mean, in words."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

_WIDE = 0.2  # an AUC interval wider than this decides little
_MOVED = 0.1  # share of the way to the retrained loss below which nothing was unlearned


@dataclass(frozen=True)
class Verdict:
    """Judgement of one model.

    Attributes
    ----------
    kind : {"indistinguishable", "not forgotten", "over-forgotten", "no reference"}
    text : str
        The same in words, with the figures it rests on.
    """

    kind: str
    text: str

    def __str__(self):
        return self.text


@dataclass(frozen=True)
class Known:
    """How well a model knows the forget set, beside the retrained one.

    Attributes
    ----------
    gap : float
        How much better, in the units of `tolerance`; 0 where the difference may be chance.
    tolerance : float
        A gap that is too small to matter.
    text : str
        Both in words.
    """

    gap: float
    tolerance: float
    text: str


def judge(attacked, reference, known):
    """Verdict on one model against the retrained one.

    A membership attack alone would be blind to a model that keeps a class so well that it knows
    unseen rows of it too; hence what is known of the forget set beside it.

    Parameters
    ----------
    attacked, reference : MembershipInference
        On the model and the retrained one; None where there is none.
    known : Known or None
    """
    i = attacked.interval
    seen = f"AUC {i.estimate:.3f}, interval {i.low:.2f}–{i.high:.2f}"
    if reference is None:
        side = "differs from" if attacked.distinguishable else "cannot be told from"
        return Verdict(
            "no reference",
            f"no retrained model to compare with: {seen}, which {side} chance; chance is not the "
            "target, a retrained model's value is",
        )
    seen += f", retrained {reference.auc:.3f}"
    apart = _referenced(attacked, reference).distinguishable
    above = attacked.auc > reference.auc
    if known.gap > known.tolerance:
        return Verdict("not forgotten", f"not forgotten: {known.text} ({seen})")
    if apart and above:
        return Verdict(
            "not forgotten",
            f"not forgotten: forgotten rows can be told from unseen ones, {seen} ({known.text})",
        )
    if known.gap < -known.tolerance:
        return Verdict("over-forgotten", f"over-forgotten: {known.text} ({seen})")
    if apart:
        return Verdict(
            "over-forgotten",
            f"over-forgotten: forgotten rows stand out by being known less, {seen} ({known.text})",
        )
    return Verdict(
        "indistinguishable",
        f"indistinguishable from retrained at this sample size: {seen}; {known.text}",
    )


def warn_if_unmoved(name, before, now, target, confidence):
    """Sentences about a model whose losses on the forget set are those of the original.

    `before`, `now` and `target` are the losses of each row in the original, the judged and the
    retrained model.
    """
    if is_idle(before, target, confidence):
        return []
    before, now, target = (losses.mean() for losses in (before, now, target))
    way = (now - before) / (target - before)
    if way >= _MOVED:
        return []
    return [
        f"{name}: nothing was unlearned. Its mean loss on the forget set is {now:.3f}, the "
        f"original's {before:.3f}, the retrained model's {target:.3f}: it went "
        f"{100 * way:.0f} % of the way."
    ]


def warn_about_rows(attacked, blind, idle, *, of_classes=True):
    """Sentences about the rows, whatever the model.

    `idle` says that original and retrained model treat the forget set alike.
    """
    found = []
    n_forget, n_twins = attacked.n_forget, attacked.n_unseen
    width = attacked.interval.high - attacked.interval.low
    if width > _WIDE:
        text = (
            f"Too few rows: {n_forget} forgotten against {n_twins} unseen rows"
            f"{' of their classes' if of_classes else ''} leave an interval {width:.2f} wide; "
            "smaller leaks cannot be seen."
        )
        if of_classes:
            text += (
                " Unseen rows of the forget set's classes help most where they are the smaller "
                "side."
            )
        found.append(text)
    if blind is not None and blind.distinguishable:
        found.append(
            f"Distribution shift: an attack that never asks a model tells forgotten from unseen "
            f"rows with AUC {blind.auc:.3f} (interval {blind.interval.low:.2f}–"
            f"{blind.interval.high:.2f}). The two sets differ by themselves, so that an AUC away "
            "from 0.5 says nothing about memory: compare with the retrained model's only."
        )
    if idle:
        found.append(
            f"Nothing to see: on the forget set the original model's loss"
            f"{' and accuracy are' if of_classes else ' is'} already "
            f"{'those' if of_classes else 'that'} of the retrained one, so that this audit cannot "
            "tell unlearning from doing nothing. Try a model that fits its rows more closely, or "
            "another forget set."
        )
    return found


def is_idle(before, target, confidence):
    """Whether original and retrained model treat the forget set alike, by the loss of each row."""
    change = target - before
    arm = ndtri((1 + confidence) / 2) * change.std() / np.sqrt(len(change))
    return abs(change.mean()) <= arm


def _referenced(attacked, reference):
    """The outcome of an attack, with the retrained model's for its reference."""
    return replace(
        attacked,
        reference_auc=reference.auc,
        reference_interval=reference.interval,
        reference_kind="retrained",
        score=-abs(attacked.auc - reference.auc),
    )
