"""Pickles, files and the rows that may go into them."""

import numpy as np
import torch
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skunlearn import _files, _portable, _row_forms, _skorch
from skunlearn._data import is_dataset, is_mapping, n_rows
from skunlearn._held_out import restore
from skunlearn._plain_rows import PlainRows, look_at
from skunlearn._record import Rows, TrainingRecord
from skunlearn._seeding import seeded
from skunlearn._tasks import Labels
from skunlearn._validation import check_like, dataset_targets, warn
from skunlearn._weights import weights
from skunlearn.exceptions import IncompleteFileWarning


class PersistenceMixin:
    """`save`, `load`, `attach`, `detach`, and pickling without what was forgotten."""

    def __getstate__(self):
        state = super().__getstate__()
        state = dict(state)
        state.pop("_forgotten", None)
        record = state.get("_record")
        if record is not None:
            state["_forgotten"] = None
            state["_record"] = record.compact() if self.store_data else record.detach()
            # The net that the user passed may have been trained on rows that are gone by now.
            state["estimator"] = _without_weights(self.estimator)
        return state

    def detach(self):
        """Let go of the training rows; their digests stay.

        Until then the estimator refers to the arrays that ``fit`` was given, in which forgotten
        rows still stand as long as their owner keeps them there.

        Returns
        -------
        self : object
        """
        check_is_fitted(self)
        vars(self).update(_record=self._record.detach(), _forgotten=None)
        return self

    def attach(self, X, y=None, *, measure_on=None):
        """Give the retained rows back to an estimator that does not hold them.

        Parameters
        ----------
        X : rows as in ``fit``
            All retained rows, in any order. A Dataset must be the one that ``fit`` was given,
            forgotten rows in their places (they are not read).
        y : array of shape (n,), default=None
        measure_on : torch Dataset or callable, default=None
            As in ``fit``, for the rows of `X` in their order.

        Returns
        -------
        self : object

        Raises
        ------
        AlreadyForgottenError
            When `X` holds rows that were forgotten.
        UnknownRowsError, ValueError
            When rows are missing, unknown or have other labels than in ``fit``.
        """
        check_is_fitted(self)
        if y is None and is_dataset(X):
            with seeded(self._seed):
                y = dataset_targets(X)
        if y is None:
            raise ValueError("attach needs the labels of the rows: pass y.")
        X, _ = self._check_request(X, None, "attach")
        n = len(X) if is_dataset(X) else n_rows(X)
        y = check_like(y, n, self._classes)
        # Of a Dataset that was changed where rows are forgotten these are not read.
        retained = np.flatnonzero(self._record.retained) if is_dataset(X) else None
        _, reader = look_at(X, y, _skorch.unwrap(self.estimator), measure_on, retained)
        self._record = self._record.attach(X, self._encode(y), reader)
        return self

    def save(self, path):
        """Write the model, the log and the digests of the rows to one safetensors file.

        No rows and no labels are written, and nothing from before the last unlearning. The file
        is complete or absent: it is written beside `path` and renamed. Of the net it holds
        parameters and buffers; what else was changed on its modules after they were built (a head
        that was replaced, hooks, a dropout rate) is named in a warning, and `load` wants it from
        a ``FrozenEstimator`` around a net that was changed in the same way.

        Parameters
        ----------
        path : str or path-like

        Warns
        -----
        IncompleteFileWarning
            When `load` into an estimator of the same parameters would give another net.

        Raises
        ------
        TypeError
            When the model is not a skorch net; pickle such an estimator instead.
        """
        tensors, state = self._saved()
        _files.write(path, tensors, state)
        warn_of_lost(path, state["lost"])

    def _saved(self):
        """What ``save`` writes: tensors by name, and the rest in JSON's types."""
        check_is_fitted(self)
        if not _skorch.is_net(self.estimator_):
            raise TypeError(
                f"save writes skorch nets; this one holds a {type(self.estimator_).__name__}. "
                "Use pickle or skops."
            )
        tensors = {f"net.{k}": v.contiguous().cpu() for k, v in weights(self.estimator_).items()}
        for name, table in self._record.tables().items():
            tensors[f"record.{name}"] = torch.from_numpy(np.ascontiguousarray(table).copy())
        multi = isinstance(self._classes, Labels)
        state = {
            **_files.header(type(self).__name__),
            "classes": None if self._classes is None else _labels(self.classes_),
            "columns": None if self._classes is None or multi else _labels(self._columns),
            "multilabel": multi,
            "classes_dtype": None if self._classes is None else self.classes_.dtype.str,
            "n_targets": getattr(self, "_n_targets", None),
            "n_features_in": getattr(self, "n_features_in_", None),
            "feature_names_in": _labels(getattr(self, "feature_names_in_", None)),
            "seed": self._seed,
            "frozen": _portable.frozen(self.estimator_),
            "lost": self._lost(),
            "deletions": self.deletions_,
            "steps_before": getattr(self, "_steps_before", None),
            "is_dataset": self._record.is_dataset,
            "augmented": self._record.reader is not None,
            "row": _row_forms.describe(self._record.row_like()),
            "y_dtype": self._record.y_dtype.str,
        }
        return tensors, state

    def _lost(self):
        """Names of what a net of these parameters and weights would lack."""
        net = _skorch.unwrap(self.estimator)
        return _portable.lost(self.estimator_, net, self._seed, _some_rows(self._record))

    def load(self, path):
        """Read what `save` wrote into this estimator, whose net gives the architecture.

        Parameters
        ----------
        path : str or path-like

        Returns
        -------
        self : object
            Fitted; it holds no rows until ``attach`` is called.

        Warns
        -----
        IncompleteFileWarning
            When `save` has said that the file does not hold all of the net, and the estimator is
            no ``FrozenEstimator`` to take the rest from.

        Raises
        ------
        ValueError
            When the file was not written by ``save`` of this class, or the net does not fit.
        """
        return self._restored(*_files.read(path), path)

    def _restored(self, tensors, state, path):
        """This estimator in the state that ``_saved`` gave; `path` is for messages."""
        _files.check_header(state, type(self).__name__, path)
        net = _skorch.unwrap(self.estimator)
        kept = _files.part(tensors, "net."), state["frozen"]
        built = isinstance(self.estimator, FrozenEstimator) and net.initialized_
        try:
            if built:
                model = _skorch.copy_net(net, verbose=self.verbose)
                _skorch.name_columns(model, state["columns"] or state["classes"])
                _portable.adopt(model, *kept)
            else:
                model = _portable.rebuild(
                    net, state["seed"], *kept, verbose=self.verbose, classes=state["classes"]
                )
        except RuntimeError as error:
            raise ValueError(
                f"The net does not fit the weights in {path}: {error} Where its layers were "
                "changed after they were built, pass FrozenEstimator(net) around a net with the "
                "same ones."
            ) from error
        if state["lost"] and not built:
            warn(
                f"{path} does not hold all of the net that was saved: "
                f"{_portable.listed(state['lost'])}. They are now as the module's class builds "
                "them.",
                IncompleteFileWarning,
            )
        record = TrainingRecord.from_tables(
            {key: value.numpy() for key, value in _files.part(tensors, "record.").items()},
            is_dataset=state["is_dataset"],
            like=_row_forms.empty(state["row"]),
            y_dtype=np.dtype(state["y_dtype"]),
            reader=PlainRows() if state["augmented"] else None,
        )
        fitted = {
            "estimator_": restore(model, net),
            "_record": record,
            "_seed": state["seed"],
            "deletions_": state["deletions"],
            "_evidence": None,
            "_forgotten": None,
            "_n_targets": state["n_targets"],
            "_steps_before": state["steps_before"],
        }
        if state["classes"] is not None:
            dtype = np.dtype(state["classes_dtype"])
            fitted["classes_"] = np.array(state["classes"], dtype=dtype)
            columns = state["columns"]
            fitted["_columns"] = None if columns is None else np.array(columns, dtype=dtype)
            if state["multilabel"]:
                fitted["_columns"] = Labels(len(state["classes"]))
        if state["n_features_in"] is not None:
            fitted["n_features_in_"] = state["n_features_in"]
        if state["feature_names_in"] is not None:
            fitted["feature_names_in_"] = np.array(state["feature_names_in"], dtype=object)
        if isinstance(self.estimator, FrozenEstimator) and state["deletions"]:
            fitted["estimator"] = FrozenEstimator(model)  # the one passed in knows too much
        clear_fit(self)
        vars(self).update(fitted)
        return self


_FITTED = (
    *("_seed", "_record", "_evidence", "_forgotten", "_n_targets", "_columns", "_updates"),
    *("_moments", "_setting", "_account", "_secret", "_step", "_gram", "_steps_before"),
    *("_trained_before",),
)


def clear_fit(estimator):
    """Remove what an earlier ``fit`` learned; it may have been on another kind of data."""
    for name in list(vars(estimator)):
        if name in _FITTED or (name.endswith("_") and not name.startswith("_")):
            delattr(estimator, name)


def warn_of_lost(path, lost):
    """Say what `save` has not written of a net."""
    if lost:
        warn(
            f"{path} does not hold all of the net: {_portable.listed(lost)}. load "
            "would build these as the module's class does. Load it into an estimator whose "
            "FrozenEstimator(net) was changed in the same way, or use pickle.",
            IncompleteFileWarning,
        )


def _without_weights(estimator):
    if isinstance(estimator, FrozenEstimator):
        # After an unlearning the frozen model is the unlearned one; before it nothing is gone.
        return estimator
    return _skorch.clone_any(estimator)


def _some_rows(record):
    """A few rows, or made-up ones of their form; None where that is not known."""
    if record.has_data:
        return record.view(np.flatnonzero(record.retained)[:8])
    like = record.row_like()
    return None if like is None else Rows(_made_up(like), None, np.arange(8))


def _made_up(like):
    if is_mapping(like):
        return {key: _made_up(value) for key, value in like.items()}
    shape, rng = (8, *like.shape[1:]), np.random.default_rng(0)
    if isinstance(like, torch.Tensor):
        values = rng.normal(size=shape) if like.is_floating_point() else np.zeros(shape)
        return torch.from_numpy(values).to(like.dtype)
    values = rng.normal(size=shape) if np.dtype(like.dtype).kind == "f" else np.zeros(shape)
    return values.astype(like.dtype)


def _labels(values):
    return None if values is None else np.asarray(values).tolist()
