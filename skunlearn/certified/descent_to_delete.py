"""Descent-to-Delete: gradient descent on the kept rows, published with noise."""

from dataclasses import dataclass, replace

import numpy as np

from skunlearn.certified._certified_unlearner import CertifiedUnlearner
from skunlearn.certified._contraction import Contraction
from skunlearn.certified._logistic import minimise
from skunlearn.exceptions import UnlearningError

_START = 0.01  # distance of a trained model to the minimiser, as a share of what may be


@dataclass(frozen=True)
class Errors:
    """Bounds of the distance to the minimiser over the kept rows.

    Attributes
    ----------
    ours, reference : float
        Of the secret weights, and of those that a training on the kept rows would have.
    steps : int
        Steps that the last request took.
    trained : bool
        Whether no request has come since the training.
    """

    ours: float
    reference: float
    steps: int = 0
    trained: bool = True


class DescentToDeleteUnlearner(CertifiedUnlearner):
    """Descend on the kept rows from secret weights, and publish them with noise.

    Choose it for logistic regression with a strong penalty (C of 0.01, say), when many requests
    are to come: each is certified by itself, and no budget runs out. `sigma` matters most: less
    noise costs more steps, but only the logarithm; a smaller C makes both cheaper.

    The secret weights are within a proven distance of the minimiser over the kept rows, and so
    are those of a model trained on these rows. Noise of `sigma` hides that distance.

    Parameters
    ----------
    estimator : LogisticRegression
        Gives C, ``fit_intercept`` and ``intercept_scaling``: the intercept is the weight of a
        column of that value and is penalised, as by liblinear. The solver is our own; settings
        that change the objective are refused. Multinomial for more than two classes.
    epsilon : float, default=1.0
        ε that every published model keeps.
    delta : float, default=1e-5
        δ of (ε, δ). Far below 1/n; 1e-5 is a habit of the field.
    sigma : float, default=0.1
        Standard deviation of the noise on every published weight; on rows of norm 1 the scores
        move by about as much.
    row_norm, clip, random_state, store_data, verbose
        See `CertifiedRemovalUnlearner`.

    Attributes
    ----------
    estimator_ : LogisticRegression
        The published model, with noise. The secret weights, which descend from weights that saw
        the forgotten rows, are in no public attribute; but pickles hold them, to go on from, and
        are as secret as the training rows.
    classes_ : ndarray of shape (n_classes,)
    deletions_ : list of dict
        The log of requests; ``"proved"`` holds ε, δ and the number of steps.

    See Also
    --------
    CertifiedRemovalUnlearner : One Newton step instead of many gradient steps.
    LangevinUnlearner : No secret weights; noise in every step.

    Notes
    -----
    The reference is the same training, with the same σ, C and classes, on the kept rows. The
    guarantee holds whatever rows are named, chosen by looking at earlier models too, since every
    model has noise of its own. It is about one model: somebody who kept an earlier one can compare.
    Features must not be learnt from forgotten rows (a StandardScaler or PCA in front learns from
    all of them), and what you chose by looking at the data, `sigma` or C by a search say, is not
    covered.

    F = Σℓ + ‖W‖²/(2C) is m-strongly convex with m = 1/C, and M-smooth. k rows move the minimiser
    by at most kL/m, L the Lipschitz constant of ℓ alone, which the penalty's share cancels out of
    (half of the paper's bound, where that share counts and a ball must bound it; without it no
    ball is needed). A step of 2/(m + M) shrinks the distance to the minimiser by
    (M − m)/(M + m). The weights descend until that or the gradient, ‖∇F‖/m, proves the distance,
    at least one step. The paper fixes the steps and derives the noise; here the noise is fixed and
    the steps follow, for a request of any size. C does not change with the number of rows, so that
    no share of them must remain. ε comes from the exact trade-off of two Gaussians, which the
    paper's formula bounds.

    References
    ----------
    S. Neel, A. Roth, S. Sharifi-Malvajerdi, "Descent-to-Delete: Gradient-Based Methods for Machine
    Unlearning", ALT 2021, https://arxiv.org/abs/2007.02923

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import Normalizer
    >>> from skunlearn import DescentToDeleteUnlearner
    >>> X, y = load_digits(return_X_y=True)
    >>> X = Normalizer().fit_transform(X)  # every row by itself
    >>> unlearner = DescentToDeleteUnlearner(LogisticRegression(C=0.1), random_state=0)
    >>> spent = unlearner.fit(X, y).unlearn(indices=[3, 4]).privacy_spent()
    >>> 0 < spent.epsilon <= spent.limit
    True
    """

    _promises = replace(CertifiedUnlearner._promises, reads_forget_rows=False)
    _theorem = "Neel, Roth and Sharifi-Malvajerdi (2021), sharpened as the documentation says"

    def _start(self, problem, shape):
        error = _START * self._setting.sigma * self._limit
        # F grows by m‖·‖²/2 around its minimiser: the gradient bounds the distance to it.
        W = minimise(problem, shape, error * self._setting.penalty)
        self._account = Errors(ours=error, reference=error)
        return self._hide(W)

    def _remove(self, problem, forget):
        account, penalty = self._account, self._setting.penalty
        allowed = self._setting.sigma * self._limit - account.reference
        if allowed <= 0:
            raise UnlearningError(
                "The model was not trained well enough for an epsilon as small as this: fit again."
            )
        constants = Contraction.of(self._setting, problem.X.shape[0])
        error = account.ours + len(self._removal.positions) * constants.shift
        W, steps = self._secret, 0
        gradient = problem.gradient(W)
        while steps == 0 or error > allowed:
            W = W - constants.step * gradient
            gradient = problem.gradient(W)
            error = min(constants.rate * error, np.linalg.norm(gradient) / penalty)
            steps += 1
        self._account = Errors(float(error), account.reference, steps, trained=False)
        return self._hide(W)

    def _hide(self, W):
        self._secret = W
        return W + self._setting.sigma * self._generator().standard_normal(W.shape)

    def _distance(self):
        account = self._account
        if account.trained:
            return 0.0
        return (account.ours + account.reference) / self._setting.sigma

    def _details(self):
        return {"steps": self._account.steps}
