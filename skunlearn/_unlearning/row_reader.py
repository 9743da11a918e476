"""From what users pass in to the training record and to positions in it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from skunlearn._recipe.leaves import refuse_dataset
from skunlearn._recipe.training import name_weights
from skunlearn._rows import checking
from skunlearn._rows.checking import check_finite
from skunlearn._rows.containers import is_dataset, n_rows, shares_memory
from skunlearn._rows.finding import align_request
from skunlearn._rows.frames import select_columns
from skunlearn._rows.record import TrainingRecord
from skunlearn._torch import net_checks, skorch_nets
from skunlearn._torch.columns import ask_one, label_columns, width_of
from skunlearn._torch.parts.net_kinds import (
    has_labels,
    has_sigmoid,
    is_plain,
    kind_for,
    kind_of,
    make_criterion,
)
from skunlearn._torch.parts.outputs import Outputs, takes_outputs
from skunlearn._torch.parts.positions import Positions, takes_positions
from skunlearn._torch.parts.tasks import Labels, refuse_task, task_of
from skunlearn._unlearning import validation
from skunlearn._unlearning.inner_estimator import takes_nan
from skunlearn._unlearning.plain_rows import look_at

_WHOLE = [np.dtype(code) for code in np.typecodes["AllInteger"]]
_HOT = (  # of k classes for each position
    "y = np.moveaxis(np.eye(k)[y], -1, 1).reshape(len(y), -1), of k classes, where the module "
    "makes logits of shape (n, k, ...), and y = np.eye(k)[y].reshape(len(y), -1) where they are "
    "of shape (n, ..., k), as taggers have them. It then returns out.flatten(1), the net is "
    "skorch's NeuralNet, and its criterion BCEWithLogitsLoss. A row is right where all of them "
    "are; positions to be ignored are not supported."
)


@dataclass(frozen=True)
class RowReader:
    """Labels and targets as ``fit`` has seen them, by which requests are read.

    Attributes
    ----------
    labels : ndarray, list of ndarray or None
        What ``classes_`` holds; None for a regression.
    columns : ndarray, Labels, Positions or None
        The label of each column of the model, where these are others than `labels`.
    n_targets : int or None
        Columns of `y`; None where it has one dimension.
    """

    labels: np.ndarray | None = None
    columns: np.ndarray | Labels | Positions | None = None
    n_targets: int | None = None

    @classmethod
    def of(cls, labels, columns=None, n_targets=None):
        """`columns` may be those of `labels`."""
        same = isinstance(columns, np.ndarray)
        if same and np.array_equal(columns, labels):
            columns = None
        return cls(labels, columns, n_targets)

    @cached_property
    def classes(self):
        """The label of each column, `Labels`, `Positions`, or None for a regression."""
        return self.labels if self.columns is None else self.columns

    @property
    def seen_columns(self):
        """Columns of the labels that ``fit`` has seen."""
        return np.flatnonzero(np.isin(self.classes, self.labels))

    @property
    def seen_classes(self):
        """As `classes`, of those labels alone that ``fit`` has seen."""
        return self.labels if task_of(self.classes).has_one_class else self.classes

    def name(self, codes):
        """The labels that these numbers of columns stand for."""
        if isinstance(self.classes, Outputs):
            return [self.classes.pairs[code] for code in codes]
        labels = self.labels if isinstance(self.classes, Labels) else self.classes
        return [labels[code] for code in codes]

    def encode(self, y, name="y", dtype=None):
        """Labels as numbers of columns; targets of a regression in `dtype`, the record's."""
        if isinstance(self.classes, Outputs):
            return validation.encode_outputs(y, len(y), self.classes, name)
        if isinstance(self.classes, Labels):
            return validation.check_labels(y, len(y), len(self.classes), name)
        if isinstance(self.classes, Positions):
            return self.classes.check(y, len(y), name)
        y = self._flatten(y, name)
        if self.classes is not None:
            return validation.encode(y, self.classes, name)
        return validation.cast_targets(y, dtype, name)

    def _flatten(self, y, name):
        """Targets of the shape in which the record holds them: one column is of one dimension."""
        y = np.asarray(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = y[:, 0]
        width = self.n_targets if self.classes is None and (self.n_targets or 1) > 1 else None
        if y.shape[1:] != (() if width is None else (width,)):
            wanted = "(n,)" if width is None else f"(n, {width})"
            raise ValueError(
                f"{name} must have shape {wanted}, as fit was given it; got {y.shape}."
            )
        return y


def read_training(estimator, X, y, sample_weight=None, *, ids=None, groups=None, measure_on=None):
    """The training record and the `RowReader` of what ``fit`` of an unlearner is given.

    Sets ``n_features_in_`` and ``feature_names_in_`` of `estimator`.
    """
    inner = skorch_nets.unwrap(estimator.estimator)
    if is_dataset(X):
        refuse_dataset([("estimator", inner)])
    if y is None and is_dataset(X):
        y = validation.dataset_targets(X)
    given, X = X, validation.check_X(estimator, X, reset=True)
    n = len(X) if is_dataset(X) else n_rows(X)
    if isinstance(given, list | tuple):
        labels = (len(y),) if isinstance(y, list | tuple) else getattr(y, "shape", ())
        if labels and labels[0] != n:
            validation.refuse_several_inputs(given, labels[0])
    if y is None:
        hint = " An autoencoder's targets are its rows: fit(X, X)." * skorch_nets.is_net(inner)
        raise ValueError(
            f"This {type(estimator).__name__} estimator requires y to be passed, but the target "
            f"y is None.{hint}"
        )
    if n < 1:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    shape = y.shape if hasattr(y, "shape") else np.asarray(y, dtype=object).shape
    numbered = checking.are_positions(given) and checking.are_positions(y)
    y, labels, columns = _find_task(estimator, X, y, n)
    refuse_task(estimator, columns if isinstance(columns, Labels | Positions) else labels)
    # A net predicts a column where it was given one, as in skorch.
    shape = shape if skorch_nets.is_net(inner) and labels is None else y.shape
    reader = RowReader.of(labels, columns, shape[1] if len(shape) == 2 else None)
    items, how = look_at(X, y, inner, measure_on)
    if labels is not None:
        y = reader.encode(y)
    weights = None
    if sample_weight is not None:
        weights = checking.check_weights(sample_weight, n)
        if not skorch_nets.is_net(inner):
            name_weights(inner, weights)  # refuses what takes none
    owned = not is_dataset(X) and not shares_memory(X, given)
    parts = {"owned": owned, "items": items, "reader": how, "numbered": numbered}
    return TrainingRecord(X, y, weights=weights, ids=ids, groups=groups, **parts), reader


def _find_task(estimator, X, y, n):
    """The targets, checked, and the task: labels and columns, or None twice for a regression."""
    inner = skorch_nets.unwrap(estimator.estimator)
    y = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else y
    plain = is_plain(inner)
    if isinstance(y, list | tuple) and (plain or np.asarray(y, dtype=object).ndim == 2):
        validation.refuse_mixed(y)
        y = np.asarray(y)
    if (found := _find_positions(estimator, X, y, n)) is not None:
        return found
    if getattr(y, "ndim", 1) > 2:
        places = int(np.prod(y.shape[1:]))
        raise ValueError(
            f"y has shape {y.shape}, a target for each of several positions of a row, pixels of "
            "a mask say. A class for each takes skorch's NeuralNet with CrossEntropyLoss, integers "
            "in y, and a module that returns logits of shape (n, k, "
            f"{', '.join(map(str, y.shape[1:]))}). Values, and masks of two classes (by "
            "skorch's NeuralNet with BCEWithLogitsLoss), go flattened: pass "
            "y.reshape(len(y), -1), and let the module return out.flatten(1), of shape "
            f"(n, {places}). Or pass a label for each class and position: {_HOT}"
        )
    classifier = kind_for(inner, y) == "classifier"
    if classifier and has_labels(y) and skorch_nets.is_net(inner):
        if not (has_sigmoid(inner) or (plain and kind_of(inner) is None)):
            raise ValueError(_explain_labels(inner, y))
        y = validation.check_labels(y, n)
        return y, np.arange(y.shape[1]), Labels(y.shape[1])
    if classifier and has_labels(y):
        return _find_outputs(estimator, y, n)
    net = skorch_nets.is_net(inner)
    y = validation.check_targets(y, n, classifier=classifier, column_ok=net)
    if classifier:
        return y, *_find_classes(estimator, X, y)
    if plain:
        y = y.astype(np.float64)  # integers would be taken for classes
    return y, None, None


def _find_positions(estimator, X, y, n):
    """As `_find_task`, of a class for each position of a row; None where `y` is another task."""
    net = skorch_nets.unwrap(estimator.estimator)
    several = getattr(y, "ndim", 1) > 2 or (getattr(y, "ndim", 1) == 2 and y.shape[1] > 1)
    if not (several and is_plain(net) and getattr(y, "dtype", None) in _WHOLE):
        return None
    criterion = make_criterion(net)
    if not takes_positions(type(criterion)):
        return None
    shape, out = y.shape[1:], ask_one(estimator.estimator, X)
    if out.ndim != y.ndim + 1 or out.shape[2:] != shape:
        if y.ndim == 2 and np.isin(y, [0, 1]).all():
            raise ValueError(_explain_labels(net, y))
        wanted, got = (", ".join(map(str, s)) for s in (shape, out.shape[1:]))
        raise ValueError(
            f"y has shape {y.shape}, a class for each of several positions of a row: a module with "
            f"{type(criterion).__name__} returns logits of shape (n, n_classes, {wanted}) for "
            f"these, as torch's loss takes them, and this one returns (n, {got}). Logits of shape "
            "(n, ..., n_classes) go through out.movedim(-1, 1). Or pass a label for each class "
            f"and position: {_HOT}"
        )
    task = Positions(out.shape[1], tuple(shape), criterion.ignore_index)
    return task.check(y, n), np.arange(len(task)), task


def _explain_labels(net, y):
    """What to do where each row has several labels, and the net takes one."""
    criterion = getattr(net.criterion, "__name__", net.criterion)
    said = f"y should be a 1d array of classes, got an array of shape {y.shape}. {_say_class_of(y)}"
    values = np.unique(y.data if sparse.issparse(y) else y)
    if np.isin(values, [0, 1]).all():
        return (
            f"{said}For several labels per row use skorch's NeuralNet with "
            "criterion=torch.nn.BCEWithLogitsLoss (from_torch takes it as net_class=), not "
            f"{type(net).__name__} with {criterion}."
        )
    return (
        f"{said}A class for each of several positions of a row, as taggers have it, takes "
        "integers in y and skorch's NeuralNet (from_torch takes it as net_class=) with "
        f"CrossEntropyLoss; these are {y.dtype}, {type(net).__name__} and {criterion}. "
        f"Or pass a label for each class and position: {_HOT}"
    )


def _say_class_of(y):
    """What to do where each row of `y` adds up to one, as one-hot labels do."""
    y = np.asarray(y.toarray() if sparse.issparse(y) else y)
    if y.dtype.kind not in "biuf" or (y < 0).any() or not np.allclose(y.sum(axis=1), 1, atol=1e-3):
        return ""
    lost = "" if np.isin(y, [0, 1]).all() else ", which drops how sure they are"
    return f"Each row adds up to 1: pass the class, y.argmax(axis=1){lost}. "


def _find_outputs(estimator, y, n):
    """As `_find_task`, of the classes of several outputs."""
    inner = skorch_nets.unwrap(estimator.estimator)
    if not takes_outputs(inner):
        raise ValueError(
            f"y should be a 1d array of classes, got an array of shape {y.shape}: several "
            "labels per row, or several outputs, are supported of skorch's NeuralNet with "
            "criterion=torch.nn.BCEWithLogitsLoss (in an UnlearningPipeline behind "
            "transformers), of forests, trees, neighbours, MultiOutputClassifier, and of "
            "regressors, but not of "
            f"{type(inner).__name__}. Or use an unlearner for each column of y."
        )
    y = np.asarray(y.toarray() if sparse.issparse(y) else y)
    columns = [validation.check_targets(column, n, classifier=True) for column in y.T]
    classes = [np.unique(column) for column in columns]
    if isinstance(estimator.estimator, FrozenEstimator):
        if not isinstance(inner.classes_, list) or len(inner.classes_) != len(classes):
            raise ValueError(f"y has {len(classes)} columns: not those of the trained estimator.")
        classes = inner.classes_
    if max(map(len, classes)) < 2:
        raise ValueError(f"y of shape {y.shape} has one class in each column: nothing to learn.")
    return y, list(classes), Outputs.of(classes)


def _find_classes(estimator, X, y):
    net = skorch_nets.unwrap(estimator.estimator)
    frozen = isinstance(estimator.estimator, FrozenEstimator)
    if not skorch_nets.is_net(net):
        return net.classes_ if frozen else np.unique(y), None
    if getattr(net, "classes", None) is not None and len(net.classes):
        return np.asarray(net.classes), None
    if frozen:
        return net_checks.read_trained_classes(net, X, y), None
    return np.unique(y), label_columns(net, y, lambda: width_of(net, X))


def read_request(estimator, X, y, name):
    """Rows and labels that come with a request, in the form of those that ``fit`` was given.

    Of an unlearner or a pipeline, whose ``_read_rows`` know how ``fit`` has read its rows.
    """
    record = estimator._record
    if not is_dataset(X) and not record.is_dataset:
        if name == "forget" and getattr(X, "ndim", 0) < 2:  # most rows have more
            checking.refuse_positions(X, record.like, f"X_{name}")
        X = align_request(estimator._read_rows(X, f"X_{name}"), record.like, f"X_{name}")
    if y is not None:
        validation.refuse_mixed(y, f"y_{name}")
        y = np.asarray(y.toarray() if sparse.issparse(y) else y)
        if y.ndim == 0 or len(y) != n_rows(X):
            entries = "no length" if y.ndim == 0 else f"{len(y)} entries"
            raise ValueError(f"X_{name} has {n_rows(X)} rows, but y_{name} has {entries}.")
        y = estimator._encode(y, f"y_{name}")
    return X, y


def read_rows(unlearner, X, name):
    """Rows of a request, checked as ``fit`` has checked its own."""
    names = getattr(unlearner._record.like, "columns", None)
    names = getattr(unlearner, "feature_names_in_", names)
    if names is not None:  # a frame may have been given columns since
        X = select_columns(X, names)
    named = hasattr(X, "columns") and hasattr(unlearner, "feature_names_in_")
    if named or name == "X_new":  # which no row of the record need equal
        X = validation.check_X(unlearner, X)
    if skorch_nets.is_net(unlearner.estimator_):
        try:
            check_finite(X, name)
        except ValueError:
            check_finite(X, name, allow_nan=takes_nan(unlearner))
    return X
