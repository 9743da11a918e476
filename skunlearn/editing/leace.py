"""LEACE: take out of the features what a linear model could tell of an attribute."""

from numbers import Integral

import numpy as np
import torch
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_array,
    check_consistent_length,
    check_is_fitted,
    validate_data,
)

_NOTHING = 1e-10  # singular values up to which an attribute counts as told by nothing


class LEACE(TransformerMixin, BaseEstimator):
    """Erase an attribute from features, so that no linear model can tell it (LEACE).

    Choose it where rows may stay and something about them must go: a sex, an origin, a person's
    name in embeddings. It is no unlearning of rows; as a step of `UnlearningPipeline` it forgets
    them like a scaler does, and what is behind it learns from features without the attribute.

    Every x is moved as little as possible (least squares, in whatever metric) to

    r(x) = x − W⁺ P W (x − μ),

    W = Σ_xx^(−1/2) whitens and P projects on the columns of W Σ_xz, after which the features have
    no covariance with the attribute z: the best linear model of it, for any convex loss, is a
    constant. That is proved of the rows of ``fit``. What is not linear in the features is left, and
    a net can find it.

    The extra ``erasure`` brings the authors' package: ``pip install "skunlearn[erasure]"``.

    Parameters
    ----------
    columns : sequence of str or int, default=None
        Columns of X that are the attribute; the others are transformed, and these are left out.
        None takes the second argument of ``fit`` for it: in a pipeline that is y, of which nothing
        would be left, so that a step of a pipeline needs `columns`.

    Attributes
    ----------
    mean_ : ndarray of shape (n_kept,)
        μ of the columns that are transformed.
    left_ : ndarray of shape (n_kept, k)
        W⁺ U, U the columns that P projects on; k is the rank of the covariance.
    right_ : ndarray of shape (k, n_kept)
        Uᵀ W, so that r(x) is ``x - left_ @ right_ @ (x - mean_)``.
    n_features_in_, feature_names_in_
        See scikit-learn.

    See Also
    --------
    UnlearningPipeline : Takes it as a step.

    Notes
    -----
    Computed in float64 by ``concept_erasure.LeaceFitter``, without its shrinkage and its bound on
    the trace, with either of which some covariance may be left.

    References
    ----------
    N. Belrose, D. Schneider-Joseph, S. Ravfogel, R. Cotterell, E. Raff, S. Biderman, "LEACE:
    Perfect Linear Concept Erasure in Closed Form", NeurIPS 2023, https://arxiv.org/abs/2306.03819

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from skunlearn import LEACE
    >>> X, species = load_iris(return_X_y=True)
    >>> erased = LEACE().fit_transform(X, species)  # doctest: +SKIP
    >>> LogisticRegression().fit(erased, species).score(erased, species)  # doctest: +SKIP
    0.3333333333333333
    """

    def __init__(self, columns=None):
        self.columns = columns

    def fit(self, X, y=None):
        """Learn what tells of the attribute.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            With the attribute among the columns where `columns` names them.
        y : array-like of shape (n,) or (n, k)
            The attribute z: classes, labels as indicators, or numbers. Not read where `columns`
            says which columns it is.

        Returns
        -------
        self : object

        Raises
        ------
        ImportError
            When the extra ``erasure`` is not installed.
        ValueError
            When `columns` are not those of X, nothing would be left, or the attribute is missing.
        """
        whole = validate_data(self, X, dtype=None if self.columns is not None else "numeric")
        if self.columns is None:
            if y is None:
                raise ValueError(
                    "LEACE requires y to be passed, but the target y is None: give the attribute "
                    "as the second argument, or name columns=."
                )
            self._kept = np.arange(whole.shape[1])
        else:
            gone = self._places()
            self._kept = np.setdiff1d(np.arange(whole.shape[1]), gone)
            if not len(self._kept):
                raise ValueError("columns= names every column of X: no feature is left.")
            y = whole[:, gone]
        kept = check_array(whole[:, self._kept], dtype=np.float64, ensure_min_samples=2)
        check_consistent_length(kept, y)
        # Of columns of whatever size the solution is the same, but not what is lost in rounding.
        center, scale = kept.mean(axis=0), _spreads(kept)
        eraser = _eraser((kept - center) / scale, _numbers(y))
        left, right = scale[:, None] * eraser.proj_left.numpy(), eraser.proj_right.numpy() / scale
        self.mean_ = center + scale * eraser.bias.numpy()
        told = np.abs(right).any(axis=1)
        self.left_, self.right_ = left[:, told], right[told]
        return self

    def transform(self, X):
        """The features without the attribute.

        Parameters
        ----------
        X : array-like of shape (n, n_features)
            Features as in ``fit``, of the same columns.

        Returns
        -------
        erased : ndarray of shape (n, n_kept)
            float32 of float32 features, float64 of others.
        """
        check_is_fitted(self)
        whole = validate_data(
            self, X, dtype=None if self.columns is not None else "numeric", reset=False
        )
        kept = check_array(whole[:, self._kept], dtype=[np.float64, np.float32])
        moved = (kept - self.mean_) @ self.right_.T @ self.left_.T
        return (kept - moved).astype(kept.dtype)

    def get_feature_names_out(self, input_features=None):
        """Names of the columns that are left.

        Parameters
        ----------
        input_features : array-like of str, default=None
            Names of the columns of X; None takes those of ``fit``.

        Returns
        -------
        names : ndarray of str
        """
        check_is_fitted(self)
        return _check_feature_names_in(self, input_features)[self._kept]

    def _places(self):
        """Where the columns of the attribute stand."""
        names = getattr(self, "feature_names_in_", None)
        columns = self.columns
        if isinstance(columns, str | Integral):
            columns = [columns]
        places = []
        for column in columns:
            found = np.flatnonzero(names == column) if isinstance(column, str) else [column]
            if names is None and isinstance(column, str):
                raise ValueError(f"columns= names {column!r}, and X has no names of columns.")
            if len(found) != 1 or not -self.n_features_in_ <= found[0] < self.n_features_in_:
                raise ValueError(
                    f"columns= names {column!r}, which is no column of X: it has "
                    f"{self.n_features_in_}"
                    + ("." if names is None else f": {', '.join(map(str, names))}.")
                )
            places.append(int(found[0]) % self.n_features_in_)
        if not places:
            raise ValueError("columns= is empty: name the attribute, or pass None.")
        return np.unique(places)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = self.columns is None
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _spreads(X):
    """Standard deviation of each column, 1 of one that does not vary but by rounding."""
    spread = X.std(axis=0)
    return np.where(spread > 10 * np.finfo(np.float64).eps * np.abs(X).max(axis=0), spread, 1.0)


def _numbers(z):
    """The attribute as columns of numbers: an indicator for each class, numbers as they are."""
    z = check_array(z, ensure_2d=False, dtype=None)
    columns = z[:, None] if z.ndim == 1 else z
    return np.column_stack([_column(column) for column in columns.T]).astype(np.float64)


def _column(values):
    if type_of_target(values) == "continuous":
        return values
    if values.dtype.kind == "O":
        try:
            numbers = values.astype(np.float64)
        except (TypeError, ValueError):
            pass
        else:
            if type_of_target(numbers) == "continuous":
                return numbers
    classes, codes = np.unique(values, return_inverse=True)
    return np.eye(len(classes))[codes]


def _eraser(X, Z):
    try:
        from concept_erasure import LeaceFitter
    except ImportError as error:
        raise ImportError(
            'LEACE is computed by the package concept-erasure: pip install "skunlearn[erasure]".'
        ) from error
    Z = Z / _spreads(Z)  # scale has no part in what is told
    return LeaceFitter.fit(
        torch.from_numpy(np.ascontiguousarray(X)),
        torch.from_numpy(Z),
        shrinkage=False,
        constrain_cov_trace=False,
        svd_tol=_NOTHING,
    ).eraser
