"""Corrections in a queue: new values of rows as text, and on their way into a model."""

import base64
import copy
import io
import json
from dataclasses import dataclass

import numpy as np

from skunlearn._rows.containers import is_dataset, take
from skunlearn._unlearning import correction
from skunlearn._unlearning.fitted import share_state
from skunlearn.compose._front_steps import as_rows
from skunlearn.exact.retrain import RetrainUnlearner
from skunlearn.production import _names

_KINDS = "biufU"  # of arrays that a file holds without running code
GONE = "its rows are forgotten, so that there is nothing to correct"
LATER = "a later correction of the same rows has been applied"


def write_values(X_new, y_new, k):
    """New values of `k` rows as text; TypeError or ValueError for what no file holds."""
    if X_new is None and y_new is None:
        raise TypeError("Pass the new values: X_new, y_new or both.")
    written = {}
    for name, values, what in (("X_new", X_new, "rows"), ("y_new", y_new, "entries")):
        if values is None:
            continue
        array = np.asarray(values.detach().cpu() if hasattr(values, "detach") else values)
        if array.dtype.kind not in _KINDS or (name == "X_new" and array.dtype.kind == "U"):
            kinds = "numbers" if name == "X_new" else "numbers or text"
            raise TypeError(
                f"{name} in a queue must be an array of {kinds}, which a file can hold; got "
                f"{type(values).__name__} of {array.dtype}. Call "
                "correct() of the unlearner for rows of other kinds."
            )
        if array.ndim == 0:
            raise ValueError(f"{name} has no length, but {k} rows are named: one for each.")
        correction.check_length(len(array), name, what, k)
        file = io.BytesIO()
        np.save(file, np.ascontiguousarray(array), allow_pickle=False)
        written[name] = base64.b64encode(file.getvalue()).decode()
    return json.dumps(written, sort_keys=True)


def read_values(text):
    """New rows and labels from text, either None where they stay."""
    held = json.loads(text)
    return tuple(
        np.load(io.BytesIO(base64.b64decode(held[name])), allow_pickle=False)
        if name in held
        else None
        for name in ("X_new", "y_new")
    )


def digest_values(names, values, salt):
    """Keyed digest of what a correction says of which row."""
    return _names.digest(f"{names} {values}".encode(), salt).hex()


@dataclass(frozen=True)
class Correction:
    """Of one request: `positions` in the record, and new values of each, None where they stay."""

    number: int
    positions: np.ndarray
    X: np.ndarray | None
    y: np.ndarray | None


def refuse_rows(unlearner, rows):
    """Why a worker with these rows cannot correct any, or None."""
    if unlearner._record.reader is not None:
        return "the worker's rows are augmented or measured by measure_on=: correct the data"
    X = rows[0]
    if is_dataset(X) or not isinstance(as_rows(X), np.ndarray):
        return (
            f"the worker's rows are a {type(X).__name__}, and only arrays are corrected in a "
            "queue: correct the data, delete the rows, or call correct() of an unlearner"
        )
    return None


def overlay(held, positions, corrections, prepare):
    """Rows and labels at `positions` with the values that corrections put there, the last counts.

    Parameters
    ----------
    held : (X, y), arrays of the rows at `positions` as they are
    positions : ndarray of int, sorted
    corrections : list of Correction
    prepare : callable
        ``prepare(X, y, k)`` gives new values in the form of those that are held.
    """
    X, y = (np.array(part) for part in held)
    for each in corrections:
        X_new, y_new = prepare(each.X, each.y, len(each.positions))
        places = np.searchsorted(positions, each.positions)
        if X_new is not None:
            X[places] = X_new
        if y_new is not None:
            y[places] = y_new
    return X, y


def correct_model(unlearner, corrections, deleted, *, full):
    """A copy of a worker's unlearner that has learnt new values, and forgotten the rows `deleted`.

    In one training. Where its method cannot, or with `full`, its net is trained anew on the
    corrected rows.
    """
    positions = np.unique(np.concatenate([each.positions for each in corrections]))
    held = unlearner._record.view(positions)
    X, y = overlay((held.X, held.y), positions, corrections, unlearner._read_new)
    final = getattr(unlearner, "_final_estimator", unlearner)
    promises = final._make_promises()
    if promises.corrects and (promises.exact or not full):
        return correction.succeed(unlearner, positions, X, y, deleted), False
    done = correction.succeed(stand_in(unlearner), positions, X, y, deleted)
    new = copy.copy(unlearner)
    new.estimator, new._fitted = done.estimator, done._fitted
    return new, True


def stand_in(unlearner):
    """`RetrainUnlearner` in the state of an unlearner of a net."""
    new = RetrainUnlearner(
        unlearner.estimator,
        random_state=unlearner.random_state,
        store_data=unlearner.store_data,
        verbose=unlearner.verbose,
    )
    share_state(new, unlearner)
    return new


def correct_rows(rows, places, positions, corrections):
    """What ``start`` was given, with the new values in it.

    `places` are the rows of it that stand for `positions` of the record, sorted as these.
    """
    X, y, *others = rows
    X = np.array(as_rows(X))
    y = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    # Labels of the rows that are left may be shorter than a new one.
    texts = [each.y.dtype for each in corrections if each.y is not None and y.dtype.kind == "U"]
    y = y.astype(np.result_type(y.dtype, *texts))

    def prepare(X_new, y_new, k):
        if X_new is not None:
            X_new = correction.cast_new(X_new, X.dtype).reshape(k, *X.shape[1:])
        return X_new, None if y_new is None else y_new.reshape(k, *y.shape[1:])

    held = take(X, places), y[places]
    X[places], new = overlay(held, positions, corrections, prepare)
    y[places] = new
    return X, y, *others
