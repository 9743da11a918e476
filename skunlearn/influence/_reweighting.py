"""Weights of the retained rows that make up for the forgotten ones."""

import numpy as np
from scipy.optimize import minimize


def reweighting(forgotten, retained, *, penalty, l1_ratio):
    """λ that minimises ½‖f − R λ‖² + a‖λ‖₁ + ½ b‖λ‖² over λ ≥ −1.

    Each criterion is first divided by the root mean square of its row in R. The penalties are
    relative: a is `penalty` · `l1_ratio` times the a at which λ is 0, and b is `penalty` ·
    (1 − `l1_ratio`) times ‖R‖² / k, so that either leaves about that share of f.

    Parameters
    ----------
    forgotten : ndarray of shape (k,)
        f, summed over the forgotten rows.
    retained : ndarray of shape (k, n)
        R.
    penalty : float, > 0
    l1_ratio : float, in [0, 1)

    Returns
    -------
    weights : ndarray of shape (n,)
    """
    # One unknown per criterion: the dual. R has few rows and very many columns that are nearly
    # collinear, over which coordinate descent on λ (scikit-learn's ElasticNet) crawls.
    size = np.sqrt(np.mean(retained**2, axis=1))
    size = np.where(size > 0, size, 1.0)
    f, R = forgotten / size, retained / size[:, None]
    a = penalty * l1_ratio * np.abs(f @ R).max()
    b = penalty * (1 - l1_ratio) * np.sum(R**2) / len(R)
    if a == b == 0 or not np.any(f):
        return np.zeros(R.shape[1])

    def primal(mu):
        t = mu @ R
        return np.maximum(np.sign(t) * np.maximum(np.abs(t) - a, 0) / b, -1.0)

    def dual(mu):
        weights = primal(mu)
        gain = mu @ R @ weights - a * np.abs(weights).sum() - b / 2 * (weights @ weights)
        return mu @ mu / 2 - f @ mu + gain, mu - f + R @ weights

    # In units of f, which sets the scale of the residual μ.
    unit = np.linalg.norm(f)

    def scaled(x):
        value, slope = dual(x * unit)
        return value / unit**2, slope / unit

    found = minimize(scaled, np.zeros(len(f)), jac=True, method="L-BFGS-B", tol=1e-12)
    return primal(found.x * unit)
