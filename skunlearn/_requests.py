"""From what users pass in to the training record and to positions in it."""

import numpy as np
import torch
from scipy import sparse
from sklearn.frozen import FrozenEstimator

from skunlearn import _net_checks, _skorch, _validation
from skunlearn._columns import label_columns, width_of
from skunlearn._data import is_dataset, n_rows, row_digests, shares_memory
from skunlearn._finite import check_finite
from skunlearn._net_kinds import has_labels, has_sigmoid, is_plain, kind_for, kind_of
from skunlearn._plain_rows import look_at
from skunlearn._record import Rows, TrainingRecord, request_rows
from skunlearn._tasks import Labels, task_of
from skunlearn._training import weight_parameter
from skunlearn.exceptions import AlreadyForgottenError


class RequestMixin:
    """Makes the training record in ``fit``, and looks rows up in it in ``unlearn``."""

    def _new_record(self, X, y, sample_weight=None, *, ids=None, groups=None, measure_on=None):
        inner = _skorch.unwrap(self.estimator)
        if y is None and is_dataset(X):
            y = _validation.dataset_targets(X)
        given, X = X, _validation.check_X(self, X, reset=True)
        n = len(X) if is_dataset(X) else n_rows(X)
        if y is None:
            raise ValueError(
                f"This {type(self).__name__} estimator requires y to be passed, but the target "
                "y is None."
            )
        if n < 1:
            raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
        y = self._check_task(X, y, n)
        items, reader = look_at(X, y, inner, measure_on)
        if self._classes is not None:
            y = self._encode(y)
        self._n_targets = y.shape[1] if y.ndim == 2 else None
        weights = None
        if sample_weight is not None:
            weights = _validation.check_weights(sample_weight, n)
            if not _skorch.is_net(inner):
                weight_parameter(inner, weights)  # refuses what takes none
        owned = not is_dataset(X) and not shares_memory(X, given)
        parts = {"owned": owned, "items": items, "reader": reader}
        return TrainingRecord(X, y, weights=weights, ids=ids, groups=groups, **parts)

    @property
    def _reader(self):
        """How rows are read to be measured, or None."""
        record = getattr(self, "_record", None)
        return getattr(record, "reader", None)

    def _check_task(self, X, y, n):
        """Check the targets, and find out the task: its classes, its labels, or a regression."""
        inner = _skorch.unwrap(self.estimator)
        y = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else y
        plain = is_plain(inner)
        if isinstance(y, list | tuple) and (plain or np.asarray(y, dtype=object).ndim == 2):
            y = np.asarray(y)
        classifier = kind_for(inner, y) == "classifier"
        if classifier and has_labels(y) and _skorch.is_net(inner):
            if not (has_sigmoid(inner) or (plain and kind_of(inner) is None)):
                raise ValueError(
                    f"y should be a 1d array of classes, got an array of shape {y.shape}. For "
                    "several labels per row use skorch's NeuralNet with "
                    "criterion=torch.nn.BCEWithLogitsLoss (net_class= of from_torch), not "
                    f"{type(inner).__name__} with "
                    f"{getattr(inner.criterion, '__name__', inner.criterion)}. A class for each of "
                    "several positions of a row, as taggers have it, is not supported."
                )
            y = _validation.check_labels(y, n)
            self._set_classes(np.arange(y.shape[1]), Labels(y.shape[1]))
            return y
        if classifier and has_labels(y):
            raise ValueError(
                f"y should be a 1d array of classes, got an array of shape {y.shape}: several "
                "labels per row, or several outputs, are supported of skorch's NeuralNet with "
                "criterion=torch.nn.BCEWithLogitsLoss (in an UnlearningPipeline behind "
                f"transformers), and of regressors, but not of {type(inner).__name__}. Or use an "
                "unlearner for each column of y."
            )
        y = _validation.check_targets(y, n, classifier=classifier)
        if classifier:
            self._find_classes(X, y)
        elif plain:
            y = y.astype(np.float64)  # integers would be taken for classes
        return y

    def _find_classes(self, X, y):
        net, frozen = _skorch.unwrap(self.estimator), isinstance(self.estimator, FrozenEstimator)
        if not _skorch.is_net(net):
            self._set_classes(net.classes_ if frozen else np.unique(y))
        elif getattr(net, "classes", None) is not None and len(net.classes):
            self._set_classes(np.asarray(net.classes))
        elif frozen:
            self._set_classes(_net_checks.trained_classes(net, X, y))
        else:
            columns = label_columns(net, y, lambda: width_of(net, X))
            self._set_classes(np.unique(y), columns)

    def _set_classes(self, labels, columns=None):
        """Labels that `fit` has seen, and those of the net's columns where it has some more."""
        self.classes_ = labels
        same = columns is None or np.array_equal(columns, labels)
        same = same and not isinstance(columns, Labels)
        self._columns = None if same else columns

    @property
    def _seen_columns(self):
        """Columns of the labels that `fit` has seen."""
        return np.flatnonzero(np.isin(self._classes, self.classes_))

    @property
    def _classes(self):
        """The label of each column of the model, `Labels`, or None for regression."""
        columns = getattr(self, "_columns", None)
        return getattr(self, "classes_", None) if columns is None else columns

    @property
    def _seen_classes(self):
        """As `_classes`, of those labels alone that `fit` has seen."""
        return self.classes_ if task_of(self._classes).has_one_class else self._classes

    def _check_request(self, X, y, name):
        if not is_dataset(X) and not self._record.is_dataset:
            if name == "forget":
                _validation.refuse_positions(X, self._record.row_like(), f"X_{name}")
            names = getattr(self._record.row_like(), "columns", None)
            X = _validation.columns_of_fit(X, getattr(self, "feature_names_in_", names))
            if hasattr(X, "columns") and hasattr(self, "feature_names_in_"):
                X = _validation.check_X(self, X)
            if _skorch.is_net(self.estimator_):
                allow_nan = _validation.takes_nan(self)
                check_finite(X, f"X_{name}", allow_nan=allow_nan)
            X = request_rows(X, self._record.row_like(), f"X_{name}")
        if y is not None:
            y = np.asarray(y.toarray() if sparse.issparse(y) else y)
            if y.ndim == 0 or len(y) != n_rows(X):
                entries = "no length" if y.ndim == 0 else f"{len(y)} entries"
                raise ValueError(f"X_{name} has {n_rows(X)} rows, but y_{name} has {entries}.")
            y = self._encode(y, f"y_{name}")
        return X, y

    def _encode(self, y, name="y"):
        if isinstance(self._classes, Labels):
            return _validation.check_labels(y, len(y), len(self._classes), name)
        if self._classes is not None:
            return _validation.encode(y, self._classes, name)
        return _validation.cast_targets(y, self._record.y_dtype, name)

    def _given_rows(self, positions, X_forget, y_forget, X_retain, y_retain):
        """Views of rows that come with the request, each checked against the record."""
        if X_retain is None or y_retain is None:
            raise ValueError("X_retain and y_retain come together: rows and their labels.")
        X_retain, y_retain = self._check_request(X_retain, y_retain, "retain")
        kept = self._record.locate(X_retain, y_retain)
        if len(kept) == 0:
            raise ValueError("X_retain is empty: nothing would be left to train on.")
        if np.isin(kept, positions).any():
            raise AlreadyForgottenError("X_retain holds rows of the forget set; leave them out.")
        digests = None if self._record.is_dataset else row_digests(X_retain)
        weights = self._record.weights_of(X_retain, y_retain)
        retain = Rows(X_retain, y_retain, np.arange(n_rows(X_retain)), digests, weights=weights)
        if self._record.has_data:
            return self._record.view(positions), retain
        if X_forget is not None and y_forget is not None:
            weights = self._record.weights_of(X_forget, y_forget)
            forget = Rows(X_forget, y_forget, np.arange(n_rows(X_forget)), weights=weights)
            return forget, retain
        if self._needs_forget_rows:
            raise ValueError(
                f"{type(self).__name__} works on the forget rows too, and this estimator does "
                "not hold its rows: the request must bring X_forget and y_forget beside "
                "X_retain and y_retain."
            )
        return None, retain
