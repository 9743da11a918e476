"""Which candidate of a search to refit."""

import numpy as np

__all__ = ["one_standard_error"]


def one_standard_error(cv_results, *, forgetting="forgetting", accuracy="accuracy"):
    """Index of the most accurate candidate that forgets as well as the best one.

    "As well" means within one standard error of the best mean forgetting score over the folds:
    with the few hundred rows of a usual forget set smaller differences are noise.

    Parameters
    ----------
    cv_results : dict
        ``cv_results_`` of a search with several scorers; higher is better for both.
    forgetting, accuracy : str, default="forgetting", "accuracy"
        Names of the two scorers in the search's ``scoring``. Where it has two in all, and one of
        them under its name, one that was left at its default is the other scorer:
        ``{"accuracy": "accuracy", "mia": MIAScorer()}`` needs no more. scikit-learn asks for the
        names when all fits are done, so check them before a long search.

    Returns
    -------
    index : int
        For ``refit=`` of ``GridSearchCV`` and the like. With it ``best_score_`` is absent and
        ``search.score`` is not defined (scikit-learn's rule for callables); use
        ``search.best_estimator_.score``.

    Raises
    ------
    ValueError
        When it cannot be told which scorer is which, there is one fold only, or every candidate
        failed.

    References
    ----------
    .. [1] L. Breiman, J. Friedman, R. Olshen, C. Stone, "Classification and Regression Trees",
       1984; the one-standard-error rule.

    Examples
    --------
    >>> import numpy as np
    >>> results = {
    ...     "mean_test_forgetting": np.array([-0.02, -0.03, -0.20]),
    ...     "split0_test_forgetting": np.array([-0.01, -0.02, -0.19]),
    ...     "split1_test_forgetting": np.array([-0.03, -0.04, -0.21]),
    ...     "mean_test_accuracy": np.array([0.90, 0.95, 0.99]),
    ... }
    >>> one_standard_error(results)
    1

    Other scorer names are bound with ``functools.partial``:

    >>> from functools import partial
    >>> refit = partial(one_standard_error, accuracy="retained_accuracy")
    """
    forgetting, accuracy = _find_names(cv_results, forgetting, accuracy)
    folds = [v for k, v in cv_results.items() if _is_fold(k, forgetting)]
    if len(folds) < 2:
        raise ValueError(
            "One standard error needs at least two folds; use a cv with n_splits >= 2."
        )
    folds = np.array(folds, dtype=float)
    means = np.asarray(cv_results[f"mean_test_{forgetting}"], dtype=float)
    accuracies = np.asarray(cv_results[f"mean_test_{accuracy}"], dtype=float)
    usable = np.isfinite(means) & np.isfinite(accuracies)
    if not usable.any():
        raise ValueError(
            "Every candidate failed (its scores are NaN); run with error_score='raise'."
        )
    best = np.argmax(np.where(usable, means, -np.inf))
    margin = folds[:, best].std(ddof=1) / np.sqrt(len(folds))
    # The tolerance keeps candidates that tie with the best up to rounding.
    good = usable & (means >= means[best] - margin - 1e-12)
    return int(np.argmax(np.where(good, accuracies, -np.inf)))


def _find_names(cv_results, *names):
    """The names, of which one that nobody has chosen may be that of the only other scorer."""
    known = sorted(k.removeprefix("mean_test_") for k in cv_results if k.startswith("mean_test_"))
    missing = [name for name in names if name not in known]
    if len(missing) == 1 and len(known) == 2 and missing[0] in ("forgetting", "accuracy"):
        (other,) = set(known) - set(names)
        return [other if name in missing else name for name in names]
    if missing:
        raise ValueError(
            f"The search has no scorer {missing[0]!r}, only {known}. Name it in scoring=, or bind "
            "the names: functools.partial(one_standard_error, forgetting=..., accuracy=...)."
        )
    return names


def _is_fold(key, name):
    return key.startswith("split") and key.endswith(f"_test_{name}")
