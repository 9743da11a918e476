"""The base of the unlearners that take a step by inverse curvature."""

from numbers import Real

import torch

from skunlearn._rows import checking
from skunlearn.editing._weight_editor import WeightEditor
from skunlearn.exceptions import CostWarning, UnsuitableMethodWarning
from skunlearn.influence._objective import Objective
from skunlearn.influence._settings import Settings
from skunlearn.search_spaces import LogUniform

_OVERSHOT = 1.5  # times the retained rows' loss: a step that holds lowers it
_LONG, _TRAININGS = 5.0, 5.0  # seconds, and trainings, that a request takes unannounced


class CurvatureEditor(WeightEditor):
    """Base class of unlearners that take a step by inverse curvature.

    Parameters
    ----------
    estimator : skorch net or FrozenEstimator of one
    step, solver, curvature, damping, curvature_rows, tol, max_steps, preconditioner, batch_size
        See `InfluenceUnlearner`.
    random_state, memory, store_data, verbose
        See `BaseUnlearner`.
    """

    def __init__(
        self,
        estimator,
        *,
        step=1.0,
        solver="cg",
        curvature="gauss_newton",
        damping=1.0,
        curvature_rows=1000,
        tol=None,
        max_steps=None,
        preconditioner=None,
        batch_size=256,
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.step = step
        self.solver = solver
        self.curvature = curvature
        self.damping = damping
        self.curvature_rows = curvature_rows
        self.tol = tol
        self.max_steps = max_steps
        self.preconditioner = preconditioner
        self.batch_size = batch_size

    def _objective(self, net, retain, forget):
        """The training's objective, and (H_r + damping)⁻¹ over the retained rows."""
        n = len(retain) + len(forget)
        objective = Objective(net, n, batch_size=self.batch_size, seed=self._seed)
        return objective, Settings.of(self).inverse(objective, retain, self._announce)

    def _announce(self, curvature):
        """Say what the products with the curvature may take, where that is long."""
        settings = Settings.of(self)
        most = settings.most_seconds(curvature, self._n_solved())
        trained = _seconds_trained(self.estimator_)
        if most <= _LONG or (trained and most <= _TRAININGS * trained):
            return
        share = f", {most / trained:.0f} times as long as the training" if trained else ""
        checking.warn(
            f"{type(self).__name__} may take up to {most:.0f} seconds{share}: solver="
            f"{self.solver!r} multiplies by the curvature of {len(curvature.rows)} rows over and "
            "over. It may well stop sooner. Fewer curvature_rows or max_steps bound it, and more "
            "damping shortens it; solver='ekfac' goes over the rows twice.",
            CostWarning,
        )

    def _n_solved(self):
        """Vectors that systems are solved for."""
        return 1

    @torch.no_grad()
    def _move(self, objective, direction):
        for name, step in objective.weights(self.step * direction).items():
            objective.f.params[name].add_(step)

    def _warn_if_wrong(self, change, measured, most_lost):
        super()._warn_if_wrong(change, measured, most_lost)
        before, after = (measured[key]["loss"] for key in ("retain_before", "retain_after"))
        if before is not None and after is not None and after > _OVERSHOT * before:
            checking.warn(
                f"The step of {type(self).__name__} was too long for its derivatives to hold: the "
                f"mean loss of the retained rows rose from {before:.3g} to {after:.3g}. Such a "
                "step is for few rows of a net at a minimum; lower step or raise damping, or use "
                "a method that trains.",
                UnsuitableMethodWarning,
            )

    def _check_parameters(self):
        super()._check_parameters()
        Settings.of(self)
        checking.check_number(self, "step", Real, low=0.0, exclusive=True)

    def _space(self):
        return {"step": LogUniform(0.1, 10.0), "damping": LogUniform(1e-3, 10.0)}


def _seconds_trained(net):
    """Seconds that the net's epochs took, or None when its history does not tell."""
    try:
        return sum(net.history[:, "dur"]) or None
    except (KeyError, TypeError):
        return None
