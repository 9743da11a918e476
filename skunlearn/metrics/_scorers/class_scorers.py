"""Scorers that tell forgotten classes from the others."""

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.utils import _safe_indexing

from skunlearn._torch.parts.tasks import need_one_class
from skunlearn.metrics._scorers.scoring import Scorer, final_unlearner

__all__ = ["ForgottenScorer", "RetainedScorer"]


class RetainedScorer(Scorer):
    """Any scorer, over the test rows whose class has not been forgotten.

    A model that has truly forgotten a class gets its unseen rows wrong. Accuracy over all
    classes therefore rewards keeping them; this scorer leaves them out.

    Parameters
    ----------
    scoring : str or callable, default="accuracy"
        A scorer as in scikit-learn.

    See Also
    --------
    ForgottenScorer : The other test rows.

    Examples
    --------
    >>> from skunlearn.metrics import ForgottenScorer, RetainedScorer
    >>> scoring = {"accuracy": RetainedScorer(), "forgetting": ForgottenScorer()}
    """

    needs_forgotten = False  # as long as nothing is, all rows are scored

    def __init__(self, scoring="accuracy"):
        self.scoring = scoring

    def __call__(self, estimator, X, y):
        """Score the rows of classes that are not wholly forgotten.

        Parameters
        ----------
        estimator : fitted unlearner, or Pipeline that ends in one
            It says which classes it has wholly forgotten.
        X, y : rows and labels
            Of all classes, better unseen; those that do not count are left out.

        Returns
        -------
        score : float
            Higher is better.
        """
        return _score_rows(self.scoring, estimator, X, y, ~_is_gone(estimator, y))

    def __repr__(self):
        return f"{type(self).__name__}({self.scoring!r})"


class ForgottenScorer(RetainedScorer):
    """Minus the score on the test rows whose class has been forgotten.

    Where a class is forgotten, a model that keeps it knows seen and unseen rows of it alike, and
    a membership attack between them finds nothing to complain about. This scorer does: for
    accuracy, 0 says that no unseen row of the class is recognised any more.

    Parameters
    ----------
    scoring : str or callable, default="accuracy"
        A scorer as in scikit-learn.

    Examples
    --------
    >>> from skunlearn.metrics import ForgottenScorer, RetainedScorer
    >>> scoring = {"accuracy": RetainedScorer(), "forgetting": ForgottenScorer()}
    """

    needs_forgotten = True

    def __call__(self, estimator, X, y):
        """Minus the score on the rows of forgotten classes.

        Parameters
        ----------
        estimator : fitted unlearner, or Pipeline that ends in one
            It says which classes it has wholly forgotten.
        X, y : rows and labels
            Of all classes, better unseen; those that do not count are left out.

        Returns
        -------
        score : float
            Higher is better.
        """
        return -_score_rows(self.scoring, estimator, X, y, _is_gone(estimator, y))


def _is_gone(estimator, y):
    unlearner = final_unlearner(estimator)
    need_one_class(unlearner._classes, "This scorer", ValueError)
    gone = [label for e in unlearner.deletions_ for label in e["classes_forgotten"]]
    return np.isin(np.asarray(y), gone)


def _score_rows(scoring, estimator, X, y, mask):
    rows = np.flatnonzero(mask)
    if len(rows) == 0:
        raise ValueError(
            "No test row is left to score: RetainedScorer needs rows of classes that were kept, "
            "ForgottenScorer rows of a class of which every training row was forgotten."
        )
    return get_scorer(scoring)(estimator, _safe_indexing(X, rows), _safe_indexing(y, rows))
