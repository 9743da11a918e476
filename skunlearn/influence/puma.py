"""PUMA: removal of rows with performance kept."""

from numbers import Real

from skunlearn._fitted_model import read_rows
from skunlearn._rows.constraints import POSITIVE, Interval
from skunlearn._torch.parts.net_state import sharing_weights
from skunlearn._torch.parts.tasks import task_of
from skunlearn.influence._criteria import check_criteria, slopes
from skunlearn.influence._editor import CurvatureEditor
from skunlearn.influence._reweighting import reweighting
from skunlearn.search_spaces import LogUniform


class PUMAUnlearner(CurvatureEditor):
    """Undo the rows' pull on the weights, and re-weight others so that performance stays (PUMA).

    Choose it where `InfluenceUnlearner` costs accuracy: rows that the net needs, or many of a
    class. The retained rows make up for what the step would change in the `criteria`; what the
    forget rows taught the net beside these goes. `penalty` and the damping of `inverse` matter
    most.

    ψ(z) = ∇Cᵀ(H_r + d)⁻¹∇ℓ(z) is a row's influence on a criterion C. Weights λ of the retained rows
    minimise ‖Σ_f ψ(z) − Σ_r λ ψ(z)‖² + Ω(λ), Ω an elastic net, with λ ≥ −1: no row counts less than
    nothing. Then θ ← θ + s · (H_r + d)⁻¹[Σ_f ∇ℓ(z) − Σ_r λ ∇ℓ(z)] / n.

    Parameters
    ----------
    {estimator}
    criteria : "retained", "classes", tuple (X, y), callable or list of these, default="retained"
        What is to stay, to first order. "retained" is the mean loss of the retained rows;
        "classes" that of the retained rows of each class, one criterion a class; a tuple the mean
        loss of validation rows, with labels like those of ``fit``; a function
        ``losses(outputs, targets)`` returns a tensor of one differentiable value per retained row.
    penalty : float, default=0.05
        Size of Ω, in units of the one at which no row is re-weighted: about the share of the
        change that stays. It must be positive.
    l1_ratio : float, default=0.5
        Share of the absolute values in Ω, below 1; the rest are squares. More leaves more rows
        alone. ElasticNet's default.
    {step, inverse, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    Raises
    ------
    UnlearningError
        By ``unlearn``; see `InfluenceUnlearner`. Also for ``criteria="classes"`` on a regression.

    See Also
    --------
    InverseCurvature : The settings of `inverse`.
    projected_influence : ψ of every row, which also finds label errors.

    Notes
    -----
    Performance is kept to first order: where a plain step overshoots, on nets that know their rows
    by heart, this one does too. And it is kept, not bettered: mislabelled rows go without the gain
    that their removal brings, which `InfluenceUnlearner` gives.

    A row that is forgotten and one that is re-weighted enter alike, so that the step is that of a
    training on the retained rows with weights 1 + λ. The paper's λ may be anything; the bound keeps
    the sum a loss. The convex problem is solved in its dual, of one unknown per criterion, by
    SciPy's L-BFGS-B.

    References
    ----------
    G. Wu, M. Hashemi, C. Srinivasa, "PUMA: Performance Unchanged Model Augmentation for Training
    Data Removal", AAAI 2022, https://arxiv.org/abs/2203.00846

    Examples
    --------
    >>> from skunlearn import PUMAUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.influence import InverseCurvature
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = digits_classifier(max_epochs=5)
    >>> inverse = InverseCurvature(solver="ekfac", curvature_rows=500)
    >>> unlearner = PUMAUnlearner(
    ...     net, criteria=["retained", "classes"], inverse=inverse, random_state=0
    ... )
    >>> forget = (y == 8).nonzero()[0][:60]
    >>> unlearner = unlearner.fit(X, y).unlearn(indices=forget)
    >>> log = unlearner.deletions_[0]
    >>> log["measured"]["forget_after"]["loss"] > log["measured"]["forget_before"]["loss"]
    True
    """

    _parameter_constraints = {
        **CurvatureEditor._parameter_constraints,
        "criteria": "no_validation",
        "penalty": [POSITIVE],
        "l1_ratio": [Interval(Real, 0, 1, closed="left")],
    }

    def __init__(
        self,
        estimator,
        *,
        criteria="retained",
        penalty=0.05,
        l1_ratio=0.5,
        step=None,
        inverse=None,
        random_state=None,
        memory=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            step=step,
            inverse=inverse,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.criteria = criteria
        self.penalty = penalty
        self.l1_ratio = l1_ratio

    def _unlearn(self, net, retain, forget):
        with sharing_weights(net, self.estimator_):
            objective, solve = self._objective(net, retain, forget)
            wanted = slopes(
                objective, retain, check_criteria(self.criteria), self._read, self._classes
            )
            projections = solve(wanted, overwrite=True)
            lost = objective.dots(forget, projections).sum(axis=1)
            weights = reweighting(
                lost,
                objective.dots(retain, projections),
                penalty=self.penalty,
                l1_ratio=self.l1_ratio,
            )
            pushed = objective.gradient(forget).sub_(objective.gradient(retain, weights))
            del wanted, projections  # each is as large as the net, and solving takes more of them
            n = objective.mass(retain) + objective.mass(forget)
            step = solve(pushed[None], overwrite=True)[0].div_(n)
        self._move(net, retain, forget, objective, step)

    def _n_solved(self):
        classes = len(self._classes) if task_of(self._classes).has_one_class else 1
        listed = check_criteria(self.criteria)
        return 1 + sum(classes if one == "classes" else 1 for one in listed)

    def _read(self, X, y):
        return read_rows(self, X, y, "validation")

    def _check_parameters(self):
        super()._check_parameters()
        check_criteria(self.criteria)

    def _space(self):
        return super()._space() | {"penalty": LogUniform(0.001, 1.0)}
