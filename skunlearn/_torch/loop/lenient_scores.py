"""Scores among a net's callbacks, where a request trains on rows that cannot be scored."""

from contextlib import ExitStack, contextmanager

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from skorch.callbacks import BatchScoring, EpochScoring

from skunlearn._rows import checking
from skunlearn._torch.parts.overriding import overridden


@contextmanager
def lenient_scores(net):
    """Let scores that fail be NaN, with a warning, as scikit-learn's searches have it.

    Rows to forget may all be of one class, and the rows that stay lack one: an ROC AUC is undefined
    then, which is no reason to forget nothing.
    """
    scores = [cb for _, cb in net.callbacks_ if isinstance(cb, EpochScoring | BatchScoring)]
    with ExitStack() as stack:
        for callback in scores:
            stack.enter_context(overridden(callback, _scoring=_lenient(callback)))
        yield


def _lenient(callback):
    plain, told = callback._scoring, []

    def scoring(net, X_test, y_test):
        try:
            return plain(net, X_test, y_test)
        except Exception as error:
            if not told:
                told.append(error)
                checking.warn(
                    f"The callback that scores {callback.name_!r} failed on the rows of this "
                    f"training, and its score is NaN: {type(error).__name__}: {error}",
                    UndefinedMetricWarning,
                )
            return np.nan

    return scoring
