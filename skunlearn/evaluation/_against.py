"""How far a model lies from the retrained one, on the rows of an audit."""

from itertools import combinations

import numpy as np
from scipy.special import ndtri

from skunlearn.evaluation.figures import mean
from skunlearn.metrics._accuracy_gaps import average_gap, tug_of_war
from skunlearn.metrics._distances import activation_distance, agreement, js_divergence
from skunlearn.metrics._null import between_roots, roots_of

# Of distances of shape (models, rows), by how the report calls them: each model's worst rows.
WORST = {
    "95% row": lambda distances: np.quantile(distances, 0.95, axis=1),
    "worst row": lambda distances: distances.max(axis=1),
}


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


class Null:
    """Distances of every model to the retrained ones, row by row, on each set.

    Parameters
    ----------
    outputs : dict of str to dict of str to ndarray
        By model and set of rows.
    retrained : list of str
    confidence : float
    prepare, distance : callable
        What is made of the outputs once, and the distance of each row between two of these.
    ratios : bool, default=True
        Whether means over the null are wanted.
    """

    def __init__(self, outputs, retrained, confidence, prepare, distance, *, ratios=True):
        self.retrained, self.confidence, self.ratios = retrained, confidence, ratios
        self._outputs, self._prepare, self._distance = outputs, prepare, distance
        self._prepared, self._pairs = {}, {}

    def figures(self, name):
        """Figures of a model: means over the null, and those of its farthest rows.

        A retrained model is judged by the others.
        """
        found, others = {}, [other for other in self.retrained if other != name]
        if len(self.retrained) < 2:
            return found
        for rows in self._outputs[name]:
            own = np.stack([self._rows(rows, name, other) for other in others])
            if self.ratios and len(others) > 1:
                null = self._null(rows, others).mean(axis=0)
                found |= _over_null(rows, own.mean(axis=0), null, self.confidence)
            for label, statistic in WORST.items():
                found[f"{rows} {label}"] = _alone(float(statistic(own).mean()))
        return found

    def references(self):
        """What two retrained models have of each other: mean, least and most of the pairs."""
        found = {}
        if len(self.retrained) < 2:
            return found
        for rows in self._outputs[self.retrained[0]]:
            null = self._null(rows, self.retrained)
            for label, statistic in WORST.items():
                each = statistic(null)
                # One pair has no range.
                span = (each.min(), each.max()) if len(each) > 1 else (np.nan, np.nan)
                found[f"{rows} {label}"] = tuple(map(float, (each.mean(), *span)))
        return found

    def _null(self, rows, names):
        return np.stack([self._rows(rows, *pair) for pair in combinations(names, 2)])

    def _rows(self, rows, *pair):
        key = rows, *sorted(pair)
        if key not in self._pairs:
            self._pairs[key] = self._distance(*(self._make(rows, name) for name in pair))
        return self._pairs[key]

    def _make(self, rows, name):
        if (rows, name) not in self._prepared:
            self._prepared[rows, name] = self._prepare(self._outputs[name][rows])
        return self._prepared[rows, name]


def null(outputs, retrained, confidence):
    """`Null` by the Hellinger distance of classifiers' predictions."""
    return Null(outputs, retrained, confidence, roots_of, between_roots)


def _over_null(rows, own, null, confidence):
    if null.mean() == 0:
        return {}
    ratio = own.mean() / null.mean()
    se = (own - ratio * null).std() / (null.mean() * np.sqrt(len(own)))
    arm = ndtri((1 + confidence) / 2) * se
    return {f"{rows} over null": (float(ratio), float(max(0.0, ratio - arm)), float(ratio + arm))}


def _shares(figures, attacked):
    return {
        "UA": 1 - figures["forget train"][0],
        "RA": figures["retained train"][0],
        "TA": figures["test"][0],
        "MIA": attacked.auc,
    }


def _alone(value):
    return value, np.nan, np.nan
