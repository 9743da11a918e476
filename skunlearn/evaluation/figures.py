"""Every figure of one classifier in an audit: value and interval, from logits."""

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax, ndtri
from scipy.stats import binomtest

from skunlearn._torch.row_errors import SQUARED_ERROR, RowError
from skunlearn.metrics._attacks.membership import compare_attacks
from skunlearn.metrics._attacks.scores import attack_scores, label_scores
from skunlearn.metrics._label_logits import is_multilabel
from skunlearn.metrics._statistics.epsilon import epsilon_lower_bound

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
    "forget 95% row": "lower",
    "retain 95% row": "lower",
    "unseen 95% row": "lower",
    "forget worst row": "lower",
    "retain worst row": "lower",
    "unseen worst row": "lower",
    "spread sureness": "retrained",
    "spread nearest": "retrained",
    "test R²": "higher",
    "test MSE": "lower",
    "retained train R²": "retrained",
    "retained train MSE": "retrained",
    "over-fit MSE": "lower",
    "forget train MSE": "retrained",
    "test error": "lower",
    "retained train error": "retrained",
    "over-fit error": "lower",
    "forget train error": "retrained",
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
    """Labels or targets of the rows on which all models are judged.

    Attributes
    ----------
    y : dict of str to ndarray of shape (n,), int, or float of shape (n,) or (n, n_targets)
        "forget", "unseen" and, where it is at hand, "retain".
    gone : ndarray of int
        Classes, or labels, that the forget set holds wholly: no retained row has them.
    confidence : float
    seed : int
    error : RowError
        By which a regression is judged.
    """

    y: dict
    gone: np.ndarray
    confidence: float
    seed: int
    error: RowError = SQUARED_ERROR

    def kept(self):
        """Which unseen rows are of retained classes, or of retained labels alone."""
        unseen = self.y["unseen"]
        if is_multilabel(unseen):
            return ~unseen[:, self.gone].any(axis=1)
        return ~np.isin(unseen, self.gone)


def direction_of(metric):
    """What a good value of a figure is."""
    return DIRECTIONS["AUC"] if metric.startswith("AUC") else DIRECTIONS[metric]


@dataclass(frozen=True)
class Reference:
    """What a model is compared with.

    Attributes
    ----------
    outputs : dict of str to ndarray, or None without a reference
    kind, note : str
        See `MembershipInference`.
    """

    outputs: dict | None = None
    kind: str = "retrained"
    note: str = ""


def measure(logits, sets, attacks, reference):
    """All figures of one model, of which only the difference of AUCs needs another model.

    Parameters
    ----------
    logits : dict of str to ndarray of shape (n, n_classes)
    sets : Sets
    attacks : sequence of str, the first of them the main one
    reference : Reference

    Returns
    -------
    figures : dict of str to (value, low, high)
    main : MembershipInference
        Of the first attack, against the reference.
    plain : MembershipInference
        Of its first score alone, that of "AUC".
    """
    rights = {name: right(z, sets.y[name]) for name, z in logits.items()}
    kept = sets.kept()
    twins = np.isin(sets.y["unseen"], sets.y["forget"])
    figures = {"test": share(rights["unseen"], sets.confidence)}
    if kept.any():
        figures["retained test"] = share(rights["unseen"][kept], sets.confidence)
    if "retain" in logits:
        figures["retained train"] = share(rights["retain"], sets.confidence)
        if kept.any():
            sides = rights["retain"], rights["unseen"][kept]
            figures["over-fit"] = difference(*sides, sets.confidence)
    figures["forget train"] = share(rights["forget"], sets.confidence)
    if twins.any():
        figures["forget unseen"] = share(rights["unseen"][twins], sets.confidence)
    figures["forget loss"] = mean(losses(logits["forget"], sets.y["forget"]), sets.confidence)
    found, main, plain = attack_figures(logits, sets, attacks, reference)
    sides = ((logits[k], sets.y[k]) for k in ("forget", "unseen"))
    (both,) = attack_scores(*sides, score_names(attacks)[0], random_state=sets.seed).values()
    labels = {"y_forget": sets.y["forget"], "y_unseen": sets.y["unseen"]}
    return figures | found | of_few(plain, *both, sets, **labels), main, plain


def attack_figures(logits, sets, attacks, reference):
    """AUC of every score, and the difference by which the main attack goes; see `measure`."""
    names = score_names(attacks)
    plain = {name: attack(logits, sets, name) for name in names}
    labels = ["AUC", *(f"AUC {name.replace('_', ' ')}" for name in names[1:])]
    figures = {label: of(plain[name].interval) for label, name in zip(labels, names, strict=True)}
    main = attack(logits, sets, attacks[0], reference=reference)
    figures["AUC difference"] = of(main.difference)
    return figures, main, plain[names[0]]


def score_names(attacks):
    """The scores of which a report has a row each; that of the first is called "AUC"."""
    names = []
    for name in attacks:
        # Loss and confidence order rows as the margin does.
        names += ["margin", "entropy", "modified_entropy"] if name == "strongest" else [name]
    return list(dict.fromkeys(names))


def of_few(attacked, members, others, sets, **labels):
    """What the main attack says of single rows: its sure hits, and the ε that these prove.

    `labels` match the classes, where there are any.
    """
    figures = {}
    if attacked.tpr_at_1pct is not None:
        figures["TPR at 1% FPR"] = of(attacked.tpr_at_1pct.tpr)
    try:
        bound = epsilon_lower_bound(
            members,
            others,
            confidence=sets.confidence,
            random_state=sets.seed,
            **labels,
        ).epsilon
    except ValueError:  # too few rows for two halves
        bound = np.nan
    # A lower bound has no interval, being one itself.
    return figures | {"epsilon at least": (bound, np.nan, np.nan)}


def attack(logits, sets, name, match="class", reference=None):
    """The attack `name` on forgotten against unseen rows."""
    given = {}
    if reference is not None and reference.outputs is not None:
        outputs = [reference.outputs[k] for k in ("forget", "unseen")]
        given = {"reference_outputs": outputs, "kind": reference.kind, "note": reference.note}
    return compare_attacks(
        *((logits[k], sets.y[k]) for k in ("forget", "unseen")),
        name,
        match=match,
        confidence=sets.confidence,
        random_state=sets.seed,
        **given,
    )


def right(logits, y):
    """Whether the class of each row, or every label, is what the model names."""
    if is_multilabel(y):
        return ((logits > 0) == y).all(axis=1)
    return logits.argmax(axis=1) == y


def losses(logits, y):
    """Cross-entropy of each row in nats, averaged over its labels where it has several."""
    if is_multilabel(y):
        return -label_scores(logits, y, "loss").mean(axis=1)
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


def difference(a, b, confidence):
    """Difference of the means of values on different rows, with a normal interval."""
    value = a.mean() - b.mean()
    arm = ndtri((1 + confidence) / 2) * np.sqrt(a.var() / len(a) + b.var() / len(b))
    return float(value), float(value - arm), float(value + arm)


def of(interval):
    """Value and bounds of an `Interval`."""
    return interval.estimate, interval.low, interval.high
