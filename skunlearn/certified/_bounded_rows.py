"""Rows of bounded norm, with the intercept as a column."""

import numpy as np
from scipy import sparse
from sklearn.utils.extmath import row_norms
from sklearn.utils.validation import check_array

_SLACK = 1e-6  # float32 rows of norm 1 are off by this much
_ROUNDING = 1e-12  # of a norm that was made to be the bound


def bound_rows(X, row_norm, clip):
    """`X` as float64 with ‖x‖ ≤ row_norm: longer rows are scaled down, or refused.

    The scale of a row depends on that row and on nothing else.
    """
    X = check_array(X, accept_sparse="csr", dtype=np.float64, input_name="X")
    norms = row_norms(X)
    too_long = norms > row_norm * (1 + _SLACK)
    if not clip and too_long.any():
        raise ValueError(
            f"{too_long.sum()} of {len(norms)} rows of X are longer than row_norm={row_norm} "
            f"(the longest has norm {norms.max():.4g}): the proof does not hold for them. Use "
            "clip=True, sklearn.preprocessing.Normalizer, which scales each row by itself, or a "
            "larger row_norm. A StandardScaler learns from all rows, the forgotten ones too."
        )
    if norms.max(initial=0.0) <= row_norm * (1 + _ROUNDING):
        return X
    scale = row_norm / np.maximum(norms, row_norm)
    return sparse.diags(scale).dot(X).tocsr() if sparse.issparse(X) else X * scale[:, None]


def with_constant(X, value):
    """`X` with a column of one value for the intercept; as it is when the value is 0."""
    if value == 0:
        return X
    column = np.full((X.shape[0], 1), value)
    if sparse.issparse(X):
        return sparse.hstack([X, column], format="csr")
    return np.hstack([X, column])
