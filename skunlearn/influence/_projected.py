"""Influence of training rows on a net's performance."""

from skunlearn._fitted_model import find_classes, need_net, read_rows
from skunlearn._rows.seeding import draw_seed
from skunlearn.influence._criteria import check_criteria, slopes
from skunlearn.influence._objective import Objective
from skunlearn.influence.inverse_curvature import USUAL_DAMPING, check_inverse

__all__ = ["projected_influence"]


def projected_influence(
    estimator,
    X,
    y,
    *,
    criteria="retained",
    inverse=None,
    random_state=0,
    verbose=0,
):
    """Influence of training rows on a net's performance (ψ of PUMA).

    ψ(z) = ∇Cᵀ(H + d)⁻¹∇ℓ(z) for a criterion C and a training row z: n times the change of C when z
    is removed, to first order. C is a mean loss, so that rows that harm, mislabelled ones first,
    have negative values; on C of validation rows these show best.

    Parameters
    ----------
    estimator : fitted skorch net or unlearner of one
        It is not changed.
    X : array-like of shape (n, ...), mapping of arrays, or Dataset
        The rows that `estimator` was trained on.
    y : array-like of shape (n,) or None
        Labels like those of its ``fit``; the numbers of columns for a classifier net by itself.
        None for a Dataset that holds them.
    criteria : "retained", "classes", tuple (X, y), callable or list of these, default="retained"
        What the performance is, C. "retained" is the mean loss of all rows of `X`; "classes" that
        of the rows of each class, one criterion a class; a tuple the mean loss of validation rows,
        with labels like `y`; a function ``losses(outputs, targets)`` returns a tensor of one
        differentiable value per row of `X`.
    inverse : InverseCurvature or None, default=None
        How (H + d)⁻¹ v is computed, H the curvature over the training rows: the solver, the kind
        of curvature, d and what these cost. None for ``InverseCurvature()``, whose damping is 0.1
        here.
    random_state : int, RandomState or None, default=0
        For the choice of the rows of the curvature and the solvers' random numbers.
    verbose : int, default=0
        Progress of the solver when positive.

    Returns
    -------
    projected : ndarray of shape (k, n), float64
        One row per criterion; "classes" has one per class.

    Raises
    ------
    TypeError
        For an estimator without a skorch net, or criteria that are none.
    ValueError
        For rows, labels or settings that do not fit.
    UnlearningError
        When the curvature is indefinite, zero or not finite.

    References
    ----------
    G. Wu, M. Hashemi, C. Srinivasa, "PUMA: Performance Unchanged Model Augmentation for Training
    Data Removal", AAAI 2022, https://arxiv.org/abs/2203.00846

    Examples
    --------
    >>> from skunlearn import FineTuneUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.influence import InverseCurvature, projected_influence
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> y_wrong = y[:500].copy()
    >>> y_wrong[7] = (y[7] + 1) % 10
    >>> trained = FineTuneUnlearner(digits_classifier(max_epochs=10), random_state=0)
    >>> trained = trained.fit(X[:500], y_wrong)
    >>> psi = projected_influence(
    ...     trained, X[:500], y_wrong, criteria=(X[500:800], y[500:800]),
    ...     inverse=InverseCurvature(solver="ekfac"),
    ... )  # fmt: skip
    >>> 7 in psi[0].argsort()[:10]
    True
    """
    net = need_net(estimator, "projected_influence")
    criteria = check_criteria(criteria)
    inverse = check_inverse(inverse)
    rows = read_rows(estimator, X, y, "train")
    objective = Objective(
        net, len(rows), batch_size=inverse.batch_size, seed=draw_seed(random_state)
    )

    def read(X, y):
        return read_rows(estimator, X, y, "validation")

    wanted = slopes(objective, rows, criteria, read, find_classes(estimator, rows.y))
    solve = inverse._solver_of(objective, rows, usual_damping=USUAL_DAMPING, verbose=verbose)
    return objective.dots(rows, solve(wanted))
