"""What the certified methods for logistic regression share: checks, rows, noise, accounts."""

import copy
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.utils.validation import check_is_fitted

from skunlearn._rows.constraints import POSITIVE, Interval, check_parameters
from skunlearn.base import BaseUnlearner
from skunlearn.certified import _gaussian
from skunlearn.certified._bounded_rows import bound_rows, with_constant
from skunlearn.certified._logistic import Logistic
from skunlearn.certified._privacy import PrivacySpent
from skunlearn.certified._published import publish

_REFERENCE = 2**31  # number of the noise of models that are made to compare with
# Settings of LogisticRegression that change its objective, and what they must be.
_PLAIN = {
    "penalty": ("l2", "deprecated"),
    "l1_ratio": (None, 0, 0.0, "deprecated"),
    "dual": (False,),
    "class_weight": (None,),
    "warm_start": (False,),
    "multi_class": ("auto", "deprecated"),
}


@dataclass(frozen=True)
class Setting:
    """What the proof rests on: fixed by ``fit``, whatever parameters are set later."""

    sigma: float
    row_norm: float
    clip: bool
    constant: float  # value of the intercept's column, 0 without one
    penalty: float  # 1/C
    link: str
    n_rows: int

    @property
    def radius(self):
        """Bound of the norm of a row with its constant."""
        return float(np.hypot(self.row_norm, self.constant))


class CertifiedUnlearner(BaseUnlearner):
    """Base of the methods that prove an (ε, δ) for L2-regularised logistic regression.

    Parameters
    ----------
    estimator : LogisticRegression
        Gives C, ``fit_intercept`` and ``intercept_scaling``: the intercept is the weight of a
        column of that value and is penalised, as by liblinear. The solver is our own; settings
        that change the objective are refused.
    delta : float, default=1e-5
        δ of (ε, δ). Far below 1/n; 1e-5 is a habit of the field.
    row_norm : float, default=1.0
        Bound of the norm of a row.
    clip : bool, default=True
        Scale longer rows down to `row_norm`, in training and prediction, each by itself; False
        refuses them.
    random_state : int, RandomState instance or None, default=None
        None draws the noise from the operating system. Whoever knows an int can take the noise
        away: it is for tests, or must be kept secret.
    store_data : bool, default=True
        Whether pickles hold the retained rows.
    verbose : int, default=0
        Not used.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        Labels seen by ``fit``.
    """

    _promises = replace(
        BaseUnlearner._promises,
        certified=True,
        adds_noise=True,
        takes_nets=False,
        made_for="logistic regression",
        watches_training=True,  # the noise of the training is part of the proof
    )
    _one_vs_rest = False  # how more than two classes are told apart
    _theorem = ""

    _parameter_constraints = {
        **BaseUnlearner._parameter_constraints,
        "epsilon": [POSITIVE],
        "delta": [Interval(Real, 0, 1, closed="neither")],
        "sigma": [POSITIVE],
        "row_norm": [POSITIVE],
        "clip": ["boolean"],
    }

    def __init__(
        self,
        estimator,
        *,
        epsilon=1.0,
        delta=1e-5,
        sigma=0.1,
        row_norm=1.0,
        clip=True,
        random_state=None,
        store_data=True,
        verbose=0,
    ):
        super().__init__(
            estimator, random_state=random_state, store_data=store_data, verbose=verbose
        )
        self.epsilon = epsilon
        self.delta = delta
        self.sigma = sigma
        self.row_norm = row_norm
        self.clip = clip

    def fit(self, X, y=None, *, forget=None, ids=None, groups=None, measure_on=None):
        """Train the model and remember which rows it has seen.

        Every row counts once: the proof is about a mean over rows, and takes no sample weights.

        Parameters
        ----------
        X : array or sparse matrix of n rows
            Referred to, not copied.
        y : array of shape (n,)
            Labels of any type.
        forget : bool array of shape (n,), default=None
            Rows to forget right after the training, as ``unlearn`` would.
        ids, groups : sequence of n hashable values, default=None
            Names of rows, and of groups of them, that later requests may use.
        measure_on : None
            Rows are measured as they are, as nothing augments arrays.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            When something passed in is wrong; a fitted estimator stays as it was.
        """
        named = {"ids": ids, "groups": groups, "measure_on": measure_on}
        return super().fit(X, y, forget=forget, **named)

    # ------------------------------------------------------------------ for the methods

    def _start(self, problem, shape):
        """Train on `problem` and set ``_account``; return the weights to publish."""
        raise NotImplementedError(f"{type(self).__name__} does not define _start")

    def _remove(self, problem, forget):
        """Update ``_account`` to `problem`, of the kept rows; return the weights to publish.

        `forget` is the problem of the forget rows, None for methods that do not read them.
        """
        raise NotImplementedError(f"{type(self).__name__} does not define _remove")

    def _distance(self):
        """Bound of the distance to the reference, in standard deviations of the noise."""
        raise NotImplementedError(f"{type(self).__name__} does not define _distance")

    def _details(self):
        """More about the last request, for the log."""
        return {}

    @property
    def _limit(self):
        """The distance that ``epsilon`` and ``delta`` allow."""
        return _gaussian.largest_distance(self.epsilon, self.delta)

    def _generator(self):
        """Noise of this step, another for every request.

        The operating system's entropy unless `random_state` was given: noise that can be drawn
        again proves nothing.
        """
        if self.random_state is None:
            return np.random.default_rng()
        return np.random.default_rng([self._seed, self._step])

    # ------------------------------------------------------------------ accounts

    def privacy_spent(self):
        """What is proved of the present model.

        Returns
        -------
        spent : PrivacySpent
            With the fields ``epsilon``, ``delta``, ``limit`` and ``left``.

        Notes
        -----
        The statement is about ``estimator_`` alone, against one trained by the same recipe on the
        kept rows. Somebody who kept an earlier model can compare the two; the log and pickles of
        this object hold figures about the forgotten rows (how well they were known, say).
        """
        check_is_fitted(self)
        epsilon = _gaussian.epsilon_of(self._distance(), self.delta)
        return PrivacySpent(epsilon=epsilon, delta=float(self.delta), limit=float(self.epsilon))

    def _describe_attempt(self):
        return {"proved": self._state_proof()}

    def _state_proof(self):
        spent = self.privacy_spent()
        return {
            "epsilon": spent.epsilon,
            "delta": spent.delta,
            "limit": spent.limit,
            "against": "the same training with the same noise, penalty and classes, on the kept "
            "rows",
            "assumes": f"rows of norm up to {self._setting.row_norm:g}, {self._theorem}",
            "sigma": self._setting.sigma,
            **self._details(),
        }

    # ------------------------------------------------------------------ fit and unlearn

    def _first_model(self, rows):
        recipe = self.estimator
        if len(self.classes_) < 2:
            raise ValueError(
                "This solver needs samples of at least 2 classes in the data, but the data "
                f"contains only one class: {self.classes_[0]!r}"
            )
        many = len(self.classes_) > 2 and not self._one_vs_rest
        self._setting = Setting(
            sigma=float(self.sigma),
            row_norm=float(self.row_norm),
            clip=bool(self.clip),
            constant=float(recipe.intercept_scaling) if recipe.fit_intercept else 0.0,
            penalty=1.0 / float(recipe.C),
            link="softmax" if many else "sigmoid",
            n_rows=len(rows),
        )
        self._step = 0
        problem = self._problem(rows)
        return self._publish(self._start(problem, (problem.T.shape[1], problem.X.shape[1])))

    def _train(self, rows, *, seed=None, write_checkpoints=False):
        """A model trained on `rows` alone, with noise of its own, to compare with."""
        other = copy.copy(self)
        other._step = _REFERENCE
        other._change(seed=self._seed if seed is None else seed)
        problem = other._problem(rows)
        return other._publish(other._start(problem, (problem.T.shape[1], problem.X.shape[1])))

    def _forget(self, removal):
        kept = int(self._record.retained.sum()) - len(removal.positions)
        if removal.retain is not None and len(removal.retain) != kept:
            raise ValueError(
                f"X_retain holds {len(removal.retain)} rows, but {kept} are kept: the proof needs "
                "all of them."
            )
        super()._forget(removal)

    def _attempt(self, retain, forget, seed):
        self._step += 1
        removed = self._problem(forget) if self._make_promises().reads_forget_rows else None
        return self._publish(self._remove(self._problem(retain), removed))

    def _problem(self, rows):
        """The objective over some rows, which are checked or clipped to their bound."""
        X, y = rows.arrays()
        setting = self._setting
        X = bound_rows(X, setting.row_norm, setting.clip)
        X = with_constant(X, setting.constant)
        binary = len(self.classes_) == 2
        T = np.asarray(y)[:, None] == np.arange(1 if binary else 0, len(self.classes_))
        return Logistic(X, T.astype(np.float64), setting.penalty, setting.link)

    def _publish(self, W):
        return publish(
            self.estimator,
            W,
            self.classes_,
            self,
            row_norm=self._setting.row_norm,
            constant=self._setting.constant,
            one_vs_rest=self._one_vs_rest,
        )

    # ------------------------------------------------------------------ checks

    def _check_parameters(self):
        name = type(self).__name__
        if isinstance(self.estimator, FrozenEstimator):
            raise TypeError(
                f"{name} cannot start from a trained model: the noise of its own training is part "
                "of the proof. Pass the LogisticRegression without FrozenEstimator."
            )
        if type(self.estimator) is not LogisticRegression:
            raise TypeError(
                f"{name} works on scikit-learn's LogisticRegression, whose loss it knows, got "
                f"{self.estimator!r}."
            )
        self._check_recipe()
        check_parameters(self)

    def _check_recipe(self):
        name, recipe = type(self).__name__, self.estimator.get_params()
        for key, allowed in _PLAIN.items():
            if key in recipe and not any(recipe[key] is a or recipe[key] == a for a in allowed):
                raise ValueError(
                    f"{name} proves its bound for LogisticRegression with an L2 penalty and "
                    f"nothing else; {key}={recipe[key]!r} is not supported."
                )
        for key in ("C", "intercept_scaling"):
            value = recipe[key]
            if not (isinstance(value, Real) and np.isfinite(value) and value > 0):
                raise ValueError(
                    f"{name} needs a strongly convex objective: {key} must be positive and "
                    f"finite, got {value!r}."
                )
