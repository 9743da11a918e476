"""Checks of what users pass in: rows, labels, masks, requests."""

from datetime import date

import numpy as np
import torch
from scipy import sparse
from sklearn import config_context
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_n_features, validate_data

from skunlearn._rows.checking import check_finite
from skunlearn._rows.containers import is_dataset, is_mapping, n_rows
from skunlearn._rows.frames import is_frame
from skunlearn._torch import skorch_nets
from skunlearn._torch.batches.training_batch import label_of
from skunlearn._torch.parts.outputs import Outputs
from skunlearn._torch.parts.positions import Positions
from skunlearn._torch.parts.tasks import Labels
from skunlearn._unlearning.inner_estimator import takes_nan
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
    if type(X).__module__.startswith("torch_geometric."):
        raise TypeError(
            f"X is a graph ({type(X).__name__} of torch_geometric), whose nodes are no rows of "
            "their own. skunlearn.graph.GraphEraser forgets nodes and edges; graphs that are rows "
            "each go into a torch Dataset, and the net a collate function."
        )
    allow_nan = takes_nan(estimator)
    if is_mapping(X):
        X = {key: np.asarray(v) if isinstance(v, list | tuple) else v for key, v in X.items()}
        n_rows(X)
        check_finite(X, "X", allow_nan=allow_nan)
        return X
    if isinstance(X, torch.Tensor):
        if X.layout is not torch.strided:
            raise TypeError(
                f"X is a sparse tensor ({X.layout}), of which no rows can be taken. Pass "
                "X.to_dense(), or a matrix of scipy where the estimator takes one."
            )
        check_finite(X, "X", allow_nan=allow_nan)
        _check_width(estimator, X, reset)
        return X.detach()
    if not skorch_nets.is_net(skorch_nets.unwrap(estimator.estimator)):
        # The inner estimator checks the values itself and may take strings or missing values.
        if not (sparse.issparse(X) or is_frame(X) or isinstance(X, np.ndarray)):
            X = np.asarray(X)
        if len(X.shape) == 0:
            raise ValueError(f"Expected 2D array, got scalar array instead: {X!r}.")
        if len(X.shape) > 1:
            if not reset and _is_told_inside(estimator, X):
                _check_n_features(estimator, X, reset=False)
            else:
                validate_data(estimator, X, reset=reset, skip_check_array=True)
        return X.tocsr() if sparse.issparse(X) else X
    try:
        with config_context(assume_finite=True):  # its values are checked below
            checked = validate_data(
                estimator, X, reset=reset, accept_sparse="csr", dtype="numeric", allow_nd=True
            )
    except (TypeError, ValueError) as error:
        _refuse_no_numbers(X, error)
        _refuse_texts(X, error)
        _refuse_many_shapes(X, error)
        raise
    if checked.dtype.kind not in "biufc":  # of dates alone; of categories
        _refuse_no_numbers(X)
    names = list(X.columns) if is_frame(X) and len(X.shape) == 2 else None
    check_finite(checked, "X", allow_nan=allow_nan, names=names)
    return checked


def _is_told_inside(estimator, X):
    """Whether the model inside says itself that rows lack the names of columns that it knows."""
    model = getattr(estimator, "estimator_", None)
    models = [model, *(getattr(model, "members", None) or ())]  # of shards
    return not is_frame(X) and any(hasattr(m, "feature_names_in_") for m in models)


def _refuse_no_numbers(X, error=None):
    columns = _find_no_numbers(X)
    if columns:
        named = ", ".join(f"{name!r} ({kind})" for name, kind in columns.items())
        raise ValueError(
            f"A net takes numbers, and these columns of X hold others: {named}. Encode them, in "
            "an UnlearningPipeline for one, or leave them out."
        ) from error


def _refuse_texts(X, error):
    """Texts as they are read, one a row or in columns."""
    listed = isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.ndim)
    first = X[0] if listed and len(X) else None
    if isinstance(first, list | tuple | np.ndarray) and len(first):
        first = first[0]
    if isinstance(first, str):
        raise ValueError(
            f"A net takes numbers, and X holds texts, such as {str(first[:40])!r}, which it "
            "does not convert. Put a step that does before the net in an UnlearningPipeline (a "
            "TfidfVectorizer, an OneHotEncoder), or pass tokens as whole numbers, padded to one "
            "length."
        ) from error


def _shape_of(part):
    return (len(part),) if isinstance(part, list | tuple) else getattr(part, "shape", None)


def _refuse_many_shapes(X, error):
    """Several inputs in a row, as skorch takes them, and rows of which each has a shape."""
    listed = isinstance(X, list | tuple) or (isinstance(X, np.ndarray) and X.dtype.kind == "O")
    shapes = [_shape_of(part) for part in X] if listed else []
    if not all(shapes) or len(set(shapes)) < 2:
        return
    # Images have three channels each, and there are more than three of them.
    if len(X) <= shapes[0][0]:
        refuse_several_inputs(X, shapes[0][0], error)
    raise ValueError(
        f"X holds rows of several shapes, such as {shapes[0]} and "
        f"{next(shape for shape in shapes if shape != shapes[0])}. Fill them up to one, or pass a "
        "torch Dataset of them, and the net a collate function (iterator_train__collate_fn, "
        "iterator_valid__collate_fn) that does so batch by batch."
    ) from error


def refuse_several_inputs(X, n, error=None):
    """Raise where `X` is a list or tuple of arrays with `n` rows each, as skorch takes them."""
    shapes = [getattr(part, "shape", None) for part in X]
    if isinstance(X, list | tuple) and all(shapes) and {shape[0] for shape in shapes} == {n}:
        raise ValueError(
            f"X is a {type(X).__name__} of {len(X)} arrays with {n} rows each. Several "
            "inputs of a module go into a dict by the names that its forward has for them, "
            "{'left': ..., 'right': ...}."
        ) from error


def _find_no_numbers(X):
    """Columns of a frame that are no numbers, and what they are."""
    found = {}
    for name in X.columns if is_frame(X) and len(X.shape) == 2 else ():
        values = np.asarray(X[name])
        if values.dtype.kind in "mM":  # they would pass for numbers
            found[name] = "dates" if values.dtype.kind == "M" else "spans of time"
            continue
        try:
            values.astype(np.float64)
        except (TypeError, ValueError):
            found[name] = _name_kind(values)
    return found


def _name_kind(values):
    kinds = {type(value) for value in values.ravel() if not _is_missing(value)}
    if len(kinds) == 1:
        kind = kinds.pop()
        if issubclass(kind, str):
            return "words"
        return "dates" if issubclass(kind, date) else f"of type {kind.__name__}"
    return "of several types"


def _is_missing(value):
    missing = ("NoneType", "NAType", "NaTType")
    return type(value).__name__ in missing or (isinstance(value, float) and value != value)


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


def check_targets(y, n, *, classifier, column_ok=True, name="y"):
    """Check targets and return them as an ndarray; a column becomes one dimension.

    Nets want the targets of a regression as a column; without `column_ok` it is told.
    """
    if isinstance(y, torch.Tensor):
        y = y.detach().cpu().numpy()
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y  # as losses of torch want them
    if classifier:
        refuse_mixed(y)
        y = column_or_1d(y, warn=True)
        _refuse_unlabelled(y)
        assert_all_finite(y, input_name="y")
        if y.dtype.kind == "O" and len(y) and not isinstance(y[0], str | bytes):
            raise ValueError(
                f"Unknown label type: y is an array of objects, such as {y[0]!r}. Labels are "
                "numbers or text: pass y.astype(int), or y.astype(str)."
            )
        check_classification_targets(y)
    else:
        y = np.asarray(y)
        _refuse_unlabelled(y)
        assert_all_finite(y, input_name="y")
        if y.dtype.kind == "c":
            raise ValueError("Complex data not supported: y holds complex numbers.")
        if y.dtype.kind not in "biuf":
            y = y.astype(np.float64)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=not column_ok)
    _check_length(y, n, name)
    return y


def _refuse_unlabelled(y):
    if y.dtype.kind == "O":
        missing = np.reshape([_is_missing(value) for value in y.ravel()], y.shape)
    else:
        missing = y != y
    rows = np.flatnonzero(missing.reshape(len(y), -1).any(axis=1)) if y.ndim and len(y) else []
    if len(rows):
        raise ValueError(
            f"Input y contains NaN: {len(rows)} of {len(y)} rows without a label or target, the "
            f"first is row {rows[0]}. Leave them out, of X too."
        )


def refuse_mixed(y, name="y"):
    """Refuse labels of which some are text and others not.

    They have no order, and a list of them would become text, in which 1 is "1".
    """
    if not isinstance(y, list | tuple):
        y = np.asarray(y)
        if y.dtype.kind != "O":
            return
        y = y.ravel()
    texts = [isinstance(label, str) for label in y]
    if all(texts) or not any(texts):
        return
    _refuse_unlabelled(np.array(y, dtype=object))
    first, other = y[texts.index(True)], y[texts.index(False)]
    raise ValueError(
        f"{name} holds labels of several types, such as {first!r} ({type(first).__name__}) and "
        f"{other!r} ({type(other).__name__}). Labels are compared with each other: make them all "
        "of one type wherever they are passed, for example [str(label) for label in labels]."
    )


def check_like(y, n, classes, name="y"):
    """Check targets of the task of `classes`, see `task_of`."""
    if isinstance(classes, Outputs):
        return encode_outputs(y, n, classes, name)
    if isinstance(classes, Labels):
        return check_labels(y, n, len(classes), name)
    if isinstance(classes, Positions):
        return classes.check(y, n, name)
    return check_targets(y, n, classifier=classes is not None, name=name)


def _check_length(y, n, name):
    if len(y) != n:
        raise ValueError(
            f"X{name[1:]} and {name} have inconsistent numbers of samples: {n} rows and {len(y)} "
            "labels or targets."
        )


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
    _check_length(y, n, name)
    return y.astype(bool)


def cast_targets(y, dtype, name="y"):
    """Regression targets in the dtype of the training targets, which must be able to hold them."""
    try:
        cast = np.asarray(y).astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must hold numbers, as the targets of fit: {error}.") from error
    if dtype.kind != "f" and np.any(cast != np.asarray(y)):
        raise UnknownRowsError(
            f"{name} holds targets that {dtype} cannot; the targets of fit were of that dtype."
        )
    return cast


def encode(y, classes, name="y"):
    """Positions of the labels in `classes`, int64; an unknown label is an error."""
    refuse_mixed(y, name)
    y = np.asarray(y)
    if not len(y):
        return np.empty(0, np.int64)
    if _is_text(y) != _is_text(np.asarray(classes)):
        raise ValueError(
            f"{name} holds labels of another type than fit saw: {y[:1].tolist()}, where the "
            f"classes are {np.asarray(classes).tolist()}."
        )
    order = np.argsort(classes)
    place = np.searchsorted(classes, y, sorter=order)
    codes = order[np.minimum(place, len(classes) - 1)].astype(np.int64)
    unknown = np.asarray(classes)[codes] != y
    if np.any(unknown):
        labels, known = sorted(set(y[unknown].tolist()), key=str), np.asarray(classes).tolist()
        raise ValueError(
            f"{name} holds labels that are not among the classes {known}: {labels[:5]}."
        )
    return codes


def encode_outputs(y, n, outputs, name="y"):
    """Classes of several outputs in the form of `Outputs`; such as are in it stay as they are."""
    y = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else y
    y = np.asarray(y.toarray() if sparse.issparse(y) else y)
    width = len(outputs.classes)
    if y.dtype == bool and y.shape[1:] == (len(outputs),):
        return y
    if y.shape[1:] != (width,):
        raise ValueError(
            f"{name} must have a column for each output, shape (n, {width}), got {y.shape}."
        )
    _check_length(y, n, name)
    columns = zip(y.T, outputs.classes)
    codes = [encode(c, labels, f"{name}[:, {i}]") for i, (c, labels) in enumerate(columns)]
    return outputs.hot(np.column_stack(codes))


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
    if said is not None:
        return said
    read = [_read_target(X, i) for i in range(len(X))]
    refuse_mixed(read, "The Dataset")
    return np.array(read)


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
        many = isinstance(item, tuple | list) and len(item) > 2
        raise TypeError(
            f"Item {i} of the Dataset is a {type(item).__name__}"
            f"{f' of {len(item)}' if many else ''}, where a pair (x, y) or a dict "
            "with its label under 'labels' or 'label' is needed."
            + " Several inputs go into a dict by the names that the module's forward has for "
            "them: ({'left': ..., 'right': ...}, y)." * many
        )
    label = label_of(item)
    if label is None:
        raise ValueError(
            f"Item {i} of the Dataset is a dict without a label: it holds {sorted(item)}. Put the "
            "label under 'labels' or 'label', or pass y."
        )
    label = np.asarray(label)
    return label.item() if label.size == 1 else label
