"""Scorers that tell forgotten classes from the others."""

import functools

import numpy as np
from sklearn.metrics import get_scorer
from sklearn.utils import _safe_indexing, get_tags

from skunlearn._torch.parts.tasks import need_one_class
from skunlearn.metrics._scorers.scoring import Scorer, final_unlearner

__all__ = ["ForgottenScorer", "RetainedScorer"]


class RetainedScorer(Scorer):
    """Any scorer, over the test rows whose class has not been forgotten.

    A model that has truly forgotten a class gets its unseen rows wrong. Accuracy over all
    classes therefore rewards keeping them; this scorer leaves them out. Scorers of probabilities
    ("neg_log_loss", "roc_auc_ovr") are given those of the classes that are left, made to sum to 1;
    predictions stay what they are, so that a row that is called a forgotten class counts as wrong.

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
        gone = _list_gone(estimator)
        scorer = get_scorer(self.scoring)
        if len(gone) and not isinstance(scorer, Scorer):  # ours look inside the unlearner
            estimator = _OfClasses(estimator, gone)
        return _score_rows(scorer, estimator, X, y, ~np.isin(np.asarray(y), gone))

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
        A scorer as in scikit-learn, of predictions: scores of probabilities are not defined where
        rows have one class.

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
        mask = np.isin(np.asarray(y), _list_gone(estimator))
        return -_score_rows(get_scorer(self.scoring), estimator, X, y, mask)


class _OfClasses:
    """A fitted classifier, as a scorer sees it, without the columns of some classes."""

    def __init__(self, estimator, gone):
        self._estimator = estimator
        self._kept = ~np.isin(estimator.classes_, gone)
        self.classes_ = estimator.classes_[self._kept]

    def __getattr__(self, name):
        if name.startswith("__"):  # a copy is being made
            raise AttributeError(name)
        found = getattr(self._estimator, name)
        make = {"predict_proba": self._share_out, "decision_function": self._select}.get(name)
        if make is None:
            return found
        return functools.wraps(found)(lambda X: make(np.asarray(found(X))))

    def __sklearn_tags__(self):
        return get_tags(self._estimator)

    def _share_out(self, probabilities):
        left = probabilities[:, self._kept]
        total = left.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return np.where(total > 0, left / total, 1 / left.shape[1])

    def _select(self, values):
        if values.ndim == 1:  # of two classes
            values = np.column_stack([-values, values]) / 2
        left = values[:, self._kept]
        return left[:, 1] - left[:, 0] if left.shape[1] == 2 else left


def _list_gone(estimator):
    unlearner = final_unlearner(estimator)
    need_one_class(unlearner._classes, "This scorer", ValueError)
    return [label for e in unlearner.deletions_ for label in e["classes_forgotten"]]


def _score_rows(scorer, estimator, X, y, mask):
    rows = np.flatnonzero(mask)
    if len(rows) == 0:
        raise ValueError(
            "No test row is left to score: RetainedScorer needs rows of classes that were kept, "
            "ForgottenScorer rows of a class of which every training row was forgotten."
        )
    return scorer(estimator, _safe_indexing(X, rows), _safe_indexing(y, rows))
