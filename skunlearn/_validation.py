"""Checks of what users pass in: rows, labels, masks, requests."""

import sys
import warnings

import numpy as np
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.utils import assert_all_finite, check_scalar, column_or_1d, get_tags
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_consistent_length, validate_data

from skunlearn import _skorch
from skunlearn._data import is_dataset, is_frame, is_mapping, n_rows
from skunlearn._finite import check_finite
from skunlearn._net_rows import label_of
from skunlearn._tasks import Labels
from skunlearn.exceptions import UnknownRowsError


def check_X(estimator, X, *, reset=False):
    """Check rows and return them in an indexable container, copying only what must change.

    Sets or checks ``n_features_in_`` and ``feature_names_in_`` of `estimator`.
    """
    if is_dataset(X):
        return check_dataset(X)
    if isinstance(X, torch.utils.data.DataLoader):
        raise TypeError(
            "X is a DataLoader, which gives batches. Pass its data set, X.dataset; how it is read "
            "is up to the net (from_torch takes the loader)."
        )
    allow_nan = takes_nan(estimator)
    if is_mapping(X):
        X = {key: np.asarray(v) if isinstance(v, list | tuple) else v for key, v in X.items()}
        n_rows(X)
        check_finite(X, "X", allow_nan=allow_nan)
        return X
    if isinstance(X, torch.Tensor):
        check_finite(X, "X", allow_nan=allow_nan)
        _check_width(estimator, X, reset)
        return X.detach()
    if not _skorch.is_net(_skorch.unwrap(estimator.estimator)):
        # The inner estimator checks the values itself and may take strings or missing values.
        if not (sparse.issparse(X) or is_frame(X) or isinstance(X, np.ndarray)):
            X = np.asarray(X)
        if len(X.shape) == 0:
            raise ValueError(f"Expected 2D array, got scalar array instead: {X!r}.")
        if len(X.shape) > 1:
            validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X.tocsr() if sparse.issparse(X) else X
    with config_context(assume_finite=True):  # its values are checked below
        checked = validate_data(
            estimator, X, reset=reset, accept_sparse="csr", dtype="numeric", allow_nd=True
        )
    names = list(X.columns) if is_frame(X) and len(X.shape) == 2 else None
    check_finite(checked, "X", allow_nan=allow_nan, names=names)
    return checked


def takes_nan(estimator):
    """Whether the inner estimator says by scikit-learn's tag that rows may hold NaN."""
    return get_tags(_skorch.unwrap(estimator.estimator)).input_tags.allow_nan


def check_dataset(X, name="X"):
    """Refuse a torch Dataset whose rows cannot be found again."""
    stream = isinstance(X, torch.utils.data.IterableDataset)
    if stream or not hasattr(X, "__len__"):
        kind = "an IterableDataset" if stream else "a Dataset without a length"
        raise TypeError(
            f"{name} is {kind} ({type(X).__name__}), but rows must be found again by their "
            "positions. Pass a torch Dataset with __len__ and __getitem__; a stream that fits into "
            "memory becomes one when it is read into a list: rows = list(stream)."
        )
    return X


def _check_width(estimator, X, reset):
    if X.ndim < 2:
        raise ValueError(
            f"Expected 2D array, got a tensor of shape {tuple(X.shape)} instead. Reshape your "
            "data: one row per record."
        )
    if reset:
        estimator.n_features_in_ = X.shape[1]
    elif X.shape[1] != getattr(estimator, "n_features_in_", X.shape[1]):  # a Dataset sets none
        raise ValueError(
            f"X has {X.shape[1]} features, but {type(estimator).__name__} is expecting "
            f"{estimator.n_features_in_} features as input."
        )


def columns_of_fit(X, names):
    """The columns of a frame that ``fit`` saw, called `names`, without those it was given since.

    Where one is missing, or their order is another, the frame is returned as it is.
    """
    if names is None or not is_frame(X) or len(X.shape) != 2 or X.shape[1] <= len(names):
        return X
    known = set(names)
    kept = [name for name in X.columns if name in known]
    return X[kept] if kept == list(names) else X


def check_targets(y, n, *, classifier):
    """Check targets and return them as an ndarray."""
    if isinstance(y, torch.Tensor):
        y = y.detach().cpu().numpy()
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y  # as losses of torch want them
    if classifier:
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
    else:
        y = np.asarray(y)
        assert_all_finite(y, input_name="y")
        if y.dtype.kind == "c":
            raise ValueError("Complex data not supported: y holds complex numbers.")
        if y.dtype.kind not in "biuf":
            y = y.astype(np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
    if len(y) != n:
        check_consistent_length(np.empty(n), y)
    return y


def check_like(y, n, classes):
    """Check targets of the task of `classes`, see `task_of`."""
    if isinstance(classes, Labels):
        return check_labels(y, n, len(classes))
    return check_targets(y, n, classifier=classes is not None)


def check_labels(y, n, n_labels=None, name="y"):
    """Check indicators of the labels of rows, dense or sparse, and return them as booleans."""
    y = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else y
    y = np.asarray(y.toarray() if sparse.issparse(y) else y)
    if y.ndim != 2 or (n_labels is not None and y.shape[1] != n_labels):
        wanted = "(n, n_labels)" if n_labels is None else f"(n, {n_labels})"
        raise ValueError(
            f"{name} must have a column for each label, shape {wanted}, got {y.shape}."
        )
    if y.dtype.kind not in "biuf":
        y = y.astype(np.float64)
    assert_all_finite(y, input_name=name)
    wrong = np.flatnonzero(~np.isin(y, [0, 1]).all(axis=1))
    if len(wrong):
        raise ValueError(
            f"{name} of several labels per row must hold 0 and 1 alone, for labels that a row has "
            f"not and has; row {wrong[0]} holds {y[wrong[0]].tolist()}. For values of any size "
            "use a criterion of regressions, such as MSELoss."
        )
    if len(y) != n:
        check_consistent_length(np.empty(n), y)
    return y.astype(bool)


def cast_targets(y, dtype, name="y"):
    """Regression targets in the dtype of the training targets, which must be able to hold them."""
    cast = np.asarray(y).astype(dtype)
    if dtype.kind != "f" and np.any(cast != np.asarray(y)):
        raise UnknownRowsError(
            f"{name} holds targets that {dtype} cannot; the targets of fit were of that dtype."
        )
    return cast


def encode(y, classes, name="y"):
    """Positions of the labels in `classes`, int64; an unknown label is an error."""
    y = np.asarray(y)
    if not len(y):
        return np.empty(0, np.int64)
    if _is_text(y) != _is_text(np.asarray(classes)):
        raise ValueError(
            f"{name} holds labels of another type than fit saw: {y[:1].tolist()}, where the "
            f"classes are {list(classes)}."
        )
    order = np.argsort(classes)
    place = np.searchsorted(classes, y, sorter=order)
    codes = order[np.minimum(place, len(classes) - 1)].astype(np.int64)
    unknown = np.asarray(classes)[codes] != y
    if np.any(unknown):
        labels = sorted({str(label) for label in np.asarray(y)[unknown]})
        raise ValueError(
            f"{name} holds labels that are not among the classes {list(classes)}: {labels[:5]}."
        )
    return codes


def _is_text(labels):
    return labels.dtype.kind in "US" or (
        labels.dtype.kind not in "biuf" and isinstance(labels.reshape(-1)[0], str)
    )


def dataset_targets(X):
    """Targets of a torch Dataset.

    At hand in a TensorDataset and in torchvision's data sets without a transform of targets, in
    parts of these and in several of them; otherwise every item is read once.
    """
    check_dataset(X)
    if isinstance(X, torch.utils.data.TensorDataset):
        return X.tensors[1].numpy(force=True)
    if isinstance(X, torch.utils.data.ConcatDataset):
        return np.concatenate([dataset_targets(part) for part in X.datasets])
    if isinstance(X, torch.utils.data.Subset) and _has_targets(X.dataset):
        return np.asarray(dataset_targets(X.dataset))[np.asarray(X.indices)]
    said = _torchvision_targets(X)
    return np.array([_read_target(X, i) for i in range(len(X))]) if said is None else said


def _has_targets(X):
    kinds = torch.utils.data.TensorDataset, torch.utils.data.ConcatDataset, torch.utils.data.Subset
    return isinstance(X, kinds) or _torchvision_targets(X) is not None


def _torchvision_targets(X):
    """What a data set of torchvision's says of its targets; None where items may differ from it."""
    definer = next((cls for cls in type(X).__mro__ if "__getitem__" in vars(cls)), type(X))
    joint = getattr(X, "transforms", None)
    if (
        not definer.__module__.startswith("torchvision.")
        or getattr(X, "target_transform", None) is not None
        or (joint is not None and type(joint).__name__ != "StandardTransform")
    ):
        return None
    if definer.__name__ == "DatasetFolder":  # its items come from `samples`, whatever `targets` say
        return np.array([label for _, label in X.samples])
    said = getattr(X, "targets", getattr(X, "labels", None))
    said = None if said is None else np.asarray(said)
    return said if said is not None and said.shape == (len(X),) else None


def _read_target(X, i):
    item = X[i]
    if not is_mapping(item) and not (isinstance(item, tuple | list) and len(item) == 2):
        raise TypeError(
            f"Item {i} of the Dataset is a {type(item).__name__}, where a pair (x, y) or a dict "
            "with its label under 'labels' or 'label' is needed."
        )
    label = label_of(item)
    if label is None:
        raise ValueError(
            f"Item {i} of the Dataset is a dict without a label: it holds {sorted(item)}. Put the "
            "label under 'labels' or 'label', or pass y."
        )
    label = np.asarray(label)
    return label.item() if label.size == 1 else label


def check_weights(sample_weight, n):
    """Check sample weights and return them as a float64 array of shape (n,)."""
    if isinstance(sample_weight, torch.Tensor):
        sample_weight = sample_weight.detach().cpu().numpy()
    weights = np.array(sample_weight, dtype=np.float64)
    if weights.shape != (n,):
        raise ValueError(
            f"sample_weight must have one entry per row of X: expected shape ({n},), got "
            f"{weights.shape}."
        )
    assert_all_finite(weights, input_name="sample_weight")
    if (weights < 0).any():
        raise ValueError(
            f"sample_weight must not be negative, but {(weights < 0).sum()} of {n} are."
        )
    if not weights.any():
        raise ValueError("sample_weight is zero for every row; nothing would be learnt.")
    return weights


def check_forget_mask(forget, n):
    """Check that `forget` is a boolean mask over the rows and return it as an ndarray."""
    mask = check_mask(forget, n, "forget")
    if mask.all():
        raise ValueError("forget marks every row; nothing would be left to train on.")
    return mask


def check_mask(mask, n, name):
    """Check that `mask` is boolean, has one entry per row and marks a row; return an ndarray."""
    mask = np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(
            f"{name} must be a boolean mask with one entry per row of X, got dtype {mask.dtype}. "
            "Index arrays are refused: cross-validation hands out other rows in every fold. "
            f"Use mask = numpy.zeros({n}, dtype=bool); mask[indices] = True."
        )
    if mask.shape != (n,):
        raise ValueError(
            f"{name} must have one entry per row of X: expected shape ({n},), got {mask.shape}."
        )
    if not mask.any():
        raise ValueError(f"{name} marks no row; leave it out.")
    return mask


def check_single_request(unknown, **named):
    """Exactly one way of naming rows must be used; `unknown` are other arguments by name."""
    if unknown:
        raise TypeError(
            f"unlearn takes no {', '.join(f'{name}=' for name in unknown)}. Name rows by their "
            "positions in fit as indices=, or as X_forget, ids= or groups=. A mask over the rows "
            "becomes indices=numpy.flatnonzero(mask)."
        )
    given = [name for name, value in named.items() if value is not None]
    if len(given) != 1:
        raise TypeError(
            "Name the rows to forget in exactly one way, as X_forget, ids=, indices= or "
            f"groups=; got {', '.join(given) if given else 'none of them'}."
        )


def refuse_positions(X, like, name):
    """Refuse positions or a mask where rows like those of `like` are meant."""
    if is_dataset(X) or is_mapping(X) or sparse.issparse(X) or hasattr(X, "columns"):
        return
    try:
        given = np.asarray(sorted(X) if isinstance(X, set | frozenset) else X)
    except (TypeError, ValueError):  # ragged, say; another check's business
        return
    rows_of_their_own = not is_mapping(like) and len(like.shape) == 1
    if rows_of_their_own and getattr(like, "dtype", given.dtype).kind in "biufc":
        return
    if given.ndim > 1 or given.dtype.kind not in "biu":
        return
    if given.dtype == bool:
        what, instead = "a boolean mask", "indices=numpy.flatnonzero(mask)"
    else:
        what, instead = f"{'a number' if given.ndim == 0 else 'numbers'}", f"indices={_some(given)}"
    row = not is_mapping(like) and given.dtype != bool and given.shape == tuple(like.shape[1:])
    raise TypeError(
        f"{name} takes the rows themselves, got {what} of shape {given.shape}. To name rows by "
        f"their positions in fit, pass {instead}; by their identifiers, ids=."
        + (" A single row needs a leading axis: X[None]." if row else "")
    )


def _some(numbers):
    shown = np.atleast_1d(numbers)[:4].tolist()
    return str(shown)[:-1] + (", ...]" if numbers.size > 4 else "]")


def check_number(estimator, name, kind, *, low=None, high=None, exclusive=False):
    """Check a numeric parameter; unlike ``check_scalar`` alone it refuses NaN and infinity.

    `exclusive` leaves out both bounds when True, and one of them as "low".
    """
    value = getattr(estimator, name)
    boundaries = {False: "both", True: "neither", "low": "right"}[exclusive]
    check_scalar(value, name, kind, min_val=low, max_val=high, include_boundaries=boundaries)
    if not np.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}.")


def warn(message, category):
    """Warn in the name of the code that called into this package."""
    level, frame = 1, sys._getframe()
    while frame is not None and frame.f_globals.get("__name__", "").startswith("skunlearn."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, category, stacklevel=level)
