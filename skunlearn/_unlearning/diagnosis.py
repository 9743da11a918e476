"""Warnings: what outputs give away without a row that the model has never seen."""

import numpy as np
from scipy.stats import binomtest

from skunlearn._rows.checking import warn
from skunlearn._torch.parts.tasks import Labels, task_of
from skunlearn._unlearning.certificate.deletion_log import to_plain
from skunlearn.exceptions import ClassForgottenWarning, ModelDamagedWarning, NotForgottenWarning

_STILL_KNOWN = 0.5  # share of the rows of a forgotten class, named correctly, worth a warning
_MOVED = 1e-3  # rise of the mean forget loss, relative to max(1, loss before), that counts
_MEMORISED = 0.05  # share of the loss of chance, ln C, below which a row counts as learnt by heart
_BY_HEART = 0.04  # the same of a net that has learnt wrong labels, too, of which it is less sure
_HARDLY = 1.75  # times the mean loss before, up to which such rows are as they were
_SURE = 0.95  # confidence that some unseen rows reach wherever most rows of the training do
_SOME = 0.15  # these are more of the unseen rows: 17 % and up on ten nets for digits and CIFAR-10
_BLIND = 1.5  # times what noise costs retained rows: 0.5 to 1.2 on six nets for digits and a table
_FEW = 20  # retained rows of a class that say nothing yet
_LEVEL = 0.01  # of the test that they are fewer


def emptied_classes(unlearner, record, forget):
    """Names of the classes of which a request removes every row, with a warning."""
    if unlearner._classes is None or not record.has_data or forget is None:
        return []
    gone = task_of(unlearner._classes).emptied(record.retained_y, forget.y)
    several = isinstance(unlearner._classes, Labels)
    labels = unlearner.classes_ if several else unlearner._classes
    names = [to_plain(label) for label in labels[gone]]
    if names:
        warn(
            f"The request removes every retained row of {names}: the model forgets the whole "
            "class. Judge it on unseen rows of that class, and its accuracy on the others.",
            ClassForgottenWarning,
        )
    return names


def warn_if_wrong(unlearner, change, measured, most_lost, removal):
    """Warn when a request has damaged the model, or when it has not forgotten.

    Parameters
    ----------
    unlearner : BaseUnlearner
        Whose method is neither exact nor certified.
    change : Change
    measured : dict
        Losses and scores before and after, as in the log.
    most_lost : float
        The loss of accuracy on retained rows that is worth a warning.
    removal : Removal
        Looked up.
    """
    name, said = type(unlearner).__name__, change
    lost = _drop(measured["retain_before"], measured["retain_after"])
    if lost > most_lost:
        warn(
            f"{name} cost the retained rows {100 * lost:.0f} points of accuracy. Try a smaller "
            "learning rate, fewer epochs or a larger penalty.",
            ModelDamagedWarning,
        )
        said = None  # what a wrecked model is sure of says nothing of what it remembers
    before, after = (measured[key]["loss"] for key in ("forget_before", "forget_after"))
    if before is None or after is None:
        return
    text = None
    if after - before <= _MOVED * max(1.0, before):
        text = _say_not_raised(name, before, after)
    elif said is not None and unlearner._make_promises().adds_noise:
        text = _say_blurred(name, measured)
    if text is None and said is not None:
        text = _say_known_by_heart(unlearner, said)
    if text is None:
        text = _say_still_named(unlearner, removal, change.forget_after)
    if text is None and said is not None and not removal.emptied:
        text = _say_stands_out(name, said)
    if text is not None:
        warn(text, NotForgottenWarning)


def _drop(before, after):
    if before["score"] is None or after["score"] is None:
        return 0.0
    return before["score"] - after["score"]


def _say_not_raised(name, before, after):
    return (
        f"{name} did not raise the loss on the forget rows ({before:.4g} before, {after:.4g} "
        "after): they may still be remembered. Try more epochs, a larger learning rate or a "
        "smaller penalty."
    )


def _say_blurred(name, measured):
    if not blurs_both(measured):
        return None
    losses = {key: said["loss"] for key, said in measured.items()}
    return (
        f"The noise of {name} blurs forget and retained rows alike: it raised the loss on forget "
        f"rows from {losses['forget_before']:.3g} to {losses['forget_after']:.3g}, and on retained "
        f"rows from {losses['retain_before']:.3g} to {losses['retain_after']:.3g}. What tells "
        "them from rows that it has never seen is still there: look at MIAScorer or "
        "skunlearn.evaluation.audit. Use RandomLabelUnlearner, NoTUnlearner or RetrainUnlearner."
    )


def _say_known_by_heart(unlearner, change):
    pushed = unlearner._make_promises().reads_forget_rows
    chance = _chance(unlearner, change.retain_after)
    losses = known_by_heart(change.forget_before, change.forget_after, chance, pushed)
    if losses is None:
        return None
    return (
        f"After {type(unlearner).__name__} forget rows are still known by heart: "
        f"{'half of them have a loss of at most' if pushed else 'their mean loss is'} "
        f"{losses[1]:.3g} ({losses[0]:.3g} before, {chance:.3g} for chance). "
        "Unless a model knows unseen rows as well, it has not forgotten them: look at "
        "MIAScorer or skunlearn.evaluation.audit. More epochs, a larger learning rate or a "
        "smaller penalty forget more; so do RandomLabelUnlearner, SalUnUnlearner and "
        "NegGradPlusUnlearner."
    )


def _chance(unlearner, sample):
    """Loss of a guess at a class or at labels; 0 for a regression."""
    if unlearner._classes is None:
        return 0.0
    seen = unlearner._row_reader.seen_classes
    return task_of(seen).chance(sample.y) or float(np.log(2))


def _say_still_named(unlearner, removal, after):
    # A model that never saw a class never names it.
    if not removal.emptied:  # nor is it known where the rows came with the request
        return None
    task, left = task_of(unlearner._classes), removal.record.retained_y
    if not task.covers(left, removal.forget.y):
        return None
    named = task.still_named(after, task.emptied(left, removal.forget.y))
    if named <= _STILL_KNOWN:
        return None
    return (
        f"{type(unlearner).__name__} still names {100 * named:.0f} % of the rows of forgotten "
        "classes correctly. Try more epochs, a larger learning rate or a smaller penalty."
    )


def _say_stands_out(name, change):
    sure = stands_out(change.forget_after, change.retain_after)
    if sure is None:
        return None
    return (
        f"After {name} the forget rows stand out: the model is sure of {100 * sure[1]:.0f} % of "
        f"them (a probability of {sure[0]:.2f} and more, which half of the retained rows of their "
        "classes reach). Of rows like them that it has never seen it would be sure more often, so "
        "that an attack by entropy tells them apart. Try a smaller learning rate or fewer epochs, "
        "and look at MIAScorer with attack='entropy'."
    )


def known_by_heart(before, after, chance, pushed):
    """Losses of forget rows that were known by heart and still are, before and after; else None.

    Of a method that pushed them away, the medians: a few rows with large losses hide that all
    others are as they were. They are, too, where the mean has hardly risen: so on digits with
    wrong labels at a small rate, after which an attack found more than before. Of a method that
    did not push, the means: half of the rows that it has never seen may be known as well, where a
    model generalises.

    Parameters
    ----------
    before, after : Evidence of the forget rows
    chance : float, the loss of a guess
    pushed : bool
    """
    if before.logits is None or after.logits is None:
        return None
    losses = [evidence.losses() for evidence in (before, after)]
    means = [float(np.mean(each)) for each in losses]
    found = [float(np.median(each)) for each in losses] if pushed else means
    as_before = found[0] < _BY_HEART * chance and means[1] < _HARDLY * means[0]
    known = max(found) < _MEMORISED * chance or (pushed and as_before)
    return found if known else None


def blurs_both(measured):
    """Whether noise cost the forget rows hardly more than the retained rows.

    Parameters
    ----------
    measured : dict
        Losses before and after, as in the log.
    """
    losses = {key: said["loss"] for key, said in measured.items()}
    if None in losses.values():
        return False
    raised = [losses[f"{key}_after"] - losses[f"{key}_before"] for key in ("forget", "retain")]
    return raised[0] <= _BLIND * raised[1]


def stands_out(forget, retained):
    """Whether the model was taught to be unsure of the forget rows, as by random labels.

    Of rows that it has never seen it is as sure as of many a row of its training, if not always
    rightly so. Where it is unsure of their whole classes they do not stand out.

    Parameters
    ----------
    forget, retained : Evidence after the request

    Returns
    -------
    level, share : float
        A confidence that half of the retained rows of their classes reach, and the share of forget
        rows that do. None where these are not conspicuously few.
    """
    if any(evidence is None or evidence.logits is None for evidence in (forget, retained)):
        return None
    alike = np.isin(retained.y, forget.y)
    ours, theirs = (e.task.confidences(e.logits) for e in (forget, retained))
    if ours is None or alike.sum() < _FEW:
        return None
    level = min(_SURE, float(np.median(theirs[alike])))
    sure = ours >= level
    few = binomtest(int(sure.sum()), len(sure), _SOME, alternative="less").pvalue < _LEVEL
    return (level, float(sure.mean())) if few else None
