"""RMIA: pairwise likelihood ratios against a population."""

import numpy as np

from skunlearn.metrics._arrays import to_array

__all__ = ["rmia"]


def rmia(
    target,
    shadow,
    membership,
    population_target,
    population_shadow,
    *,
    mode="online",
    gamma=2.0,
    offline_a=0.3,
):
    """Robust membership inference: share of the population that a row beats; higher is a member.

    A row x beats z when (p(x|θ) / p(x)) / (p(z|θ) / p(z)) ≥ γ, where p(·) averages over models
    with and without the row.

    Parameters
    ----------
    target : array-like of shape (n,) or (n, n_labels), float
        log p_y of the rows under the attacked model: minus their `cross_entropy`. Of rows with
        several labels p(x|θ) is the probability of all of them together, the product over labels.
    shadow : array-like of shape (n_models, n) or (n_models, n, n_labels), float
        The same under each shadow model.
    membership : bool array-like of shape (n_models, n)
        Which shadow model was trained on which row.
    population_target : array-like of shape (n_population,) or (n_population, n_labels), float
        log p_y of rows that neither the attacked nor any shadow model was trained on.
    population_shadow : array-like of shape (n_models, n_population[, n_labels]), float
        The same of these rows under each shadow model.
    mode : {"online", "offline"}, default="online"
        Online, p(x) is the mean of the averages over models with and without x. Offline, models
        with x are not used: p(x) = ((1 + a)·p_out(x) + 1 − a) / 2.
    gamma : float, default=2.0
        γ ≥ 1, the paper's.
    offline_a : float, default=0.3
        The a of offline mode, the paper's for CIFAR-10.

    Returns
    -------
    scores : ndarray of shape (n,), float64
        In [0, 1].

    Raises
    ------
    ValueError
        If shapes do not match, a value is not finite or above 0, or a row has no model on a
        side that is needed.

    Notes
    -----
    Population ratios are sorted once, O((n + n_population) log n_population): no matrix of all
    pairs is made.

    References
    ----------
    Zarifzadeh, Liu and Shokri (2024), "Low-cost high-power membership inference attacks",
    https://arxiv.org/abs/2312.03262

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import auc, rmia
    >>> rng = np.random.default_rng(0)
    >>> hardness = rng.exponential(3, size=900)  # mean loss of each row
    >>> membership = rng.random((16, 600)) < 0.5
    >>> def log_p(known, rows):
    ...     return -hardness[rows] * rng.uniform(0.6, 1.4, np.shape(known)) * (1 - 0.5 * known)
    >>> rows, others = slice(600), slice(600, 900)
    >>> members = np.arange(600) < 300
    >>> scores = rmia(
    ...     log_p(members, rows),
    ...     log_p(membership, rows),
    ...     membership,
    ...     log_p(np.zeros(300), others),
    ...     log_p(np.zeros((16, 300)), others),
    ... )
    >>> auc(scores[:300], scores[300:]) > 0.75
    True
    """
    if mode not in ("online", "offline"):
        raise ValueError(f"mode must be 'online' or 'offline', got {mode!r}.")
    if not gamma >= 1:
        raise ValueError(f"gamma must be at least 1, got {gamma!r}.")
    if not 0 <= offline_a <= 1:
        raise ValueError(f"offline_a must lie in [0, 1], got {offline_a!r}.")
    target, shadow = _log_probabilities(target, shadow, "target", "shadow")
    z_target, z_shadow = _log_probabilities(
        population_target, population_shadow, "population_target", "population_shadow"
    )
    if len(z_shadow) != len(shadow):
        raise ValueError(
            f"shadow holds {len(shadow)} models and population_shadow {len(z_shadow)}: both must "
            "come from the same ones."
        )
    membership = to_array(membership)
    if membership.shape != shadow.shape or membership.dtype != bool:
        raise ValueError(
            f"membership must be a bool array of shape {shadow.shape}, got {membership.dtype} of "
            f"shape {membership.shape}."
        )
    out = _mean(shadow, ~membership, "without")
    z_out = np.exp(z_shadow).mean(axis=0)
    if mode == "online":
        p = (out + _mean(shadow, membership, "with")) / 2
        # No model was trained on population rows: their p is the average without them.
        p_z = z_out
    else:
        p, p_z = (((1 + offline_a) * q + 1 - offline_a) / 2 for q in (out, z_out))
    tiny = np.finfo(np.float64).tiny
    ratio = target - np.log(np.maximum(p, tiny))
    ratio_z = np.sort(z_target - np.log(np.maximum(p_z, tiny)))
    beaten = np.searchsorted(ratio_z, ratio - np.log(gamma), side="right")
    return beaten / len(ratio_z)


def _mean(shadow, where, side):
    """Mean probability over the models marked in `where`; a row without any is an error."""
    count = where.sum(axis=0)
    if (count == 0).any():
        raise ValueError(
            f"row {int(np.argmin(count))} has no shadow model {side} it: an average over none "
            "would be 0. Train more shadow models, or leave such rows out."
        )
    return np.where(where, np.exp(shadow), 0.0).sum(axis=0) / count


def _log_probabilities(target, shadow, target_name, shadow_name):
    target = to_array(target, dtype=np.float64)
    shadow = to_array(shadow, dtype=np.float64)
    if target.ndim not in (1, 2) or shadow.shape[1:] != target.shape or not target.size:
        raise ValueError(
            f"{target_name} and {shadow_name} must have shape (n,) and (n_models, n), or "
            f"(n, n_labels) and (n_models, n, n_labels), got {target.shape} and {shadow.shape}."
        )
    for name, values in ((target_name, target), (shadow_name, shadow)):
        if not np.isfinite(values).all() or (values > 1e-9).any():
            raise ValueError(
                f"{name} must hold finite log-probabilities, at most 0; it holds NaN, infinity or "
                f"a value above 0. Pass minus the cross-entropy of each row."
            )
    if target.ndim == 2:  # the labels of a row together
        target, shadow = target.sum(axis=-1), shadow.sum(axis=-1)
    return target, shadow
