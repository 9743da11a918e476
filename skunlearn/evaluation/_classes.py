"""What an audit asks of classifiers, whose outputs are logits."""

import numpy as np
from scipy.special import ndtri
from scipy.stats import binomtest

from skunlearn.evaluation import figures
from skunlearn.evaluation._against import against, null
from skunlearn.evaluation.figures import attack, losses, right
from skunlearn.evaluation.verdicts import Known, is_idle, warn_about_rows, warn_if_unmoved
from skunlearn.evaluation.verdicts import judge as judge_known
from skunlearn.metrics._attacks.scores import attack_scores
from skunlearn.metrics._label_logits import is_multilabel
from skunlearn.metrics._statistics.matching import match_weights

__all__ = [
    "against",
    "ceiling",
    "curves",
    "has_one_class",
    "judge",
    "measure",
    "null",
    "warn_about",
    "warn_about_sets",
]

has_one_class = True  # a row

_UTILITY = 0.01  # accuracy on retained classes that counts as lost
_WORSE = 0.2  # by so much no model trained by the same recipe falls short on unseen rows


def measure(logits, sets, attacks, reference):
    """All figures of one model; see `figures.measure`."""
    found, main, plain = figures.measure(logits, sets, attacks, reference)
    unmatched = attack(logits, sets, figures.score_names(attacks)[0], match=None).interval
    return found | {"unmatched AUC": figures.of(unmatched)}, main, plain


def judge(outputs, references, attacked, sets, tolerance):
    """Verdict on one model against the retrained one.

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
    known = None
    if references:
        short = attacked.reference_kind == "short"
        known = _compare_accuracy(outputs, references, sets, tolerance, short)
    return judge_known(attacked, known, tolerance)


def _compare_accuracy(outputs, references, sets, tolerance, short):
    """What is known of the forget set, by accuracy."""
    y = sets.y["forget"]
    ours, theirs, *others = (right(o["forget"], y) for o in (outputs, *references))
    whose = "short reference" if short else "retrained"
    text = (
        f"right on {100 * ours.mean():.1f} % of the forget set, {whose} {100 * theirs.mean():.1f}"
    )
    if short:
        # It knows less of everything; but of a class that it has never seen nothing, as any other.
        gone = np.zeros(len(y), dtype=bool) if is_multilabel(y) else np.isin(y, sets.gone)
        if not gone.any():
            return Known(0.0, tolerance, text)
        ours, theirs, *others = (rows[gone] for rows in (ours, theirs, *others))
    shares = [rows.mean() for rows in (theirs, *others)]
    margin = max(tolerance, max(shares) - min(shares))
    if not _differ(ours, theirs, sets.confidence):
        return Known(0.0, margin, text)
    # Nets retrained with other seeds do differ by a little, which many rows prove.
    change = ours.astype(float) - theirs
    gap, variance = change.mean(), change.var() / len(change)
    if not short:
        better, spread = _general_change(outputs, references[0], sets)
        gap, variance = gap - better, variance + spread
    sure = max(0.0, abs(gap) - ndtri(sets.confidence) * np.sqrt(variance))
    return Known(float(np.copysign(sure, gap)), margin, text)


def _general_change(outputs, reference, sets):
    """By how much a model is better on rows like the forget set's anyway, and its variance.

    A net that is right more often on unseen rows of the same classes too is a better net, and
    remembers nothing by that. Not so where a class has lost half of its rows and more: who still
    knows it well knows it from them.
    """
    if "retain" not in sets.y or is_multilabel(sets.y["forget"]):
        return 0.0, 0.0
    classes, counts = np.unique(sets.y["forget"], return_counts=True)
    left = np.array([np.count_nonzero(sets.y["retain"] == label) for label in classes])
    whole = np.isin(sets.y["forget"], classes[left > counts])
    if not whole.any():
        return 0.0, 0.0
    y = sets.y["unseen"]
    weights = match_weights(sets.y["forget"][whole], y)
    weights = weights / weights.sum() * whole.mean()
    change = right(outputs["unseen"], y).astype(float) - right(reference["unseen"], y)
    better = weights @ change
    return better, (weights**2) @ (change - better / whole.mean()) ** 2


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
                f"{100 * ours.mean():.1f} %, the retrained model on {100 * theirs.mean():.1f} %"
                f"{_beside_original(original, kept, sets)}."
            )
        if change.mean() - arm > _WORSE and _most_stay(sets):
            found.append(
                f"{name}: the retrained model is no reference for it. On unseen rows of the "
                f"retained classes that is right on {100 * theirs.mean():.1f} %, this one on "
                f"{100 * ours.mean():.1f} %. Train it by the same recipe, and on the same labels: "
                "columns of outputs are classes in the order of classes_."
            )
    if original is None:
        return found
    y, models = sets.y["forget"], (original, outputs, reference)
    # The mean of the retrained model's losses may be that of a few rows.
    cap = 2 * np.log(max(2, 1 if is_multilabel(y) else original["forget"].shape[1]))
    return found + warn_if_unmoved(
        name,
        [losses(o["forget"], y) for o in models],
        sets.confidence,
        cap=cap,
        accuracies=[right(o["forget"], y).mean() for o in models],
    )


def _most_stay(sets):
    """Whether a retrained model has more rows to learn from than it goes without."""
    return "retain" not in sets.y or len(sets.y["retain"]) > len(sets.y["forget"])


def _beside_original(original, kept, sets):
    if original is None:
        return ""
    share = right(original["unseen"][kept], sets.y["unseen"][kept]).mean()
    return f", the original on {100 * share:.1f} %"


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
        sides = ((logits[k], sets.y[k]) for k in ("forget", "unseen"))
        ((members, others),) = attack_scores(*sides, name, random_state=sets.seed).values()
        scores = {"forget": members, "unseen": others}
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
