"""Slow-down: rows whose deletion costs the method most."""

import numpy as np
from scipy.special import softmax
from sklearn.utils.validation import check_is_fitted

from skunlearn._torch.embedding import features
from skunlearn._torch.observation import observe
from skunlearn.certified import CertifiedRemovalUnlearner
from skunlearn.exact import ForestUnlearner, ShardedUnlearner
from skunlearn.forget_sets._drawing import as_mask, find_candidates, pick_top
from skunlearn.forget_sets.results import ForgetSet

__all__ = ["costly_forget_set"]


def costly_forget_set(unlearner, size=0.01, *, candidates=None):
    """The training rows that an adversary would have deleted to make unlearning slow.

    Methods that are fast on average can be slow on rows that are chosen:

    - `ShardedUnlearner` trains again from the first touched slice of every touched shard. A row in
      the first slice of each shard costs a whole training; afterwards every further row is free,
      so that only the first few count. (Which shard a row is in follows from the seed: keep it
      secret. This function has it.)
    - `ForestUnlearner` grows every tree again that has drawn one of the rows. Rows are taken one
      after the other, each the one that touches most trees that were not touched before.
    - `CertifiedRemovalUnlearner` trains anew when its budget is spent, and rows with large
      gradients spend it first [1]_.

    The other methods pay by the number of requests, whatever rows they name; against that, and
    against all above, requests are collected and fulfilled together.

    Parameters
    ----------
    unlearner : fitted ShardedUnlearner, ForestUnlearner or CertifiedRemovalUnlearner
        It must hold its rows.
    size : int or float, default=0.01
        Number of rows, or their share of the candidates.
    candidates : bool array of shape (n,), default=None
        The adversary's own rows, of those that ``fit`` was given; None: all.

    Returns
    -------
    forget_set : ForgetSet
        Its details hold the "scores" of the rows at ``forget_set.indices``, and for shards the
        "shards" and, of their first touched slices, the "slices" that will be trained again, for
        forests the number of "members" that will be grown again.

    Raises
    ------
    TypeError
        When the unlearner's cost does not depend on the rows.
    ValueError
        When `size` or `candidates` does not fit.

    References
    ----------
    .. [1] N. G. Marchant, B. I. P. Rubinstein, S. Alfeld, "Hard to Forget: Poisoning Attacks on
       Certified Machine Unlearning", AAAI 2022, https://arxiv.org/abs/2109.08266; there the rows
       are crafted, here they are chosen.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> from skunlearn import ShardedUnlearner
    >>> from skunlearn.forget_sets import costly_forget_set
    >>> X, y = load_digits(return_X_y=True)
    >>> unlearner = ShardedUnlearner(DecisionTreeClassifier(), n_shards=8, random_state=0).fit(X, y)
    >>> request = costly_forget_set(unlearner, size=8)
    >>> unlearner.unlearn(indices=request.indices).deletions_[0]["shards_retrained"]
    8
    """
    kinds = {
        ShardedUnlearner: _by_shards,
        ForestUnlearner: _by_trees,
        CertifiedRemovalUnlearner: _by_gradient,
    }
    found = [score for kind, score in kinds.items() if isinstance(unlearner, kind)]
    if not found:
        raise TypeError(
            f"What a request costs a {type(unlearner).__name__} does not depend on which rows it "
            "names; costly_forget_set knows ShardedUnlearner, ForestUnlearner and "
            "CertifiedRemovalUnlearner."
        )
    check_is_fitted(unlearner)
    record = unlearner._record
    positions, k = find_candidates(record, candidates, size)
    scores = np.full(len(record), -np.inf)
    scores[positions] = found[0](unlearner, positions)
    chosen = pick_top(scores, positions, k)
    details = {"scores": scores[chosen], "size": k}
    if isinstance(unlearner, ShardedUnlearner):
        shards, slices = (place[chosen] for place in unlearner._places)
        details["shards"] = np.unique(shards)
        details["slices"] = np.array([slices[shards == s].min() for s in details["shards"]])
    elif isinstance(unlearner, ForestUnlearner):
        details["members"] = int(unlearner._draws.mark_touched(chosen).sum())
    return ForgetSet(
        as_mask(chosen, len(record)),
        "costly",
        f"{k} of {len(positions)} rows whose deletion costs a {type(unlearner).__name__} most.",
        details,
    )


def _by_shards(unlearner, positions):
    """Row-epochs that each row adds when the costliest rows are taken first, one for each shard."""
    shards, slices = (place[positions] for place in unlearner._places)
    n_slices = unlearner._shape[1]
    size = np.bincount(shards, minlength=unlearner._shape[0])
    # Stage j trains on j + 1 slices; a row in slice s costs the stages from s on.
    stages = np.arange(1, n_slices + 1)
    cost = size[shards] * np.array([stages[s:].sum() for s in range(n_slices)])[slices] / n_slices
    # Only the costliest row of a shard costs anything; the others come after all of these.
    order = np.lexsort((positions, -cost))
    first = order[np.unique(shards[order], return_index=True)[1]]
    scores = cost - cost.max() - 1
    scores[first] = cost[first]
    return scores


def _by_trees(unlearner, positions):
    """Trees that each row adds when the rows that add most are taken first."""
    draws = unlearner._draws
    held = np.array([draws.holds(k, positions) for k in range(len(draws.bits))])
    scores = held.sum(axis=0) / (1.0 + held.size) - 1  # all others come after those that add some
    while len(held):
        added = held.sum(axis=0)
        row = int(added.argmax())
        if added[row] == 0:
            break
        scores[row] = added[row]
        held = held[~held[:, row]]
    return scores


def _by_gradient(unlearner, positions):
    """Norm of each row's gradient of the loss."""
    rows = unlearner._record.view(positions)
    residual = softmax(observe(unlearner.estimator_, rows, unlearner._classes).logits, axis=1)
    residual[np.arange(len(rows)), rows.y] -= 1
    norms = np.linalg.norm(features(unlearner.estimator_, rows), axis=1)
    return np.linalg.norm(residual, axis=1) * np.minimum(norms, unlearner.row_norm)
