"""Attacks that are trained: each row is scored by one that was trained on the others."""

from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression


def widen(interval):
    """The interval for scores of cross-validated rather than fixed attacks."""
    if interval.method == "exact":
        return interval
    centre, factor = interval.estimate, np.sqrt(2)
    return replace(
        interval,
        low=max(0.0, float(centre - factor * (centre - interval.low))),
        high=min(1.0, float(centre + factor * (interval.high - centre))),
        se=float(factor * interval.se),
        method=f"{interval.method} × √2",
    )


def score_held_out(X, is_member, labels, cv, rng):
    """Score of each row by an attack trained on the other folds."""
    codes = np.unique(labels, return_inverse=True)[1]
    # Folds are dealt out within side and class, so that neither tells the fold.
    order = np.lexsort((rng.permutation(len(X)), codes, is_member))
    fold = np.empty(len(X), dtype=int)
    fold[order] = np.arange(len(X)) % cv
    scores = np.empty(len(X))
    for k in range(cv):
        train = fold != k
        weights = _balance(is_member[train], codes[train])
        attack = LogisticRegression(max_iter=1000)
        attack.fit(X[train], is_member[train], sample_weight=weights)
        scores[~train] = attack.decision_function(X[~train])
    return scores


def _balance(is_member, codes):
    """Weights under which, class by class, non-members weigh as much as members."""
    members = np.bincount(codes[is_member], minlength=codes.max() + 1)
    others = np.bincount(codes[~is_member], minlength=codes.max() + 1)
    ratio = members / np.maximum(others, 1)
    return np.where(is_member, others[codes] > 0, ratio[codes]).astype(np.float64)
