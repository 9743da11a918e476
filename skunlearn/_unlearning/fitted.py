"""What `fit` and `unlearn` leave behind, in one piece, and taken over in one piece.

Work is done on a draft, a copy whose state is taken over when all has gone well.
"""

import copy
import gc
import os
import sys
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from sklearn.model_selection import _validation
from sklearn.pipeline import Pipeline

from skunlearn._rows.checking import warn
from skunlearn._rows.record import TrainingRecord
from skunlearn._rows.seeding import seeded
from skunlearn._rows.views import Rows
from skunlearn._torch.observation import Evidence
from skunlearn._unlearning.certificate.deletion_log import draw_key
from skunlearn._unlearning.row_reader import RowReader

_OWN = "_own"  # the names of what fit and requests have put on an estimator
_ORIGIN = "_draft_of"
# Where scikit-learn fits what it then scores, and where it scores that.
_SCORED = _validation._fit_and_score.__code__, _validation._score.__code__


@dataclass(frozen=True)
class Fitted:
    """The state of a fitted unlearner: the one list of it.

    It never changes. A request makes another from it, with ``dataclasses.replace``, and the
    unlearner takes that over when all has gone well.

    Attributes
    ----------
    seed : int
        Whatever is drawn is drawn from it.
    record : TrainingRecord
        Which rows the model has seen, and which of them are gone.
    row_reader : RowReader
        Labels and targets, by which requests are read.
    model : fitted estimator, or None
        None as long as it is being trained.
    deletions : list of dict
        The log.
    evidence : Evidence or None
        What the model says of the rows of the last request.
    forgotten : Rows or None
        The rows of the last request, where they are at hand.
    steps_before : dict
        Kinds of the steps of a Pipeline in front; see `step_kinds.sort_steps`.
    recipe : weak reference, or None
        To the parameter `estimator` as ``fit`` has checked it.
    looked : (ndarray of int, Evidence) or None
        What the model said of the sample of retained rows after the last request, and where in
        ``fit`` these are; see `removal.look_before`.
    split : str or None
        The net's train_split in ``fit``, in words; None where that has not trained it alone: a net
        that was trained elsewhere, or in parts, may have been on any row.
    never_trained : ndarray of int, or None
        Positions of rows that the net's train_split has held out in every training up to the last
        request; None where nobody can say.
    removal : Removal or None
        The request that a draft is at work on; None outside of one.
    records : dict of str to list of dict
        What was found out about the model after its requests, by section of the certificate.
    files : tuple of (str, int, str or None)
        Files that ``save`` has written and ``load`` has read: name, number of requests that the
        model in them has fulfilled, and path, where that is known to be on this machine.
    key : bytes
        Of the digests of forgotten rows in the log.
    """

    seed: int
    record: TrainingRecord
    row_reader: RowReader
    model: object = None
    deletions: list = field(default_factory=list)
    evidence: Evidence | None = None
    forgotten: Rows | None = None
    steps_before: Mapping | None = None
    recipe: object = None
    looked: tuple | None = None
    split: str | None = None
    never_trained: object = None
    removal: object = None
    records: Mapping = field(default_factory=dict)
    files: tuple = ()
    key: bytes = field(default_factory=draw_key, repr=False)


_WORDS = {"model": "The current model.", "deletions": "The log of requests, a list of dicts."}


def bind(name):
    """A property of an unlearner that is an entry of its `Fitted`."""

    def read(self):
        state = vars(self).get("_fitted")
        value = None if state is None else getattr(state, name)
        if state is None or (name == "model" and value is None):
            raise AttributeError(f"This {type(self).__name__} is not fitted yet: call fit.")
        return value

    read.__doc__ = _WORDS.get(name)
    return property(read)


def share_all(estimator):
    """A copy of an estimator that shares everything with it; for its ``__copy__``."""
    new = object.__new__(type(estimator))
    vars(new).update(vars(estimator))
    return new


class HoldsFitted:
    """An estimator whose state is a `Fitted`, of which its attributes are entries."""

    estimator_, deletions_ = bind("model"), bind("deletions")
    _seed, _record, _row_reader = bind("seed"), bind("record"), bind("row_reader")
    _evidence, _forgotten, _removal = bind("evidence"), bind("forgotten"), bind("removal")
    _steps_before, _looked, _recipe = bind("steps_before"), bind("looked"), bind("recipe")
    _records, _saved_files, _key = bind("records"), bind("files"), bind("key")

    @property
    def classes_(self):
        """Labels that ``fit`` has seen; regressors have none."""
        labels = self._row_reader.labels
        if labels is None:
            raise AttributeError(f"This {type(self).__name__} is a regressor: it has no classes_.")
        return labels

    @property
    def _classes(self):
        """The label of each column of the model, `Labels`, or None for a regression."""
        return self._row_reader.classes

    @property
    def _reader(self):
        """How rows are read to be measured, or None."""
        return self._record.reader if "_fitted" in vars(self) else None

    def _encode(self, y, name="y"):
        return self._row_reader.encode(y, name, self._record.y_dtype)

    def _change(self, **changed):
        """Give entries of the state other values."""
        self._fitted = replace(self._fitted, **changed)

    def _held_files(self):
        """The `Folder` that fits and requests write to, and the names of its files; or None."""
        return None

    def __sklearn_is_fitted__(self):
        return "_fitted" in vars(self) and self._fitted.model is not None

    __copy__ = share_all


@contextmanager
def drafted(estimator, *, anew=False):
    """A copy to work on; `estimator` takes its state over when the block ends without an error.

    What the work puts on the copy under new names is the estimator's own state, whoever wrote its
    class. Files of the state that is given up are deleted: that of the copy after an error, and
    that of before `anew` when no other copy of the estimator has it.

    Parameters
    ----------
    estimator : estimator whose ``__copy__`` shares everything
    anew : bool, default=False
        Without the own state of an earlier fit, which may have been on another kind of data.
    """
    draft = copy.copy(estimator)
    if anew:
        forget_own_state(draft)
    names = set(vars(draft))
    vars(draft)[_ORIGIN] = estimator
    try:
        yield draft
    except BaseException:
        _delete_files(draft, estimator)
        raise
    before = find_files(estimator) if anew else None
    del vars(draft)[_ORIGIN]
    note_own_state(draft, names)
    # One assignment, which no interrupt can cut in half.
    estimator.__dict__ = dict(vars(draft))
    if before is not None:
        path = _give_up(before[0], find_files(estimator))
        before = None
        if path is not None and os.path.isdir(path):  # a copy has it, or what waits for the end
            gc.collect()


def _give_up(folder, now):
    """Have a folder deleted that is not that of `now`; its path, or None."""
    return None if now is not None and now[0].path == folder.path else folder.give_up()


def _delete_files(given_up, stays):
    """Delete what work that failed has written and the estimator, which stays, does not know."""
    written, known = (find_files(state) for state in (given_up, stays))
    if written is not None and (known is None or written[0].path != known[0].path):
        written[0].remove()
    elif known is not None and not known[0].lacks(known[1]):  # else they are a copy's
        sweep(stays)


def find_files(estimator):
    """See ``_held_files``; of an estimator that need not have it."""
    return estimator._held_files() if hasattr(estimator, "_held_files") else None


def sweep(estimator):
    """Delete the files in an estimator's folder that it does not know: they know forgotten rows."""
    held = find_files(estimator)
    left = [] if held is None else held[0].sweep(held[1])
    if left:
        warn(
            f"{len(left)} files in {held[0].path} could not be deleted ({left[0]} is the first). "
            "They may know forgotten rows: delete them. The certificate names them until then.",
            UserWarning,
        )


@contextmanager
def succeeding(unlearner):
    """Yield a copy to work on, which stays one: `unlearner` is as it was, whatever happens.

    Of an unlearner or a pipeline; its copies of rows that are gone by the end are dropped.
    """
    new = copy.copy(unlearner)
    try:
        with seeded(unlearner._seed):
            new._check_parameters()
            yield new
    except BaseException:
        _delete_files(new, unlearner)
        raise
    new._drop_copies()
    note_own_state(new, set(vars(unlearner)))


def find_origin(estimator):
    """The estimator that a draft will give its state to; any other is its own."""
    return vars(estimator).get(_ORIGIN, estimator)


def find_steps_before(unlearner):
    """Steps of scikit-learn's Pipelines whose ``fit`` is just fitting `unlearner` as the last.

    Nothing but the call stack tells an estimator that others stand before it.
    """
    frame, last, steps = sys._getframe(1), find_origin(unlearner), []
    while frame is not None:
        # To read the variables of a frame keeps them alive in it, so no others are looked at.
        owner = frame.f_locals.get("self") if frame.f_code.co_name == "fit" else None
        if isinstance(owner, Pipeline) and owner.steps and owner.steps[-1][1] is last:
            last, steps = find_origin(owner), [*owner.steps[:-1], *steps]
        frame = frame.f_back
    return steps


def refuse_unasked(estimator, forget):
    """Raise where a search or cross-validation would score what nobody asked `estimator` to forget.

    Every score would be NaN, and a search picks a candidate by these all the same.
    """
    frame = sys._getframe(1) if forget is None else None
    while frame is not None and frame.f_code not in _SCORED:
        frame = frame.f_back
    if frame is None or frame.f_code is _SCORED[1]:  # a scorer trains what it likes
        return
    scorer, fitted = frame.f_locals["scorer"], frame.f_locals["estimator"]
    fitted = getattr(fitted, "best_estimator_", fitted)
    step = ""
    while isinstance(fitted, Pipeline) and not hasattr(fitted, "unlearn"):
        step, fitted = step + fitted.steps[-1][0] + "__", fitted.steps[-1][1]
    found = [
        s
        for s in getattr(scorer, "_scorers", {"": scorer}).values()
        if getattr(s, "needs_forgotten", False)
    ]
    if fitted is estimator and found:
        name = f"{step}forget"
        raise ValueError(
            f"{type(found[0]).__name__} scores what was forgotten, and fit was given no {name}=: "
            "every score would be NaN. Pass the mask of rows to forget "
            f"to the search, search.fit(X, y, {name}=mask), or to the cross-validation, "
            f'params={{"{name}": mask}}. That of ForgetSplit(forget=mask) says in which part '
            "of a fold these rows are, no more."
        )


def note_own_state(draft, names):
    """Write down what work has put on a copy; `names` are those of what it held before."""
    held = vars(draft)
    own = held.get(_OWN, frozenset()) | (held.keys() - names)
    held[_OWN] = frozenset(own & held.keys()) - {_OWN}


def list_own_names(estimator):
    """Names of what fits and requests have put on an estimator, and is there still."""
    return vars(estimator).get(_OWN, frozenset()) & vars(estimator).keys()


def forget_own_state(estimator):
    """Remove what fits and requests have put on an estimator."""
    for name in {*list_own_names(estimator), _OWN}:
        vars(estimator).pop(name, None)


def share_state(estimator, source):
    """Bring an estimator into the state of another one, which keeps it."""
    forget_own_state(estimator)
    held = vars(source)
    vars(estimator).update(
        {name: held[name] for name in (*list_own_names(source), _OWN) if name in held}
    )
