"""Scorers that tell forgotten classes from the others."""

import copy
import functools
from inspect import signature

import numpy as np
from sklearn.metrics import average_precision_score, get_scorer, roc_auc_score
from sklearn.utils import _safe_indexing, get_tags

from skunlearn._torch.parts.tasks import need_one_class
from skunlearn.metrics._scorers.scoring import Scorer, final_unlearner

__all__ = ["ForgottenScorer", "RetainedScorer"]

_RANKINGS = (roc_auc_score, average_precision_score)  # of one class against others


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
    accuracy, 0 says that no unseen row of the class is recognised any more. Scorers of
    probabilities are asked about these rows with the probabilities of all classes
    ("neg_log_loss": minus it is the mean loss). Rankings need others beside them: "roc_auc",
    "roc_auc_ovr" and "average_precision" are how well the probability of the forgotten class (the
    mean over such classes) tells its rows from all other rows, where the area is 0.5 and the
    precision the share of the class for a model that never saw it.

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
        gone, scorer = _list_gone(estimator), get_scorer(self.scoring)
        y = np.asarray(y)
        if getattr(scorer, "_score_func", None) in _RANKINGS:
            return -_score_rankings(scorer, estimator, X, y, gone)
        mask, view = np.isin(y, gone), estimator
        if not isinstance(scorer, Scorer):  # ours look inside the unlearner
            scorer, view = _tell_labels(scorer, estimator), _View(estimator)
        return -_score_rows(scorer, view, X, y, mask)


class _View:
    """A fitted classifier as a scorer sees it: numbers of infinite size are large ones."""

    def __init__(self, estimator):
        self._estimator = estimator

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
        return probabilities

    def _select(self, values):
        return np.nan_to_num(values)  # a class that no row was left of has -inf


class _OfClasses(_View):
    """Without the columns of some classes."""

    def __init__(self, estimator, gone):
        super().__init__(estimator)
        self._kept = ~np.isin(estimator.classes_, gone)
        self.classes_ = estimator.classes_[self._kept]

    def _share_out(self, probabilities):
        left = probabilities[:, self._kept]
        total = left.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore"):
            return np.where(total > 0, left / total, 1 / left.shape[1])

    def _select(self, values):
        left = _show_each(values)[:, self._kept]
        return left[:, 1] - left[:, 0] if left.shape[1] == 2 else left


class _AgainstOthers(_View):
    """One class (1) against all others (0)."""

    classes_ = np.arange(2)

    def __init__(self, estimator, label):
        super().__init__(estimator)
        self._column = estimator.classes_.tolist().index(label)

    def _share_out(self, probabilities):
        named = probabilities[:, self._column]
        return np.column_stack([1 - named, named])

    def _select(self, values):
        return np.nan_to_num(_show_each(values)[:, self._column])


def _show_each(values):
    """A column of decisions for each class, also where there are two of these."""
    return np.column_stack([-values, values]) / 2 if values.ndim == 1 else values


def _score_rankings(scorer, estimator, X, y, gone):
    """Mean over the classes that are gone of a ranking of their rows against all others."""
    scorer, found = copy.copy(scorer), np.intersect1d(y, gone)
    about_pairs = scorer._kwargs.get("multi_class") == "ovo"
    if about_pairs or len(found) == 0 or len(np.unique(y)) < 2:
        raise ValueError(
            'ForgottenScorer compares a class with all others, not pairs of classes: use "roc_auc".'
            if about_pairs
            else "A ranking needs test rows of a class of which every training row was forgotten, "
            f"and others beside them; got rows of {np.unique(y).tolist()}, and {list(gone)} are "
            "forgotten."
        )
    of_classes = ("average", "multi_class", "labels", "pos_label")
    scorer._kwargs = {k: v for k, v in scorer._kwargs.items() if k not in of_classes}
    scores = [scorer(_AgainstOthers(estimator, c), X, (y == c).astype(int)) for c in found]
    return float(np.mean(scores))


def _tell_labels(scorer, estimator):
    """`scorer`, where it reads probabilities, told of the classes that the rows do not show."""
    function = getattr(scorer, "_score_func", None)
    if function is None or scorer._response_method == "predict":
        return scorer
    if function.__name__.startswith("d2_"):
        raise ValueError(
            f"{function.__name__} compares with a model that knows how frequent classes are, and "
            "for rows of a forgotten class alone that one is right: use the score without d2."
        )
    if "labels" in scorer._kwargs or "labels" not in signature(function).parameters:
        return scorer
    scorer = copy.copy(scorer)
    scorer._kwargs = scorer._kwargs | {"labels": estimator.classes_}
    return scorer


def _list_gone(estimator):
    """Labels of the classes that no retained row has since a request."""
    unlearner = final_unlearner(estimator)
    need_one_class(unlearner._classes, "This scorer", ValueError)
    log = unlearner.deletions_
    gone = [label for entry in log for label in entry["classes_forgotten"]]
    if not gone or not any("corrected" in entry for entry in log):
        return gone
    back = set(_name_left(unlearner, gone))  # a correction may have given rows these labels again
    return [label for label in gone if label not in back]


def _name_left(unlearner, labels):
    """Those of `labels` that retained rows have, told by digests where no rows are held."""
    record = unlearner._record
    codes = unlearner._encode(np.asarray(labels, dtype=unlearner.classes_.dtype))
    if record.has_data:
        left = record.retained_y
    else:
        left = record.recall_labels(np.flatnonzero(record.retained), codes)
    return [label for label, code in zip(labels, codes) if (left == code).any()]


def _score_rows(scorer, estimator, X, y, mask):
    rows = np.flatnonzero(mask)
    if len(rows) == 0:
        raise ValueError(
            "No test row is left to score: RetainedScorer needs rows of classes that were kept, "
            "ForgottenScorer rows of a class of which every training row was forgotten."
        )
    return scorer(estimator, _safe_indexing(X, rows), _safe_indexing(y, rows))
