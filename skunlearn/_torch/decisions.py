"""What a scikit-learn classifier's ``decision_function`` says, by class."""

import numpy as np
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import Pipeline
from sklearn.semi_supervised import SelfTrainingClassifier

# Compositions of scikit-learn's that hand on what a fitted estimator inside says.
_DECIDING = (
    (Pipeline, lambda model: model.steps[-1][1]),
    (BaseSearchCV, lambda model: model.best_estimator_),
    (BaggingClassifier, lambda model: model.estimators_[0]),
    (StackingClassifier, lambda model: model.final_estimator_),
    (RFE | SelfTrainingClassifier, lambda model: model.estimator_),
    (FrozenEstimator, lambda model: model.estimator),
)


def class_decisions(model, X):
    """A score for every class of a classifier, in the order of its ``classes_``.

    Of pairs of classes (``decision_function_shape="ovo"``) these are the votes, and among equally
    many the sum of the scores, as scikit-learn itself counts them.

    Returns
    -------
    scores : ndarray of shape (n, n_classes)
    """
    scores, k = model.decision_function(X), len(model.classes_)
    if scores.ndim == 1:
        return np.column_stack([np.zeros_like(scores), scores])
    if not is_pairwise(model, scores):
        return scores
    votes, sums = np.zeros((len(scores), k)), np.zeros((len(scores), k))
    for column, (i, j) in zip(scores.T, list_pairs(k)):
        votes[:, i] += column > 0
        votes[:, j] += column <= 0
        sums[:, i] += column
        sums[:, j] -= column
    return votes + sums / (3 * (np.abs(sums) + 1))


def spread_pairs(scores, known, classes):
    """Scores by pair of the classes `known`, by pair of all `classes`.

    A class that is not known loses against every one that is, and has a draw with its like.
    """
    places = {label: place for place, label in enumerate(known)}
    columns = dict(zip(list_pairs(len(known)), np.reshape(scores, (len(scores), -1)).T))
    if len(known) == 2:  # of two the sign is for the second
        columns = {(0, 1): -columns[0, 1]}
    full = []
    for i, j in list_pairs(len(classes)):
        ours, theirs = (places.get(classes[place]) for place in (i, j))
        if ours is not None and theirs is not None:
            full.append(columns[ours, theirs])
        else:
            sure = 0.0 if ours is theirs else np.inf if theirs is None else -np.inf
            full.append(np.full(len(scores), sure))
    return np.column_stack(full)


def list_pairs(k):
    """Pairs of numbers below `k` in scikit-learn's order of columns."""
    return [(i, j) for i in range(k) for j in range(i + 1, k)]


def is_pairwise(model, scores):
    """Whether the columns of what ``decision_function`` says stand for pairs of classes."""
    k, width = len(model.classes_), 1 if scores.ndim == 1 else scores.shape[1]
    if width != k * (k - 1) // 2:
        return False
    return k > 3 or _decides_by_pairs(model)


def _decides_by_pairs(model):
    for kind, inner in _DECIDING:
        if isinstance(model, kind):
            return _decides_by_pairs(inner(model))
    return getattr(model, "decision_function_shape", None) == "ovo"
