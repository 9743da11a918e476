"""The quantile-regression attack: each row is judged against what is usual for rows like it."""

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.model_selection import KFold
from sklearn.utils import check_random_state

from skunlearn._unlearning import words
from skunlearn.metrics._arrays import to_array
from skunlearn.metrics._attacks.membership import compare_scores
from skunlearn.metrics._statistics.true_positives import check_scores

__all__ = ["quantile_attack", "quantile_scores"]

_MIN_ROWS = 20


def quantile_scores(
    forget_scores,
    forget_features,
    unseen_scores,
    unseen_features,
    *,
    regressor=None,
    n_splits=5,
    random_state=None,
):
    """Scores in units of the spread that is usual for rows with these features.

    A regression on unseen rows predicts the mean of the score and then the logarithm of its
    squared error, from features of the row. Every unseen row is judged by regressions that were
    not trained on it, and every forgotten row by one of the same ones: trained and judged on the
    same rows, the attack would take its own over-fitting for memory.

    Parameters
    ----------
    forget_scores, unseen_scores : array-like of shape (n,), float
        From `membership_scores`, say.
    forget_features, unseen_features : array-like of shape (n, n_features), float
        What the attacker knows of a row besides the score: the row itself, its class as an
        indicator, or an embedding of it. Nothing that comes from the attacked model's loss.
    regressor : scikit-learn regressor, default=None
        None takes ``HistGradientBoostingRegressor``.
    n_splits : int, default=5
        Folds; an unseen row is judged by regressions on the others.
    random_state : int, RandomState instance or None, default=None
        Of the folds and the regressor.

    Returns
    -------
    forget, unseen : ndarray of shape (n,), float64
        Standardised scores; higher looks more like a member.

    Raises
    ------
    ValueError
        If shapes do not match, a value is not finite, or unseen rows are fewer than 20.

    References
    ----------
    Bertran et al. (2023), "Scalable membership inference attacks via quantile regression",
    https://arxiv.org/abs/2307.03694; the variant with a Gaussian for the score.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import LinearRegression
    >>> from skunlearn.metrics import auc, quantile_scores
    >>> rng = np.random.default_rng(0)
    >>> hardness = 10 * rng.normal(size=(600, 1))  # rows differ far more than memory moves them
    >>> scores = hardness[:, 0] + rng.normal(size=600)
    >>> scores[:300] += 2
    >>> round(auc(scores[:300], scores[300:]), 1)
    0.5
    >>> forget, unseen = quantile_scores(
    ...     scores[:300],
    ...     hardness[:300],
    ...     scores[300:],
    ...     hardness[300:],
    ...     regressor=LinearRegression(),
    ...     random_state=0,
    ... )
    >>> round(auc(forget, unseen), 1)
    0.9
    """
    sides = {}
    for name, scores, X in (
        ("forget", forget_scores, forget_features),
        ("unseen", unseen_scores, unseen_features),
    ):
        scores, X = check_scores(scores, f"{name}_scores"), to_array(X, dtype=np.float64)
        if X.ndim != 2 or len(X) != len(scores):
            raise ValueError(
                f"{name}_features must have shape ({len(scores)}, n_features), got {X.shape}."
            )
        if not np.isfinite(X).all():
            raise ValueError(f"{name}_features holds NaN or infinity.")
        sides[name] = scores, X
    (s_f, X_f), (s_u, X_u) = sides["forget"], sides["unseen"]
    if X_f.shape[1] != X_u.shape[1]:
        raise ValueError(f"{X_f.shape[1]} and {X_u.shape[1]} features: give both sides the same.")
    if len(s_u) < _MIN_ROWS:
        raise ValueError(
            f"{len(s_u)} unseen rows are too few to learn what is usual: {_MIN_ROWS} are needed."
        )
    rng = check_random_state(random_state)
    if regressor is None:
        regressor = HistGradientBoostingRegressor(random_state=rng.randint(2**31))
    judged_f, judged_u = np.empty(len(s_f)), np.empty(len(s_u))
    # One regression a row on both sides: a mean over several would vary less.
    fold_of = rng.permutation(np.arange(len(s_f)) % n_splits)
    splits = KFold(n_splits, shuffle=True, random_state=rng).split(X_u)
    for fold, (train, test) in enumerate(splits):
        centre, spread = _fit(regressor, X_u[train], s_u[train], rng)
        judged_u[test] = (s_u[test] - centre(X_u[test])) / spread(X_u[test])
        own = fold_of == fold
        if own.any():
            judged_f[own] = (s_f[own] - centre(X_f[own])) / spread(X_f[own])
    return judged_f, judged_u


@words.explained(quantile_scores, compare_scores)
def quantile_attack(
    forget_scores,
    forget_features,
    unseen_scores,
    unseen_features,
    *,
    y_forget=None,
    y_unseen=None,
    match="class",
    regressor=None,
    n_splits=5,
    reference=None,
    per_class=False,
    confidence=0.95,
    random_state=None,
):
    """`compare_scores` on `quantile_scores`: an attack that knows how hard each row is.

    Parameters
    ----------
    {forget_scores, forget_features, regressor, n_splits}
    {y_forget, y_unseen, match, reference, per_class, confidence}
    random_state : int, RandomState instance or None, default=None
        Of what is drawn; an integer draws the same again, None something else each time.

    Returns
    -------
    MembershipInference

    Raises
    ------
    ValueError
        As `quantile_scores` and `compare_scores`.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import quantile_attack
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2))
    >>> result = quantile_attack(
    ...     X[:80, 0] + 3, X[:80], X[80:, 0], X[80:], match=None, random_state=0
    ... )
    >>> result.distinguishable
    True
    """
    forget, unseen = quantile_scores(
        forget_scores,
        forget_features,
        unseen_scores,
        unseen_features,
        regressor=regressor,
        n_splits=n_splits,
        random_state=random_state,
    )
    return compare_scores(
        forget,
        unseen,
        y_forget=y_forget,
        y_unseen=y_unseen,
        match=match,
        attack="quantile",
        reference=reference,
        per_class=per_class,
        confidence=confidence,
        random_state=random_state,
    )


def _fit(regressor, X, scores, rng):
    """Functions that give mean and standard deviation of the score for features."""
    centre = clone(regressor).fit(X, scores)
    # Residuals of rows that the first regression was fitted on would be too small.
    errors = np.empty(len(X))
    for train, test in KFold(2, shuffle=True, random_state=rng).split(X):
        errors[test] = scores[test] - clone(regressor).fit(X[train], scores[train]).predict(X[test])
    floor = 1e-6 * max(scores.std(), 1e-12)
    log_square = np.log(errors**2 + floor**2)
    spread = clone(regressor).fit(X, log_square)
    return centre.predict, lambda rows: np.exp(0.5 * spread.predict(rows))
