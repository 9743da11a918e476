"""Unlearning by influence functions."""

from skunlearn._torch.parts.net_state import sharing_weights
from skunlearn.influence._editor import CurvatureEditor


class InfluenceUnlearner(CurvatureEditor):
    """Undo the rows' pull on the weights, by one Newton step (influence functions).

    Choose it for few rows of a net that was trained to a minimum, with weight decay: it trains
    nothing. Far from a minimum, or for a large share, the step goes astray; the damping of
    `inverse` matters most. To keep the performance that the step costs, see `PUMAUnlearner`.

    On convex losses, at a minimum and with ``InverseCurvature(damping=0)``, the error falls with
    the square of the rows' share. The default damping is for nets, and takes a part of the step
    only: 0.26 to 0.55 of the exact one on two multinomial logistic regressions, where a damping
    of 0 was right to 1.4 %.

    The step is θ ← θ + s · (H_r + d)⁻¹ Σ_f ∇ℓ(z) / n_r, with H_r the curvature of the mean loss of
    the n_r retained rows, ∇ℓ(z) the gradients of the forget rows, d the damping and s the `step`.
    Losses include the penalty that the optimizer's ``weight_decay`` stands for.

    Parameters
    ----------
    {estimator, step, inverse, random_state, memory, store_data, verbose}

    Attributes
    ----------
    {estimator_, classes_, deletions_}

    Raises
    ------
    UnlearningError
        By ``unlearn``, when the curvature is indefinite, zero or not finite, or the net has
        weights that no solver can treat. The model stays as it was.

    See Also
    --------
    InverseCurvature : The settings of `inverse`.
    influence : The same derivative, for single rows.
    CertifiedRemovalUnlearner : The same step for logistic regression, with a guarantee.

    Warns
    -----
    CostWarning
        Before the system is solved, when that may take more than five seconds and five times as
        long as the training.
    UnsuitableMethodWarning
        When the loss of the retained rows, which the step is to lower, rose by half or more.
    ConvergenceWarning
        When the solver stopped early.

    Notes
    -----
    A net that knows its rows by heart is a hard case. A damping of 0.1 with a step of 1/8 then
    forgets more for less than a damping of 1 with a step of 1, but "cg" takes several times as many
    steps.

    What "cg" costs is its products with the curvature, each 1.6 to 3 passes forward and back over
    the ``curvature_rows``: with the 51 that a CNN of 29,000 weights took on 380 rows of digits a
    request was 10 times its training of 10 epochs. On more rows than ``curvature_rows`` that share
    falls.

    The net is taken in evaluation mode: without dropout, and with the running statistics of batch
    normalisation taken anew over retained rows, before the step and after it: at those of a short
    training the derivatives are of a net that nobody gets.

    References
    ----------
    P. W. Koh, P. Liang, "Understanding Black-box Predictions via Influence Functions", ICML 2017,
    https://arxiv.org/abs/1703.04730
    N. Agarwal, B. Bullins, E. Hazan, "Second-Order Stochastic Optimization for Machine Learning in
    Linear Time", JMLR 2017, https://arxiv.org/abs/1602.03943 (LiSSA)
    T. George, C. Laurent, X. Bouthillier, N. Ballas, P. Vincent, "Fast Approximate Natural
    Gradient Descent in a Kronecker-factored Eigenbasis", NeurIPS 2018,
    https://arxiv.org/abs/1806.03884 (EK-FAC)

    Examples
    --------
    >>> from skunlearn import InfluenceUnlearner
    >>> from skunlearn.datasets import load_digits_images
    >>> from skunlearn.influence import InverseCurvature
    >>> from skunlearn.nets import digits_classifier
    >>> X, y = load_digits_images(return_X_y=True)
    >>> net = digits_classifier(max_epochs=5)
    >>> inverse = InverseCurvature(solver="ekfac", curvature_rows=500)
    >>> unlearner = InfluenceUnlearner(net, inverse=inverse, random_state=0)
    >>> forget = (y == 8).nonzero()[0][:60]
    >>> unlearner = unlearner.fit(X, y).unlearn(indices=forget)
    >>> log = unlearner.deletions_[0]
    >>> log["measured"]["forget_after"]["loss"] > log["measured"]["forget_before"]["loss"]
    True
    """

    def _unlearn(self, net, retain, forget):
        with sharing_weights(net, self.estimator_):
            objective, solve = self._objective(net, retain, forget)
            pushed = objective.gradient(forget).div_(objective.mass(retain))
            direction = solve(pushed[None], overwrite=True)[0]
            del pushed
        self._move(net, retain, forget, objective, direction)
