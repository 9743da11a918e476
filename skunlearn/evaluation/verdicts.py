"""What the figures of an audit mean, in words."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from skunlearn.metrics._attacks.result import format_signed

_WIDE = 0.2  # an AUC interval wider than this decides little
_MOVED = 0.1  # share of the way to the retrained loss below which little was unlearned
_STAYED = 0.01  # and nothing
_SEEN = 0.01  # difference of accuracies of which a share of the way can be told


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


@dataclass(frozen=True)
class Known:
    """How well a model knows the forget set, beside the retrained one.

    Attributes
    ----------
    gap : float
        How much better it surely is, in the units of `tolerance`; 0 where it may be chance.
    tolerance : float
        A gap that is too small to matter.
    text : str
        Both in words.
    """

    gap: float
    tolerance: float
    text: str


def judge(attacked, known, margin):
    """Verdict on one model against the retrained one.

    A membership attack alone would be blind to a model that keeps a class so well that it knows
    unseen rows of it too; hence what is known of the forget set beside it.

    Parameters
    ----------
    attacked : MembershipInference
        On the model, against the retrained one.
    known : Known, or None without a retrained model
    margin : float
        Difference of an AUC that is too small to matter.
    """
    score = attacked.decisive
    found = attacked.distance_of(score)
    i, d = found.interval, found.difference
    by = "" if attacked.scores is None else f" by {score.replace('_', ' ')}"
    seen = f"AUC {i.estimate:.3f}{by}, interval {i.low:.2f}–{i.high:.2f}"
    if known is None:
        side = "differs from" if attacked.distinguishable else "cannot be told from"
        return Verdict(
            "no reference",
            f"no retrained model to compare with: {seen}, which {side} chance; chance is not the "
            "target, a retrained model's value is",
        )
    short = attacked.reference_kind == "short"
    whose = f"short reference ({attacked.reference_note})" if short else "retrained"
    seen += f", {whose} {found.reference_auc:.3f}, difference {format_signed(d)}"
    apart = attacked.distinguishable
    matters = apart and abs(d.estimate) > margin
    if known.gap > known.tolerance:
        return Verdict("not forgotten", f"not forgotten: {known.text} ({seen})")
    if matters and d.estimate > 0:
        return Verdict(
            "not forgotten",
            f"not forgotten: forgotten rows can be told from unseen ones, {seen} ({known.text})",
        )
    if known.gap < -known.tolerance:
        return Verdict("over-forgotten", f"over-forgotten: {known.text} ({seen})")
    if matters:
        return Verdict(
            "over-forgotten",
            f"over-forgotten: forgotten rows stand out by being known less, {seen} ({known.text})",
        )
    reach = max(-d.low, d.high)
    equal = reach <= margin
    name = "a model that never saw the rows" if short else "retrained"
    if equal:
        how = f"within the margin of {margin:g}"
    elif apart:
        how = (
            f"at the margin of {margin:g}: the difference is there, smaller than that as measured "
            f"and up to {reach:.2f} as far as these rows can tell"
        )
    elif abs(d.estimate) > margin:
        how = (
            "at this sample size, but not shown to be equal: the difference is larger than the "
            f"margin of {margin:g} and more rows may confirm it"
        )
    else:
        how = f"at this sample size, which leaves a difference of up to {reach:.2f} open"
    text = f"indistinguishable from {name} {how}: {seen}; {known.text}"
    return Verdict("indistinguishable", text, within_margin=equal)


def warn_if_unmoved(name, losses, confidence, *, cap=None, accuracies=None):
    """Sentences about a model that treats the forget set as the original does.

    The farthest of several figures counts: a few rows of large losses hide what happened to all
    others.

    Parameters
    ----------
    losses : sequence of three ndarrays
        Of each row in the original, the judged and the retrained model.
    cap : float, default=None
        Losses beyond it count as much as it.
    accuracies : sequence of three floats, default=None
    """
    if is_idle(losses[0], losses[2], confidence):
        return []
    capped = [values if cap is None else np.minimum(values, cap) for values in losses]
    figures = {
        "mean loss": [values.mean() for values in capped],
        "median loss": [np.median(values) for values in losses],
    }
    figures = {what: values for what, values in figures.items() if values[2] > values[0]}
    if accuracies is not None and accuracies[0] - accuracies[2] > _SEEN:
        figures["accuracy"] = accuracies
    ways = {
        what: (now - before) / (target - before) for what, (before, now, target) in figures.items()
    }
    if not ways or max(ways.values()) >= _MOVED:
        return []
    what = max(ways, key=ways.get)
    before, now, target = figures[what]
    amount = "hardly anything" if ways[what] > _STAYED else "nothing"
    return [
        f"{name}: {amount} was unlearned. Its {what} on the forget set is {now:.3f}, the "
        f"original's {before:.3f}, the retrained model's {target:.3f}: it went "
        f"{round(100 * ways[what])} % of the way."
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
