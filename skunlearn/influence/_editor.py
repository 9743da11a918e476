"""The base of the unlearners that take a step by inverse curvature."""

import torch

from skunlearn._rows import checking
from skunlearn._rows.constraints import POSITIVE
from skunlearn._torch import skorch_nets
from skunlearn._torch.loop.norms import renew_statistics
from skunlearn._torch.observation import observe
from skunlearn._torch.parts.net_state import keep_weights
from skunlearn._torch.parts.tasks import task_of
from skunlearn._torch.pieces import in_pieces
from skunlearn.editing._weight_editor import WeightEditor
from skunlearn.exceptions import CostWarning, UnsuitableMethodWarning
from skunlearn.influence._kronecker import NO_LAYER, is_factorised
from skunlearn.influence._objective import Objective
from skunlearn.influence.inverse_curvature import InverseCurvature, check_inverse
from skunlearn.search_spaces import LogUniform

_OVERSHOT = 1.5  # times the retained rows' loss: a step that holds lowers it
_RISE, _LITTLE = 0.1, 0.01  # of that loss, and of chance's: a rise that is none
_ROWS = 2000  # retained rows of which it is taken
_SHORTEST = 2.0**-6
_DAMPING = 1.0  # where none is given
_LONG, _TRAININGS = 5.0, 5.0  # seconds, and trainings, that a request takes unannounced


class CurvatureEditor(WeightEditor):
    """Base class of unlearners that take a step by inverse curvature.

    Parameters
    ----------
    {estimator}
        Weights of float32 or float64; frozen ones stay as they are.
    step : float or None, default=None
        s. 1 is Newton's. None takes it for whole classes, and for rows of classes that stay the
        longest of it, its half, its quarter and so on that does not raise the mean loss of the
        retained rows by more than a tenth, or a hundredth of the loss of chance: where its
        derivatives hold it lowers that loss. On rows of digits that a net knew by heart a step of 1
        cost unseen rows 3.5 points, of one seed of three and with no warning; this one costs at
        most 0.7, forgets less, and warns that the rows are known. Of a class that is gone shorter
        steps left 65 to 78 % named rightly in place of none (``benchmarks/bench_defaults.py``).
    inverse : InverseCurvature or None, default=None
        How (H_r + d)⁻¹ v is computed: the solver, the kind of curvature, d and what these cost.
        None for ``InverseCurvature()``, whose damping is 1 here.
    {random_state, memory, store_data, verbose}
    """

    _parameter_constraints = {
        **WeightEditor._parameter_constraints,
        "step": [POSITIVE, None],
        "inverse": "no_validation",
    }

    def __init__(
        self,
        estimator,
        *,
        step=None,
        inverse=None,
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
        self.inverse = inverse

    def get_params(self, deep=True):
        """Parameters of this estimator, and of those in it.

        Parameters
        ----------
        deep : bool, default=True
            Whether those of `estimator` and `inverse` are among them, as ``inverse__damping`` and
            so on; of an `inverse` of None those that it stands for.

        Returns
        -------
        params : dict of str to object
        """
        params = super().get_params(deep)
        if deep and self.inverse is None:
            nested = InverseCurvature().get_params()
            params |= {f"inverse__{name}": value for name, value in nested.items()}
        return params

    def set_params(self, **params):
        """Set parameters of this estimator, and of those in it.

        Parameters
        ----------
        **params : dict
            By name; those of `inverse` as ``inverse__damping`` and so on, also where it is None
            so far and stands for the default.

        Returns
        -------
        self : object
        """
        nested = any(name.startswith("inverse__") for name in params)
        if nested and params.get("inverse", self.inverse) is None:
            params["inverse"] = InverseCurvature()
        return super().set_params(**params)

    def _first_model(self, rows):
        inverse = check_inverse(self.inverse)
        if "fac" in f"{inverse.solver} {inverse.preconditioner}":
            net = skorch_nets.look_inside(skorch_nets.unwrap(self.estimator), self._seed)
            if not any(map(is_factorised, net.module_.modules())):
                raise ValueError(NO_LAYER)
        return super()._first_model(rows)

    def _objective(self, net, retain, forget):
        """The training's objective, and (H_r + damping)⁻¹ over the retained rows."""
        n = len(retain) + len(forget)
        # Those of which the net will be read after the request: derivatives at others are not its.
        renew_statistics(net, retain, self._seed)
        inverse = check_inverse(self.inverse)
        objective = Objective(net, n, batch_size=inverse.batch_size, seed=self._seed)
        return objective, inverse._solver_of(
            objective,
            retain,
            usual_damping=_DAMPING,
            verbose=self.verbose,
            announce=self._announce,
        )

    def _announce(self, curvature):
        """Say what the products with the curvature may take, where that is long."""
        inverse = check_inverse(self.inverse)
        most = inverse._most_seconds(curvature, self._n_solved())
        trained = _seconds_trained(self.estimator_)
        if most <= _LONG or (trained and most <= _TRAININGS * trained):
            return
        share = f", {most / trained:.0f} times as long as the training" if trained else ""
        checking.warn(
            f"{type(self).__name__} may take up to {most:.0f} seconds{share}: "
            f"solver={inverse.solver!r} multiplies by the curvature of {len(curvature.rows)} rows "
            "over and over. It may well stop sooner. Fewer curvature_rows or max_steps bound it, "
            "and more damping shortens it; solver='ekfac' goes over the rows twice.",
            CostWarning,
        )

    def _n_solved(self):
        """Vectors that systems are solved for."""
        return 1

    def _move(self, net, retain, forget, objective, direction):
        """Take the step, or what of it the retained rows bear where nobody has set its length."""
        moves = Moves(
            objective, direction, keep_weights(objective.f.params.values(), net, self.estimator_)
        )
        whole = self._classes is not None and self._whole_classes(retain, forget)
        if self.step is not None or whole:
            moves.go(1.0 if self.step is None else self.step)
            return
        rows = retain.sample(_ROWS, self._seed)
        before = _mean_loss(net, rows, self._classes)
        most = before + max(_RISE * before, _LITTLE * task_of(self._classes).chance(rows.y))

        def go(step):
            moves.go(step)
            renew_statistics(net, retain, self._seed)
            return _mean_loss(net, rows, self._classes)

        step = 1.0
        while not go(step) <= most and step > _SHORTEST:
            step /= 2
        self._taken = step

    def _describe_attempt(self):
        taken = vars(self).get("_taken")
        return super()._describe_attempt() | ({} if taken is None else {"step": taken})

    def _commit(self):
        super()._commit()
        vars(self).pop("_taken", None)

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
        check_inverse(self.inverse)

    def _space(self):
        return {"step": LogUniform(0.1, 10.0), "inverse__damping": LogUniform(1e-3, 10.0)}


class Moves:
    """Takes the weights some way along a direction, from where they were.

    Parameters
    ----------
    objective : Objective
    direction : tensor of shape (P,)
    starts : dict of parameter to tensor
        Where they were.
    """

    def __init__(self, objective, direction, starts):
        self.params, self.steps = objective.f.params, objective.weights(direction)
        self.starts = starts

    @torch.no_grad()
    def go(self, step):
        """Go `step` times the direction."""
        for name, whole in self.params.items():
            for p, start, way in in_pieces(whole, self.starts[whole], self.steps[name]):
                p.copy_(start + step * way)


def _mean_loss(net, rows, classes):
    return float(observe(net, rows, classes).losses().mean())


def _seconds_trained(net):
    """Seconds that the net's epochs took, or None when its history does not tell."""
    try:
        return sum(net.history[:, "dur"]) or None
    except (KeyError, TypeError):
        return None
