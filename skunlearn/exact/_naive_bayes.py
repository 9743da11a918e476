"""Naive Bayes from sums over the rows of each class."""

from dataclasses import dataclass

import numpy as np
from sklearn.base import clone
from sklearn.preprocessing import binarize

from skunlearn.exact._sums import Sums


@dataclass(frozen=True)
class GaussianStatistic:
    """Sums and sums of squares by class, from which GaussianNB follows."""

    sums: Sums
    dtype: np.dtype

    kind = "squares"
    compared = ("theta_", "var_", "class_count_")

    @classmethod
    def of(cls, recipe, X, y, n_classes):
        """The statistic of rows with codes of classes."""
        return cls(Sums.of(X, y, n_classes, cls.kind), X.dtype)

    def without(self, recipe, X, y):
        """The statistic when rows go, or None when all sums must be taken anew."""
        sums = self.sums.without(X, y)
        return None if sums.is_coarse() else type(self)(sums, self.dtype)

    def model(self, recipe, classes):
        """The fitted model; None where it does not follow from the sums."""
        seen = self.sums.count() > 0
        # Its own `fit` checks parameters and learns classes; the rows of zeros mean nothing.
        empty = np.zeros((seen.sum(), self.sums.n.shape[1]), self.dtype)
        model = clone(recipe).fit(empty, classes[seen])
        count, pooled = self.sums.count()[seen], self.sums.pool()
        spread = pooled.scatter()[0] / pooled.count()
        epsilon = model.var_smoothing * spread.max()
        model.epsilon_ = type(model.epsilon_)(epsilon)
        var = self.sums.scatter()[seen] / count[:, None] + epsilon
        model.theta_ = self.sums.means()[seen].astype(model.theta_.dtype)
        model.var_ = var.astype(model.var_.dtype)
        model.class_count_ = count.astype(model.class_count_.dtype)
        if model.priors is None:
            model.class_prior_ = model.class_count_ / model.class_count_.sum()
        return model


@dataclass(frozen=True)
class CountStatistic(GaussianStatistic):
    """Sums by class, from which MultinomialNB, ComplementNB and BernoulliNB follow."""

    kind = None
    compared = ("feature_count_", "class_count_", "feature_log_prob_")

    @classmethod
    def of(cls, recipe, X, y, n_classes):
        """The statistic of rows with codes of classes."""
        return super().of(recipe, _binary(recipe, X), y, n_classes)

    def without(self, recipe, X, y):
        """The statistic when rows go, or None when all sums must be taken anew."""
        return super().without(recipe, _binary(recipe, X), y)

    def model(self, recipe, classes):
        """The fitted model: its own, of one row a class that holds the sum, and empty rows."""
        seen = self.sums.count() > 0
        totals, count = self.sums.totals()[seen], self.sums.count()[seen]
        rows = np.vstack([totals, np.zeros_like(totals)])
        weights = np.append(np.ones(len(count)), count - 1.0)
        model = clone(recipe)
        if hasattr(model, "binarize"):
            model.set_params(binarize=None)
        model.fit(rows, np.tile(classes[seen], 2), sample_weight=weights)
        if hasattr(model, "binarize"):
            model.set_params(binarize=recipe.binarize)
        return model


COUNTED_CATEGORIES = (
    "CategoricalNB takes the number of categories from the rows, and could not be asked about one "
    "whose only row is forgotten. Say how many there are with min_categories=, one more than the "
    "largest; or use RetrainUnlearner."
)


@dataclass(frozen=True)
class CategoryStatistic:
    """Counts of categories by feature and class, from which CategoricalNB follows."""

    counts: list
    rows: np.ndarray

    compared = ("class_count_",)

    @classmethod
    def of(cls, recipe, X, y, n_classes):
        """The statistic of rows with codes of classes."""
        sizes = np.broadcast_to(recipe.min_categories, X.shape[1])
        X = X.astype(np.int64)
        if (X.max(axis=0) >= sizes).any():
            raise ValueError(COUNTED_CATEGORIES)
        if X.min() < 0:
            raise ValueError("Negative values in data passed to CategoricalNB (input X).")
        return cls(_categories(X, y, n_classes, sizes), np.bincount(y, minlength=n_classes))

    def without(self, recipe, X, y):
        """The statistic when rows go."""
        sizes = [count.shape[1] for count in self.counts]
        gone = _categories(X.astype(np.int64), y, len(self.rows), sizes)
        counts = [ours - theirs for ours, theirs in zip(self.counts, gone)]
        return type(self)(counts, self.rows - np.bincount(y, minlength=len(self.rows)))

    def model(self, recipe, classes):
        """The fitted model."""
        seen = self.rows > 0
        empty = np.zeros((seen.sum(), len(self.counts)), np.int64)
        with np.errstate(divide="ignore"):
            model = clone(recipe).fit(empty, classes[seen])
        model.class_count_ = self.rows[seen].astype(np.float64)
        if model.class_prior is None and model.fit_prior:
            model.class_log_prior_ = np.log(model.class_count_) - np.log(model.class_count_.sum())
        alpha = model.alpha if model.force_alpha else max(model.alpha, 1e-10)
        model.category_count_ = [count[seen].astype(np.float64) for count in self.counts]
        with np.errstate(divide="ignore"):
            model.feature_log_prob_ = [
                np.log(count + alpha) - np.log((count + alpha).sum(axis=1, keepdims=True))
                for count in model.category_count_
            ]
        return model


def _categories(X, y, n_classes, sizes):
    return [
        np.bincount(y * size + column, minlength=n_classes * size).reshape(n_classes, size)
        for column, size in zip(X.T, sizes)
    ]


def _binary(recipe, X):
    threshold = getattr(recipe, "binarize", None)
    return X if threshold is None else binarize(X, threshold=threshold)
