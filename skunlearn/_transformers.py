"""Transformers in front of an unlearner: what they hold of the rows, and fitting them anew."""

import sys

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline

from skunlearn import _validation
from skunlearn._data import is_dataset, is_frame, is_mapping, row_digests
from skunlearn._drafts import origin
from skunlearn._leaves import is_stateless, leaves
from skunlearn._record import Rows
from skunlearn._trained_before import find_trained
from skunlearn.backbone import PublicBackbone


def kinds(steps):
    """Names of the innermost transformers by what they hold.

    Returns
    -------
    names : dict of list of str
        "fitted" learns from rows, "frozen" has learnt from rows elsewhere, "declared" too, but
        somebody declares that these were no training rows, "stateless" needs no ``fit`` by its
        tags. What is frozen inside a step is named beside the step itself.
    """
    found = {"fitted": [], "frozen": [], "declared": [], "stateless": []}
    for name, step in leaves(steps):
        frozen = isinstance(step, FrozenEstimator)
        kind, inner = _kind(step), step.estimator if frozen else step
        found[kind].append(f"{name} ({type(inner).__name__})")
        if not frozen and kind != "declared":
            found["frozen"] += [f"{item.path} ({item.what})" for item in find_trained(step, name)]
    return found


def _kind(step):
    if isinstance(step, PublicBackbone):
        return "declared"
    if not isinstance(step, FrozenEstimator):
        return "stateless" if is_stateless(step) else "fitted"
    inner = {_kind(leaf) for _, leaf in leaves([("", step.estimator)])}
    if inner == {"stateless"}:
        return "stateless"
    # One that is declared does not speak for another that was fitted elsewhere.
    return "declared" if inner <= {"declared", "stateless"} else "frozen"


def declarations(steps):
    """What is declared of each public backbone, with the name of the step."""
    found = []
    for name, step in leaves(steps):
        inner = step.estimator if isinstance(step, FrozenEstimator) else step
        for _, leaf in leaves([("", inner)]):
            if isinstance(leaf, PublicBackbone):
                found.append({"step": f"{name} ({type(leaf).__name__})", **leaf.declaration()})
    return found


def learns(step):
    """Whether a step learns from rows, or may."""
    return bool(kinds([("", step)])["fitted"])


def constant_part(steps):
    """How many leading steps learn nothing, of which the last is a public backbone."""
    n = 0
    for number, (name, step) in enumerate(steps, 1):
        if learns(step):
            break
        if kinds([(name, step)])["declared"]:
            n = number
    return n


def resampler(steps):
    """Name of a step that changes the number of rows, or None."""
    for name, step in [*steps, *leaves(steps)]:
        if hasattr(step, "fit_resample"):
            return name
    return None


def steps_before(unlearner):
    """Steps of Pipelines whose ``fit`` is just fitting `unlearner` as their last step.

    Nothing but the call stack tells an estimator that others stand before it.
    """
    frame, last, steps = sys._getframe(1), origin(unlearner), []
    while frame is not None:
        # To read the variables of a frame keeps them alive in it, so no others are looked at.
        owner = frame.f_locals.get("self") if frame.f_code.co_name == "fit" else None
        if isinstance(owner, Pipeline) and owner.steps and owner.steps[-1][1] is last:
            last, steps = origin(owner), [*owner.steps[:-1], *steps]
        frame = frame.f_back
    return steps


def fresh(steps):
    """Unfitted copies of steps."""
    return [
        (name, step if step is None or isinstance(step, str) else clone(step))
        for name, step in steps
    ]


def fit_transform(steps, X, y):
    """Fitted copies of `steps`, and what they make of `X`, as a Pipeline's ``fit`` would."""
    if not steps:
        return [], X
    chain = Pipeline(fresh(steps))
    X = chain.fit_transform(X, y)
    return chain.steps, X


def transform(steps, X):
    """What fitted `steps` make of `X`."""
    for _, step in steps:
        if step is not None and not isinstance(step, str):
            X = step.transform(X)
    return X


def same_columns(old, new):
    """Whether two fittings of the same steps name their columns alike; True where none do."""
    try:
        ours, theirs = (Pipeline(steps).get_feature_names_out() for steps in (old, new))
    except (AttributeError, ValueError):
        return True
    return np.array_equal(ours, theirs)


def as_rows(X):
    """Rows in a container from which some can be taken; copied only where `X` is none."""
    if is_dataset(X) or is_mapping(X) or is_frame(X):
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


def transformed(rows, steps, unlearner, *, reset=False):
    """`rows` as `steps` show them to `unlearner`; `reset` takes their width for its own."""
    return checked(transform(steps, rows.arrays()[0]), rows, unlearner, reset=reset)


def checked(X, rows, unlearner, *, reset=False):
    """`X`, made of `rows`, as `unlearner` wants its rows."""
    X = _validation.check_X(unlearner, X, reset=reset)
    digests = None if is_dataset(X) else row_digests(X)
    parts = {"weights": rows.weights, "reader": unlearner._reader}
    return Rows(X, rows.y, np.arange(len(rows)), digests, **parts)


class TransformedRows(Rows):
    """Rows that are transformed whenever they are read, so that no copy of them is kept."""

    def __init__(self, rows, steps, unlearner):
        # Not the base class's, which sets `source`.
        self.all_y, self.index = rows.y, np.arange(len(rows))
        self.digests = self.positions = None
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
        return _validation.check_X(unlearner, transform(steps, rows.arrays()[0]))
