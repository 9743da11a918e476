"""Distance to retrained models, beside their distance to each other."""

from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from scipy.special import log_softmax

from skunlearn.metrics._distances import check_pair

__all__ = ["RowDistances", "distance_over_null", "hellinger_distance", "row_distances"]


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
    own, null = _distances(outputs, references, "distance_over_null")
    return own.mean(axis=0), null.mean(axis=0)


@dataclass(frozen=True)
class RowDistances:
    """Outcome of `row_distances`.

    Attributes
    ----------
    distances : ndarray of shape (n,)
        Of each row, the mean distance to the references.
    mean : float
        Mean over the rows of the distances to one reference after another, averaged over these.
    high : float
        The same of their `share` quantile.
    worst : float
        The same of the largest.
    null_mean : float
        `mean` of the references among themselves.
    null_high : float
        `high` of these.
    null_worst : float
        `worst` of these.
    null_worst_range : (float, float)
        Smallest and largest of the pairs of references.
    worst_row : int
        Row with the largest of `distances`.
    share : float
        Of the rows that lie below the `high` ones, 0.95 for the 95 % quantile.
    n_references : int
        Reference models.
    """

    distances: np.ndarray = field(repr=False)
    mean: float
    high: float
    worst: float
    null_mean: float
    null_high: float
    null_worst: float
    null_worst_range: tuple
    worst_row: int
    share: float
    n_references: int

    def __str__(self):
        low, high = self.null_worst_range
        return (
            f"Hellinger distance to {self.n_references} retrained models (in brackets: of these to "
            f"each other): mean {self.mean:.3f} ({self.null_mean:.3f}), {100 * self.share:g} % of "
            f"the rows below {self.high:.3f} ({self.null_high:.3f}), worst row {self.worst:.3f} "
            f"({self.null_worst:.3f}, from {low:.3f} to {high:.3f}), which is row "
            f"{self.worst_row}. Near to the figures in brackets is as good as it gets."
        )


def row_distances(outputs, references, *, share=0.95):
    """Distance to retrained models of the worst rows, beside that of these to each other.

    A mean hides single rows: a model may be one more retrained model on nearly all rows, and give
    a few of them away.

    Parameters
    ----------
    outputs : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the model on some rows: the forgotten ones, say.
    references : sequence of array-like of shape (n, n_classes), float
        The same of two or more retrained models of different seeds.
    share : float in (0, 1), default=0.95
        Share of the rows that lie below the high quantile.

    Returns
    -------
    RowDistances

    Raises
    ------
    ValueError
        If there are fewer than two references, `share` is out of range, shapes differ, there are
        no rows, or a value is not finite.

    Notes
    -----
    Quantile and maximum are taken of the distances to each reference by itself, and then averaged,
    since an average over references has no row as far away as a single pair has. So a model that
    is one more retrained model has the figures of the null, however many references there are.

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import row_distances
    >>> rng = np.random.default_rng(0)
    >>> common = rng.normal(size=(500, 10))
    >>> model, *retrained = (common + 0.5 * rng.normal(size=(500, 10)) for _ in range(4))
    >>> model[17] = -10 * common[17]  # one row that gives itself away
    >>> found = row_distances(model, retrained)
    >>> found.worst_row
    17
    >>> print(found)
    Hellinger distance to 3 retrained models (in brackets: of these to each other): mean 0.209
    (0.208), 95 % of the rows below 0.315 (0.317), worst row 0.938 (0.420, from 0.388 to 0.439),
    which is row 17. Near to the figures in brackets is as good as it gets.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share!r}.")
    own, null = _distances(outputs, references, "row_distances")
    worst = null.max(axis=1)
    mean = own.mean(axis=0)
    return RowDistances(
        distances=mean,
        mean=float(mean.mean()),
        high=float(np.quantile(own, share, axis=1).mean()),
        worst=float(own.max(axis=1).mean()),
        null_mean=float(null.mean()),
        null_high=float(np.quantile(null, share, axis=1).mean()),
        null_worst=float(worst.mean()),
        null_worst_range=(float(worst.min()), float(worst.max())),
        worst_row=int(mean.argmax()),
        share=float(share),
        n_references=len(own),
    )


def _distances(outputs, references, who):
    """Distance of each row to each reference, and of each pair of them: (k, n) and (pairs, n)."""
    references = list(references)
    if len(references) < 2:
        raise ValueError(
            f"{who} needs two or more references, got {len(references)}: how far retrained models "
            "lie from each other is the unit."
        )
    own = roots_of(check_pair(outputs, references[0])[0])
    roots = [roots_of(check_pair(outputs, other)[1]) for other in references]
    pairs = [between_roots(*pair) for pair in combinations(roots, 2)]
    return np.stack([between_roots(own, other) for other in roots]), np.stack(pairs)
