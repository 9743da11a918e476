"""Transformers in front of an unlearner: what they hold of the rows, and fitting them anew."""

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from skunlearn._recipe import step_kinds
from skunlearn._recipe.leaves import walk_leaves
from skunlearn._rows.containers import is_dataset, is_mapping
from skunlearn._rows.frames import is_frame
from skunlearn._rows.row_names import show_some
from skunlearn._rows.row_table import can_sketch, row_sketches
from skunlearn._rows.views import DigestsOfRows, Rows
from skunlearn._unlearning import validation


def find_resampler(steps):
    """Name of a step that changes the number of rows, or None."""
    for name, step in [*steps, *walk_leaves(steps)]:
        if hasattr(step, "fit_resample"):
            return name
    return None


def clone_steps(steps):
    """Unfitted copies of steps."""
    return [
        (name, step if step is None or isinstance(step, str) else clone(step))
        for name, step in steps
    ]


def name_rows(steps, X, learnt=False):
    """Tell steps that draw rows what these hold, where steps before make other values of them.

    A scaler that is fitted without some rows changes all others a little, and what is drawn by
    their contents would be drawn anew. `learnt` says that one such step went before.
    """
    for _, step in steps:
        if learnt and hasattr(step, "_row_names"):
            step._row_names = row_sketches(X) if can_sketch(X) and not is_frame(X) else None
        learnt = learnt or (step is not None and step_kinds.learns(step))


def fit_transform(steps, X, y, raw=None):
    """Fitted copies of `steps`, and what they make of `X`, as a Pipeline's ``fit`` would.

    `raw` are the rows as they were before a step that learnt from them.
    """
    if not steps:
        return [], X
    chain = Pipeline(clone_steps(steps))
    name_rows(chain.steps, X if raw is None else raw, raw is not None)
    X = chain.fit_transform(X, y)
    return chain.steps, X


def transform(steps, X):
    """What fitted `steps` make of `X`."""
    for _, step in steps:
        if step is not None and not isinstance(step, str):
            X = step.transform(X)
    return X


def tell_columns_apart(old, new):
    """What two fittings of the same steps name otherwise, in words; empty where nothing is.

    Of steps that name no columns (functions, say) those before them are asked.
    """
    parts = [(start, end) for end in range(len(old), 0, -1) for start in range(end)]
    for start, end in parts:
        try:
            ours, theirs = (
                np.asarray(Pipeline(steps[start:end]).get_feature_names_out()).tolist()
                for steps in (old, new)
            )
        except Exception:  # whatever a user's step raises, it names no columns
            continue
        if ours == theirs:
            return ""
        gone, come = set(ours) - set(theirs), set(theirs) - set(ours)
        said = {"gone": [c for c in ours if c in gone], "new": [c for c in theirs if c in come]}
        told = [f"{what}: {show_some(names)}" for what, names in said.items() if names]
        return "; ".join(told) or "in another order"
    return ""


def as_rows(X):
    """Rows in a container from which some can be taken; copied only where `X` is none."""
    if is_dataset(X):
        return validation.check_dataset(X)
    if is_mapping(X) or is_frame(X):
        return X
    if hasattr(X, "columns"):
        raise TypeError(
            "UnlearningPipeline takes frames of pandas and polars, arrays and lists, got "
            f"{type(X).__name__}. "
            "Pass X.to_pandas() or an array."
        )
    if hasattr(X, "tocsr"):
        return X.tocsr()
    if hasattr(X, "shape"):
        return X
    text = isinstance(X, list | tuple) and len(X) > 0 and isinstance(X[0], str)
    return np.array(X, dtype=object) if text else np.asarray(X)


def transform_rows(rows, steps, unlearner):
    """`rows` as `steps` show them to `unlearner`."""
    return check_rows(transform(steps, rows.arrays()[0]), rows, unlearner)


def check_rows(X, rows, unlearner, *, reset=False):
    """`X`, made of `rows`, as `unlearner` wants its rows; `reset` takes their width for its own."""
    X = validation.check_X(unlearner, X, reset=reset)
    digests = None if is_dataset(X) else DigestsOfRows(X)
    parts = {"weights": rows.weights, "reader": unlearner._reader}
    return Rows(X, rows.y, np.arange(len(rows)), digests, **parts)


class TransformedRows(Rows):
    """Rows that are transformed whenever they are read, so that no copy of them is kept."""

    def __init__(self, rows, steps, unlearner):
        # Not the base class's, which sets `source`.
        self.all_y, self.index = rows.y, np.arange(len(rows))
        self._digests = self.positions = None
        self.weights, self.reader = rows.weights, unlearner._reader
        self._of = rows, steps, unlearner

    @property
    def rows(self):
        """The rows as they are before the first step."""
        return self._of[0]

    @property
    def source(self):
        """The rows, anew at every call."""
        rows, steps, unlearner = self._of
        return validation.check_X(unlearner, transform(steps, rows.arrays()[0]))
