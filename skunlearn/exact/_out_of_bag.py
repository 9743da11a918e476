"""Out-of-bag figures of an ensemble whose members drew from different sets of rows."""

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score

from skunlearn._rows import checking
from skunlearn.exact._growing import as_trained, is_forest

_NAMES = ("oob_score_", "oob_decision_function_", "oob_prediction_")


def set_out_of_bag(ensemble, draws, positions, X, y):
    """Set ``oob_score_`` and its like, over the rows at `positions`; drop them where not asked for.

    Parameters
    ----------
    ensemble : fitted ensemble
    draws : Draws
    positions : int array, those of `X` in `draws`
    X, y : rows, and codes of the ensemble's classes or targets
    """
    for name in _NAMES:
        vars(ensemble).pop(name, None)
    if not ensemble.oob_score:
        return
    X = as_trained(ensemble, X)
    X = X.tocsr() if sparse.issparse(X) else X
    classifier = is_classifier(ensemble)
    y = np.asarray(y)
    shape = (len(y), len(ensemble.classes_)) if classifier else y.shape
    total, members = np.zeros(shape), np.zeros(len(y))
    for number, member in enumerate(ensemble.estimators_):
        left = ~draws.holds(number, positions)
        if not left.any():
            continue
        rows = X[left]
        if not is_forest(ensemble):
            rows = rows[:, ensemble.estimators_features_[number]]
        if classifier:
            total[left] += _shares(member, rows, shape[1])
        else:
            total[left] += member.predict(rows)
        members[left] += 1
    if (members == 0).any():
        checking.warn(
            "Some inputs do not have OOB scores: every member drew them. More members leave some "
            "out.",
            UserWarning,
        )
    mean = (total.T / np.maximum(members, 1)).T
    score = ensemble.oob_score if callable(ensemble.oob_score) else None
    if classifier:
        ensemble.oob_decision_function_ = mean
        ensemble.oob_score_ = (score or accuracy_score)(y, mean.argmax(axis=1))
    else:
        ensemble.oob_prediction_ = mean
        ensemble.oob_score_ = (score or r2_score)(y, mean)


def _shares(member, X, n_classes):
    if not hasattr(member, "predict_proba"):
        return np.eye(n_classes)[np.asarray(member.predict(X), dtype=int)]
    shares = member.predict_proba(X)
    if shares.shape[1] == n_classes:
        return shares
    full = np.zeros((len(shares), n_classes))
    full[:, np.asarray(member.classes_, dtype=int)] = shares
    return full
