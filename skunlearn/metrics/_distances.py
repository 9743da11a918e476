"""Distances of a model's outputs from those of a retrained model, row by row."""

import numpy as np
from scipy.special import log_softmax, logsumexp, ndtri
from scipy.stats import binomtest

from skunlearn.metrics._arrays import to_array, warn_of_probabilities
from skunlearn.metrics._statistics.interval_forms import Interval

__all__ = [
    "activation_distance",
    "agreement",
    "js_divergence",
    "kl_divergence",
    "zero_retrain_forgetting",
]


def agreement(logits, reference_logits, *, confidence=0.95):
    """Share of rows on which both models predict the same class.

    Parameters
    ----------
    logits, reference_logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model and of a retrained model on the same rows.
    confidence : float in (0, 1), default=0.95
        Share of such intervals that hold the true value; 0.95 is the custom.

    Returns
    -------
    Interval
        Clopper–Pearson.

    Raises
    ------
    ValueError
        If shapes differ, there are no rows, or a value is not finite.

    Notes
    -----
    Two models retrained with other seeds disagree too: read it beside their agreement.

    Examples
    --------
    >>> from skunlearn.metrics import agreement
    >>> print(agreement([[2.0, 0.0], [0.0, 1.0]], [[1.0, 0.0], [1.0, 0.0]]))
    0.500 (95% interval 0.013–0.987, exact)
    """
    ours, theirs = check_pair(logits, reference_logits)
    same = ours.argmax(axis=1) == theirs.argmax(axis=1)
    interval = binomtest(int(same.sum()), len(same)).proportion_ci(confidence, "exact")
    arm = max(same.mean() - interval.low, interval.high - same.mean())
    se = float(arm / ndtri((1 + confidence) / 2))
    return Interval(
        float(same.mean()), float(interval.low), float(interval.high), confidence, "exact", se
    )


def kl_divergence(logits, reference_logits):
    """Kullback–Leibler divergence of each row, KL(reference ‖ model).

    Parameters
    ----------
    logits, reference_logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model and of a retrained model on the same rows.

    Returns
    -------
    ndarray of shape (n,), float64
        In nats, summed over the classes. ``torch.nn.functional.kl_div`` with its default
        ``reduction="mean"`` divides by the number of classes as well.

    Raises
    ------
    ValueError
        If shapes differ, there are no rows, or a value is not finite.

    Examples
    --------
    >>> from skunlearn.metrics import kl_divergence
    >>> kl_divergence([[0.0, 0.0]], [[100.0, 0.0]]).round(4)
    array([0.6931])
    """
    ours, theirs = (log_softmax(z, axis=1) for z in check_pair(logits, reference_logits))
    return np.maximum((np.exp(theirs) * (theirs - ours)).sum(axis=1), 0.0)


def js_divergence(logits, reference_logits):
    """Jensen–Shannon divergence of each row.

    Parameters
    ----------
    logits, reference_logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model and of a retrained model on the same rows.

    Returns
    -------
    ndarray of shape (n,), float64
        In nats, from 0 to log 2 ≈ 0.693.

    Raises
    ------
    ValueError
        If shapes differ, there are no rows, or a value is not finite.

    References
    ----------
    Lin (1991), "Divergence measures based on the Shannon entropy", IEEE Transactions on
    Information Theory 37, 145–151.

    Examples
    --------
    >>> from skunlearn.metrics import js_divergence
    >>> js_divergence([[50.0, 0.0], [1.0, 1.0]], [[0.0, 50.0], [2.0, 2.0]]).round(4)
    array([0.6931, 0.    ])
    """
    # Not SciPy's jensenshannon: of rows that hardly differ it takes the root of a sum that rounding
    # has made negative, and returns NaN with a warning.
    ours, theirs = (log_softmax(z, axis=1) for z in check_pair(logits, reference_logits))
    middle = logsumexp([ours, theirs], axis=0) - np.log(2)
    parts = [np.exp(p) * (p - middle) for p in (ours, theirs)]
    return np.clip(0.5 * (parts[0] + parts[1]).sum(axis=1), 0.0, np.log(2))


def activation_distance(logits, reference_logits):
    """Euclidean distance between the predicted probabilities of each row.

    Parameters
    ----------
    logits, reference_logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model and of a retrained model on the same rows.

    Returns
    -------
    ndarray of shape (n,), float64
        From 0 to √2. Papers report the mean over the forget set.

    Raises
    ------
    ValueError
        If shapes differ, there are no rows, or a value is not finite.

    References
    ----------
    Golatkar, Achille and Soatto (2021), "Mixed-privacy forgetting in deep networks", CVPR,
    https://arxiv.org/abs/2012.13431

    Examples
    --------
    >>> from skunlearn.metrics import activation_distance
    >>> activation_distance([[50.0, 0.0]], [[0.0, 50.0]]).round(4)
    array([1.4142])
    """
    ours, theirs = (np.exp(log_softmax(z, axis=1)) for z in check_pair(logits, reference_logits))
    return np.linalg.norm(ours - theirs, axis=1)


def zero_retrain_forgetting(logits, untrained_logits):
    """Nearness to an untrained net on the forget set (ZRF); a retrained net's is the target.

    One less the mean Jensen–Shannon divergence between what the model and a net of random weights,
    the "incompetent teacher", say of the forgotten rows [1]_. It asks for no retrained net, and is
    no measure of forgetting without one: a net that never saw single rows of classes that stay is
    as far from an untrained net on them as on any other, and one that is nearer stands out.

    Parameters
    ----------
    logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model on the forgotten rows.
    untrained_logits : array-like of shape (n, n_classes), float
        The same of a net of the same recipe that was initialised and not trained.

    Returns
    -------
    score : float
        From 0 to 1, which is a model that says what the untrained one says. Not higher but nearer
        to a retrained net's is better.

    Raises
    ------
    ValueError
        If shapes differ, there are no rows, or a value is not finite.

    Notes
    -----
    The divergence is in bits, so that the score can be 0. The authors' code takes nats, exchanges
    the sides of both divergences from the mean, and divides by the number of classes as well
    (torch's ``kl_div`` with ``reduction="mean"``), so that published values lie near 1.

    References
    ----------
    .. [1] V. Chundawat et al., "Can Bad Teaching Induce Forgetting? Unlearning in Deep Networks
       using an Incompetent Teacher", AAAI 2023, https://arxiv.org/abs/2205.08096

    Examples
    --------
    >>> from skunlearn.metrics import zero_retrain_forgetting
    >>> untrained = [[0.0, 0.0], [0.0, 0.0]]
    >>> zero_retrain_forgetting([[0.1, 0.0], [0.0, 0.2]], untrained) > 0.99
    True
    >>> round(zero_retrain_forgetting([[50.0, 0.0], [0.0, 50.0]], untrained), 3)
    0.689
    """
    return float(1 - js_divergence(logits, untrained_logits).mean() / np.log(2))


def check_pair(logits, reference_logits):
    ours, theirs = (to_array(z, dtype=np.float64) for z in (logits, reference_logits))
    for name, z in (("logits", ours), ("reference_logits", theirs)):
        if z.ndim != 2 or z.shape[1] < 2 or len(z) == 0:
            raise ValueError(
                f"{name} must have shape (n, n_classes) with rows and at least two classes, got "
                f"{z.shape}."
            )
        bad = np.flatnonzero(~np.isfinite(z).all(axis=1))
        if len(bad):
            raise ValueError(f"{name} holds NaN or infinity, first in row {bad[0]}.")
        warn_of_probabilities(z, name)
    if ours.shape != theirs.shape:
        raise ValueError(
            f"Both models must be asked about the same rows and classes; logits have shape "
            f"{ours.shape}, reference_logits {theirs.shape}."
        )
    return ours, theirs
