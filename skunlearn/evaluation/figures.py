"""Every figure of one model in an audit: value and interval, from logits."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, ndtri
from scipy.stats import binomtest

from skunlearn.metrics.attacks import compare_attacks
from skunlearn.metrics.epsilon import epsilon_lower_bound
from skunlearn.metrics.scores import attack_scores

SETS = ("forget", "retain", "unseen")

# What a good value is. "retrained": as near as can be to the retrained model's.
DIRECTIONS = {
    "test": "higher*",
    "retained test": "higher",
    "retained train": "retrained",
    "over-fit": "lower",
    "forget train": "retrained",
    "forget unseen": "retrained",
    "forget loss": "retrained",
    "AUC": "retrained",
    "TPR at 1% FPR": "retrained",
    "epsilon at least": "lower",
    "unmatched AUC": "see note",
    "forget agreement": "higher",
    "unseen agreement": "higher",
    "forget JS": "lower",
    "forget distance": "lower",
    "average gap": "lower",
    "ToW": "higher",
    "ToW-MIA": "higher",
    "forget over null": "lower",
    "retain over null": "lower",
    "unseen over null": "lower",
    "seconds": "lower",
    "of retraining": "lower",
}
# A model equal to the retrained one has these.
IDEALS = {
    "forget agreement": 1.0,
    "unseen agreement": 1.0,
    "forget JS": 0.0,
    "forget distance": 0.0,
    "average gap": 0.0,
    "ToW": 1.0,
    "ToW-MIA": 1.0,
    "AUC difference": 0.0,
    "forget over null": 1.0,
    "retain over null": 1.0,
    "unseen over null": 1.0,
}


@dataclass(frozen=True)
class Sets:
    """Labels of the rows on which all models are judged.

    Attributes
    ----------
    y : dict of str to ndarray of int
        "forget", "unseen" and, where it is at hand, "retain".
    gone : ndarray of int
        Classes that the forget set holds wholly: no retained row has them.
    confidence : float
    seed : int
    """

    y: dict
    gone: np.ndarray
    confidence: float
    seed: int


def direction_of(metric):
    """What a good value of a figure is."""
    return DIRECTIONS["AUC"] if metric.startswith("AUC") else DIRECTIONS[metric]


def measure(logits, sets, attacks, reference=None, kind="retrained", note=""):
    """All figures of one model, of which only the difference of AUCs needs another model.

    Parameters
    ----------
    logits : dict of str to ndarray of shape (n, n_classes)
    sets : Sets
    attacks : sequence of str, the first of them the main one
    reference : dict like `logits`, default=None
        Of the model to compare with.
    kind, note : str
        What that model is; see `MembershipInference`.

    Returns
    -------
    figures : dict of str to (value, low, high)
    main : MembershipInference
        Of the first attack, against the reference.
    plain : MembershipInference
        Of its first score alone, that of "AUC".
    """
    right = {name: z.argmax(axis=1) == sets.y[name] for name, z in logits.items()}
    kept = ~np.isin(sets.y["unseen"], sets.gone)
    twins = np.isin(sets.y["unseen"], sets.y["forget"])
    figures = {"test": share(right["unseen"], sets.confidence)}
    if kept.any():
        figures["retained test"] = share(right["unseen"][kept], sets.confidence)
    if "retain" in logits:
        figures["retained train"] = share(right["retain"], sets.confidence)
        if kept.any():
            figures["over-fit"] = _difference(right["retain"], right["unseen"][kept], sets)
    figures["forget train"] = share(right["forget"], sets.confidence)
    if twins.any():
        figures["forget unseen"] = share(right["unseen"][twins], sets.confidence)
    figures["forget loss"] = mean(losses(logits["forget"], sets.y["forget"]), sets.confidence)
    names = score_names(attacks)
    plain = {name: attack(logits, sets, name) for name in names}
    for name, result in plain.items():
        label = "AUC" if name == names[0] else f"AUC {name.replace('_', ' ')}"
        figures[label] = _of(result.interval)
    main = attack(logits, sets, attacks[0], reference=reference, kind=kind, note=note)
    figures["AUC difference"] = _of(main.difference)
    few = plain[names[0]].tpr_at_1pct
    if few is not None:
        figures["TPR at 1% FPR"] = _of(few.tpr)
    figures["epsilon at least"] = _epsilon(logits, sets, names[0])
    return figures, main, plain[names[0]]


def score_names(attacks):
    """The scores of which a report has a row each; that of the first is called "AUC"."""
    names = []
    for name in attacks:
        # Loss and confidence order rows as the margin does.
        names += ["margin", "entropy", "modified_entropy"] if name == "strongest" else [name]
    return list(dict.fromkeys(names))


def attack(logits, sets, name, match="class", reference=None, kind="retrained", note=""):
    """The attack `name` on forgotten against unseen rows."""
    given = {}
    if reference is not None:
        outputs = [reference[k] for k in ("forget", "unseen")]
        given = {"reference_outputs": outputs, "kind": kind, "note": note}
    return compare_attacks(
        *((logits[k], sets.y[k]) for k in ("forget", "unseen")),
        name,
        match=match,
        confidence=sets.confidence,
        random_state=sets.seed,
        **given,
    )


def _epsilon(logits, sets, name):
    """Lower bound on ε that the attack proves; no interval, being a bound itself."""
    sides = ((logits[k], sets.y[k]) for k in ("forget", "unseen"))
    ((members, others),) = attack_scores(*sides, name, random_state=sets.seed).values()
    try:
        bound = epsilon_lower_bound(
            members,
            others,
            y_forget=sets.y["forget"],
            y_unseen=sets.y["unseen"],
            confidence=sets.confidence,
            random_state=sets.seed,
        )
    except ValueError:  # too few rows for two halves
        return np.nan, np.nan, np.nan
    return bound.epsilon, np.nan, np.nan


def losses(logits, y):
    """Cross-entropy of each row in nats."""
    return -log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(y)), y]


def share(right, confidence):
    """Share of rows that are right, with the Clopper–Pearson interval."""
    interval = binomtest(int(right.sum()), len(right)).proportion_ci(confidence, "exact")
    return float(right.mean()), interval.low, interval.high


def mean(values, confidence):
    """Mean of values that are not negative, with a normal interval."""
    arm = ndtri((1 + confidence) / 2) * values.std() / np.sqrt(len(values))
    low = max(values.mean() - arm, 0.0)
    return float(values.mean()), float(low), float(values.mean() + arm)


def _difference(a, b, sets):
    """Difference of two shares on different rows, with a normal interval."""
    value = a.mean() - b.mean()
    arm = ndtri((1 + sets.confidence) / 2) * np.sqrt(a.var() / len(a) + b.var() / len(b))
    return float(value), float(value - arm), float(value + arm)


def _of(interval):
    return interval.estimate, interval.low, interval.high
