"""Rows of the containers that random tasks come in."""

import numpy as np
import pandas as pd
import torch
from scipy import sparse
from torch.utils.data import Dataset, Subset, TensorDataset

from tests.fuzz_tasks import Plain


def elsewhere(X):
    """Rows that no task holds, in the form of `X`."""
    if isinstance(X, list):
        return [[77] * len(X[0])]
    if isinstance(X, pd.DataFrame):
        return X.iloc[:1] * 0 + 77
    if sparse.issparse(X):
        return sparse.csr_matrix(np.full((1, X.shape[1]), 77).astype("f4"))
    full = torch.full if isinstance(X, torch.Tensor) else np.full
    return full((1, *X.shape[1:]), 77)


def native(X):
    """`X` in this machine's byte order."""
    return X.astype(X.dtype.newbyteorder("=")) if isinstance(X, np.ndarray) else X


def take_rows(X, rows):
    """Rows of any container at positions."""
    if isinstance(X, dict):
        return {key: value[rows] for key, value in X.items()}
    if isinstance(X, list):
        return [X[i] for i in rows]
    if isinstance(X, pd.DataFrame | pd.Series):
        return X.iloc[rows]
    if isinstance(X, Dataset):
        return Subset(X, rows)
    return (X.tocsr() if sparse.issparse(X) else X)[rows]


def as_bytes(X):
    """What a container holds, comparable with ==."""
    if isinstance(X, dict):
        return [as_bytes(X[key]) for key in sorted(X)]
    if sparse.issparse(X):
        return X.format, X.dtype.str, X.toarray().tobytes()
    if isinstance(X, torch.Tensor):
        return str(X.dtype), X.double().numpy().tobytes()
    if isinstance(X, TensorDataset):
        return [as_bytes(t) for t in X.tensors]
    if isinstance(X, Plain):
        return as_bytes(X.X), repr(X.y)
    if isinstance(X, np.ndarray) and X.dtype != object:
        return X.dtype.str, X.tobytes()
    if isinstance(X, pd.DataFrame | pd.Series):
        return repr(X.to_numpy().tolist())
    return repr(X.tolist() if hasattr(X, "tolist") else X)
