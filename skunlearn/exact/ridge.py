"""Linear and ridge regression without some rows, computed from sums that they are taken out of."""

from dataclasses import replace
from numbers import Real

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, Ridge, RidgeClassifier
from sklearn.utils.validation import check_array

from skunlearn._rows.constraints import check_parameters
from skunlearn._unlearning.versions_warning import warn_of_versions
from skunlearn.base import BaseUnlearner
from skunlearn.exact._moments import Moments
from skunlearn.exceptions import UnlearningError

_ACCURATE = 1e-10  # relative error of the coefficients beyond which the sums are not used
_DRIFT = 4  # times the rounding of fresh sums that is worth summing anew
_SAME = 1e-5  # relative difference up to which a trained model counts as the solution


class RidgeUnlearner(BaseUnlearner):
    """Take the rows out of the sums that a ridge or linear regression is the solution of.

    Choose it for `Ridge`, `LinearRegression` and `RidgeClassifier` whenever rows are to go: the
    result is that of a training on the kept rows, to rounding, and its cost does not depend on
    how many they are. There is nothing to tune.

    Kept are the means of rows and targets, XᵀX and Xᵀy about them: p × p numbers for p features.
    Rows leave these sums, and one Cholesky factorisation gives the coefficients. The rounding
    that gathers is estimated at each request: when it may pass 1e-10 of the coefficients (huge
    rows went, or very many), the sums are taken anew over the kept rows; where the features are
    too nearly dependent for sums, or a class has lost all rows, the recipe itself is trained.

    Parameters
    ----------
    estimator : Ridge, LinearRegression or RidgeClassifier
        Any penalty, one per target too; without or with intercept, which is not penalised.
        ``solver``, ``max_iter`` and Ridge's ``tol`` have no effect otherwise.
        ``FrozenEstimator(model)`` must hold the solution for the rows that ``fit`` is given.
    published : bool, default=False
        Whether versions of the model leave your hands. Then a request of a single row warns: the
        coefficients before and after give that row away, see
        `skunlearn.evaluation.reconstruction_attack`.
    random_state : int, RandomState instance or None, default=None
        Of stochastic solvers, where the recipe itself is trained.
    store_data : bool, default=True
        Whether pickles hold the retained rows.
    verbose : int, default=0
        Not used.

    Attributes
    ----------
    estimator_ : estimator object
        The current model.
    classes_ : ndarray of shape (n_classes,)
        Labels seen by ``fit``; RidgeClassifier only.
    deletions_ : list of dict
        The log of requests.

    Warns
    -----
    RowRevealedWarning
        When the model is `published` and a request names a single row.

    See Also
    --------
    RetrainUnlearner : Any estimator, by training anew.

    Notes
    -----
    The new coefficients equal w − H⁻¹Xᵀ(I − XH⁻¹Xᵀ)⁻¹(Xw − y) over the rows that go, the formula
    of the literature with H = Σxxᵀ + αI over all rows; from the sums they follow without an error
    that is handed down from request to request. Pickles hold the sums over the kept rows.

    References
    ----------
    R. Cook, S. Weisberg, "Residuals and Influence in Regression", Chapman and Hall 1982,
    https://conservancy.umn.edu/handle/11299/37076

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import Ridge
    >>> from skunlearn import RidgeUnlearner
    >>> X, y = load_diabetes(return_X_y=True)
    >>> unlearner = RidgeUnlearner(Ridge(alpha=0.1)).fit(X, y).unlearn(indices=[0, 7])
    >>> again = Ridge(alpha=0.1).fit(np.delete(X, [0, 7], axis=0), np.delete(y, [0, 7]))
    >>> np.allclose(unlearner.estimator_.coef_, again.coef_, rtol=1e-10)
    True
    """

    _promises = replace(
        BaseUnlearner._promises,
        exact=True,
        corrects=True,
        guarantee="the solution without the rows, to rounding",
        rtol=1e-9,
        takes_nets=False,
        made_for="linear regression",
    )

    _parameter_constraints = {
        **BaseUnlearner._parameter_constraints,
        "published": ["boolean"],
    }

    def __init__(
        self, estimator, *, published=False, random_state=None, store_data=True, verbose=0
    ):
        super().__init__(
            estimator, random_state=random_state, store_data=store_data, verbose=verbose
        )
        self.published = published

    def _first_model(self, rows):
        self._moments = self._sums(rows)
        model = self._solution(rows)
        if isinstance(self.estimator, FrozenEstimator):
            _check_same(self._recipe, model)
        return model

    def _attempt(self, retain, forget, seed):
        if self.published:
            warn_of_versions(self.estimator_, len(forget))
        moments = getattr(self, "_moments", None)  # None when the model was fitted elsewhere
        n = len(retain) if moments is None else moments.n - len(forget)
        # Set since then, it wants products about other means.
        other = moments is not None and moments.centred != self._recipe.fit_intercept
        if moments is None or other or (len(retain) == n and len(forget) > n):
            self._moments = self._sums(self._whole(retain, n))
        else:
            self._moments = moments.without(*self._read_arrays(forget))
        return self._solution(retain)

    def _attempt_correction(self, retain, old, seed):
        if self.published:
            warn_of_versions(self.estimator_, len(old))
        self._moments = self._sums(retain)
        return self._solution(retain)

    def _solution(self, rows):
        """The model for ``_moments``, which are those of `rows` unless these are but a part."""
        alpha = self._penalties()
        coef, error, fresh = self._moments.solve(alpha)
        if error > max(_ACCURATE, _DRIFT * fresh):
            self._moments = self._sums(self._whole(rows, self._moments.n))
            coef, error, fresh = self._moments.solve(alpha)
        if error > _ACCURATE or self._lacks_a_class(rows) or self._cuts_off():
            return self._train(self._whole(rows, self._moments.n))
        intercept = self._moments.mean_y - self._moments.mean_x @ coef
        model = self._model_with(coef.T, intercept)
        if isinstance(model, LinearRegression) and not sparse.issparse(rows.source):
            # As its own solver for arrays says of them; `_cuts_off` has seen to full rank.
            model.rank_, model.singular_ = coef.shape[0], self._moments.singular_values()
        return model

    def _cuts_off(self):
        # LinearRegression leaves out directions along which the rows spread less than `tol`.
        if not isinstance(self._recipe, LinearRegression):
            return False
        smallest = (2 * getattr(self._recipe, "tol", 0.0)) ** 2
        return self._moments.is_flat() or self._moments.reciprocal_condition() < smallest

    def _lacks_a_class(self, rows):
        # The recipe then makes a model of fewer classes.
        if self._classes is None:
            return False
        return len(np.unique(rows.y)) < max(2, len(self.classes_))

    @staticmethod
    def _whole(rows, n):
        if len(rows) == n:
            return rows
        raise UnlearningError(
            "The stored sums alone do not give the model (too ill-conditioned, of another "
            "fit_intercept, or a class may have lost all rows): the request must bring all "
            f"{n} retained rows, not {len(rows)} of them."
        )

    def _sums(self, rows):
        X, Y, weights = self._read_arrays(rows)
        return Moments.of(X, Y, self._recipe.fit_intercept, weights)

    def _read_arrays(self, rows):
        X, y = rows.lend()
        X = check_array(X, accept_sparse="csr", dtype=np.float64, input_name="X")
        if self._classes is None:
            return X, np.asarray(y, dtype=np.float64).reshape(len(y), -1), rows.weights
        first = 1 if len(self.classes_) == 2 else 0
        Y = np.where(y[:, None] == np.arange(first, len(self.classes_)), 1.0, -1.0)
        return X, Y, rows.weights

    def _penalties(self):
        targets = self._moments.cross.shape[1]
        alpha = np.atleast_1d(getattr(self._recipe, "alpha", 0.0)).astype(np.float64)
        if alpha.size not in (1, targets):
            raise ValueError(
                "Number of targets and number of penalties do not correspond: "
                f"{alpha.size} != {targets}"
            )
        return np.broadcast_to(alpha, targets)

    def _model_with(self, coef, intercept):
        model = clone(self._recipe)
        if self._classes is not None:
            # Learning the classes is part of its `fit`; the rows of zeros mean nothing.
            nothing = np.zeros((len(self.classes_), coef.shape[1]))
            RidgeClassifier.fit(model.set_params(alpha=1.0, solver="svd"), nothing, self.classes_)
            model.set_params(**self._recipe.get_params())
            coef = coef.reshape(model.coef_.shape)
            if self._recipe.fit_intercept:
                intercept = intercept.reshape(np.shape(model.intercept_))
        elif self._row_reader.n_targets is None:
            coef, intercept = coef[0], float(intercept[0])
        if not self._recipe.fit_intercept:
            intercept = 0.0
        model.coef_, model.intercept_ = np.ascontiguousarray(coef), intercept
        if hasattr(model, "alpha"):
            model.n_iter_, model.solver_ = None, "cholesky"
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self, name):
                setattr(model, name, getattr(self, name))
        return model

    @property
    def _recipe(self):
        frozen = isinstance(self.estimator, FrozenEstimator)
        return self.estimator.estimator if frozen else self.estimator

    def _check_parameters(self):
        recipe = self._recipe
        if type(recipe) not in (Ridge, LinearRegression, RidgeClassifier):
            raise TypeError(
                "RidgeUnlearner works on scikit-learn's Ridge, LinearRegression and "
                f"RidgeClassifier, got {recipe!r}. RetrainUnlearner takes any estimator."
            )
        for key, plain in (("positive", False), ("class_weight", None)):
            value = getattr(recipe, key, plain)
            if value is not plain:
                raise ValueError(
                    f"RidgeUnlearner cannot keep {key}={value!r}: its solution does not follow "
                    "from sums over the rows. Use RetrainUnlearner."
                )
        alpha = np.atleast_1d(getattr(recipe, "alpha", 0.0))
        if alpha.ndim != 1 or not all(isinstance(a, Real) and a >= 0 for a in alpha.tolist()):
            raise ValueError(f"alpha must be non-negative, got {recipe.alpha!r}.")
        check_parameters(self)


def _check_same(given, solution):
    given = np.append(np.ravel(given.coef_), given.intercept_)
    solution = np.append(np.ravel(solution.coef_), solution.intercept_)
    if given.shape != solution.shape or not np.allclose(
        given, solution, rtol=_SAME, atol=_SAME * np.abs(solution).max()
    ):
        raise ValueError(
            "The trained model is not the solution for these rows: its coefficients differ. "
            "Pass the rows that it was trained on (a solver that iterates may have stopped short "
            "of it: train with a smaller tol), or pass the model without FrozenEstimator."
        )
