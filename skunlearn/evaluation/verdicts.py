"""What the figures of an audit mean, in words."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri
from scipy.stats import binomtest

from skunlearn.evaluation.figures import losses

_WIDE = 0.2  # an AUC interval wider than this decides little
_MOVED = 0.1  # share of the way to the retrained loss below which nothing was unlearned
_UTILITY = 0.01  # accuracy on retained classes that counts as lost


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


def judge(outputs, references, attacked, reference_attacked, sets, tolerance):
    """Verdict on one model against the retrained one.

    A membership attack alone would be blind to a model that keeps a class so well that it knows
    unseen rows of it too; hence the accuracy on the forget set beside it.

    Parameters
    ----------
    outputs : dict of str to ndarray
        Logits of the model.
    references : list of such dicts
        Of the retrained models, the one to compare with first.
    attacked, reference_attacked : MembershipInference
    sets : Sets
    tolerance : float
        Difference of accuracy on the forget set that is too small to matter; so is one that two
        retrained models show between themselves.
    """
    i = attacked.interval
    seen = f"AUC {i.estimate:.3f}, interval {i.low:.2f}–{i.high:.2f}"
    if not references:
        side = "differs from" if attacked.distinguishable else "cannot be told from"
        return Verdict(
            "no reference",
            f"no retrained model to compare with: {seen}, which {side} chance; chance is not the "
            "target, a retrained model's value is",
        )
    seen += f", retrained {reference_attacked.auc:.3f}"
    y = sets.y["forget"]
    ours, theirs, *others = (_right(o["forget"], y) for o in (outputs, *references))
    known = (
        f"right on {100 * ours.mean():.1f} % of the forget set, retrained {100 * theirs.mean():.1f}"
    )
    shares = [right.mean() for right in (theirs, *others)]
    tolerance = max(tolerance, max(shares) - min(shares))
    gap = ours.mean() - theirs.mean() if _differ(ours, theirs, sets.confidence) else 0.0
    apart = _referenced(attacked, reference_attacked).distinguishable
    above = attacked.auc > reference_attacked.auc
    if gap > tolerance:
        return Verdict("not forgotten", f"not forgotten: {known} ({seen})")
    if apart and above:
        return Verdict(
            "not forgotten",
            f"not forgotten: forgotten rows can be told from unseen ones, {seen} ({known})",
        )
    if gap < -tolerance:
        return Verdict("over-forgotten", f"over-forgotten: {known} ({seen})")
    if apart:
        return Verdict(
            "over-forgotten",
            f"over-forgotten: forgotten rows stand out by being known less, {seen} ({known})",
        )
    return Verdict(
        "indistinguishable",
        f"indistinguishable from retrained at this sample size: {seen}; {known}",
    )


def warn_about(name, outputs, reference, original, sets):
    """Sentences about one candidate that its reader should not miss."""
    found = []
    if reference is None:
        return found
    kept = ~np.isin(sets.y["unseen"], sets.gone)
    if kept.any():
        ours, theirs = (
            _right(o["unseen"][kept], sets.y["unseen"][kept]) for o in (outputs, reference)
        )
        change = ours.astype(float) - theirs
        arm = ndtri((1 + sets.confidence) / 2) * change.std() / np.sqrt(len(change))
        if change.mean() + arm < -_UTILITY:
            found.append(
                f"{name}: utility lost. On unseen rows of the retained classes it is right on "
                f"{100 * ours.mean():.1f} %, the retrained model on {100 * theirs.mean():.1f} %."
            )
    if original is not None and not _idle(original, reference, sets):
        before, now, target = (
            losses(o["forget"], sets.y["forget"]).mean() for o in (original, outputs, reference)
        )
        way = (now - before) / (target - before)
        if way < _MOVED:
            found.append(
                f"{name}: nothing was unlearned. Its mean loss on the forget set is {now:.3f}, the "
                f"original's {before:.3f}, the retrained model's {target:.3f}: it went "
                f"{100 * way:.0f} % of the way."
            )
    return found


def warn_about_sets(original, reference, attacked, sets, blind):
    """Sentences about the rows, whatever the model."""
    found = []
    n_forget, n_twins = attacked.n_forget, attacked.n_unseen
    width = attacked.interval.high - attacked.interval.low
    if width > _WIDE:
        found.append(
            f"Too few rows: {n_forget} forgotten against {n_twins} unseen rows of their classes "
            f"leave an interval {width:.2f} wide; smaller leaks cannot be seen. Unseen rows of the "
            "forget set's classes help most where they are the smaller side."
        )
    if blind is not None and blind.distinguishable:
        found.append(
            f"Distribution shift: an attack that never asks a model tells forgotten from unseen "
            f"rows with AUC {blind.auc:.3f} (interval {blind.interval.low:.2f}–"
            f"{blind.interval.high:.2f}). The two sets differ by themselves, so that an AUC away "
            "from 0.5 says nothing about memory: compare with the retrained model's only."
        )
    if original is not None and reference is not None and _idle(original, reference, sets):
        found.append(
            "Nothing to see: on the forget set the original model's loss and accuracy are already "
            "those of the retrained one, so that this audit cannot tell unlearning from doing "
            "nothing. Try a model that fits its rows more closely, or another forget set."
        )
    return found


def _referenced(attacked, reference):
    """The outcome of an attack, with the retrained model's for its reference."""
    return replace(
        attacked,
        reference_auc=reference.auc,
        reference_interval=reference.interval,
        reference_kind="retrained",
        score=-abs(attacked.auc - reference.auc),
    )


def _idle(original, reference, sets):
    """Whether original and retrained model treat the forget set alike."""
    y = sets.y["forget"]
    change = losses(reference["forget"], y) - losses(original["forget"], y)
    arm = ndtri((1 + sets.confidence) / 2) * change.std() / np.sqrt(len(change))
    return abs(change.mean()) <= arm


def _differ(ours, theirs, confidence):
    """Exact McNemar test: whether two models are right on different shares of the same rows."""
    only_ours, only_theirs = (ours & ~theirs).sum(), (theirs & ~ours).sum()
    n = int(only_ours + only_theirs)
    return n > 0 and binomtest(int(only_ours), n).pvalue < 1 - confidence


def _right(logits, y):
    return logits.argmax(axis=1) == y
