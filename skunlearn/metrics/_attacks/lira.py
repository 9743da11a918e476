"""LiRA and U-LiRA: each row against models that were, and were not, trained on it."""

import numpy as np
from scipy.stats import norm

from skunlearn._unlearning import words
from skunlearn.metrics._arrays import to_array

__all__ = ["lira", "u_lira"]

_MIN_MODELS = 2  # with and without each row, to estimate a mean from
_OWN_VARIANCE = 64  # shadow models from which per-row variances pay (Carlini et al., section VI-C)


def lira(target, shadow, membership, *, mode="online", variance="auto"):
    """Likelihood-ratio attack: score of each row; higher looks more like a member.

    Online it is log N(φ; μ_in, σ_in²) − log N(φ; μ_out, σ_out²), with φ the row's margin under
    the attacked model and μ, σ over the shadow models with and without the row. Offline it is
    log P(Z ≤ φ) under the latter alone, one-sided: a row that is known *less* than by models
    that never saw it is no member.

    The margins of rows with several labels are taken for independent of each other, given the row
    and whether it was seen: log-likelihood ratios of the labels are added, and offline, where
    there is no ratio, the distances (φ − μ_out) / σ_out, divided by √n_labels (Stouffer).

    Parameters
    ----------
    target : array-like of shape (n,) or (n, n_labels), float
        Margins (`margin`) of the rows under the attacked model.
    shadow : array-like of shape (n_models, n) or (n_models, n, n_labels), float
        Margins of the same rows under each shadow model.
    membership : bool array-like of shape (n_models, n)
        Which shadow model was trained on which row.
    mode : {"online", "offline"}, default="online"
        Online compares models with the row to those without; offline uses those without alone.
    variance : {"auto", "per_row", "fixed"}, default="auto"
        One variance for each row, or one for all rows, estimated around each row's own mean; in
        both cases one for models with the row and another for those without (and, of several
        labels, one for each), divided by the number of models as in the paper's code. "auto" takes
        "per_row" from 64 shadow models on, as the paper advises.

    Returns
    -------
    scores : ndarray of shape (n,), float64

    Raises
    ------
    ValueError
        If shapes do not match, a margin is not finite, or a row has fewer than two models on a
        side that is needed.

    References
    ----------
    Carlini et al. (2022), "Membership inference attacks from first principles",
    https://arxiv.org/abs/2112.03570

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import auc, lira
    >>> rng = np.random.default_rng(0)
    >>> hardness = rng.normal(scale=5, size=400)  # rows differ more than membership does
    >>> membership = rng.random((32, 400)) < 0.5
    >>> margins = hardness + 2 * membership + rng.normal(size=(32, 400))
    >>> members = np.arange(400) < 200
    >>> target = hardness + 2 * members + rng.normal(size=400)
    >>> scores = lira(target, margins, membership)
    >>> round(auc(target[members], target[~members]), 1), round(auc(scores[:200], scores[200:]), 1)
    (0.6, 0.9)
    """
    if mode not in ("online", "offline"):
        raise ValueError(f"mode must be 'online' or 'offline', got {mode!r}.")
    target, shadow, membership = _check(target, shadow, membership)
    return _ratio(target, shadow, membership, ~membership, mode, variance)


@words.explained(lira)
def u_lira(target, shadow, unlearned, never, *, variance="auto"):
    """Likelihood-ratio attack on unlearning: forgotten against never seen, row by row.

    Per row it compares the margin with those of models that were trained on the row and then made
    to forget it, and with those of models that never saw it. A population attack averages over
    rows that differ far more than that.

    Parameters
    ----------
    target : array-like of shape (n,) or (n, n_labels), float
        Margins of the rows under the attacked, unlearned model; of several labels see `lira`.
    shadow : array-like of shape (n_models, n) or (n_models, n, n_labels), float
        Margins of the same rows under each shadow model.
    unlearned : bool array-like of shape (n_models, n)
        Where the model was trained on the row and then made to forget it.
    never : bool array-like of shape (n_models, n)
        Where the model never saw the row. Other entries (rows that it retains) are not used.
    {variance}

    Returns
    -------
    scores : ndarray of shape (n,), float64
        Higher looks more like a forgotten row than like one that was never seen.

    Raises
    ------
    ValueError
        As `lira`, and where a row is marked as both.

    References
    ----------
    Hayes et al. (2024), "Inexact unlearning needs more careful evaluations to avoid a false sense
    of privacy", https://arxiv.org/abs/2403.01218

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import u_lira
    >>> rng = np.random.default_rng(0)
    >>> unlearned = np.arange(16)[:, None] % 2 == np.zeros(10)
    >>> scores = u_lira(np.ones(10), rng.normal(size=(16, 10)), unlearned, ~unlearned)
    >>> scores.shape
    (10,)
    """
    target, shadow, unlearned = _check(target, shadow, unlearned)
    _, _, never = _check(target, shadow, never)
    if (unlearned & never).any():
        raise ValueError("a row is marked as unlearned and as never seen by the same model.")
    return _ratio(target, shadow, unlearned, never, "online", variance)


def _ratio(target, shadow, inside, outside, mode, variance):
    if variance not in ("auto", "per_row", "fixed"):
        raise ValueError(f"variance must be 'auto', 'per_row' or 'fixed', got {variance!r}.")
    if variance == "auto":
        variance = "per_row" if len(shadow) >= _OWN_VARIANCE else "fixed"
    several = target.ndim == 2
    if several:
        inside, outside = inside[..., None], outside[..., None]
    mean_out, sd_out = _moments(shadow, outside, variance, "without")
    if mode == "offline":
        far = (target - mean_out) / sd_out
        return norm.logcdf(far.sum(axis=1) / np.sqrt(far.shape[1]) if several else far)
    mean_in, sd_in = _moments(shadow, inside, variance, "with")
    ratio = norm.logpdf(target, mean_in, sd_in) - norm.logpdf(target, mean_out, sd_out)
    return ratio.sum(axis=1) if several else ratio


def _moments(shadow, where, variance, side):
    """Mean and standard deviation of each row over the models marked in `where`.

    Rows have different numbers of such models; all of them count. Margins of several labels have
    a last axis, along which `where` has one entry.
    """
    count = where.sum(axis=0)
    if (count < _MIN_MODELS).any():
        row = int(np.argmin(count))
        raise ValueError(
            f"row {row} has {count[row]} shadow models {side} it; at least {_MIN_MODELS} are "
            "needed on each side. Train more shadow models, or leave such rows out."
        )
    mean = np.where(where, shadow, 0.0).sum(axis=0) / count
    square = np.where(where, (shadow - mean) ** 2, 0.0).sum(axis=0)
    if variance == "fixed":
        sd = np.full(mean.shape, np.sqrt(square.sum(axis=0) / count.sum()))
    else:
        sd = np.sqrt(square / count)
    return mean, np.maximum(sd, 1e-12 + 1e-6 * np.abs(mean))


def _check(target, shadow, membership):
    target = to_array(target, dtype=np.float64)
    shadow = to_array(shadow, dtype=np.float64)
    membership = to_array(membership)
    if target.ndim not in (1, 2) or shadow.shape[1:] != target.shape or not target.size:
        raise ValueError(
            "target and shadow must have shape (n,) and (n_models, n), or (n, n_labels) and "
            f"(n_models, n, n_labels), got {target.shape} and {shadow.shape}."
        )
    if membership.shape != shadow.shape[:2] or membership.dtype != bool:
        raise ValueError(
            f"membership must be a bool array of shape {shadow.shape[:2]}, got {membership.dtype} "
            f"of shape {membership.shape}."
        )
    for name, values in (("target", target), ("shadow", shadow)):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} holds NaN or infinity.")
    return target, shadow, membership
