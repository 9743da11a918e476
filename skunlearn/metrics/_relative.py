"""Is a model nearer to the retrained one than to the original? A three-sample test."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import ndtr, softmax
from sklearn.utils import check_random_state

from skunlearn.metrics._distances import check_pair

__all__ = ["RelativeSimilarity", "relative_similarity_test"]


@dataclass(frozen=True)
class RelativeSimilarity:
    """Outcome of `relative_similarity_test`.

    Attributes
    ----------
    to_retrained : float
        Squared maximum mean discrepancy (MMD) of the model's outputs to the retrained one's,
        unbiased; may be slightly negative.
    to_original : float
        The same to the original's.
    difference : float
        The first less the second: negative where the model is nearer to the retrained one.
    se : float
        Standard error of the difference over the rows.
    z : float
        Difference over its standard error.
    pvalue : float
        Chance of so small a difference for a model that is as near to the original.
    n_rows : int
        Rows that the outputs are of.
    """

    to_retrained: float
    to_original: float
    difference: float
    se: float
    z: float
    pvalue: float
    n_rows: int

    def __str__(self):
        nearer = "retrained" if self.difference < 0 else "original"
        return (
            f"Nearer to the {nearer} model: squared MMD {self.to_retrained:.4f} to the retrained "
            f"and {self.to_original:.4f} to the original, z = {self.z:.1f}, p = {self.pvalue:.3g} "
            f"({self.n_rows} rows). To be nearer to the retrained model is not to be like it: rows "
            "that were pushed too far pass as well. Look at the attacks beside it."
        )


def relative_similarity_test(
    outputs, retrained_outputs, original_outputs, *, max_rows=2000, random_state=0
):
    """Test whether a model's outputs are nearer to the retrained than to the original model's.

    Parameters
    ----------
    outputs, retrained_outputs, original_outputs : array-like of shape (n, n_classes), float
        Logits or log-probabilities of the three models on the same rows: the forgotten ones, say.
    max_rows : int, default=2000
        Rows used, drawn at random; time and memory grow with the square.
    random_state : int, RandomState instance or None, default=0
        Of the draw.

    Returns
    -------
    RelativeSimilarity

    Raises
    ------
    ValueError
        If shapes differ, there are fewer than four rows, a value is not finite, `max_rows` is
        below four, or the retrained and the original model say the same.

    See Also
    --------
    distance_over_null : How near, rather than nearer to which.
    membership_inference : What the test is blind to.

    Notes
    -----
    **What it cannot see**: there are many ways to be farther from the original. Rows that were
    pushed away, taught random labels say, are nearer to a retrained model than to the original and
    pass with certainty, and yet stand out from unseen rows.

    Such a relative test was proposed for auditing unlearning in [1]_, where random labels are the
    one method that passes; the divergence there is another. The statistic here is that of [2]_,
    with a Gaussian kernel on probabilities whose width is the median distance between rows. The
    models answer for the same rows, so that it is one U-statistic of triples of outputs, of which
    the variance is estimated; that of independent samples would be wrong.

    References
    ----------
    .. [1] M. Ribero, A. Schrab, A. Gretton (2026), "Regularized f-divergence kernel tests",
       AISTATS, https://arxiv.org/abs/2601.19755
    .. [2] W. Bounliphone et al. (2016), "A test of relative similarity for model selection in
       generative models", ICLR, https://arxiv.org/abs/1511.04581

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import relative_similarity_test
    >>> rng = np.random.default_rng(0)
    >>> retrained, again = rng.normal(size=(2, 300, 5))
    >>> original = rng.normal(size=(300, 5)) + 4 * np.eye(5)[rng.integers(5, size=300)]
    >>> relative_similarity_test(again, retrained, original).pvalue < 0.001
    True
    >>> relative_similarity_test(0.9 * original, retrained, original).pvalue > 0.999
    True
    """
    if max_rows < 4:
        raise ValueError(f"max_rows must be at least 4, got {max_rows!r}.")
    ours, theirs = check_pair(outputs, retrained_outputs)
    _, before = check_pair(outputs, original_outputs)
    if len(ours) < 4:
        raise ValueError(f"{len(ours)} rows are too few for a test: it takes at least 4.")
    rows = np.arange(len(ours))
    if len(rows) > max_rows:
        rows = np.sort(check_random_state(random_state).permutation(rows)[:max_rows])
    u, r, o = (softmax(z[rows], axis=1) for z in (ours, theirs, before))
    if np.array_equal(r, o):
        raise ValueError("The retrained and the original model say the same of every row.")
    n = len(rows)
    distances = {pair: cdist(*pair_of) ** 2 for pair, pair_of in _pairs(u, r, o).items()}
    off = ~np.eye(n, dtype=bool)
    width = np.median(np.concatenate([distances[k][off] for k in ("rr", "oo", "ro")]))
    k = {pair: np.exp(-d / max(width, np.finfo(float).tiny)) for pair, d in distances.items()}
    near, far = (k["uu"] + k[f"{x}{x}"] - k[f"u{x}"] - k[f"u{x}"].T for x in ("r", "o"))
    to_retrained, to_original = (h[off].mean() for h in (near, far))
    # A row's mean over the others: what the U-statistic varies by.
    each = ((near - far) * off).sum(axis=1) / (n - 1)
    se = 2 * each.std(ddof=1) / np.sqrt(n)
    difference = to_retrained - to_original
    z = difference / se if se > 0 else np.copysign(np.inf, difference)
    found = (to_retrained, to_original, difference, se, z, ndtr(z))
    return RelativeSimilarity(*map(float, found), n)


def _pairs(u, r, o):
    return {"uu": (u, u), "rr": (r, r), "oo": (o, o), "ur": (u, r), "uo": (u, o), "ro": (r, o)}
