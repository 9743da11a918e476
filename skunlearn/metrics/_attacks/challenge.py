"""Score of the 2023 machine-unlearning challenge, with its null."""

from dataclasses import dataclass, field

import numpy as np

from skunlearn.metrics._attacks.ensembles import check_ensemble, split_null

__all__ = ["ChallengeScore", "challenge_score"]

_CHUNK = 4_000_000


@dataclass(frozen=True)
class ChallengeScore:
    """Outcome of `challenge_score`.

    Attributes
    ----------
    score : float
        forgetting · utility; higher is better.
    forgetting : float
        Mean over the forget set of 2^−⌊2ε⌋.
    utility : float
        Product of the ratios of retained and test accuracy to the retrained models'; 1 when no
        accuracies were given.
    null : float
        `forgetting` of retrained models against retrained models. It is far from 1: with
        hundreds of models some threshold separates any two samples.
    on_equal_terms : float
        `forgetting` with as many models on each side as in the null: the figure to compare with it.
    null_models : tuple of int
        Models on the two sides of the null.
    epsilons : ndarray of shape (n,)
        Estimate of each row's ε; infinity where a threshold separates the ensembles.
    """

    score: float
    forgetting: float
    utility: float
    null: float
    on_equal_terms: float
    null_models: tuple
    epsilons: np.ndarray = field(repr=False)

    def __str__(self):
        return (
            f"challenge score {self.score:.3f} (forgetting {self.forgetting:.3f}, utility "
            f"{self.utility:.3f}). With {self.null_models[0]} against {self.null_models[1]} models "
            f"forgetting is {self.on_equal_terms:.3f}, and of retrained against retrained "
            f"{self.null:.3f}. Higher is better, and the latter is as good as it gets."
        )


def challenge_score(
    unlearned,
    retrained,
    *,
    null=None,
    retained_accuracy=None,
    test_accuracy=None,
    delta=1e-5,
    random_state=0,
):
    """Forgetting quality and utility as the NeurIPS 2023 challenge scored them.

    Per row, ε is the largest log((1 − δ − FPR) / FNR) and log((1 − δ − FNR) / FPR) over
    thresholds that tell unlearned from retrained models by the row's output, in both
    directions.

    Parameters
    ----------
    unlearned : array-like of shape (n_unlearned, n), float
        One number for each model and forgotten row, its margin (`margin`) say; n is the size of
        the forget set. The challenge trained 512 models.
    retrained : array-like of shape (n_retrained, n), float
        The same numbers of models that were retrained without the rows, in the same order of rows.
    null : array-like of shape (n_null, n), float, default=None
        Further retrained models in the place of the unlearned ones. None splits `retrained`
        into halves.
    retained_accuracy, test_accuracy : pair of float, default=None
        Mean accuracy of the unlearned and of the retrained models.
    delta : float, default=1e-5
        δ.
    random_state : int, RandomState instance or None, default=0
        Of the halves.

    Returns
    -------
    ChallengeScore

    Raises
    ------
    ValueError
        If shapes do not match, an output is not finite, an ensemble has fewer than four models,
        or an accuracy is not in [0, 1] (of the retrained models, positive).

    Notes
    -----
    A threshold with neither error gives ε = ∞ and no points; one with only one kind of error is
    left out, since a rate estimated as 0 is no evidence of 0. This follows the challenge's
    description. Its double thresholds are left out.

    References
    ----------
    Triantafillou et al. (2024), "Are we making progress in unlearning? Findings from the first
    NeurIPS unlearning competition", https://arxiv.org/abs/2406.09073

    Examples
    --------
    >>> import numpy as np
    >>> from skunlearn.metrics import challenge_score
    >>> rng = np.random.default_rng(0)
    >>> retrained, others = rng.normal(size=(2, 128, 200))
    >>> apart = challenge_score(others + 10, retrained, null=others)
    >>> apart.score, apart.null > 0.2
    (0.0, True)
    """
    unlearned = check_ensemble(unlearned, "unlearned")
    retrained = check_ensemble(retrained, "retrained", like=unlearned)
    if not 0 <= delta < 1:
        raise ValueError(f"delta must lie in [0, 1), got {delta!r}.")
    utility = 1.0
    for name, pair in (("retained_accuracy", retained_accuracy), ("test_accuracy", test_accuracy)):
        if pair is not None:
            ours, theirs = pair
            if not (0 <= ours <= 1 and 0 < theirs <= 1):
                raise ValueError(f"{name} must be a pair of accuracies in [0, 1], got {pair!r}.")
            utility *= ours / theirs
    pair = split_null(null, retrained, random_state)
    epsilons = _epsilons(unlearned, retrained, delta)
    forgetting = float(_points(epsilons).mean())
    equal = _points(_epsilons(unlearned[: len(pair[0])], pair[1], delta)).mean()
    return ChallengeScore(
        score=forgetting * utility,
        forgetting=forgetting,
        utility=float(utility),
        null=float(_points(_epsilons(*pair, delta)).mean()),
        on_equal_terms=float(equal),
        null_models=(len(pair[0]), len(pair[1])),
        epsilons=epsilons,
    )


def _points(epsilons):
    return 2.0 ** -np.floor(2 * epsilons)


def _epsilons(a, b, delta):
    step = max(1, _CHUNK // (len(a) + len(b)))
    return np.concatenate(
        [
            _epsilon(a[:, i : i + step], b[:, i : i + step], delta)
            for i in range(0, a.shape[1], step)
        ]
    )


def _epsilon(a, b, delta):
    """Largest ε of every column over all thresholds and both directions."""
    values = np.concatenate([a, b])
    order = values.argsort(axis=0, kind="stable")
    ranked = np.take_along_axis(values, order, axis=0)
    from_a = order < len(a)
    # Share of each side at or below a threshold that lies above the k-th value.
    below_a = from_a.cumsum(axis=0) / len(a)
    below_b = (~from_a).cumsum(axis=0) / len(b)
    real = np.ones_like(from_a)
    real[:-1] = ranked[1:] > ranked[:-1]  # no threshold lies between equal values
    real[-1] = False
    best = np.zeros(a.shape[1])
    # Called unlearned above the threshold, or below it.
    for fpr, fnr in ((1 - below_b, below_a), (below_b, 1 - below_a)):
        fpr, fnr = fpr.round(12), fnr.round(12)
        found = np.full(fpr.shape, -np.inf)
        both = real & (fpr > 0) & (fnr > 0)
        for x, y in ((fpr[both], fnr[both]), (fnr[both], fpr[both])):
            log = np.log(np.maximum(1 - delta - x, 1e-300) / y)
            found[both] = np.maximum(found[both], log)
        found[real & (fpr == 0) & (fnr == 0)] = np.inf
        best = np.maximum(best, found.max(axis=0))
    return best
