"""The attack that learns: a classifier of members on all scores at once."""

import numpy as np
from scipy.stats import rankdata
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils import check_random_state

from skunlearn.metrics._attacks.cross_scoring import score_held_out
from skunlearn.metrics._statistics.matching import match_weights

_FOLDS = 5


def learn_scores(members, others, y_forget, y_unseen, *, match, random_state):
    """Score of each row by a logistic regression on its scores, trained on the other folds.

    Parameters
    ----------
    members, others : list of ndarray of shape (n_rows,)
        Each score of forgotten and of unseen rows.
    y_forget, y_unseen : ndarray of int
    match : {"class"} or None
    random_state : int, RandomState instance or None

    Returns
    -------
    scores : (ndarray of shape (n_forget,), ndarray of shape (n_unseen,))
    """
    n, labels = len(members[0]), [np.zeros(len(s), int) for s in (members[0], others[0])]
    used = np.ones(len(others[0]), dtype=bool)
    if match == "class":
        labels, used = [y_forget, y_unseen], match_weights(y_forget, y_unseen) > 0
    if min(n, used.sum()) < _FOLDS:
        raise ValueError(
            f"attack='learned' is cross-validated in {_FOLDS} folds: {n} forgotten and "
            f"{used.sum()} unseen rows (of their classes) are too few. Take attack='strongest'."
        )
    # By ranks, as margins have long tails; squared, as members may lie in the middle or outside.
    sides = [np.concatenate([m, o[used]]) for m, o in zip(members, others, strict=True)]
    ranks = np.column_stack([rankdata(s) / len(s) - 0.5 for s in sides])
    features = PolynomialFeatures(2, include_bias=False).fit_transform(2 * ranks)
    # Without a seed always the same folds: a metric draws from no global generator.
    rng = check_random_state(0 if random_state is None else random_state)
    found = score_held_out(
        features,
        np.arange(len(features)) < n,
        np.concatenate([labels[0], labels[1][used]]),
        _FOLDS,
        rng,
    )
    unseen = np.zeros(len(used))  # rows of no weight have no score
    unseen[used] = found[n:]
    return found[:n], unseen
