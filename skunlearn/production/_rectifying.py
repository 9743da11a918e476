"""Corrections in a queue: new values of rows as text, and on their way into a model."""

import copy
import json
from dataclasses import dataclass

import numpy as np
from sklearn.pipeline import Pipeline

from skunlearn._rows.containers import is_dataset, is_mapping, join, n_rows, take
from skunlearn._rows.finding import align_request
from skunlearn._rows.frames import select_columns
from skunlearn._rows.written_rows import read_rows, write_rows
from skunlearn._unlearning import correction
from skunlearn._unlearning.fitted import share_state
from skunlearn.compose._front_steps import as_rows
from skunlearn.exact.retrain import RetrainUnlearner
from skunlearn.production import _names

GONE = "its rows are forgotten, so that there is nothing to correct"
LATER = "a later correction of the same rows has been applied"


def write_values(X_new, y_new, k):
    """New values of `k` rows as text; TypeError or ValueError for what no file holds."""
    if X_new is None and y_new is None:
        raise TypeError("Pass the new values: X_new, y_new or both.")
    written = {}
    if X_new is not None:
        if is_dataset(X_new):
            raise TypeError(
                "X_new is a torch Dataset, of which a queue holds no rows: correct the data and "
                "start anew, or call correct() of the unlearner."
            )
        X_new = as_rows(X_new)
        _check_length(X_new, "X_new", "rows", k)
        written["X_new"] = write_rows(X_new, "X_new")
    if y_new is not None:
        y_new = _as_labels(y_new)
        _check_length(y_new, "y_new", "entries", k)
        written["y_new"] = write_rows(y_new, "y_new")
    return json.dumps(written, sort_keys=True)


def _check_length(values, name, what, k):
    if not is_mapping(values) and not values.shape:
        raise ValueError(f"{name} has no length, but {k} rows are named: one for each.")
    correction.check_length(n_rows(values), name, what, k)


def _as_labels(y):
    """Labels or targets as an array of numbers or text; TypeError for others."""
    array = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    if array.dtype.kind == "O" and len({type(value) for value in array.ravel().tolist()}) == 1:
        array = np.array(array.tolist())  # words of a data frame's column
    if array.dtype.kind not in "biufU":
        raise TypeError(
            "y_new in a queue must be an array of numbers or text, which a file can hold; got "
            f"{type(y).__name__} of {array.dtype}. Call correct() of the unlearner for others."
        )
    return array


def read_values(text):
    """New rows and labels from text, either None where they stay."""
    held = json.loads(text)
    return tuple(read_rows(held[name]) if name in held else None for name in ("X_new", "y_new"))


def digest_values(names, values, salt):
    """Keyed digest of what a correction says of which row."""
    return _names.digest(f"{names} {values}".encode(), salt).hex()


@dataclass(frozen=True)
class Correction:
    """Of one request: `positions` in the record, and new values of each, None where they stay."""

    number: int
    positions: np.ndarray
    X: object | None  # any container of rows but a Dataset
    y: np.ndarray | None


def refuse_rows(unlearner, rows):
    """Why a worker with these rows cannot correct any, or None."""
    if unlearner._record.reader is not None:
        return "the worker's rows are augmented or measured by measure_on=: correct the data"
    if is_dataset(rows[0]):
        return (
            f"the worker's rows are items of a {type(rows[0]).__name__}, which gives their values "
            "itself: correct the data, delete the rows, or call correct() of an unlearner"
        )
    return None


def overlay(held, positions, corrections, prepare):
    """Rows and labels at `positions` with the values that corrections put there, the last counts.

    Parameters
    ----------
    held : (X, y), the rows at `positions` as they are, in any container, and an array
    positions : ndarray of int, sorted
    corrections : list of Correction
    prepare : callable
        ``prepare(X, y, k)`` gives new values in the form of those that are held.
    """
    X, y = held[0], np.array(held[1])
    for each in corrections:
        X_new, y_new = prepare(each.X, each.y, len(each.positions))
        places = np.searchsorted(positions, each.positions)
        if X_new is not None:
            X = put_rows(X, places, X_new)
        if y_new is not None:
            y[places] = y_new
    return X, y


def put_rows(X, places, X_new):
    """A copy of the rows of any container in which those at `places` are others."""
    order = np.arange(n_rows(X))
    order[places] = len(order) + np.arange(len(places))
    return take(join(X, X_new), order)


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
    return take_over(unlearner, done), True


def stand_in(unlearner):
    """`RetrainUnlearner` in the state of an unlearner of a net; a pipeline with one at its end."""
    if isinstance(unlearner, Pipeline):
        new, (name, last) = copy.copy(unlearner), unlearner.steps[-1]
        new.steps = [*unlearner.steps[:-1], (name, stand_in(last))]
        return new
    new = RetrainUnlearner(
        unlearner.estimator,
        random_state=unlearner.random_state,
        store_data=unlearner.store_data,
        verbose=unlearner.verbose,
    )
    share_state(new, unlearner)
    return new


def take_over(unlearner, done):
    """A copy of `unlearner` in the state that its stand-in has come to."""
    if isinstance(unlearner, Pipeline):
        (name, last), new = unlearner.steps[-1], copy.copy(done)
        new.steps = [*done.steps[:-1], (name, take_over(last, done.steps[-1][1]))]
        return new
    new = copy.copy(unlearner)
    new.estimator, new._fitted = done.estimator, done._fitted
    return new


def correct_rows(rows, places, positions, corrections):
    """What ``start`` was given, with the new values in it.

    `places` are the rows of it that stand for `positions` of the record, sorted as these.
    """
    X, y, *others = rows
    X = as_rows(X)
    y = np.asarray(y.detach().cpu() if hasattr(y, "detach") else y)
    # Labels of the rows that are left may be shorter than a new one.
    texts = [each.y.dtype for each in corrections if each.y is not None and y.dtype.kind == "U"]
    y = y.astype(np.result_type(y.dtype, *texts))

    def prepare(X_new, y_new, k):
        X_new = None if X_new is None else read_like(X_new, X, k)
        return X_new, None if y_new is None else y_new.reshape(k, *y.shape[1:])

    held = take(X, places), y[places]
    few, y[places] = overlay(held, positions, corrections, prepare)
    return put_rows(X, places, few), y, *others


def read_like(X_new, X, k):
    """New rows in the form of `X`, what ``start`` was given."""
    if isinstance(X, np.ndarray) and isinstance(X_new, np.ndarray):
        return correction.cast_new(X_new, X.dtype).reshape(k, *X.shape[1:])
    if hasattr(X, "columns"):
        X_new = select_columns(X_new, X.columns)
    return align_request(X_new, X, "X_new")
