"""The attack of the 2023 machine-unlearning challenge: logistic regression on losses."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.utils import check_random_state

from skunlearn.metrics._logits import check_logits, cross_entropy
from skunlearn.metrics._statistics.balancing import balance_rows

__all__ = ["LogisticAttack", "logistic_attack"]

_MIN_ROWS = 10  # per side, so that every split tests a row of each


@dataclass(frozen=True)
class LogisticAttack:
    """Outcome of `logistic_attack`.

    Attributes
    ----------
    accuracy : float
        Mean over the splits; 0.5 is chance, and a retrained model's value is the target.
    low : float
        Lower end of the confidence interval, corrected for the overlap of the splits.
    high : float
        Its upper end.
    accuracies : ndarray of shape (n_splits,)
        Of each split.
    n_rows : int
        Rows of each side, after balancing.
    matched : bool
        Whether the sides have the same class proportions.
    """

    accuracy: float
    low: float
    high: float
    accuracies: np.ndarray
    n_rows: int
    matched: bool

    def __str__(self):
        return (
            f"{'matched' if self.matched else 'unmatched'} logistic attack: accuracy "
            f"{self.accuracy:.3f} (interval {self.low:.3f}–{self.high:.3f}, {self.n_rows} rows a "
            "side; chance 0.500). Nearer to a retrained model's is better."
        )


def logistic_attack(
    forget_logits,
    y_forget,
    unseen_logits,
    y_unseen,
    *,
    match="class",
    n_splits=10,
    confidence=0.95,
    random_state=None,
):
    """Cross-validated accuracy of a logistic regression that tells losses apart.

    It is the attack of the NeurIPS 2023 challenge's starting kit, kept because published
    figures come from it. It sees a shift of losses in one direction only, and at one threshold:
    prefer `membership_inference`.

    Weak: it finds nets that know digits by heart, and misses what is left after fine-tuning
    (``benchmarks/bench_metrics.py``).

    Parameters
    ----------
    forget_logits, unseen_logits : array-like of shape (n, n_classes), float
        Logits (or log-probabilities) of the model for the rows that it was to forget, and for rows
        that were in no training set.
    y_forget, y_unseen : array-like of shape (n,), int
        Column of each row's true class.
    match : {"class"} or None, default="class"
        Draw both sides with the same number of rows of each class, or, like the kit, with the
        same number in all.
    n_splits : int, default=10
        Stratified shuffle splits, a tenth of the rows in each test (the kit's).
    confidence : float, default=0.95
        Share of such intervals that hold the true value; 0.95 is the custom.
    random_state : int, RandomState instance or None, default=None
        Of the draw and the splits.

    Returns
    -------
    LogisticAttack

    Raises
    ------
    ValueError
        As `membership_inference`, and with fewer than ten rows a side after balancing.

    References
    ----------
    Triantafillou et al. (2024), "Are we making progress in unlearning? Findings from the first
    NeurIPS unlearning competition", https://arxiv.org/abs/2406.09073

    Nadeau and Bengio (2003), "Inference for the generalization error", Machine Learning 52; the
    interval.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import logistic_attack
    >>> rng = np.random.default_rng(0)
    >>> y = rng.integers(3, size=600)
    >>> logits = rng.normal(size=(600, 3))
    >>> logits[:200] += 3 * np.eye(3)[y[:200]]
    >>> result = logistic_attack(logits[:200], y[:200], logits[200:], y[200:], random_state=0)
    >>> round(result.accuracy, 1)
    0.8
    """
    if match not in ("class", None):
        raise ValueError(f"match must be 'class' or None, got {match!r}.")
    forget, y_forget = check_logits(
        forget_logits, y_forget, logits_name="forget_logits", y_name="y_forget"
    )
    unseen, y_unseen = check_logits(
        unseen_logits, y_unseen, logits_name="unseen_logits", y_name="y_unseen"
    )
    rng = check_random_state(random_state)
    ours, theirs = balance_rows(y_forget, y_unseen, rng, match=match is not None)
    if len(ours) < _MIN_ROWS:
        raise ValueError(
            f"{len(ours)} rows a side are left after balancing; the attack needs {_MIN_ROWS}. Pass "
            "more forgotten rows, or more unseen rows of their classes."
        )
    losses = np.concatenate(
        [
            cross_entropy(forget[ours], y_forget[ours]),
            cross_entropy(unseen[theirs], y_unseen[theirs]),
        ]
    )
    side = np.repeat([1, 0], len(ours))
    splits = StratifiedShuffleSplit(n_splits=n_splits, random_state=rng)
    found = cross_val_score(LogisticRegression(), losses[:, None], side, cv=splits)
    # Splits share rows: their spread understates that of the mean (Nadeau and Bengio).
    ratio = 1 / 9  # test rows over training rows
    spread = np.sqrt((1 / n_splits + ratio) * found.var(ddof=1)) if n_splits > 1 else np.nan
    arm = student.ppf((1 + confidence) / 2, max(1, n_splits - 1)) * spread
    mean = float(found.mean())
    return LogisticAttack(
        accuracy=mean,
        low=float(max(0.0, mean - arm)),
        high=float(min(1.0, mean + arm)),
        accuracies=found,
        n_rows=len(ours),
        matched=match is not None,
    )
