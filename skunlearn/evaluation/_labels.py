"""What an audit asks of multi-label models, whose outputs are a logit for each label."""

import numpy as np

from skunlearn.evaluation import _against
from skunlearn.evaluation._classes import judge, warn_about, warn_about_sets
from skunlearn.evaluation.figures import attack, difference, losses, mean, of, right, share
from skunlearn.metrics.attacks import compared_scores
from skunlearn.metrics.distances import activation_distance, js_divergence

__all__ = ["against", "ceiling", "curves", "judge", "measure", "warn_about", "warn_about_sets"]


def measure(logits, sets, attacks):
    """All figures of one model that need no other model, and the outcome of each attack.

    A row counts as right when all of its labels are.
    """
    rights = {name: right(z, sets.y[name]) for name, z in logits.items()}
    kept, level = sets.kept(), sets.confidence
    figures = {"test": share(rights["unseen"], level)}
    if kept.any():
        figures["retained test"] = share(rights["unseen"][kept], level)
    if "retain" in rights:
        figures["retained train"] = share(rights["retain"], level)
        if kept.any():
            figures["over-fit"] = difference(rights["retain"], rights["unseen"][kept], level)
    figures["forget train"] = share(rights["forget"], level)
    figures["forget loss"] = mean(losses(logits["forget"], sets.y["forget"]), level)
    attacked = {name: attack(logits, sets, name) for name in attacks}
    for name, result in attacked.items():
        label = "AUC" if name == attacks[0] else f"AUC {name.replace('_', ' ')}"
        figures[label] = of(result.interval)
    few = attacked[attacks[0]].tpr_at_1pct
    if few is not None:
        figures["TPR at 1% FPR"] = of(few.tpr)
    unmatched = attack(logits, sets, attacks[0], match=None).interval
    return figures | {"unmatched AUC": of(unmatched)}, attacked


def against(outputs, figures, attacked, name, first, confidence):
    """Figures of model `name` that need the retrained model `first`."""
    pairs = {rows: (z, outputs[first][rows]) for rows, z in outputs[name].items()}
    found = {}
    for rows in ("forget", "unseen"):
        ours, theirs = (z > 0 for z in pairs[rows])
        found[f"{rows} agreement"] = share((ours == theirs).all(axis=1), confidence)
    for label, distance in (("JS", js_divergence), ("distance", activation_distance)):
        values = _mean_over_labels(distance, *pairs["forget"])
        found[f"forget {label}"] = mean(values, confidence)
    return found | _against.gaps(outputs, figures, attacked, name, first)


def curves(outputs, sets, name):
    """Scores of the attack `name`, for pictures."""
    found = {}
    for model, logits in outputs.items():
        unseen = logits["unseen"], sets.y["unseen"]
        found[model] = {"weights": np.ones(len(sets.y["unseen"])), "attack": name}
        for k, z in logits.items():
            scores = compared_scores(z, sets.y[k], *unseen, name)
            found[model][k] = scores[1 if k == "unseen" else 0]
    return found


def ceiling(sets):
    """Highest accuracy over all unseen rows of a model without the forgotten labels."""
    return float(sets.kept().mean())


def _mean_over_labels(distance, ours, theirs):
    """A distance between binary predictions, averaged over the labels of each row."""
    sides = [np.column_stack([np.zeros(z.size), z.ravel()]) for z in (ours, theirs)]
    return distance(*sides).reshape(ours.shape).mean(axis=1)
