"""The settings that everything with influence functions shares."""

from dataclasses import dataclass
from numbers import Integral, Real

import torch

from skunlearn._rows import checking
from skunlearn.influence._curvature import Curvature
from skunlearn.influence._solvers import COLUMNS, make_solver

SOLVERS = ("cg", "lissa", "exact", "kfac", "ekfac")
_TOLERANCES = {"cg": 1e-3, "lissa": 0.1}
_ITERATIONS = {"cg": 200, "lissa": 2000}


@dataclass(frozen=True)
class Settings:
    """How an inverse-Hessian-vector product is taken."""

    solver: str = "cg"
    curvature: str = "gauss_newton"
    damping: float = 0.1
    curvature_rows: int | None = 1000
    tol: float | None = None
    max_steps: int | None = None
    preconditioner: str | None = None
    batch_size: int = 256
    verbose: int = 0

    @classmethod
    def of(cls, estimator):
        """The settings among an estimator's parameters, checked."""
        names = cls.__dataclass_fields__
        return cls(**{name: getattr(estimator, name) for name in names}).check()

    def check(self):
        """Raise ValueError or TypeError when a setting is wrong; return self."""
        _one_of("solver", self.solver, SOLVERS)
        _one_of("curvature", self.curvature, ("gauss_newton", "hessian"))
        _one_of("preconditioner", self.preconditioner, (None, "kfac", "ekfac"))
        if self.curvature == "hessian" and "fac" in f"{self.solver} {self.preconditioner}":
            raise ValueError(
                "Kronecker factors approximate the Gauss–Newton matrix: use "
                "curvature='gauss_newton' with them, or solver='cg' without."
            )
        if self.preconditioner is not None and self.solver != "cg":
            raise ValueError("preconditioner goes with solver='cg'.")
        checking.check_number(self, "damping", Real, low=0.0)
        checking.check_number(self, "batch_size", Integral, low=1)
        for name, kind, low in (("curvature_rows", Integral, 1), ("max_steps", Integral, 1)):
            if getattr(self, name) is not None:
                checking.check_number(self, name, kind, low=low)
        if self.tol is not None:
            checking.check_number(self, "tol", Real, low=0.0, exclusive=True)
        return self

    @property
    def tolerance(self):
        """`tol`, or the solver's own."""
        return _TOLERANCES[self.solver] if self.tol is None else self.tol

    @property
    def most(self):
        """`max_steps`, or the solver's own."""
        return _ITERATIONS[self.solver] if self.max_steps is None else self.max_steps

    def inverse(self, objective, rows, announce=None):
        """A solver with the curvature of `objective` over `rows`, or a sample of them.

        ``announce(curvature)`` is called before anything that takes long.
        """
        wanted = self.curvature_rows
        some = rows if wanted is None else rows.sample(wanted, objective.seed)
        curvature = Curvature(objective, some, kind=self.curvature, damping=self.damping)
        if announce is not None:
            announce(curvature)
        return make_solver(curvature, self)

    def most_seconds(self, curvature, n_vectors):
        """What the products for some vectors may take, from the time of one, or a part of it."""
        size = len(curvature.objective)
        if self.solver == "exact":
            columns = torch.eye(min(COLUMNS, size), size).to(curvature.shift)
            return size / len(columns) * curvature.time_product(columns)
        if self.solver == "lissa":
            share = min(1.0, self.batch_size / len(curvature.rows))
            return self.most * n_vectors * share * curvature.time_product()
        return self.most * n_vectors * curvature.time_product() if self.solver == "cg" else 0.0


def _one_of(name, value, allowed):
    if value not in allowed:
        raise ValueError(f"{name} must be one of {allowed}, got {value!r}.")
