"""Distance to retrained models, in units of their distance to each other."""

from itertools import combinations

import numpy as np
from scipy.special import log_softmax

from skunlearn.metrics._distances import check_pair

__all__ = ["distance_over_null", "hellinger_distance"]


def hellinger_distance(logits, reference_logits):
    """Hellinger distance between the predicted probabilities of each row.

    Parameters
    ----------
    logits, reference_logits : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model and of a retrained model on the same rows.

    Returns
    -------
    ndarray of shape (n,), float64
        From 0 to 1.

    Raises
    ------
    ValueError
        If shapes differ, there are no rows, or a value is not finite.

    Examples
    --------
    >>> from skunlearn.metrics import hellinger_distance
    >>> hellinger_distance([[50.0, 0.0], [1.0, 1.0]], [[0.0, 50.0], [2.0, 2.0]]).round(4)
    array([1., 0.])
    """
    return between_roots(*(roots_of(z) for z in check_pair(logits, reference_logits)))


def roots_of(logits):
    """Square roots of the probabilities of each row."""
    return np.exp(log_softmax(logits, axis=1) / 2)


def between_roots(ours, theirs):
    """Hellinger distance of each row from square roots of probabilities."""
    # Not from the overlap: 1 less something near 1 leaves rounding.
    return np.minimum(np.linalg.norm(ours - theirs, axis=1) / np.sqrt(2), 1.0)


def distance_over_null(outputs, references):
    """Mean distance of a model to retrained ones, over their mean distance to each other.

    A model that is one more retrained model has a value near 1; the original, and whatever has
    been pushed too far, lie above.

    Parameters
    ----------
    outputs : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model on some rows: the forgotten ones, say.
    references : sequence of array-like of shape (n, n_classes), float
        The same of two or more retrained models of different seeds.

    Returns
    -------
    ratio : float
        Not negative. Below 1 the model is nearer to the retrained ones than they are to each
        other, as their mean is.

    Raises
    ------
    ValueError
        If there are fewer than two references or all of them say the same, shapes differ, there
        are no rows, or a value is not finite.

    Notes
    -----
    The distance is `hellinger_distance`, averaged over rows, which no single row can dominate:
    it is at most 1.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import distance_over_null
    >>> rng = np.random.default_rng(0)
    >>> common = rng.normal(size=(500, 10))
    >>> first, second, third = (common + rng.normal(size=(500, 10)) for _ in range(3))
    >>> round(distance_over_null(first, [second, third]), 2)
    0.99
    >>> round(distance_over_null(3 * common, [second, third]), 2)
    1.15
    """
    own, null = distances_to_null(outputs, references)
    if null.mean() == 0:
        raise ValueError(
            "All references say the same, so that there is no distance to compare with. Retrain "
            "them with different seeds."
        )
    return float(own.mean() / null.mean())


def distances_to_null(outputs, references):
    """Of each row the mean distance to the references, and of these to each other."""
    references = list(references)
    if len(references) < 2:
        raise ValueError(
            f"distance_over_null needs two or more references, got {len(references)}: how far "
            "retrained models lie from each other is the unit."
        )
    own = roots_of(check_pair(outputs, references[0])[0])
    roots = [roots_of(check_pair(outputs, other)[1]) for other in references]
    pairs = [between_roots(*pair) for pair in combinations(roots, 2)]
    return np.mean([between_roots(own, other) for other in roots], axis=0), np.mean(pairs, axis=0)
