"""What an audit asks of classifiers, whose outputs are logits."""

import numpy as np
from scipy.special import ndtri
from scipy.stats import binomtest

from skunlearn.evaluation import figures
from skunlearn.evaluation._against import against
from skunlearn.evaluation.figures import attack, losses, right
from skunlearn.evaluation.verdicts import Known, is_idle, warn_about_rows, warn_if_unmoved
from skunlearn.evaluation.verdicts import judge as judge_known
from skunlearn.metrics._labels import is_multilabel
from skunlearn.metrics.matching import match_weights
from skunlearn.metrics.scores import membership_scores

__all__ = ["against", "ceiling", "curves", "judge", "measure", "warn_about", "warn_about_sets"]

_UTILITY = 0.01  # accuracy on retained classes that counts as lost


def measure(logits, sets, attacks):
    """All figures of one model that need no other model, and the outcome of each attack."""
    found, attacked = figures.measure(logits, sets, attacks)
    unmatched = attack(logits, sets, attacks[0], match=None).interval
    return found | {"unmatched AUC": figures.of(unmatched)}, attacked


def judge(outputs, references, attacked, reference_attacked, sets, tolerance):
    """Verdict on one model against the retrained one.

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
    if not references:
        return judge_known(attacked, None, None)
    y = sets.y["forget"]
    ours, theirs, *others = (right(o["forget"], y) for o in (outputs, *references))
    shares = [right.mean() for right in (theirs, *others)]
    gap = ours.mean() - theirs.mean() if _differ(ours, theirs, sets.confidence) else 0.0
    text = (
        f"right on {100 * ours.mean():.1f} % of the forget set, retrained {100 * theirs.mean():.1f}"
    )
    known = Known(gap, max(tolerance, max(shares) - min(shares)), text)
    return judge_known(attacked, reference_attacked, known)


def warn_about(name, outputs, reference, original, sets):
    """Sentences about one candidate that its reader should not miss."""
    found = []
    if reference is None:
        return found
    kept = sets.kept()
    if kept.any():
        ours, theirs = (
            right(o["unseen"][kept], sets.y["unseen"][kept]) for o in (outputs, reference)
        )
        change = ours.astype(float) - theirs
        arm = ndtri((1 + sets.confidence) / 2) * change.std() / np.sqrt(len(change))
        if change.mean() + arm < -_UTILITY:
            found.append(
                f"{name}: utility lost. On unseen rows of the retained classes it is right on "
                f"{100 * ours.mean():.1f} %, the retrained model on {100 * theirs.mean():.1f} %."
            )
    if original is None:
        return found
    sides = (losses(o["forget"], sets.y["forget"]) for o in (original, outputs, reference))
    return found + warn_if_unmoved(name, *sides, sets.confidence)


def warn_about_sets(original, reference, attacked, sets, blind):
    """Sentences about the rows, whatever the model."""
    idle = False
    if original is not None and reference is not None:
        sides = (losses(o["forget"], sets.y["forget"]) for o in (original, reference))
        idle = is_idle(*sides, sets.confidence)
    one_class = not is_multilabel(sets.y["forget"])
    return warn_about_rows(attacked, blind, idle, of_classes=one_class)


def curves(outputs, sets, name):
    """Scores of the attack `name`, for pictures."""
    weights = match_weights(sets.y["forget"], sets.y["unseen"])
    found = {}
    for model, logits in outputs.items():
        scores = {k: membership_scores(z, sets.y[k], name) for k, z in logits.items()}
        found[model] = scores | {"weights": weights, "attack": name}
    return found


def ceiling(sets):
    """Highest accuracy over all unseen rows of a model without the forgotten classes."""
    return float(sets.kept().mean())


def _differ(ours, theirs, confidence):
    """Exact McNemar test: whether two models are right on different shares of the same rows."""
    only_ours, only_theirs = (ours & ~theirs).sum(), (theirs & ~ours).sum()
    n = int(only_ours + only_theirs)
    return n > 0 and binomtest(int(only_ours), n).pvalue < 1 - confidence
