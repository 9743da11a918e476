"""How far a model lies from the retrained one, on the rows of an audit."""

import numpy as np
from scipy.special import ndtri

from skunlearn.evaluation.figures import mean
from skunlearn.metrics._accuracy_gaps import average_gap, tug_of_war
from skunlearn.metrics._distances import activation_distance, agreement, js_divergence
from skunlearn.metrics._null import distances_to_null


def against(outputs, figures, attacked, name, first, confidence):
    """Figures of model `name` that need the retrained model `first`.

    Parameters
    ----------
    outputs, figures, attacked : dicts by model, see `audit_logits`; attacks by one score

    Returns
    -------
    figures : dict of str to (value, low, high)
    """
    ours, theirs = outputs[name], outputs[first]
    found = {}
    for rows in ("forget", "unseen"):
        share = agreement(ours[rows], theirs[rows], confidence=confidence)
        found[f"{rows} agreement"] = share.estimate, share.low, share.high
    for label, distance in (("JS", js_divergence), ("distance", activation_distance)):
        values = distance(ours["forget"], theirs["forget"])
        found[f"forget {label}"] = mean(values, confidence)
    return found | gaps(outputs, figures, attacked, name, first)


def gaps(outputs, figures, attacked, name, first):
    """Figures of figures, where the retained rows are at hand."""
    found = {}
    if "retain" in outputs[name]:
        sides = [_shares(figures[m], attacked[m]) for m in (name, first)]
        found["average gap"] = _alone(average_gap(*sides))
        accuracies = [
            [figures[m][k][0] for k in ("forget train", "retained train", "test")]
            for m in (name, first)
        ]
        found["ToW"] = _alone(tug_of_war(*accuracies))
        attack = [[attacked[m].auc, *rest[1:]] for m, rest in zip((name, first), accuracies)]
        found["ToW-MIA"] = _alone(tug_of_war(*attack))
    return found


def over_null(outputs, name, retrained, confidence, *, form=lambda logits: logits):
    """Distance of a model to the retrained ones over theirs to each other, on each set.

    A retrained model is judged by the others, where there are two of them. `form` makes logits of
    classes of what models say.
    """
    others = [other for other in retrained if other != name]
    if len(others) < 2:
        return {}
    found = {}
    for rows, logits in outputs[name].items():
        own, null = distances_to_null(
            form(logits), [form(outputs[other][rows]) for other in others]
        )
        if null.mean() == 0:
            continue
        ratio = own.mean() / null.mean()
        se = (own - ratio * null).std() / (null.mean() * np.sqrt(len(own)))
        arm = ndtri((1 + confidence) / 2) * se
        found[f"{rows} over null"] = float(ratio), float(max(0.0, ratio - arm)), float(ratio + arm)
    return found


def _shares(figures, attacked):
    return {
        "UA": 1 - figures["forget train"][0],
        "RA": figures["retained train"][0],
        "TA": figures["test"][0],
        "MIA": attacked.auc,
    }


def _alone(value):
    return value, np.nan, np.nan
