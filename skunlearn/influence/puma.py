"""PUMA."""

from numbers import Real

from skunlearn import _validation
from skunlearn.influence._asked import rows_of
from skunlearn.influence._criteria import check_criteria, slopes
from skunlearn.influence._editor import CurvatureEditor
from skunlearn.influence._reweighting import reweighting
from skunlearn.search_spaces import LogUniform


class PUMAUnlearner(CurvatureEditor):
    """X"""

    def __init__(
        self,
        estimator,
        *,
        criteria="retained",
        penalty=0.05,
        l1_ratio=0.5,
        step=1.0,
        solver="cg",
        curvature="gauss_newton",
        damping=0.1,
        sample=1000,
        tol=None,
        max_iter=None,
        preconditioner=None,
        batch_size=256,
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            step=step,
            solver=solver,
            curvature=curvature,
            damping=damping,
            sample=sample,
            tol=tol,
            max_iter=max_iter,
            preconditioner=preconditioner,
            batch_size=batch_size,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.criteria = criteria
        self.penalty = penalty
        self.l1_ratio = l1_ratio

    def _unlearn(self, net, retain, forget):
        objective, solve = self._objective(net, retain, forget)
        wanted = slopes(objective, retain, check_criteria(self.criteria), self._read, self._classes)
        projections = solve(wanted)
        lost = objective.dots(forget, projections).sum(axis=1)
        weights = reweighting(
            lost,
            objective.dots(retain, projections),
            penalty=self.penalty,
            l1_ratio=self.l1_ratio,
        )
        pushed = objective.gradient(forget) - objective.gradient(retain, weights)
        n = objective.mass(retain) + objective.mass(forget)
        self._move(objective, self.step * solve(pushed[None])[0] / n)

    def _read(self, X, y):
        return rows_of(self, X, y, "validation")

    def _check_parameters(self):
        super()._check_parameters()
        check_criteria(self.criteria)
        _validation.check_number(self, "penalty", Real, low=0.0, exclusive=True)
        _validation.check_number(self, "l1_ratio", Real, low=0.0, high=1.0)
        if self.l1_ratio == 1:
            raise ValueError("l1_ratio must be below 1: without a square the weights have no unique solution.")

    def _space(self):
        return super()._space() | {"penalty": LogUniform(0.001, 1.0)}
