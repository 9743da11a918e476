"""Docstrings: those of the two verbs, and what that of a class takes over from its bases."""

import functools
import inspect
import re

_SLOT = re.compile(r"\{(\w+(?:, \w+)*)\}")
_SECTIONS = ("Parameters", "Attributes")


def described(text):
    """Give a method its docstring."""

    def describe(method):
        method.__doc__ = text
        return method

    return describe


def explained(*others):
    """Describe in the docstring of a function what it names only, in the words of `others`.

    A line ``{tolerance, confidence}`` under Parameters becomes the entries of these names in the
    first of them that describes each; indented lines below it are added to the last.
    """

    def explain(function):
        if function.__doc__:
            lines = inspect.cleandoc(function.__doc__).splitlines()
            for i, line in enumerate(lines):
                slot = _SLOT.fullmatch(line)
                if slot is not None:
                    found = [_find_named(others, name) for name in slot[1].split(", ")]
                    lines[i] = "\n".join(dict.fromkeys(found))
            function.__doc__ = "\n".join(lines)
        return function

    return explain


FIT = """\
Train the model and remember which rows it has seen.

Parameters
----------
X : array, tensor, data frame, sparse matrix, mapping or torch Dataset of n rows
    Referred to, not copied.
y : array of shape (n,), (n, n_targets) or (n, ...), default=None
    Labels of any type, or regression targets. A multi-label net, skorch's ``NeuralNet``
    with a criterion such as ``BCEWithLogitsLoss``, takes an indicator matrix of 0 and 1,
    dense or sparse. With ``CrossEntropyLoss``, and logits of shape (n, n_classes, ...), it
    takes a class for each position of a row, from 0, as whole numbers. With a criterion of
    its own ``NeuralNet`` takes whole numbers and text for classes, 0 and 1 in several
    columns for labels whose logits the module returns, and floats for a regression. May be
    None when `X` is a Dataset that gives them: every item is then read once, unless
    torchvision's data sets say them in ``targets`` or ``labels``.
sample_weight : array of shape (n,), default=None
    Weight of each row, not negative. A net is trained on the weighted mean of the losses
    of a batch's rows (or its own ``get_loss`` takes ``sample_weight``); scikit-learn's
    estimators are given them. Requests keep the weights of the rows that stay.
forget : bool array of shape (n,), default=None
    Rows to forget right after the training, as ``unlearn`` would.
ids : sequence of n hashable values, default=None
    Unique record identifiers that later requests may name.
groups : sequence of n hashable values, default=None
    Group of each row (the person it is about, say); a request may name groups.
measure_on : torch Dataset of n items, or callable, default=None
    How to read rows as they are, where training augments them at random (a Dataset with
    random crops as `X`, or a net with such a ``dataset=``): a Dataset of the same rows in
    the same order without the augmentation, or the transform to leave out, the very
    object that the Dataset applies. The log, warnings, guards, attacks, reports and
    ``score`` then use rows as they are. None: an AugmentedRowsWarning where a row that is
    read twice differs.

Returns
-------
self : object

Raises
------
ValueError, TypeError
    When something passed in is wrong, or `sample_weight` is given to an estimator that
    takes none; a fitted estimator stays as it was.
"""

UNLEARN = """\
Forget training rows, as if the model had never seen them.

Name the rows in exactly one way: by content, ids, indices or groups. A second request
forgets more; what was forgotten earlier stays forgotten. The rows to forget, and a sample
of the others, are compared with what ``fit`` was given.

Parameters
----------
X_forget : rows as in ``fit``, default=None
    Found in the training record by their content; all duplicates of a row go.
y_forget : array of shape (n_forget,), default=None
    Labels, to tell apart equal rows with different labels.
ids : sequence of identifiers given to ``fit``, default=None
    The rows of these records.
indices : array of int, default=None
    Positions among the rows that ``fit`` was given.
groups : sequence of groups given to ``fit``, default=None
    All rows of these groups (of one person, say).
X_retain, y_retain : rows and labels, default=None
    Retained training rows to work with, instead of all of them; needed when the
    estimator does not hold its rows. The forget rows need not be at hand for methods
    that work on the retained rows alone.
max_accuracy_drop : float, default=None
    Undo the request when it costs more accuracy than this, a share in [0, 1]: 0.05 is
    five points. Of regressors it is R², which may fall by more than 1. It is
    measured on a sample of retained rows, at most 1000 (100 for exact methods) and
    within this request, or on `X_val`. None: no limit, but a ModelDamagedWarning at ten
    points.
X_val, y_val : rows and labels, default=None
    Rows that ``fit`` was not given, like those to be forgotten; of the few that equal training rows
    by chance, at most a twentieth, a warning tells and they are left out, and so are those of
    classes that ``fit`` has not seen, but for `max_accuracy_drop`. Methods that are not
    exact are judged by them: a NotForgottenWarning is given where forget rows are still told from
    them, a ModelDamagedWarning where their accuracy falls, and the log holds what was found, under
    ``"unseen"``. Those of the net's ``predefined_split`` stand in for them, and those that its own
    ``train_split`` holds out, where these come in no order; else the log says under
    ``"not_looked_at"`` what nobody knows. With `max_accuracy_drop` the drop is measured on
    rows that are given. It then counts from the first request that was measured on the same rows,
    so that many small requests cannot add up. `AutoUnlearner` chooses by them, and so do methods
    with ``stop="reference"``.
**unknown : dict
    Nothing else is taken; the error says how rows are named.

Returns
-------
self : object

Raises
------
AccuracyDropError
    When the request costs more than `max_accuracy_drop`; it says what was measured.
UnknownRowsError
    When the request names rows that the model never saw.
AlreadyForgottenError
    When it names rows that an earlier request removed.
DataChangedError
    When the rows that ``fit`` was given were sorted, scaled or otherwise changed in place.
UnlearningError
    When the training diverged. After any error or interrupt the estimator is exactly
    as it was.
"""


def inherit_entries(cls):
    """Describe in a class docstring what it names only, in the words of the base classes.

    A line ``{lr, max_epochs}`` under Parameters or Attributes becomes the entries of these names
    in the nearest base class that describes them; indented lines below it are added to the last.
    A line with a name that no base class describes stays as it is. Under ``python -OO`` there are
    no docstrings, and nothing happens.

    Parameters
    ----------
    cls : type
        Its ``__doc__`` is replaced.
    """
    doc = cls.__dict__.get("__doc__")
    if not doc:
        return
    lines, section, changed = inspect.cleandoc(doc).splitlines(), None, False
    for i, line in enumerate(lines):
        if _is_title(lines, i):
            section = line
        slot = _SLOT.fullmatch(line)
        if slot is None or section not in _SECTIONS:
            continue
        entries = [_find_entry(cls, section, name) for name in slot[1].split(", ")]
        if all(entries):
            lines[i], changed = "\n".join(entries), True
    if changed:
        cls.__doc__ = "\n".join(lines)


def _find_entry(cls, section, name):
    for base in cls.__mro__[1:]:
        entry = _read_entries(base.__dict__.get("__doc__") or "").get((section, name))
        if entry is not None:
            return entry
    return None


def _find_named(others, name):
    """The entry of a parameter, which may have others beside it, of the first that has it."""
    for other in others:
        for (_, names), entry in _read_entries(other.__doc__ or "").items():
            if name in names.split(", "):
                return entry
    raise LookupError(f"{name} is described nowhere.")


@functools.cache
def _read_entries(doc):
    """Entries of the two sections, by section and name."""
    lines, section, name, found = inspect.cleandoc(doc).splitlines(), None, None, {}
    for i, line in enumerate(lines):
        if _is_title(lines, i):
            section, name = line, None
        elif section in _SECTIONS and line and not line.startswith((" ", "---")):
            name = line.split(" : ")[0]
            found[section, name] = [line]
        elif name is not None:
            found[section, name].append(line)
    return {key: "\n".join(entry).rstrip() for key, entry in found.items()}


def _is_title(lines, i):
    return i + 1 < len(lines) and bool(lines[i]) and lines[i + 1] == "-" * len(lines[i])
