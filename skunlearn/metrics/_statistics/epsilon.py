"""Lower bound on ε from an attack: what the attack itself proves about a model."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import beta
from sklearn.utils import check_random_state

from skunlearn.metrics._arrays import to_array
from skunlearn.metrics._statistics.balancing import unseen_in_proportion
from skunlearn.metrics._statistics.true_positives import check_scores

__all__ = ["EpsilonBound", "epsilon_from_counts", "epsilon_lower_bound"]

_MIN_ROWS = 4  # per side: two to choose the threshold on, two to test it
_MOST_THRESHOLDS = 4096  # tried; of 40,000 scores these find the same ε, 0.384 on average, as all


@dataclass(frozen=True)
class EpsilonBound:
    """Lower confidence bound on ε.

    Attributes
    ----------
    epsilon : float
        With the given confidence, no mechanism of a smaller ε behaves like this; 0 says that
        nothing was found.
    threshold : float
        Score at which rows are called members, chosen on one half of the rows.
    side : {"members", "non-members"}
        Whether the sure side are rows at or above the threshold, or below it.
    hits : int
        Rows of the tested half that are rightly put on that side.
    alarms : int
        Rows of the tested half that are wrongly put there.
    n_right : int
        Rows of the tested half that could have been hits.
    n_wrong : int
        Rows of the tested half that could have been alarms.
    delta : float
        δ that ε goes with.
    confidence : float
        With which `epsilon` is a lower bound.
    """

    epsilon: float
    threshold: float
    side: str
    hits: int
    alarms: int
    n_right: int
    n_wrong: int
    delta: float
    confidence: float

    def __str__(self):
        return (
            f"ε ≥ {self.epsilon:.3f} at {100 * self.confidence:g}% confidence (δ = {self.delta:g}; "
            f"{self.hits} of {self.n_right} against {self.alarms} of {self.n_wrong} on the half "
            "that did not choose the threshold); lower is better, 0: nothing found."
        )


def epsilon_from_counts(hits, n_right, alarms, n_wrong, *, delta=0.0, confidence=0.95):
    """Clopper–Pearson lower bound on ε for a threshold that was fixed in advance.

    Parameters
    ----------
    hits, n_right : int
        True positives and the rows that could have been.
    alarms, n_wrong : int
        False positives and the rows that could have been.
    delta : float in [0, 1), default=0.0
        The δ of (ε, δ).
    confidence : float in (0, 1), default=0.95
        Half of the remaining risk goes to each of the two rates.

    Returns
    -------
    float
        max(0, log((TPR_low − δ) / FPR_high)).

    Raises
    ------
    ValueError
        If a count is negative or larger than its rows, or `delta` or `confidence` out of range.

    Examples
    --------
    >>> from skunlearn.metrics import epsilon_from_counts
    >>> round(epsilon_from_counts(90, 100, 10, 100), 3)
    1.542
    """
    _check_risks(delta, confidence)
    if not (0 <= hits <= n_right and 0 <= alarms <= n_wrong and n_right > 0 and n_wrong > 0):
        raise ValueError(
            "hits and alarms count some of n_right and of n_wrong rows, of which there is one at "
            f"least; got {hits!r} of {n_right!r}, and {alarms!r} of {n_wrong!r}."
        )
    risk = (1 - confidence) / 2
    low = beta.ppf(risk, hits, n_right - hits + 1) if hits else 0.0
    high = beta.ppf(1 - risk, alarms + 1, n_wrong - alarms) if alarms < n_wrong else 1.0
    return float(max(0.0, np.log((low - delta) / high))) if low > delta else 0.0


def epsilon_lower_bound(
    forget_scores,
    unseen_scores,
    *,
    y_forget=None,
    y_unseen=None,
    delta=0.0,
    confidence=0.95,
    random_state=None,
):
    """Lower bound on the ε of unlearning, from scores of an attack.

    Half of the rows choose the threshold and the side, the other half tests them. Chosen and
    tested on the same rows, the bound would find ε > 0 in far more than 5 % of models without
    any leak; so would the best of several splits.

    Weak with few rows, as it is a bound: of a hundred forgotten digits it misses what is left after
    fine-tuning (``benchmarks/bench_metrics.py``). A bound of 0 says nothing.

    Parameters
    ----------
    forget_scores : array-like of shape (n_forget,), float
        Higher looks more like a member.
    unseen_scores : array-like of shape (n_unseen,), float
        The same score of rows that were in no training set.
    y_forget, y_unseen : array-like of shape (n_forget,) and (n_unseen,), default=None
        Class labels. With them as many unseen rows of each class are drawn as keep the forget
        set's proportions; counts cannot be weighted.
    delta : float in [0, 1), default=0.0
        The δ of (ε, δ).
    confidence : float in (0, 1), default=0.95
        Share of such bounds that lie below the true ε; 0.95 is the custom.
    random_state : int, RandomState instance or None, default=None
        Of the halves, and of the draw of unseen rows.

    Returns
    -------
    EpsilonBound

    Raises
    ------
    ValueError
        If a side has fewer than four rows (after matching), a value is not finite, or only one
        side has labels.

    Notes
    -----
    The bound treats rows as independent trials of one trained model, as published audits do. It
    is a bound on what this attack finds: a small one is no guarantee.

    References
    ----------
    Jagielski, Ullman and Oprea (2020), "Auditing differentially private machine learning: how
    private is private SGD?", https://arxiv.org/abs/2006.07709

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import epsilon_lower_bound
    >>> rng = np.random.default_rng(0)
    >>> leak = epsilon_lower_bound(rng.normal(2, 1, 500), rng.normal(size=500), random_state=0)
    >>> leak.epsilon > 1
    True
    """
    _check_risks(delta, confidence)
    rng = check_random_state(random_state)
    members = check_scores(forget_scores, "forget_scores")
    others = check_scores(unseen_scores, "unseen_scores")
    if (y_forget is None) != (y_unseen is None):
        raise ValueError("y_forget and y_unseen go together: pass both or neither.")
    if y_forget is not None:
        y_forget, y_unseen = to_array(y_forget), to_array(y_unseen)
        if (y_forget.size, y_unseen.size) != (len(members), len(others)):
            raise ValueError(
                f"one label per score: {len(members)} and {len(others)} scores, "
                f"{y_forget.size} and {y_unseen.size} labels."
            )
        others = others[unseen_in_proportion(y_forget, y_unseen, rng)]
    for side, name in ((members, "forgotten"), (others, "unseen")):
        if len(side) < _MIN_ROWS:
            raise ValueError(
                f"{len(side)} {name} rows are too few: one half chooses the threshold, the other "
                f"tests it, so that at least {_MIN_ROWS} are needed."
            )
    (choose_m, test_m), (choose_o, test_o) = (_halves(side, rng) for side in (members, others))
    threshold, side = _choose(choose_m, choose_o, delta, confidence)
    if side == "members":
        right, wrong = test_m >= threshold, test_o >= threshold
    else:
        right, wrong = test_o < threshold, test_m < threshold
    hits, alarms = int(right.sum()), int(wrong.sum())
    return EpsilonBound(
        epsilon=epsilon_from_counts(
            hits, len(right), alarms, len(wrong), delta=delta, confidence=confidence
        ),
        threshold=float(threshold),
        side=side,
        hits=hits,
        alarms=alarms,
        n_right=len(right),
        n_wrong=len(wrong),
        delta=float(delta),
        confidence=float(confidence),
    )


def _check_risks(delta, confidence):
    if not 0 <= delta < 1:
        raise ValueError(f"delta must lie in [0, 1), got {delta!r}.")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence!r}.")


def _halves(scores, rng):
    scores = rng.permutation(scores)
    return scores[: len(scores) // 2], scores[len(scores) // 2 :]


def _choose(members, others, delta, confidence):
    """Threshold and side with the largest bound on these rows."""
    thresholds = _thin(np.unique(np.concatenate([members, others])))
    above = [len(s) - np.searchsorted(np.sort(s), thresholds, "left") for s in (members, others)]
    below = [len(s) - a for s, a in zip((members, others), above, strict=True)]
    bounds = np.stack(
        [
            _bounds(above[0], len(members), above[1], len(others), delta, confidence),
            _bounds(below[1], len(others), below[0], len(members), delta, confidence),
        ]
    )
    side, at = np.unravel_index(bounds.argmax(), bounds.shape)
    return thresholds[at], ("members", "non-members")[side]


def _thin(thresholds):
    """Some of many thresholds, the denser the nearer to an end, where single rows count."""
    n = len(thresholds)
    if n <= _MOST_THRESHOLDS:
        return thresholds
    ranks = np.geomspace(1, n, _MOST_THRESHOLDS // 2).astype(int) - 1
    return thresholds[np.union1d(ranks, n - 1 - ranks)]


def _bounds(hits, n_right, alarms, n_wrong, delta, confidence):
    """log((TPR_low − δ) / FPR_high) for arrays of counts; may be negative, for a ranking."""
    risk = (1 - confidence) / 2
    low = np.where(hits > 0, beta.ppf(risk, np.maximum(hits, 1), n_right - hits + 1), 0.0)
    high = np.where(
        alarms < n_wrong, beta.ppf(1 - risk, alarms + 1, np.maximum(n_wrong - alarms, 1)), 1.0
    )
    return np.log(np.maximum(low - delta, 1e-300) / high)
