"""What the figures of an audit mean, in words."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri
from scipy.stats import binomtest

from skunlearn.evaluation.figures import losses
from skunlearn.metrics.matching import match_weights
from skunlearn.metrics.result import signed

_WIDE = 0.2  # an AUC interval wider than this decides little
_MOVED = 0.1  # share of the way to the retrained loss below which nothing was unlearned
_UTILITY = 0.01  # accuracy on retained classes that counts as lost


@dataclass(frozen=True)
class Verdict:
    """Judgement of one model.

    Attributes
    ----------
    kind : {"indistinguishable", "not forgotten", "over-forgotten", "no reference"}
        "indistinguishable" says that no difference beyond the practical margin was found, which
        few rows always say.
    text : str
        The same in words, with the figures it rests on.
    within_margin : bool
        Whether no difference of AUCs beyond the practical margin is left open: the whole interval
        of the largest lies within it.
    """

    kind: str
    text: str
    within_margin: bool = False

    def __str__(self):
        return self.text


def judge(outputs, references, attacked, sets, tolerance):
    """Verdict on one model against the retrained one.

    A membership attack alone would be blind to a model that keeps a class so well that it knows
    unseen rows of it too; hence the accuracy on the forget set beside it.

    Parameters
    ----------
    outputs : dict of str to ndarray
        Logits of the model.
    references : list of such dicts
        Of the retrained models, the one to compare with first.
    attacked : MembershipInference
        Against the first of them.
    sets : Sets
    tolerance : float
        Difference of an AUC or of accuracy on the forget set that is too small to matter; so is
        one of accuracy that two retrained models show between themselves.
    """
    score = attacked.decisive
    found = attacked.distance_of(score)
    i, d = found.interval, found.difference
    by = "" if attacked.scores is None else f" by {score.replace('_', ' ')}"
    seen = f"AUC {i.estimate:.3f}{by}, interval {i.low:.2f}–{i.high:.2f}"
    if not references:
        side = "differs from" if attacked.distinguishable else "cannot be told from"
        return Verdict(
            "no reference",
            f"no retrained model to compare with: {seen}, which {side} chance; chance is not the "
            "target, a retrained model's value is",
        )
    short = attacked.reference_kind == "short"
    whose = f"short reference ({attacked.reference_note})" if short else "retrained"
    seen += f", {whose} {found.reference_auc:.3f}, difference {signed(d)}"
    known, gap, margin = _compare_accuracy(outputs, references, sets, tolerance, short)
    apart = attacked.distinguishable
    matters = apart and abs(d.estimate) > tolerance
    if gap > margin:
        return Verdict("not forgotten", f"not forgotten: {known} ({seen})")
    if matters and d.estimate > 0:
        return Verdict(
            "not forgotten",
            f"not forgotten: forgotten rows can be told from unseen ones, {seen} ({known})",
        )
    if gap < -margin:
        return Verdict("over-forgotten", f"over-forgotten: {known} ({seen})")
    if matters:
        return Verdict(
            "over-forgotten",
            f"over-forgotten: forgotten rows stand out by being known less, {seen} ({known})",
        )
    reach = max(-d.low, d.high)
    equal = reach <= tolerance
    name = "a model that never saw the rows" if short else "retrained"
    if apart or equal:
        how = f"within the margin of {tolerance:g}"
    elif abs(d.estimate) > tolerance:
        how = (
            f"at this sample size, but not shown to be equal: the difference is larger than the "
            f"margin of {tolerance:g} and more rows may confirm it"
        )
    else:
        how = f"at this sample size, which leaves a difference of up to {reach:.2f} open"
    text = f"indistinguishable from {name} {how}: {seen}; {known}"
    return Verdict("indistinguishable", text, within_margin=equal)


def _compare_accuracy(outputs, references, sets, tolerance, short):
    """Words on the accuracy on the forget set, how large the gap surely is, and its margin."""
    y = sets.y["forget"]
    ours, theirs, *others = (_right(o["forget"], y) for o in (outputs, *references))
    whose = "short reference" if short else "retrained"
    known = (
        f"right on {100 * ours.mean():.1f} % of the forget set, {whose} {100 * theirs.mean():.1f}"
    )
    if short:
        # It knows less of everything; but of a class that it has never seen nothing, as any other.
        gone = np.isin(y, sets.gone)
        ours, theirs, *others = (right[gone] for right in (ours, theirs, *others))
        if not gone.any():
            return known, 0.0, tolerance
    shares = [right.mean() for right in (theirs, *others)]
    margin = max(tolerance, max(shares) - min(shares))
    if not _differ(ours, theirs, sets.confidence):
        return known, 0.0, margin
    # Nets retrained with other seeds do differ by a little, which many rows prove.
    change = ours.astype(float) - theirs
    gap, variance = change.mean(), change.var() / len(change)
    if not short:
        better, spread = _general_change(outputs, references[0], sets)
        gap, variance = gap - better, variance + spread
    sure = max(0.0, abs(gap) - ndtri(sets.confidence) * np.sqrt(variance))
    return known, float(np.copysign(sure, gap)), margin


def _general_change(outputs, reference, sets):
    """By how much a model is better on rows like the forget set's anyway, and its variance.

    A net that is right more often on unseen rows of the same classes too is a better net, and
    remembers nothing by that. Not so where a class has lost half of its rows and more: who still
    knows it well knows it from them.
    """
    if "retain" not in sets.y:
        return 0.0, 0.0
    classes, counts = np.unique(sets.y["forget"], return_counts=True)
    left = np.array([np.count_nonzero(sets.y["retain"] == label) for label in classes])
    whole = np.isin(sets.y["forget"], classes[left > counts])
    if not whole.any():
        return 0.0, 0.0
    y = sets.y["unseen"]
    weights = match_weights(sets.y["forget"][whole], y)
    weights = weights / weights.sum() * whole.mean()
    change = _right(outputs["unseen"], y).astype(float) - _right(reference["unseen"], y)
    better = weights @ change
    return better, (weights**2) @ (change - better / whole.mean()) ** 2


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
                f"{100 * ours.mean():.1f} %, the retrained model on {100 * theirs.mean():.1f} %"
                + (
                    "."
                    if original is None
                    else f", the original on {100 * _accuracy(original, kept, sets):.1f} %."
                )
            )
    if original is not None and not _idle(original, reference, sets):
        ways = _ways(original, outputs, reference, sets)
        # The farthest counts: a few rows of large losses hide what happened to all others.
        if ways and max(way for way, *_ in ways) < _MOVED:
            way, what, before, now, target = max(ways)
            found.append(
                f"{name}: nothing was unlearned. Its {what} on the forget set is {now:.3f}, the "
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


def _ways(original, outputs, reference, sets):
    """How far a model went from the original to the retrained one, by several figures.

    Losses are capped at twice that of a guess, as the mean of the retrained model's may be that of
    a few rows.
    """
    y = sets.y["forget"]
    models = original, outputs, reference
    cap = 2 * np.log(original["forget"].shape[1])
    values = [losses(o["forget"], y) for o in models]
    shares = [_right(o["forget"], y).mean() for o in models]
    measured = {
        "mean loss": [np.minimum(v, cap).mean() for v in values],
        "median loss": [np.median(v) for v in values],
    }
    ways = [
        ((now - before) / (target - before), what, before, now, target)
        for what, (before, now, target) in measured.items()
        if target > before
    ]
    before, now, target = shares
    if before - target > _UTILITY:
        ways.append(((now - before) / (target - before), "accuracy", before, now, target))
    return ways


def _accuracy(outputs, rows, sets):
    return _right(outputs["unseen"][rows], sets.y["unseen"][rows]).mean()


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
