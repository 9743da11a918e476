"""Sums over the training rows from which a linear model follows, and out of which rows can go."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, lapack, svdvals
from sklearn.utils.extmath import safe_sparse_dot

_EPS = np.finfo(np.float64).eps
_SLACK = 8  # roundings of a mean
_BLOCK = 2**18  # bytes of rows at a time
_FEWEST = 512  # rows at a time, however wide: each block adds to a whole matrix


@dataclass(frozen=True)
class Moments:
    """Means, centred sums of squares and products, and the rounding in them.

    Attributes
    ----------
    n : int
        Rows.
    mass : float
        Sum of their weights.
    mean_x, mean_y : arrays of shape (p,) and (t,)
        Zeros for a model without an intercept.
    scatter, cross : arrays of shape (p, p) and (p, t)
        Σw(x − mean_x)(x − mean_x)ᵀ and Σw(x − mean_x)(y − mean_y)ᵀ, with w the rows' weights.
    rounding : array of shape (p,)
        Squared magnitudes of the numbers that have been rounded on the diagonal of `scatter`.
    centred : bool
        Whether the means are those of the rows.
    """

    n: int
    mass: float
    mean_x: np.ndarray
    mean_y: np.ndarray
    scatter: np.ndarray
    cross: np.ndarray
    rounding: np.ndarray
    centred: bool

    @classmethod
    def of(cls, X, Y, centred, weights=None):
        """Sums over the rows of `X`, an array or csr matrix, and `Y` of shape (n, t).

        `weights` of shape (n,) are those of the rows; None stands for ones.
        """
        if not sparse.issparse(X):
            return cls(X.shape[0], *_add_up(X, Y, centred, weights), centred)
        n = X.shape[0]
        mass = n if weights is None else weights.sum()
        mean_x, mean_y = np.zeros(X.shape[1]), np.zeros(Y.shape[1])
        if centred:
            mean_x, mean_y = _sum(X, weights) / mass, _sum(Y, weights) / mass
        # Centring would fill X; the cancellation is counted in `rounding`.
        weighted = _weigh(X, weights)
        scatter = safe_sparse_dot(weighted.T, X, dense_output=True)
        rounding = np.diag(scatter) ** 2
        scatter -= mass * np.outer(mean_x, mean_x)
        # Y is centred, which centres X in the product.
        cross = weighted.T @ (Y - mean_y)
        return cls(n, mass, mean_x, mean_y, scatter, cross, rounding, centred)

    def without(self, X, Y, weights=None):
        """The sums when some rows go: Σ over all = Σ over the kept + m' d dᵀ + Σ over the gone.

        d is the step from the old to the new mean, m' the new mass.
        """
        if sparse.issparse(X):
            X = X.toarray()
        n = self.n - len(X)
        mass = n if weights is None else self.mass - weights.sum()
        X, Y = X - self.mean_x, Y - self.mean_y
        weighted = _weigh(X, weights)
        scatter, cross = self.scatter - weighted.T @ X, self.cross - weighted.T @ Y
        mean_x, mean_y = self.mean_x, self.mean_y
        if self.centred:
            dx, dy = -_sum(X, weights) / mass, -_sum(Y, weights) / mass
            mean_x, mean_y = mean_x + dx, mean_y + dy
            scatter -= mass * np.outer(dx, dx)
            cross -= mass * np.outer(dx, dy)
        rounding = self.rounding + np.diag(self.scatter) ** 2
        return Moments(n, mass, mean_x, mean_y, scatter, cross, rounding, self.centred)

    def is_flat(self):
        """Whether no column spreads by more than the rounding of its mean."""
        rounding = self.mass * (_SLACK * _EPS * self.mean_x) ** 2
        return bool(self.centred and (np.diag(self.scatter) <= rounding).all())

    def reciprocal_condition(self):
        """Estimate of smallest over largest eigenvalue of `scatter`; 0 when singular."""
        try:
            factor = cho_factor(self.scatter, lower=True)[0]
        except LinAlgError:
            return 0.0
        return lapack.dpocon(factor, _norm(self.scatter), uplo="L")[0]

    def singular_values(self):
        """Of the rows about their mean, each times the root of its weight; the largest first.

        Those of a Cholesky factor whose columns were brought to one size first: where columns are
        of very different sizes, `scatter` itself would have lost the smallest.
        """
        size = np.sqrt(np.diag(self.scatter))
        factor = cholesky(self.scatter / size[:, None] / size)
        return svdvals(factor * size)

    def solve(self, alpha):
        """Ridge coefficients of shape (p, t), with their error and what a fresh sum would have.

        Parameters
        ----------
        alpha : array of shape (t,)

        Returns
        -------
        coef : array of shape (p, t), or None when the matrix is not positive definite
        error, fresh : float
            Estimates of the relative error: rounding over the smallest eigenvalue, both of the
            matrix scaled to a diagonal of ones, whose condition decides for Cholesky's method.
        """
        coef, error, fresh = np.empty_like(self.cross), 0.0, 0.0
        for value in np.unique(alpha):
            matrix = self.scatter.copy()
            matrix[np.diag_indices_from(matrix)] += value
            diagonal = np.diag(matrix)
            if not (diagonal > 0).all():
                return None, np.inf, 0.0
            scale = 1 / np.sqrt(diagonal)
            scaled = matrix * scale[:, None] * scale
            try:
                factor = cho_factor(scaled, lower=True)
            except LinAlgError:
                return None, np.inf, 0.0
            norm = _norm(scaled)
            smallest = norm * lapack.dpocon(factor[0], norm, uplo="L")[0]
            columns = alpha == value
            right = scale[:, None] * self.cross[:, columns]
            coef[:, columns] = scale[:, None] * cho_solve(factor, right)
            lost = (np.sqrt(self.rounding) / diagonal).max()
            error = max(error, _EPS * lost / smallest)
            fresh = max(fresh, _EPS / smallest)
        return coef, error, fresh


def _add_up(X, Y, centred, weights):
    """What stands in `Moments` after `n`, of an array, by blocks that the processor's cache holds.

    The sums are taken about means that have been rounded themselves; what these have missed shows
    in the sums of the centred rows, and is taken off at the end.
    """
    n, step = len(X), max(_FEWEST, _BLOCK // max(1, X[:1].nbytes))
    ones = np.ones(min(step, n))
    blocks = [slice(i, i + step) for i in range(0, n, step)]
    counts = [ones[: n - b.start] if weights is None else weights[b] for b in blocks]
    mass = n if weights is None else weights.sum()
    centre_x, centre_y = (_Centre(Z, step, centred, blocks, counts, mass) for Z in (X, Y))
    scatter, cross = 0.0, 0.0
    for b, count in zip(blocks, counts):
        x, y = centre_x.subtract(b, count), centre_y.subtract(b, count)
        weighted = x if weights is None else x * count[:, None]
        scatter, cross = scatter + weighted.T @ x, cross + weighted.T @ y
    (mean_x, dx), (mean_y, dy) = centre_x.correct(mass), centre_y.correct(mass)
    scatter, cross = scatter - mass * np.outer(dx, dx), cross - mass * np.outer(dx, dy)
    return mass, mean_x, mean_y, scatter, cross, np.diag(scatter) ** 2


class _Centre:
    """The mean of rows, taken off block by block: from a table, as broadcasting it is slower."""

    def __init__(self, X, step, centred, blocks, counts, mass):
        self.X, self.centred = X, centred
        self.mean, self.left = np.zeros(X.shape[1]), np.zeros(X.shape[1])
        if centred:
            self.mean = sum(count @ X[b] for b, count in zip(blocks, counts)) / mass
            self.block = np.empty_like(X[:step])
            self.table = np.empty_like(self.block)
            self.table[:] = self.mean

    def subtract(self, b, count):
        """The rows of block `b` less the mean; they are overwritten by the next block."""
        rows = self.X[b]
        if not self.centred:
            return rows
        m = len(rows)
        rows = np.subtract(rows, self.table[:m], out=self.block[:m])
        self.left += count @ rows
        return rows

    def correct(self, mass):
        """The mean to its last bits, and what the first one had missed."""
        missed = self.left / mass
        return self.mean + missed, missed


def _weigh(X, weights):
    if weights is None:
        return X
    return sparse.diags(weights) @ X if sparse.issparse(X) else X * weights[:, None]


def _sum(X, weights):
    return np.asarray(X.sum(axis=0) if weights is None else weights @ X).ravel()


def _norm(matrix):
    """The 1-norm, which LAPACK asks for."""
    return np.abs(matrix).sum(axis=0).max()
