"""Langevin unlearning: noisy gradient descent, in training and in unlearning."""

from dataclasses import dataclass, replace

import numpy as np

from skunlearn.certified._certified_unlearner import CertifiedUnlearner
from skunlearn.certified._contraction import Contraction
from skunlearn.certified._logistic import minimise
from skunlearn.certified._published import weights_of

_START = 0.01  # distance of the start to the minimiser, as a share of what may be
_BURN_IN = 0.1  # what the first training's steps leave of a difference


@dataclass(frozen=True)
class Walk:
    """How far the noisy descent can be from that on the kept rows.

    Attributes
    ----------
    distance : float
        Bound of the distance between the two, were all noise the same.
    steps, last : int
        Noisy steps in all, and of the last request.
    """

    distance: float
    steps: int
    last: int = 0


class LangevinUnlearner(CertifiedUnlearner):
    """Descend with noise in every step, first on all rows and then on the kept ones.

    Choose it for logistic regression with a strong penalty (C of 0.01, say) when no secret may be
    kept: the published weights are all there is. `sigma` matters most: it costs accuracy and
    saves steps; with much of it a handful of steps forget.

    A step is W ← W − η∇f(W) + √(2ησ²)·N(0, I), f = (Σℓ + ‖W‖²/(2C))/n over the n rows of ``fit``.
    On the kept rows every step shrinks what the forgotten ones had changed, and the noise hides
    the rest; as many steps are taken as ε asks for.

    Parameters
    ----------
    estimator : LogisticRegression
        See `DescentToDeleteUnlearner`.
    epsilon : float, default=1.0
        ε that every model keeps.
    delta : float, default=1e-5
        δ of (ε, δ). Far below 1/n; 1e-5 is a habit of the field.
    sigma : float, default=0.03
        Noise of a step; the weights spread as exp(−f/σ²). The default is the authors' for 11,000
        digits; σ² = 1/n draws, nearly, from the Bayesian posterior.
    row_norm, clip, random_state, store_data, verbose
        See `CertifiedRemovalUnlearner`.

    Attributes
    ----------
    estimator_ : LogisticRegression
        The current model; multinomial for more than two classes.
    classes_ : ndarray of shape (n_classes,)
    deletions_ : list of dict
        The log of requests; ``"proved"`` holds ε, δ and the number of steps.

    See Also
    --------
    DescentToDeleteUnlearner : Noise on the published weights only, which must not be known bare.

    Notes
    -----
    The reference is the same noisy descent on the kept rows alone, from their own minimiser, with
    the same f (its n stays that of ``fit``), and as many steps as this model has made altogether.
    The guarantee holds for requests that were not chosen by looking at the model; it is about one
    model, and somebody who kept an earlier one can compare. Features must not be learnt from
    forgotten rows (a StandardScaler or PCA in front learns from all of them), and what you chose
    by looking at the data, `sigma` or C by a search say, is not covered.

    Rows are removed, not replaced as in the paper: k rows change ∇f by at most kL/n, L the
    Lipschitz constant of ℓ, half of what a replacement does. Known bounds of norms make the
    paper's clipping of gradients and its ball superfluous. ε is not that of the paper's theorem
    but the smaller one of privacy amplification by iteration, which the same authors turned to
    (2403.17105): both descents start within kL/m of each other (m = 1/C), stay so while only one
    has the rows, and shrink by c = 1 − ηm/n a step from then on; after N steps the distance d
    counts as d·√((1 − c²)/(1 − c^2N)) / √(2ησ²) standard deviations (Bok, Su and Altschuler).
    The first training starts at the minimiser and makes as many steps as leave a tenth of any
    difference.

    References
    ----------
    E. Chien, H. Wang, Z. Chen, P. Li, "Langevin Unlearning: A New Perspective of Noisy Gradient
    Descent for Machine Unlearning", NeurIPS 2024, https://arxiv.org/abs/2401.10371

    E. Chien, H. Wang, Z. Chen, P. Li, "Certified Machine Unlearning via Noisy Stochastic Gradient
    Descent", NeurIPS 2024, https://arxiv.org/abs/2403.17105

    J. Bok, W. Su, J. Altschuler, "Shifted Interpolation for Differential Privacy", ICML 2024,
    https://arxiv.org/abs/2403.00278

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import Normalizer
    >>> from skunlearn import LangevinUnlearner
    >>> X, y = load_digits(return_X_y=True)
    >>> X = Normalizer().fit_transform(X)  # every row by itself
    >>> unlearner = LangevinUnlearner(LogisticRegression(C=0.1), random_state=0)
    >>> spent = unlearner.fit(X, y).unlearn(indices=[3, 4]).privacy_spent()
    >>> 0 < spent.epsilon <= spent.limit
    True
    """

    _promises = replace(CertifiedUnlearner._promises, reads_forget_rows=False)
    _theorem = "privacy amplification by iteration, Chien et al. (2024), Bok et al. (2024)"

    def __init__(
        self,
        estimator,
        *,
        epsilon=1.0,
        delta=1e-5,
        sigma=0.03,
        row_norm=1.0,
        clip=True,
        random_state=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator,
            epsilon=epsilon,
            delta=delta,
            sigma=sigma,
            row_norm=row_norm,
            clip=clip,
            random_state=random_state,
            store_data=store_data,
            verbose=verbose,
        )

    def _start(self, problem, shape):
        constants = self._constants()
        steps = constants.steps_to(1.0, _BURN_IN)
        error = _START * self._limit * self._spread(steps)
        W = minimise(problem, shape, error * self._setting.penalty)
        # Both starts may be off by `error`.
        self._account = Walk(2 * error * constants.rate**steps, steps)
        return self._walk(problem, W, steps)

    def _remove(self, problem, forget):
        constants, account = self._constants(), self._account
        start = account.distance + len(self._removal.positions) * constants.shift
        # More steps spread wider: the present spread is on the safe side.
        steps = constants.steps_to(start, self._limit * self._spread(account.steps))
        self._account = Walk(start * constants.rate**steps, account.steps + steps, steps)
        W = weights_of(self.estimator_, self._setting.constant)
        return self._walk(problem, W, steps)

    def _walk(self, problem, W, steps):
        constants, generator = self._constants(), self._generator()
        noise = self._noise()
        for _ in range(steps):
            W = (
                W
                - constants.step * problem.gradient(W)
                + noise * generator.standard_normal(W.shape)
            )
        return W

    def _constants(self):
        # Of all rows of `fit`: fewer have no larger constants, and the step stays the same.
        return Contraction.of(self._setting, self._setting.n_rows)

    def _noise(self):
        """Standard deviation of a step's noise; the step on f is n times that on F."""
        eta = self._constants().step * self._setting.n_rows
        return float(np.sqrt(2 * eta) * self._setting.sigma)

    def _spread(self, steps):
        """Standard deviation that the noise of so many steps amounts to."""
        square = self._constants().rate ** 2
        return self._noise() * float(np.sqrt((1 - square**steps) / (1 - square)))

    def _distance(self):
        account = self._account
        return account.distance / self._spread(account.steps) if account.last else 0.0

    def _details(self):
        return {"steps": self._account.last}
