"""The training rows that a fitted unlearner holds, gives away and takes back."""

from dataclasses import replace

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skunlearn._rows.containers import is_dataset, n_rows
from skunlearn._rows.seeding import seeded
from skunlearn._torch import skorch_nets
from skunlearn._unlearning.plain_rows import look_at
from skunlearn._unlearning.validation import check_like, dataset_targets


def detach(self):
    """Let go of the training rows; their digests stay.

    Until then the estimator refers to the arrays that ``fit`` was given, in which forgotten
    rows still stand as long as their owner keeps them there.

    Returns
    -------
    self : object
    """
    check_is_fitted(self)
    self._change(record=self._record.detach(), forgotten=None, looked=None)
    return self


def attach(self, X, y=None, *, measure_on=None):
    """Give the retained rows back to an estimator that does not hold them.

    Parameters
    ----------
    X : rows as in ``fit``
        All retained rows, in any order. A Dataset must be the one that ``fit`` was given,
        forgotten rows in their places (they are not read).
    y : array of shape (n,), default=None
        Labels as in ``fit``, in the order of `X`. May be None when `X` is a Dataset that gives
        them.
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
    self._change(record=_give_back(self, X, y, measure_on), looked=None)
    return self


def _give_back(unlearner, X, y, measure_on):
    """The record of a fitted unlearner with its retained rows."""
    if y is None and is_dataset(X):
        with seeded(unlearner._seed):
            y = dataset_targets(X)
    if y is None:
        raise ValueError("attach needs the labels of the rows: pass y.")
    X, _ = unlearner._check_request(X, None, "attach")
    n = len(X) if is_dataset(X) else n_rows(X)
    y = check_like(y, n, unlearner._classes)
    record = unlearner._record
    record.check_places(X)
    # Of a Dataset that was changed where rows are forgotten these are not read.
    retained = np.flatnonzero(record.retained) if is_dataset(X) else None
    _, reader = look_at(X, y, skorch_nets.unwrap(unlearner.estimator), measure_on, retained)
    return record.attach(X, unlearner._encode(y), reader)


def leave_out_rows(unlearner, state):
    """`state`, that of a pickle, without what was forgotten."""
    known, state = state.get("_fitted"), dict(state)
    if known is not None:
        record = known.record.compact() if unlearner.store_data else known.record.detach()
        # Whoever unpickles it may have other files at these paths.
        files = tuple((name, done, None) for name, done, _ in known.files)
        state["_fitted"] = replace(
            known, record=record, forgotten=None, looked=None, recipe=None, files=files
        )
        # The net that the user passed may have been trained on rows that are gone by now.
        state["estimator"] = _drop_weights(unlearner.estimator)
    return state


def _drop_weights(estimator):
    if isinstance(estimator, FrozenEstimator):
        # After an unlearning the frozen model is the unlearned one; before it nothing is gone.
        return estimator
    return skorch_nets.clone_any(estimator)
