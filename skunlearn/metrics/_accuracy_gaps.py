"""The gap to the retrained model in accuracies: the figures of the published tables."""

import numpy as np

__all__ = ["average_gap", "tug_of_war"]

_GAP_KEYS = ("UA", "RA", "TA", "MIA")


def average_gap(unlearned, retrained):
    """Average gap to the retrained model over UA, RA, TA and MIA.

    Parameters
    ----------
    unlearned, retrained : dict of str to float
        Shares in [0, 1] of the keys "UA" (unlearning accuracy: one minus the accuracy on the
        forget set), "RA" (accuracy on the retain set), "TA" (accuracy on unseen rows) and "MIA"
        (a figure of a membership-inference attack, the same for both; papers take the efficacy
        of an SVC). Keys that both lack are left out.

    Returns
    -------
    float
        Mean absolute difference; 0 is best. Papers print it in per cent.

    Raises
    ------
    ValueError
        If the keys differ or are unknown, or a value lies outside [0, 1].

    References
    ----------
    Fan et al. (2024), "SalUn: empowering machine unlearning via gradient-based weight saliency",
    https://arxiv.org/abs/2310.12508

    Examples
    --------
    >>> from skunlearn.metrics import average_gap
    >>> unlearned = {"UA": 0.05, "RA": 0.99, "TA": 0.94, "MIA": 0.12}
    >>> retrained = {"UA": 0.06, "RA": 1.00, "TA": 0.94, "MIA": 0.14}
    >>> round(average_gap(unlearned, retrained), 6)
    0.01
    """
    _check_keys(unlearned, retrained)
    ours = [_share(unlearned[k], f"unlearned[{k!r}]") for k in unlearned]
    theirs = [_share(retrained[k], f"retrained[{k!r}]") for k in unlearned]
    return float(np.mean(np.abs(np.subtract(ours, theirs))))


def tug_of_war(unlearned, retrained):
    """Tug of war (ToW): closeness to the retrained model on all sets at once.

    Parameters
    ----------
    unlearned, retrained : sequence of float
        Accuracies in [0, 1] on the forget, retain and unseen rows. For ToW-MIA put a figure of
        a membership-inference attack in the first place.

    Returns
    -------
    float
        Π (1 − \\|difference\\|), from 0 to 1; 1 is best.

    Raises
    ------
    ValueError
        If the lengths differ or a value lies outside [0, 1].

    References
    ----------
    Zhao et al. (2024), "What makes unlearning hard and what to do about it",
    https://arxiv.org/abs/2406.01257

    Examples
    --------
    >>> from skunlearn.metrics import tug_of_war
    >>> round(tug_of_war([0.9, 1.0, 0.8], [0.8, 1.0, 0.9]), 6)
    0.81
    """
    if len(unlearned) != len(retrained) or len(unlearned) == 0:
        raise ValueError(
            f"unlearned and retrained need one figure per set, got {len(unlearned)} and "
            f"{len(retrained)}."
        )
    ours = [_share(v, "unlearned") for v in unlearned]
    theirs = [_share(v, "retrained") for v in retrained]
    return float(np.prod(1 - np.abs(np.subtract(ours, theirs))))


def _check_keys(unlearned, retrained):
    unknown = sorted((set(unlearned) | set(retrained)) - set(_GAP_KEYS))
    if unknown or set(unlearned) != set(retrained) or not unlearned:
        raise ValueError(
            f"unlearned and retrained must have the same keys among {_GAP_KEYS}, got "
            f"{tuple(unlearned)} and {tuple(retrained)}."
        )


def _share(value, name):
    value = float(value)
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must be a share in [0, 1], not in per cent; got {value}.")
    return value
