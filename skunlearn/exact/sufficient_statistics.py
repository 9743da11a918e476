"""Naive Bayes, linear discriminant analysis and nearest neighbours without some rows."""

from dataclasses import replace

import numpy as np
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.frozen import FrozenEstimator
from sklearn.naive_bayes import (
    BernoulliNB,
    CategoricalNB,
    ComplementNB,
    GaussianNB,
    MultinomialNB,
)
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
from sklearn.utils.validation import check_array, check_is_fitted, check_non_negative

from skunlearn._rows.constraints import check_parameters
from skunlearn._torch import skorch_nets
from skunlearn.base import BaseUnlearner
from skunlearn.exact._discriminant import DiscriminantStatistic, refuse_discriminant
from skunlearn.exact._naive_bayes import (
    COUNTED_CATEGORIES,
    CategoryStatistic,
    CountStatistic,
    GaussianStatistic,
)
from skunlearn.exceptions import UnlearningError

_STATISTICS = {
    GaussianNB: GaussianStatistic,
    MultinomialNB: CountStatistic,
    ComplementNB: CountStatistic,
    BernoulliNB: CountStatistic,
    CategoricalNB: CategoryStatistic,
    LinearDiscriminantAnalysis: DiscriminantStatistic,
}
_NEIGHBORS = (
    KNeighborsClassifier,
    KNeighborsRegressor,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)
_COUNTED_BY = ("binarize", "min_categories")
_SAME = 1e-5  # relative difference up to which a trained model counts as the solution


class SufficientStatisticsUnlearner(BaseUnlearner):
    """Take the rows out of the sums that a model is computed from (naive Bayes, LDA, neighbours).

    Choose it for naive Bayes, linear discriminant analysis and nearest neighbours whenever rows
    are to go: the result is that of a training on the kept rows, to rounding. There is nothing to
    tune.

    These models are functions of a few sums over the rows: counts, sums and sums of squares of
    each class for naive Bayes, sums of products for LinearDiscriminantAnalysis. The sums are kept
    free of rounding: columns are written in whole numbers of 54 bits, so that rows that are taken
    out leave the very sums of the others, whatever their size and number. (Where rows have gone
    that were very much larger than all others, the kept rows are summed anew.) The cost of a
    request does not depend on the number of kept rows. Nearest neighbours have no sums: the rows
    are the model, and go out of it with a new index over the others. With ``sample_weight`` in
    ``fit``, which naive Bayes takes, no sums are kept: the model of the kept rows is computed anew.

    Parameters
    ----------
    estimator : GaussianNB, MultinomialNB, ComplementNB, BernoulliNB, CategoricalNB, \
            LinearDiscriminantAnalysis, KNeighbors* or RadiusNeighbors*, or FrozenEstimator of one
        CategoricalNB needs `min_categories`. LinearDiscriminantAnalysis takes any solver, with
        fixed shrinkage; the signs of its axes (``transform``) are arbitrary, as its own are.
        ``FrozenEstimator(model)`` must have been trained on the rows that ``fit`` is given.
    random_state : int, RandomState instance or None, default=None
        Not used by these models.
    store_data : bool, default=True
        Whether pickles hold the retained rows. The model of nearest neighbours holds them anyway.
    verbose : int, default=0
        Not used.

    Attributes
    ----------
    estimator_ : estimator object
        The current model.
    classes_ : ndarray of shape (n_classes,)
        Labels seen by ``fit``; classifiers only.
    deletions_ : list of dict
        The log of requests.

    Raises
    ------
    TypeError
        For another estimator.
    ValueError
        For settings under which the model does not follow from the sums.

    See Also
    --------
    RidgeUnlearner : Ridge and linear regression.
    UnlearningPipeline : Scalers and PCA forget in the same manner.

    Notes
    -----
    Pickles hold the sums over the kept rows. Of exactly one row they are that row: a model that
    was trained on a single row of a class gives it away, with or without unlearning.

    References
    ----------
    Y. Cao, J. Yang, "Towards Making Systems Forget with Machine Unlearning", IEEE S&P 2015,
    https://doi.org/10.1109/SP.2015.35

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.naive_bayes import GaussianNB
    >>> from skunlearn import SufficientStatisticsUnlearner
    >>> X, y = load_iris(return_X_y=True)
    >>> unlearner = SufficientStatisticsUnlearner(GaussianNB()).fit(X, y).unlearn(indices=[0, 7])
    >>> again = GaussianNB().fit(np.delete(X, [0, 7], axis=0), np.delete(y, [0, 7]))
    >>> np.allclose(unlearner.estimator_.var_, again.var_, rtol=1e-12)
    True
    """

    _promises = replace(
        BaseUnlearner._promises,
        exact=True,
        corrects=True,
        guarantee="the solution without the rows, to rounding",
        rtol=1e-9,
        takes_nets=False,
        made_for="naive Bayes, LDA, neighbours",
        watches_training=True,  # sums over the rows
    )

    def __init__(self, estimator, *, random_state=None, store_data=True, verbose=0):
        super().__init__(
            estimator, random_state=random_state, store_data=store_data, verbose=verbose
        )

    def _first_model(self, rows):
        self._n = len(rows)
        model = self._solution(self._sum_up(rows), rows)
        if isinstance(self.estimator, FrozenEstimator):
            _check_same(self._recipe, model, self._kind)
        return model

    def _attempt(self, retain, forget, seed):
        self._refuse_few(retain)
        n, statistic = self._n - len(forget), None
        self._n = n
        known = self._statistic is not None and self._fits_sums()
        if known and not (len(retain) == n and len(forget) > n):
            statistic = self._statistic.without(self._recipe, *self._read_arrays(forget))
        if statistic is None:
            statistic = self._sum_up(self._whole(retain))
        return self._solution(statistic, retain)

    def _attempt_correction(self, retain, old, seed):
        self._refuse_few(retain)
        self._n = len(retain)
        return self._solution(self._sum_up(retain), retain)

    @property
    def _kind(self):
        return _STATISTICS.get(type(self._recipe))

    def _sum_up(self, rows):
        if self._kind is None or rows.weights is not None:
            return None
        self._summed = self._name_sums()
        return self._kind.of(self._recipe, *self._read_arrays(rows), len(self.classes_))

    def _name_sums(self):
        """What the recipe computes its sums by: its class, and settings that shape them."""
        values = [np.asarray(getattr(self._recipe, name, None)).tolist() for name in _COUNTED_BY]
        return [type(self._recipe).__name__, *values]

    def _fits_sums(self):
        """Whether the sums are those of the recipe as it is now: it may have been set anew."""
        return vars(self).get("_summed", self._name_sums()) == self._name_sums()

    def _refuse_few(self, rows):
        """Raise where fewer rows are left than an answer is made of."""
        least = getattr(self._recipe, "n_neighbors", None)
        if least is not None and len(rows) < least:
            raise UnlearningError(
                f"Only {len(rows)} rows would be left, and each answer of this "
                f"{type(self._recipe).__name__} takes {least} neighbours. Nothing was forgotten: "
                "set fewer n_neighbors and fit anew, or delete the model."
            )

    def _solution(self, statistic, rows):
        self._statistic = statistic
        model = None if statistic is None else statistic.model(self._recipe, self.classes_)
        if model is None:
            rows = self._whole(rows)
            if rows.weights is not None:  # a class of weight zero is a class without rows
                mass = np.bincount(rows.y, rows.weights)
                rows = rows.take(np.flatnonzero(mass[rows.y]))
            return self._train(rows)
        if hasattr(self, "feature_names_in_"):
            model.feature_names_in_ = self.feature_names_in_
        return model

    def _whole(self, rows):
        if len(rows) == self._n:
            return rows
        raise UnlearningError(
            f"The stored sums alone do not give this {type(self._recipe).__name__}: the request "
            f"must bring all {self._n} retained rows, not {len(rows)} of them."
        )

    def _read_arrays(self, rows):
        X, y = rows.arrays()
        X = check_array(
            X,
            accept_sparse="csr" if self._kind is CountStatistic else False,
            dtype=[np.float64, np.float32],
            input_name="X",
        )
        if type(self._recipe) in (MultinomialNB, ComplementNB):
            check_non_negative(X, f"{type(self._recipe).__name__} (input X)")
        return X, np.asarray(y)

    @property
    def _recipe(self):
        return skorch_nets.unwrap(self.estimator)

    def _check_parameters(self):
        recipe = self._recipe
        if type(recipe) not in (*_STATISTICS, *_NEIGHBORS):
            raise TypeError(
                "SufficientStatisticsUnlearner works on scikit-learn's naive Bayes classifiers, "
                "LinearDiscriminantAnalysis, KNeighbors* and RadiusNeighbors*, got "
                f"{recipe!r}. RidgeUnlearner takes ridge and linear regression, RetrainUnlearner "
                "any estimator."
            )
        if isinstance(self.estimator, FrozenEstimator):
            check_is_fitted(recipe)
        if isinstance(recipe, CategoricalNB) and recipe.min_categories is None:
            raise ValueError(COUNTED_CATEGORIES)
        why = None
        if isinstance(recipe, LinearDiscriminantAnalysis):
            why = refuse_discriminant(recipe)
        elif getattr(recipe, "metric", None) == "precomputed":
            why = "metric='precomputed', whose rows are distances to all other rows,"
        if why is not None:
            raise ValueError(
                f"SufficientStatisticsUnlearner cannot keep {why} as the model would not follow "
                "from sums over the rows. Use RetrainUnlearner."
            )
        check_parameters(self)


def _check_same(given, solution, kind):
    names = ("_fit_X", "_y") if kind is None else kind.compared
    for name in names:
        ours, theirs = getattr(solution, name), getattr(given, name)
        ours, theirs = (a.toarray() if hasattr(a, "toarray") else a for a in (ours, theirs))
        if ours.shape != theirs.shape or not np.allclose(
            ours, theirs, rtol=_SAME, atol=_SAME * np.abs(ours).max()
        ):
            raise ValueError(
                "The trained model is not the one of these rows. Pass the rows that it was trained "
                "on, in their order (and without weights, or with those of its training), or the "
                "model without FrozenEstimator."
            )


__all__ = ["SufficientStatisticsUnlearner"]
