"""Linear discriminant analysis from sums over the rows."""

from dataclasses import dataclass

import numpy as np
import sklearn
from scipy.linalg import LinAlgError, eigh, lstsq, svd
from sklearn.base import clone
from sklearn.covariance import shrunk_covariance
from sklearn.utils.fixes import parse_version

from skunlearn.exact._sums import Sums

# Until then the within-class covariance was divided by n − n_classes.
_BIASED = parse_version(sklearn.__version__) >= parse_version("1.9")
_RESOLVED = 1e-7  # singular values below this, relative to the largest, are rounding


@dataclass(frozen=True)
class DiscriminantStatistic:
    """Sums by class, and of products over all rows."""

    sums: Sums
    dtype: np.dtype

    compared = ("coef_", "intercept_", "means_")

    @classmethod
    def of(cls, recipe, X, y, n_classes):
        """The statistic of rows with codes of classes."""
        if len(X) == n_classes:
            raise ValueError(
                f"The number of samples must be more than the number of classes, got n_samples = "
                f"{len(X)} of {n_classes} classes."
            )
        return cls(Sums.of(X, y, n_classes, "products"), X.dtype)

    def without(self, recipe, X, y):
        """The statistic when rows go, or None when all sums must be taken anew."""
        sums = self.sums.without(X, y)
        return None if sums.is_coarse() else type(self)(sums, self.dtype)

    def model(self, recipe, classes):
        """The fitted model; None where it does not follow from the sums."""
        seen = self.sums.count() > 0
        count, means = self.sums.count()[seen].astype(float), self.sums.means()[seen]
        if len(count) < 2 or count.sum() == len(count):
            return None
        model = _empty(recipe, classes[seen], means.shape[1], self.dtype)
        priors = count / count.sum() if recipe.priors is None else model.priors_
        within = self.sums.scatter() / count.sum()
        parts = _SOLVERS[recipe.solver](model, count, priors, means, within)
        if parts is None:
            return None
        coef, intercept = parts.pop("coef_"), parts.pop("intercept_")
        if len(count) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        parts |= {"coef_": coef, "intercept_": intercept, "means_": means, "priors_": priors}
        # As scikit-learn does: a covariance is float64, and so is what is solved from it.
        exempt = {"covariance_"}
        if recipe.solver != "svd":
            exempt |= {"scalings_", "explained_variance_ratio_"}
            exempt |= {"coef_", "intercept_"} if len(count) > 2 else set()
        for name, value in parts.items():
            dtype = np.float64 if name in exempt else self.dtype
            setattr(model, name, np.asarray(value, dtype=dtype))
        return model


def _empty(recipe, classes, p, dtype):
    """A model that has checked its parameters and knows its classes, and nothing else."""
    rows = np.zeros((2 * len(classes), p), dtype)
    rows[:, 0] = np.arange(len(rows)) ** 2
    model = clone(recipe).set_params(solver="svd", shrinkage=None, store_covariance=False)
    model.fit(rows, np.repeat(classes, 2)).set_params(**recipe.get_params(deep=False))
    for name in ("scalings_", "xbar_", "explained_variance_ratio_"):
        delattr(model, name)
    return model


def _solve_svd(model, count, priors, means, within):
    n, n_classes = count.sum(), len(count)
    std = np.sqrt(np.diag(within))
    std[std == 0] = 1.0
    scaled = within / std / std[:, None]
    if not _BIASED:
        scaled *= n / (n - n_classes)
    values, vectors = eigh(scaled)
    S, V = np.sqrt(np.maximum(values[::-1], 0)), vectors[:, ::-1]
    if model.tol < _RESOLVED * S[0]:
        return None
    rank = int((model.tol < S).sum())
    if rank == 0:
        raise ValueError(
            f"No feature varies within the classes by more than tol={model.tol:g}, so that "
            "LinearDiscriminantAnalysis has no solution."
        )
    scalings = V[:, :rank] / std[:, None] / S[:rank]
    center = priors @ means
    between = np.sqrt(n * priors / max(1, n_classes - 1))[:, None] * (means - center)
    S, Vt = svd(between @ scalings, full_matrices=False)[1:]
    scalings = scalings @ Vt.T[:, : int((model.tol * S[0] < S).sum())]
    coef = (means - center) @ scalings
    intercept = -0.5 * (coef**2).sum(axis=1) + np.log(priors)
    coef = coef @ scalings.T
    parts = {
        "coef_": coef,
        "intercept_": intercept - center @ coef.T,
        "scalings_": scalings,
        "xbar_": center,
        "explained_variance_ratio_": (S**2 / (S**2).sum())[: model._max_components],
    }
    return parts | ({"covariance_": within} if model.store_covariance else {})


def _solve_lsqr(model, count, priors, means, within):
    covariance = shrunk_covariance(within, model.shrinkage or 0.0)
    coef = lstsq(covariance, means.T)[0].T
    intercept = -0.5 * np.einsum("cp,cp->c", means, coef) + np.log(priors)
    return {"coef_": coef, "intercept_": intercept, "covariance_": covariance}


def _solve_eigen(model, count, priors, means, within):
    center = count @ means / count.sum()
    total = within + ((means - center).T * count / count.sum()) @ (means - center)
    shrinkage = model.shrinkage or 0.0
    within, total = shrunk_covariance(within, shrinkage), shrunk_covariance(total, shrinkage)
    try:
        values, vectors = eigh(total - within, within)
    except LinAlgError:  # no spread within the classes along some direction
        return None
    values, vectors = values[::-1], vectors[:, ::-1]
    coef = means @ vectors @ vectors.T
    intercept = -0.5 * np.einsum("cp,cp->c", means, coef) + np.log(priors)
    return {
        "coef_": coef,
        "intercept_": intercept,
        "covariance_": within,
        "scalings_": vectors,
        "explained_variance_ratio_": (values / values.sum())[: model._max_components],
    }


_SOLVERS = {"svd": _solve_svd, "lsqr": _solve_lsqr, "eigen": _solve_eigen}


def refuse_discriminant(recipe):
    """Why the solution does not follow from the sums, or None."""
    if recipe.shrinkage == "auto":
        return "shrinkage='auto'"
    if recipe.covariance_estimator is not None:
        return f"covariance_estimator={recipe.covariance_estimator!r}"
    if recipe.priors is not None and (recipe.solver != "svd" or recipe.store_covariance):
        return "priors= with a covariance, which then weighs each class's own,"
    return None
