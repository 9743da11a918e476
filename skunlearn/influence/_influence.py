"""Influence of single training rows on single other rows."""

import numpy as np

from skunlearn._fitted_model import need_net, read_rows
from skunlearn._rows.seeding import draw_seed
from skunlearn.influence._objective import Objective
from skunlearn.influence.inverse_curvature import USUAL_DAMPING, check_inverse

__all__ = ["influence"]

_FLOATS = 2**26  # solutions that are held at a time, in numbers


def influence(
    estimator,
    X_train,
    y_train,
    X_test,
    y_test,
    *,
    inverse=None,
    random_state=0,
    verbose=0,
):
    """Influence of training rows on other rows: what removing one does to another's loss.

    Entry (i, j) is the change of the loss of test row i, to first order in 1/n, when training row j
    is removed: ∇ℓ(test)ᵀ (H + d)⁻¹ ∇ℓ(train) / n. Positive for rows that help. The influence
    function of Koh and Liang, I(z) = −(H + d)⁻¹∇ℓ(z), is the change of the weights with the weight
    of a row; removal takes away 1/n of it.

    Parameters
    ----------
    estimator : fitted skorch net or unlearner of one
        It is not changed.
    X_train : array-like of shape (n_train, ...), mapping of arrays, or Dataset
        The rows that `estimator` was trained on.
    y_train : array-like of shape (n_train,) or None
        Labels like those of its ``fit``; the numbers of columns for a classifier net by itself.
        None for a Dataset that holds them.
    X_test, y_test
        Rows whose loss is asked after, alike.
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
    influence : ndarray of shape (n_test, n_train), float64
        In units of the loss.

    Raises
    ------
    TypeError
        For an estimator without a skorch net.
    ValueError
        For rows, labels or settings that do not fit.
    UnlearningError
        When the curvature is indefinite, zero or not finite.

    See Also
    --------
    InverseCurvature : The settings of `inverse`.
    projected_influence : Influence on the performance as a whole.

    Notes
    -----
    "cg" solves the systems of up to 16 test rows at a time, fewer for nets of more than 130,000
    weights. Each of its steps is a product with the curvature, 1.6 to 3 passes forward and back for
    one row and more for several, and ``max_steps`` are the most. Where that is too long,
    ``InverseCurvature(solver="ekfac")`` goes over the rows twice, whatever the number of test rows.

    References
    ----------
    P. W. Koh, P. Liang, "Understanding Black-box Predictions via Influence Functions", ICML 2017,
    https://arxiv.org/abs/1703.04730

    Examples
    --------
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.influence import InverseCurvature, influence
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = digits_classifier(max_epochs=5, verbose=0).fit(X[:300], y[:300])
    >>> inverse = InverseCurvature(solver="ekfac")
    >>> found = influence(net, X[:300], y[:300], X[300:302], y[300:302], inverse=inverse)
    >>> found.shape
    (2, 300)
    """
    net = need_net(estimator, "influence")
    inverse = check_inverse(inverse)
    train = read_rows(estimator, X_train, y_train, "train")
    test = read_rows(estimator, X_test, y_test, "test")
    seed = draw_seed(random_state)
    objective = Objective(net, len(train), batch_size=inverse.batch_size, seed=seed)
    solve = inverse._solver_of(objective, train, usual_damping=USUAL_DAMPING, verbose=verbose)
    found, n = np.empty((len(test), len(train))), objective.mass(train)
    step = max(1, _FLOATS // len(objective))
    for start in range(0, len(test), step):
        some = range(start, min(start + step, len(test)))
        pulls = objective.row_gradients(test.take(np.asarray(some)))
        found[some] = objective.dots(train, solve(pulls)) / n
    return found
