"""One answer from those of all shards."""

import numpy as np
from scipy.optimize import minimize

_FLOOR = 1e-12  # probability that counts for a label to which no shard gives any chance


def average(posteriors, weights):
    """Weighted mean of the shards' probabilities.

    Parameters
    ----------
    posteriors : iterable of ``(shard, ndarray of shape (n, n_classes))``
    weights : ndarray of shape (n_shards,), which sum to one
    """
    return sum(weights[shard] * p for shard, p in posteriors)


def count_votes(posteriors):
    """Shares of the shards that vote for each class, and these with ties broken by the mean."""
    count = mean = total = 0
    for _, p in posteriors:
        count = count + np.eye(p.shape[1])[p.argmax(axis=1)]
        mean, total = mean + p, total + 1
    return count / total, count + 0.5 * mean / total  # less than half a vote


def learn_weights(likelihoods, penalty):
    """Weights of the shards: arg min over the simplex of CE(Σ wᵢ pᵢ) + penalty · ‖w‖₂.

    The problem is convex. It works on probabilities; a softmax over them, as the authors' code
    applies before its cross-entropy, would leave nearly the same loss to all weights.

    Parameters
    ----------
    likelihoods : ndarray of shape (n, n_shards)
        Probability that each shard gives to a node's label.
    penalty : float
        On the length of the weights; it draws them towards equality.

    Returns
    -------
    weights : ndarray of shape (n_shards,), ≥ 0, sum 1
    """
    q = np.maximum(likelihoods, _FLOOR)
    k = q.shape[1]

    def loss(w):
        mixed, length = q @ w, np.linalg.norm(w)
        gradient = -(q / mixed[:, None]).mean(axis=0) + penalty * w / length
        return -np.log(mixed).mean() + penalty * length, gradient

    found = minimize(
        loss,
        np.full(k, 1 / k),
        jac=True,
        method="SLSQP",
        bounds=[(0, 1)] * k,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 1000, "ftol": 1e-12},
    )
    weights = np.maximum(found.x, 0)
    return weights / weights.sum()
