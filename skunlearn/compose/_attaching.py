"""The training rows that a fitted pipeline holds, gives away and takes back."""

import copy

from sklearn.utils.validation import check_is_fitted

from skunlearn._torch import skorch_nets
from skunlearn._unlearning import validation
from skunlearn._unlearning.plain_rows import look_at
from skunlearn.compose import _front_steps
from skunlearn.compose._prepared import Held


def detach(self):
    """Let go of the training rows; their digests stay.

    Returns
    -------
    self : object
    """
    check_is_fitted(self)
    name, unlearner = self.steps[-1]
    unlearner = copy.copy(unlearner).detach()
    steps = [*self.steps[:-1], (name, unlearner)]
    vars(self).update(steps=steps, _record=self._record.detach(), _held=None)
    return self


def attach(self, X, y, *, measure_on=None):
    """Give the retained rows back to a pipeline that does not hold them.

    Parameters
    ----------
    X : rows as in ``fit``
        All retained rows, in any order, as they are before the first step.
    y : array of shape (n,)
        Labels as in ``fit``, in the order of `X`.
    measure_on : callable, default=None
        The transform to leave out where the net has a ``dataset=`` of its own that augments what
        the steps make.

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
    X, y = self._check_request(X, y, "attach")
    record = self._record.attach(X, y)
    name, unlearner = self.steps[-1]
    unlearner = copy.copy(unlearner)
    shown = _front_steps.transform(self.steps[: self._constant], X)
    made = _front_steps.transform(self.steps[self._constant : -1], shown)
    made = validation.check_X(unlearner, made)
    _, reader = look_at(made, y, skorch_nets.unwrap(unlearner.estimator), measure_on)
    seen = unlearner._record.with_rows(made, y, record._slot)
    seen.reader = reader
    unlearner._change(record=seen)
    held = Held(_front_steps.as_rows(shown), record._slot) if self._constant else None
    steps = [*self.steps[:-1], (name, unlearner)]
    vars(self).update(steps=steps, _record=record, _held=held)
    return self
