"""How influence functions take the inverse of the curvature times a vector."""

import torch
from sklearn.base import BaseEstimator

from skunlearn._rows.constraints import COUNT, NOT_NEGATIVE, POSITIVE, StrOptions, check_parameters
from skunlearn.influence._curvature import Curvature
from skunlearn.influence._solvers import COLUMNS, make_solver

__all__ = ["InverseCurvature"]

_SOLVERS = ("cg", "lissa", "exact", "kfac", "ekfac")
_TOLERANCES = {"cg": 1e-3, "lissa": 0.1}
_ITERATIONS = {"cg": 200, "lissa": 2000}
USUAL_DAMPING = 0.1  # where rows are ranked and none is given; kronfluence's


class InverseCurvature(BaseEstimator):
    """How (H + d)⁻¹ v is computed, H the curvature of the loss and d the damping.

    What `InfluenceUnlearner`, `PUMAUnlearner`, `influence` and `projected_influence` take as
    `inverse`. It is never fitted; a search reaches its parameters as ``inverse__damping`` and so
    on.

    Parameters
    ----------
    solver : {"cg", "lissa", "exact", "kfac", "ekfac"}, default="cg"
        Of the linear system. "cg" takes conjugate gradients over products with the
        curvature; "lissa" a Neumann series over random batches (LiSSA); "exact" a Cholesky factor
        of the whole matrix, for at most 10,000 weights; "kfac" and "ekfac" a Kronecker-factored
        approximation of linear and convolutional layers, without iterations, which leaves the
        weights of other layers (normalisation, embeddings) as they are.
    curvature : {"gauss_newton", "hessian"}, default="gauss_newton"
        Of the loss. The Gauss–Newton matrix, for likelihoods the Fisher information, is never
        indefinite; the Hessian is, unless the net is at a minimum, and then an error is raised.
        The Kronecker factors are those of the Gauss–Newton matrix.
    damping : float or None, default=None
        d, at least 0, in units of the mean eigenvalue of the Gauss–Newton matrix (of those that
        may differ from 0). 0 is the definition, for convex losses and small nets with weight
        decay: any damping shortens the step, on convex losses too. None for 1 where a step is
        taken, and for 0.1, kronfluence's, where rows are ranked: a step by 0.1 wrecks a net that
        loses a fifth of its rows, where 1 does not.
    curvature_rows : int or None, default=1000
        Rows from which the curvature is taken, drawn from those it is the curvature of; None for
        all of them.
    tol : float or None, default=None
        Relative residual at which a solver stops. None for 1e-3 with "cg" and 0.1 with "lissa",
        whose batches are noisy.
    max_steps : int or None, default=None
        Steps after which "cg" gives up, with a ConvergenceWarning, or that "lissa" takes. None for
        200 and 2000.
    preconditioner : {"kfac", "ekfac"} or None, default=None
        Of "cg": it saves steps on deep nets, and costs a factorisation.
    batch_size : int, default=256
        Rows at a time. The result does not depend on it, but for rounding.

    Raises
    ------
    ValueError, TypeError
        By what it is passed to, when a setting is not allowed or two do not go together.

    See Also
    --------
    InfluenceUnlearner : Takes a step by it.
    PUMAUnlearner : Takes a step by it, and keeps the performance.
    influence : Ranks training rows by it.

    References
    ----------
    N. Agarwal, B. Bullins, E. Hazan, "Second-Order Stochastic Optimization for Machine Learning in
    Linear Time", JMLR 2017, https://arxiv.org/abs/1602.03943 (LiSSA)
    J. Martens, R. Grosse, "Optimizing Neural Networks with Kronecker-factored Approximate
    Curvature", ICML 2015, https://arxiv.org/abs/1503.05671 (K-FAC)
    T. George, C. Laurent, X. Bouthillier, N. Ballas, P. Vincent, "Fast Approximate Natural
    Gradient Descent in a Kronecker-factored Eigenbasis", NeurIPS 2018,
    https://arxiv.org/abs/1806.03884 (EK-FAC)

    Examples
    --------
    >>> from sklearn.model_selection import GridSearchCV
    >>> from skunlearn import InfluenceUnlearner
    >>> from skunlearn.influence import InverseCurvature
    >>> from skunlearn.nets import digits_classifier
    >>> inverse = InverseCurvature(solver="ekfac", curvature_rows=500)
    >>> unlearner = InfluenceUnlearner(digits_classifier(), inverse=inverse)
    >>> unlearner.set_params(inverse__damping=3.0).inverse
    InverseCurvature(curvature_rows=500, damping=3.0, solver='ekfac')
    >>> search = GridSearchCV(unlearner, {"inverse__damping": [0.3, 1.0, 3.0]})
    """

    _parameter_constraints = {
        "solver": [StrOptions(set(_SOLVERS))],
        "curvature": [StrOptions({"gauss_newton", "hessian"})],
        "damping": [NOT_NEGATIVE, None],
        "curvature_rows": [COUNT, None],
        "tol": [POSITIVE, None],
        "max_steps": [COUNT, None],
        "preconditioner": [StrOptions({"kfac", "ekfac"}), None],
        "batch_size": [COUNT],
    }

    def __init__(
        self,
        *,
        solver="cg",
        curvature="gauss_newton",
        damping=None,
        curvature_rows=1000,
        tol=None,
        max_steps=None,
        preconditioner=None,
        batch_size=256,
    ):
        self.solver = solver
        self.curvature = curvature
        self.damping = damping
        self.curvature_rows = curvature_rows
        self.tol = tol
        self.max_steps = max_steps
        self.preconditioner = preconditioner
        self.batch_size = batch_size

    def _check(self):
        check_parameters(self)
        if self.curvature == "hessian" and "fac" in f"{self.solver} {self.preconditioner}":
            raise ValueError(
                "Kronecker factors approximate the Gauss–Newton matrix: use "
                "curvature='gauss_newton' with them, or solver='cg' without."
            )
        if self.preconditioner is not None and self.solver != "cg":
            raise ValueError("preconditioner goes with solver='cg'.")

    @property
    def _tolerance(self):
        return _TOLERANCES[self.solver] if self.tol is None else self.tol

    @property
    def _most_steps(self):
        return _ITERATIONS[self.solver] if self.max_steps is None else self.max_steps

    def _solver_of(self, objective, rows, *, usual_damping, verbose=0, announce=None):
        """A solver with the curvature of `objective` over `rows`, or a sample of them.

        ``announce(curvature)`` is called before anything that takes long.
        """
        wanted = self.curvature_rows
        some = rows if wanted is None else rows.sample(wanted, objective.seed)
        damping = usual_damping if self.damping is None else self.damping
        curvature = Curvature(objective, some, kind=self.curvature, damping=damping)
        if announce is not None:
            announce(curvature)
        return make_solver(curvature, self, verbose)

    def _most_seconds(self, curvature, n_vectors):
        """What the products for some vectors may take, from the time of one, or a part of it."""
        size = len(curvature.objective)
        if self.solver == "exact":
            columns = torch.eye(min(COLUMNS, size), size).to(curvature.shift)
            return size / len(columns) * curvature.time_product(columns)
        if self.solver == "lissa":
            share = min(1.0, self.batch_size / len(curvature.rows))
            return self._most_steps * n_vectors * share * curvature.time_product()
        if self.solver == "cg":
            return self._most_steps * n_vectors * curvature.time_product()
        return 0.0


def check_inverse(inverse):
    """`inverse`, or the default for None; an error when it is none or has a wrong setting."""
    if inverse is None:
        return InverseCurvature()
    if not isinstance(inverse, InverseCurvature):
        raise TypeError(
            "inverse must be a skunlearn.influence.InverseCurvature or None, got "
            f"{inverse!r}. Its settings are given as InverseCurvature(solver='ekfac'), say."
        )
    inverse._check()
    return inverse
