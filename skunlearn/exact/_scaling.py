"""Transformers that follow from sums over the rows: StandardScaler and PCA."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
from scipy.linalg import eigh
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler
from sklearn.utils.extmath import svd_flip
from sklearn.utils.validation import validate_data

from skunlearn.exact._sums import Sums

_EPS = np.finfo(np.float64).eps
_RESOLVED = 1e-10  # variances below this, relative to the largest, are rounding


@dataclass(frozen=True)
class ScalerStatistic:
    """Sums and sums of squares, from which a StandardScaler follows."""

    sums: Sums

    kind = "squares"

    @classmethod
    def of(cls, step, X):
        """The statistic of the rows that a fitted step was fitted on."""
        X = cls._check_rows(step, X)
        return cls(Sums.of(X, np.zeros(X.shape[0], int), 1, cls.kind))

    def without(self, step, X):
        """The statistic when rows go, and the step of the others; None when it must be fitted."""
        X = self._check_rows(step, X)
        sums = self.sums.without(X, np.zeros(X.shape[0], int))
        statistic = None if sums.is_coarse() else type(self)(sums)
        new = None if statistic is None else statistic.step(step)
        return None if new is None else (statistic, new)

    @staticmethod
    def _check_rows(step, X):
        return validate_data(
            step,
            X,
            reset=False,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
        )

    def step(self, old):
        """The fitted step of the rows that are left; `old` is that of before."""
        n = self.sums.n[0]
        mean, var = self.sums.means()[0], self.sums.scatter()[0] / np.maximum(n, 1)
        new = _copy(old)
        seen = n.astype(np.asarray(old.n_samples_seen_).dtype)  # floats, of sparse rows
        new.n_samples_seen_ = seen[0] if n.min() == n.max() else seen
        if old.mean_ is not None:
            new.mean_ = mean.astype(old.mean_.dtype)
        if old.var_ is not None:
            new.var_ = np.where(n > 0, var, np.nan).astype(old.var_.dtype)
        if old.scale_ is not None:
            scale = np.sqrt(new.var_)
            # As scikit-learn tells constant columns: by the rounding of its own sums.
            scale[new.var_ <= n * _EPS * new.var_ + (n * mean * _EPS) ** 2] = 1.0
            new.scale_ = scale
        return new


@dataclass(frozen=True)
class ComponentStatistic(ScalerStatistic):
    """Sums of products, from which a PCA by full decomposition follows."""

    kind = "products"

    @classmethod
    def of(cls, step, X):
        """The statistic of the rows that a fitted step was fitted on; None where it is no use."""
        if not _is_full(step, *X.shape):
            return None
        return super().of(step, X)

    def step(self, old):
        """The fitted step of the rows that are left, or None when it must be fitted anew."""
        n, p = int(self.sums.count()[0]), self.sums.n.shape[1]
        if not _is_full(old, n, p):
            return None
        values, vectors = eigh(self.sums.scatter() / (n - 1))
        values = np.maximum(values[::-1], 0.0)
        total = values.sum()
        if total == 0:
            return None
        kept = p if old.n_components is None else old.n_components
        if not isinstance(kept, Integral):
            kept = int(np.searchsorted(np.cumsum(values / total), kept, side="right")) + 1
            kept = min(kept, p)
        noise = values[kept:].mean() if kept < p else 0.0
        least = min(values[kept - 1], noise) if kept < p else values[kept - 1]
        if least <= _RESOLVED * values[0]:
            return None
        components = svd_flip(None, vectors[:, ::-1].T, u_based_decision=False)[1]
        new, like = _copy(old), old.components_.dtype
        new.mean_ = self.sums.means()[0].astype(like)
        new.components_ = components[:kept].astype(like)
        new.explained_variance_ = values[:kept].astype(like)
        new.explained_variance_ratio_ = (values[:kept] / total).astype(like)
        new.singular_values_ = np.sqrt(values[:kept] * (n - 1)).astype(like)
        new.noise_variance_ = noise
        new.n_samples_, new.n_components_ = n, kept
        return new


def _is_full(step, n, p):
    """Whether PCA decomposes fully, so that the result does not depend on how."""
    kept = step.n_components
    if kept == "mle" or n <= p or step.svd_solver not in ("auto", "full", "covariance_eigh"):
        return False
    tall = p <= 1000 and n >= 10 * p
    share = isinstance(kept, Integral) and 1 <= kept < 0.8 * p
    return step.svd_solver != "auto" or tall or n <= 500 or not share


def _copy(step):
    new = object.__new__(type(step))
    vars(new).update(vars(step))
    return new


STATISTICS = {StandardScaler: ScalerStatistic, PCA: ComponentStatistic}
