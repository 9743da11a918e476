"""Errors and warnings of skunlearn."""

__all__ = [
    "AccuracyDropError",
    "AlreadyForgottenError",
    "AugmentedRowsWarning",
    "ClassForgottenWarning",
    "CostWarning",
    "DataChangedError",
    "DataNotStoredError",
    "IncompleteFileWarning",
    "ModelDamagedWarning",
    "NotForgottenWarning",
    "QueueStoppedError",
    "PrivacyBudgetWarning",
    "RowRevealedWarning",
    "UnknownRowsError",
    "UnlearningError",
    "UnsuitableMethodWarning",
    "UntrainedNetWarning",
]


class UnlearningError(RuntimeError):
    """An unlearning failed; the estimator is as it was before the call."""


class AccuracyDropError(UnlearningError):
    """A request would cost more accuracy than ``max_accuracy_drop=`` allows; it was undone.

    Attributes
    ----------
    before, after : float
        The scores that were compared.
    max_accuracy_drop : float
        The limit.
    """

    def __init__(self, message="", before=None, after=None, max_accuracy_drop=None):
        super().__init__(message)
        self.before, self.after, self.max_accuracy_drop = before, after, max_accuracy_drop

    def __reduce__(self):
        return type(self), (str(self), self.before, self.after, self.max_accuracy_drop)


class UnknownRowsError(ValueError):
    """A deletion request names rows, ids or groups that the model never saw.

    Attributes
    ----------
    names : list
        All of these, of which the message shows the first: ids, groups or positions as they were
        passed, or positions in the rows that were.
    """

    def __init__(self, message="", names=()):
        super().__init__(message)
        self.names = list(names)

    def __reduce__(self):
        return type(self), (str(self), self.names)


class AlreadyForgottenError(UnknownRowsError):
    """A deletion request names rows that an earlier request has removed.

    Attributes
    ----------
    names : list
        All of these, as in `UnknownRowsError`.
    """


class DataChangedError(ValueError):
    """The training rows, to which the estimator refers, are no longer those that ``fit`` saw."""


class DataNotStoredError(RuntimeError):
    """The estimator was loaded without its rows; call ``attach(X, y)`` first."""


class QueueStoppedError(RuntimeError):
    """A batch of deletions was rolled back; see ``DeletionQueue.release``."""


class AugmentedRowsWarning(UserWarning):
    """Training rows are augmented at random, and nobody has said how to read them as they are."""


class NotForgottenWarning(UserWarning):
    """The forget rows may still be remembered, or their forgetting can be seen."""


class PrivacyBudgetWarning(UserWarning):
    """What a certified method may spend did not cover a request: it trained anew."""


class RowRevealedWarning(UserWarning):
    """Two published versions of a linear model give away the row deleted in between."""


class ModelDamagedWarning(UserWarning):
    """The unlearning cost retained rows, or rows never seen, a large part of their accuracy."""


class IncompleteFileWarning(UserWarning):
    """A file does not hold all of a net: something was changed after its modules were built."""


class ClassForgottenWarning(UserWarning):
    """A request removes every retained row of a class, which is allowed."""


class CostWarning(UserWarning):
    """A request may take far longer than the training did; said before it begins."""


class UnsuitableMethodWarning(UserWarning):
    """The method is known not to suit this kind of request."""


class UntrainedNetWarning(UserWarning):
    """A net in a ``FrozenEstimator``, trained already by its owner's word, knows nothing."""
