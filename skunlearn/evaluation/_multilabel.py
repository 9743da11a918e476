"""What an audit asks of multi-label models, whose outputs are a logit for each label."""

import numpy as np

from skunlearn.evaluation import _against
from skunlearn.evaluation._classes import judge, warn_about, warn_about_sets
from skunlearn.evaluation.figures import (
    attack,
    attack_figures,
    difference,
    losses,
    mean,
    of,
    right,
    score_names,
    share,
)
from skunlearn.metrics._attacks.scores import attack_scores
from skunlearn.metrics._distances import activation_distance, js_divergence
from skunlearn.metrics._null import between_roots, roots_of

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

has_one_class = False  # a row


def measure(logits, sets, attacks, reference):
    """All figures of one model; see `figures.measure`.

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
    found, main, plain = attack_figures(logits, sets, attacks, reference)
    figures |= found
    if plain.tpr_at_1pct is not None:
        figures["TPR at 1% FPR"] = of(plain.tpr_at_1pct.tpr)
    unmatched = attack(logits, sets, score_names(attacks)[0], match=None).interval
    return figures | {"unmatched AUC": of(unmatched)}, main, plain


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
        sides = ((logits[k], sets.y[k]) for k in ("forget", "unseen"))
        ((members, others),) = attack_scores(*sides, name, random_state=sets.seed).values()
        scores = {"forget": members, "unseen": others, "attack": name}
        found[model] = scores | {"weights": np.ones(len(others))}
    return found


def null(outputs, retrained, confidence):
    """As of classes, by the mean over the labels of each row."""

    def prepare(logits):
        return roots_of(_binary(logits)), logits.shape

    def distance(ours, theirs):
        return between_roots(ours[0], theirs[0]).reshape(ours[1]).mean(axis=1)

    return _against.Null(outputs, retrained, confidence, prepare, distance)


def ceiling(sets):
    """Highest accuracy over all unseen rows of a model without the forgotten labels."""
    return float(sets.kept().mean())


def _mean_over_labels(distance, ours, theirs):
    """A distance between binary predictions, averaged over the labels of each row."""
    return distance(_binary(ours), _binary(theirs)).reshape(ours.shape).mean(axis=1)


def _binary(logits):
    """Logits of two classes, of every label of every row."""
    return np.column_stack([np.zeros(logits.size), logits.ravel()])
