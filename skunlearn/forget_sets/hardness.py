"""Forget sets by what a model makes of each row: memorised, or hard."""

import numpy as np

from skunlearn._fitted_model import ask_about
from skunlearn._rows.memorisation import confidence_proxy, gain
from skunlearn._torch.observation import observe
from skunlearn.forget_sets._drawing import as_mask, find_strata, pick_top, resolve_size
from skunlearn.forget_sets.results import ForgetSet

__all__ = ["high_loss_forget_set", "memorisation_scores", "memorised_forget_set"]


def memorisation_scores(model, X, y, *, without=None):
    """How much a model owes its knowledge of each row to having been trained on it.

    Parameters
    ----------
    model : fitted classifier: unlearner, skorch net or scikit-learn estimator
        Trained on `X`.
    X, y : training rows and labels
        The rows that are scored, with labels as `model` knows them.
    without : fitted classifier, or list of them, default=None
        Models that have not seen the rows. With them the score is the difference of the
        probabilities of the true class (the estimate of [1]_, for all rows of one model at once);
        without them minus the probability of the true class: the rows that a model is least sure
        of, a cheap proxy. The code of [2]_ averages it over the epochs of the training.

    Returns
    -------
    scores : ndarray of shape (n,), float64
        Higher is more memorised; in [-1, 1].

    Raises
    ------
    ValueError, TypeError
        When a model is no classifier, or gives no probabilities.

    See Also
    --------
    skunlearn.RUMUnlearner : Splits a request by the same scores.

    References
    ----------
    .. [1] V. Feldman, "Does Learning Require Memorization? A Short Tale about a Long Tail", STOC
       2020, https://arxiv.org/abs/1906.05271
    .. [2] K. Zhao et al., "What Makes Unlearning Hard and What to Do About It", NeurIPS 2024,
       https://arxiv.org/abs/2406.01257

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn.forget_sets import memorisation_scores
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> scores = memorisation_scores(model, X, y)
    >>> bool(scores[model.predict(X) != y].mean() > scores[model.predict(X) == y].mean())
    True
    """
    losses = _losses(model, X, y, classifier=True)
    if without is None:
        return confidence_proxy(losses)
    others = list(without) if isinstance(without, (list, tuple)) else [without]
    if not others:
        raise ValueError("without is empty; pass None to use the proxy.")
    return gain(losses, [_losses(other, X, y, classifier=True) for other in others])


def memorised_forget_set(scores, size=0.1, *, most=True, stratify=None):
    """The most, or the least, memorised rows.

    Parameters
    ----------
    scores : array-like of shape (n,), float
        From `memorisation_scores`, or any other: higher is more memorised.
    size : int or float, default=0.1
        Number of rows, or their share.
    most : bool, default=True
        False takes the least memorised rows.
    stratify : array-like of shape (n,), default=None
        Labels, each of which then gives its share of the set: memorised rows otherwise crowd in
        few classes.

    Returns
    -------
    forget_set : ForgetSet
        Its details hold the "scores" of the rows at ``forget_set.indices``.

    Raises
    ------
    ValueError
        When a score is not finite, or `size` does not fit.

    Examples
    --------
    >>> from skunlearn.forget_sets import memorised_forget_set
    >>> memorised_forget_set([0.1, 0.9, 0.4, 0.0], size=2).indices
    array([1, 2])
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(
            f"scores must hold one finite number per row, got shape {scores.shape}"
            + (" with NaN or infinity." if scores.ndim == 1 and len(scores) else ".")
        )
    n = len(scores)
    k = resolve_size(size, n)
    strata = find_strata(stratify, None, n)
    rows = pick_top(scores if most else -scores, np.arange(n), k, strata)
    word = "most" if most else "least"
    return ForgetSet(
        as_mask(rows, n),
        f"{word} memorised",
        f"the {k} {word} memorised of {n} rows{_each(strata)}.",
        {"scores": scores[rows], "size": k},
    )


def high_loss_forget_set(model, X, y, size=0.1, *, highest=True, stratify=False):
    """The rows on which a model's loss is highest, or lowest.

    Parameters
    ----------
    model : fitted unlearner, skorch net or scikit-learn estimator
        A classifier with probabilities, or a regressor (squared error).
    X, y : training rows and targets
        The rows to choose from, with labels as `model` knows them.
    size : int or float, default=0.1
        Number of rows, or their share.
    highest : bool, default=True
        False takes the rows of lowest loss.
    stratify : bool or array-like of shape (n,), default=False
        Whether each class, or each stratum that an array names, gives its share of the set.

    Returns
    -------
    forget_set : ForgetSet
        Its details hold the "losses" of the rows at ``forget_set.indices``.

    Raises
    ------
    ValueError, TypeError
        When the model cannot be asked for a loss, or `size` does not fit.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn.forget_sets import high_loss_forget_set
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegression(max_iter=1000).fit(X, y)
    >>> len(high_loss_forget_set(model, X, y, size=0.1))
    15
    """
    losses = _losses(model, X, y)
    n = len(losses)
    k = resolve_size(size, n)
    strata = find_strata(stratify, np.asarray(y), n)
    rows = pick_top(losses if highest else -losses, np.arange(n), k, strata)
    word = "highest" if highest else "lowest"
    return ForgetSet(
        as_mask(rows, n),
        f"{word} loss",
        f"the {k} of {n} rows with the {word} loss under a {type(model).__name__}{_each(strata)}.",
        {"losses": losses[rows], "size": k},
    )


def _losses(model, X, y, *, classifier=False):
    inner, rows, classes = ask_about(model, X, y)
    if classifier and classes is None:
        raise ValueError(f"memorisation is about classifiers, {type(model).__name__} is none.")
    losses = observe(inner, rows, classes).losses()
    if losses is None:
        raise TypeError(f"{type(inner).__name__} gives no probabilities, hence no loss of a row.")
    if not np.isfinite(losses).all():
        raise ValueError(f"{type(inner).__name__} has losses that are NaN or infinite.")
    return losses


def _each(strata):
    return "" if strata is None else ", each class in its share"
