"""True positives at few false ones: what an attacker who must not err can still be sure of."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import binomtest

from skunlearn.metrics._arrays import to_array
from skunlearn.metrics._statistics.interval_forms import Interval
from skunlearn.metrics._statistics.matching import check_weights

__all__ = ["TruePositives", "tpr_at_fpr"]


@dataclass(frozen=True)
class TruePositives:
    """Share of forgotten rows that an attack names at a bounded rate of false alarms.

    Attributes
    ----------
    tpr : Interval
        Clopper–Pearson, given the threshold. The threshold was chosen on the unseen rows that
        also count the false alarms, so that its own spread is not in it.
    threshold : float
        Rows that score at least this are called members; infinity when none is.
    fpr : float
        False-positive rate that was reached, at most the one asked for.
    false_positives : int
        Unseen rows called members.
    asked : float
        The false-positive rate asked for.
    """

    tpr: Interval
    threshold: float
    fpr: float
    false_positives: int
    asked: float

    def __str__(self):
        return (
            f"TPR {self.tpr} at FPR ≤ {self.asked:g} ({self.false_positives} false positives, "
            f"{100 * self.fpr:.2g} %); chance: {self.asked:g}."
        )


def tpr_at_fpr(forget_scores, unseen_scores, *, fpr=0.01, weights=None, confidence=0.95):
    """True-positive rate of an attack at a false-positive rate of at most `fpr`.

    Weak where many unseen rows score as high as any: on digits it does not tell fine-tuned nets
    that know the forget set from retrained ones (``benchmarks/bench_metrics.py``).

    Parameters
    ----------
    forget_scores : array-like of shape (n_forget,), float
        Higher looks more like a member.
    unseen_scores : array-like of shape (n_unseen,), float
        The same score of rows that were in no training set.
    fpr : float in (0, 1), default=0.01
        The rate may not be exceeded: where scores tie, a threshold takes all of them or none.
    weights : array-like of shape (n_unseen,), float, default=None
        Weights of the unseen rows, from `match_weights` say; equal when None.
    confidence : float in (0, 1), default=0.95
        Share of such intervals that hold the true value; 0.95 is the custom.

    Returns
    -------
    TruePositives

    Raises
    ------
    ValueError
        If a side is empty, a value is not finite, or the unseen rows are fewer than 1 / `fpr`:
        not one of them could be a false positive, so that the figure would say nothing.

    References
    ----------
    Carlini et al. (2022), "Membership inference attacks from first principles",
    https://arxiv.org/abs/2112.03570

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import tpr_at_fpr
    >>> rng = np.random.default_rng(0)
    >>> print(tpr_at_fpr(rng.normal(1, 1, 500), rng.normal(0, 1, 1000)))
    TPR 0.106 (95% interval 0.080–0.136, Clopper–Pearson) at FPR ≤ 0.01 (10 false positives, 1 %);
    chance: 0.01.
    """
    if not 0 < fpr < 1:
        raise ValueError(f"fpr must lie in (0, 1), got {fpr!r}.")
    members = check_scores(forget_scores, "forget_scores")
    others = check_scores(unseen_scores, "unseen_scores")
    weights = (
        np.ones(len(others)) if weights is None else check_weights(weights, len(others), "weights")
    )
    used = np.count_nonzero(weights)
    if used * fpr < 1:
        raise ValueError(
            f"{used} unseen rows cannot show a false-positive rate of {fpr:g}: it takes at least "
            f"{int(np.ceil(1 / fpr))}. Pass more unseen rows or a larger fpr."
        )
    threshold, reached, count = _threshold(others, weights, fpr)
    hits = int(np.count_nonzero(members >= threshold))
    return TruePositives(
        tpr=proportion(hits, len(members), confidence),
        threshold=threshold,
        fpr=reached,
        false_positives=count,
        asked=float(fpr),
    )


def _threshold(others, weights, fpr):
    """Smallest score such that the rows from there on weigh at most `fpr` of all."""
    order = np.argsort(-others)
    ranked, mass = others[order], np.cumsum(weights[order])
    last = np.append(ranked[1:] != ranked[:-1], True)  # ties stay together
    # Rounding in the sum of weights must not cost a row.
    allowed = np.flatnonzero(last & (mass <= fpr * mass[-1] * (1 + 1e-9)))
    if len(allowed) == 0:
        return float(np.nextafter(ranked[0], np.inf)), 0.0, 0
    k = allowed[-1]
    # Members between the last unseen row that may alarm and the next one are hits as well.
    floor = ranked[k] if k + 1 == len(ranked) else np.nextafter(ranked[k + 1], np.inf)
    return float(floor), float(mass[k] / mass[-1]), int(np.count_nonzero(weights[order[: k + 1]]))


def proportion(hits, n, confidence):
    """Share with its Clopper–Pearson interval."""
    interval = binomtest(hits, n).proportion_ci(confidence, "exact")
    return Interval(
        estimate=hits / n,
        low=float(interval.low),
        high=float(interval.high),
        confidence=confidence,
        method="Clopper–Pearson",
        se=float(np.sqrt(hits / n * (1 - hits / n) / n)),
    )


def check_scores(scores, name):
    """Scores as a 1-D float64 array, finite and not empty."""
    scores = to_array(scores, dtype=np.float64)
    if scores.ndim != 1 or len(scores) == 0:
        raise ValueError(f"{name} must have shape (n,) with at least one row, got {scores.shape}.")
    bad = np.flatnonzero(~np.isfinite(scores))
    if len(bad):
        raise ValueError(f"{name} holds NaN or infinity in row {bad[0]}.")
    return scores
