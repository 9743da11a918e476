"""Reconstruction: two versions of a linear model give away the row that was deleted in between."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.special import expit, softmax
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.utils import check_array
from sklearn.utils.validation import check_is_fitted

from skunlearn._fitted_model import model_of
from skunlearn.base import BaseUnlearner

__all__ = ["Reconstruction", "reconstruction_attack"]

_NONE = "The two models are the same: nothing was deleted between them, or they were not retrained."


@dataclass(frozen=True)
class Reconstruction:
    """What an attacker makes of two versions of a linear model.

    Attributes
    ----------
    row : ndarray of shape (p,)
        The deleted row, in the units of the features, when `scaled`; otherwise its direction, of
        length 1 and unknown sign. Of several deleted rows, what weighs most among them.
    scaled : bool
        Whether the scale is known: the models have an intercept, the constant feature of which is
        known to be 1.
    center : ndarray of shape (p,)
        Mean of the attacker's rows; zeros where only the direction is known.
    share : float
        How much of the change one row explains, by the first singular value of the changed
        gradient; 1 where there is one target only, which cannot tell.
    """

    row: np.ndarray
    scaled: bool
    center: np.ndarray
    share: float

    def similarity(self, X):
        """How much the reconstruction is like each of some rows.

        Parameters
        ----------
        X : array or sparse matrix of shape (n, p)
            Candidates for the deleted row, with the features that the attacked model takes.

        Returns
        -------
        similarity : ndarray of shape (n,)
            The absolute cosine, about the mean of the attacker's rows where the scale is known. 1
            for the row itself; unlike rows have what their number of features gives by chance.
        """
        X = _rows(X, "X", len(self.row)) - self.center
        ours = self.row - self.center
        lengths = np.linalg.norm(X, axis=1) * np.linalg.norm(ours)
        return np.abs(X @ ours) / np.where(lengths > 0, lengths, 1.0)


def reconstruction_attack(before, after, X_public, *, n_rows=None, penalty=None):
    """Rebuild a deleted row from a linear model's coefficients before and after the deletion.

    The adversary of [1]_ has both versions and some rows of the same kind, and did not see the
    request. An exact deletion does not help: the difference of two exact models is a function of
    the deleted row and of the curvature of the objective, which public rows estimate well.

    At the old minimum the gradient over all rows is zero, so that over the kept rows it is that of
    the deleted row with its sign changed: a multiple of the row itself. It equals the Hessian over
    the kept rows times the change of the coefficients; for squared loss exactly, for others to
    first order. With an intercept the row has a last feature of 1, which tells the multiple. With
    several targets or classes the gradient is an outer product, whose first singular vector is
    the row.

    Against it: delete many rows at a time, so that no row stands out; do not hand out both
    versions, nor one after every request; or publish with noise that is drawn anew for each
    version (`DescentToDeleteUnlearner`; the noise of `CertifiedRemovalUnlearner` is the same
    before and after).

    Parameters
    ----------
    before, after : fitted Ridge, LinearRegression, RidgeClassifier or LogisticRegression
        Or unlearners of such. The recipe must be the same.
    X_public : array or sparse matrix of shape (m, p)
        Rows of the attacker's own, from about the same distribution.
    n_rows : int, default=None
        Number of rows that `after` was trained on, which the attacker knows or guesses. None takes
        it from an unlearner, and otherwise the number of public rows. It matters where the
        penalty does.
    penalty : float, default=None
        λ of the term (λ/2)‖w‖² beside the sum of the losses (half the squares); None takes it
        from the models.

    Returns
    -------
    reconstruction : Reconstruction

    Raises
    ------
    TypeError
        For other models.
    ValueError
        When the models do not belong together or are the same.

    References
    ----------
    .. [1] M. Bertran, S. Tang, M. Kearns, J. Morgenstern, A. Roth, Z. S. Wu, "Reconstruction
       Attacks on Machine Unlearning: Simple Models are Vulnerable", NeurIPS 2024,
       https://arxiv.org/abs/2405.20272

    Examples
    --------
    >>> import copy
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import RidgeClassifier
    >>> from skunlearn import RidgeUnlearner
    >>> from skunlearn.evaluation import reconstruction_attack
    >>> X, y = load_digits(return_X_y=True)
    >>> ours, public = X[::2], X[1::2]
    >>> unlearner = RidgeUnlearner(RidgeClassifier()).fit(ours, y[::2])
    >>> before = copy.deepcopy(unlearner.estimator_)
    >>> rebuilt = reconstruction_attack(before, unlearner.unlearn(indices=[7]), public)
    >>> similarity = rebuilt.similarity(ours)
    >>> bool(similarity[7] > 0.9), int(similarity.argmax())
    (True, 7)
    """
    known = after._record.retained.sum() if isinstance(after, BaseUnlearner) else None
    before, after = _linear(before, "before"), _linear(after, "after")
    old, new = _coefficients(before), _coefficients(after)
    if type(before) is not type(after) or old.shape != new.shape:
        raise ValueError(
            f"`before` and `after` are models of different kind or size: {type(before).__name__} "
            f"with {old.shape} coefficients, {type(after).__name__} with {new.shape}."
        )
    p = len(old) - 1
    X = _rows(X_public, "X_public", p)
    intercept = bool(np.any(old[-1]) or np.any(new[-1])) and after.fit_intercept
    center = X.mean(axis=0) if intercept else np.zeros(p)
    known = len(X) if n_rows is None and known is None else n_rows or known
    change = new - old
    if not np.any(change):
        raise ValueError(_NONE)
    penalties = _penalty(after) if penalty is None else penalty
    # About the mean, which changes nothing but the rounding; the constant feature is the last.
    rows = np.column_stack([X - center, np.full(len(X), float(intercept))])
    change[-1] += center @ change[:-1]
    gradient = known / len(rows) * _multiply_hessian(after, rows, old, new, center, change)
    gradient[:-1] += penalties * change[:-1]
    direction, sizes = np.linalg.svd(gradient, full_matrices=False)[:2]
    direction = direction[:, 0]
    share = float(sizes[0] / sizes.sum())
    # Without an intercept, or where the constant feature is lost in noise, the scale is unknown.
    if not intercept or abs(direction[-1]) < 1e-8:
        length = np.linalg.norm(direction[:-1])
        return Reconstruction(direction[:-1] / length, False, np.zeros(p), share)
    return Reconstruction(direction[:-1] / direction[-1] + center, True, center, share)


def _linear(model, name):
    check_is_fitted(model)
    model = model_of(model)
    if not isinstance(model, (Ridge, LinearRegression, RidgeClassifier, LogisticRegression)):
        raise TypeError(
            f"reconstruction_attack is about Ridge, LinearRegression, RidgeClassifier and "
            f"LogisticRegression; `{name}` is a {type(model).__name__}."
        )
    return model


def _coefficients(model):
    """Of shape (p + 1, t), the intercept last."""
    coef = np.atleast_2d(model.coef_)
    intercept = np.broadcast_to(model.intercept_, len(coef))
    return np.column_stack([coef, intercept]).T.astype(np.float64)


def _rows(X, name, p):
    X = check_array(X, accept_sparse=True, dtype=np.float64, input_name=name)
    X = X.toarray() if sparse.issparse(X) else X
    if X.shape[1] != p:
        raise ValueError(f"{name} has {X.shape[1]} features, the models have {p}.")
    return X


def _penalty(model):
    if isinstance(model, LogisticRegression):
        return 0.0 if model.C is None or np.isinf(model.C) else 1 / model.C
    return np.asarray(getattr(model, "alpha", 0.0))


def _multiply_hessian(model, rows, old, new, center, change):
    """Σ over `rows` of the loss's Hessian times `change`, of shape (p + 1, t)."""
    if not isinstance(model, LogisticRegression):
        return rows.T @ (rows @ change)
    middle = (old + new) / 2  # where the mean curvature between the two is, to second order
    middle[-1] += center @ middle[:-1]
    scores, moved = rows @ middle, rows @ change
    if scores.shape[1] == 1:
        p = expit(scores)
        return rows.T @ (p * (1 - p) * moved)
    if getattr(model, "one_vs_rest_", False):
        p = expit(scores)
        return rows.T @ (p * (1 - p) * moved)
    p = softmax(scores, axis=1)
    return rows.T @ (p * (moved - (p * moved).sum(axis=1, keepdims=True)))
