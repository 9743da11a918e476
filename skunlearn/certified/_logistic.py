"""Regularised logistic regression: loss, derivatives, constants and minimiser."""

import numpy as np
from scipy.optimize import minimize
from scipy.sparse.linalg import LinearOperator, cg
from scipy.special import expit, logsumexp, softmax
from sklearn.utils.extmath import safe_sparse_dot

from skunlearn.exceptions import UnlearningError

_NEWTON_STEPS = 50


class Logistic:
    """F(W) = Σ_i ℓ(W x_i, t_i) + (penalty/2)‖W‖² for weights W of shape (k, d).

    Parameters
    ----------
    X : float64 array or csr matrix of shape (n, d)
    T : array of shape (n, k) of zeros and ones
    penalty : float > 0
        1/C of scikit-learn. It does not depend on n: the reference of every guarantee is the
        same recipe on the kept rows.
    link : {"sigmoid", "softmax"}
        k separate binary problems, or one multinomial one.
    """

    def __init__(self, X, T, penalty, link):
        self.X, self.T, self.penalty, self.link = X, T, penalty, link

    def value(self, W):
        """F(W)."""
        Z = safe_sparse_dot(self.X, W.T)
        if self.link == "sigmoid":
            losses = np.logaddexp(0, Z).sum()
        else:
            losses = logsumexp(Z, axis=1).sum()
        return losses - np.sum(self.T * Z) + self.penalty / 2 * np.sum(W**2)

    def gradient(self, W):
        """∇F(W), of shape (k, d)."""
        return self.data_gradient(W) + self.penalty * W

    def data_gradient(self, W):
        """Σ_i ∇ℓ_i(W) without the penalty's part."""
        return safe_sparse_dot(self.X.T, self._probabilities(W) - self.T).T

    def hessian_product(self, W, V):
        """∇²F(W) V, of shape (k, d)."""
        P = self._probabilities(W)
        R = safe_sparse_dot(self.X, V.T)
        if self.link == "sigmoid":
            S = P * (1 - P) * R
        else:
            S = P * (R - np.sum(P * R, axis=1, keepdims=True))
        return safe_sparse_dot(self.X.T, S).T + self.penalty * V

    def hessian(self, w):
        """∇²F of one of the separate problems at `w` of shape (d,), a (d, d) array."""
        p = expit(safe_sparse_dot(self.X, w))
        return gram(self.X, p * (1 - p)) + self.penalty * np.eye(len(w))

    def _probabilities(self, W):
        Z = safe_sparse_dot(self.X, W.T)
        return expit(Z) if self.link == "sigmoid" else softmax(Z, axis=1)


def gram(X, weights=None):
    """Xᵀ diag(weights) X as a dense array, for weights that are not negative."""
    if weights is not None:
        roots = np.sqrt(weights)[:, None]
        X = X.multiply(roots).tocsr() if hasattr(X, "multiply") else roots * X
    return safe_sparse_dot(X.T, X, dense_output=True)  # symmetric: half of the work


def lipschitz(radius, link):
    """Bound of ‖∇ℓ_i‖ for rows of norm up to `radius`.

    The gradient is (p − t) xᵀ, and ‖p − t‖ is at most 1 for one sigmoid and √2 for a softmax.
    """
    return radius * (1.0 if link == "sigmoid" else np.sqrt(2.0))


def smoothness(radius, link):
    """Bound of ‖∇²ℓ_i‖: p(1 − p) is at most 1/4, and ‖diag(p) − ppᵀ‖ at most 1/2."""
    return radius**2 / (4.0 if link == "sigmoid" else 2.0)


def minimise(problem, shape, tolerance, slope=0.0):
    """W with ‖∇F(W) + slope‖ ≤ tolerance, checked.

    Parameters
    ----------
    problem : Logistic
    shape : (k, d)
    tolerance : float
    slope : array of shape (k, d), default=0.0
        Gradient of a linear term.

    Raises
    ------
    UnlearningError
        When the tolerance is out of reach.
    """

    def objective(w):
        W = w.reshape(shape)
        gradient = problem.gradient(W) + slope
        return problem.value(W) + np.sum(slope * W), gradient.ravel()

    start = minimize(
        objective, np.zeros(np.prod(shape)), jac=True, method="L-BFGS-B", options={"maxiter": 1000}
    )
    W = start.x.reshape(shape)
    gradient = problem.gradient(W) + slope
    # Function values cannot tell points this near to the minimum apart; gradients can.
    for _ in range(_NEWTON_STEPS):
        size = np.linalg.norm(gradient)
        if size <= tolerance:
            return W
        new, gradient = _newton(problem, W, gradient, slope)
        if new is W:
            break
        W = new
    raise UnlearningError(
        f"The training did not reach the minimum: the norm of the gradient is "
        f"{np.linalg.norm(gradient):.3g}, and the proof needs {tolerance:.3g}. Try a smaller C, a "
        "larger sigma or scaled features."
    )


def _newton(problem, W, gradient, slope):
    """One Newton step by conjugate gradients, halved until the gradient falls."""

    def product(v):
        return problem.hessian_product(W, v.reshape(W.shape)).ravel()

    operator = LinearOperator((W.size, W.size), matvec=product, dtype=np.float64)
    step = cg(operator, gradient.ravel(), rtol=1e-8, maxiter=10 * W.size)[0].reshape(W.shape)
    for _ in range(30):
        new = W - step
        new_gradient = problem.gradient(new) + slope
        if np.linalg.norm(new_gradient) < np.linalg.norm(gradient):
            return new, new_gradient
        step = step / 2
    return W, gradient
