"""The attacks that shadow models serve."""

from dataclasses import replace

import numpy as np
from scipy.stats import rankdata
from sklearn.linear_model import Ridge
from sklearn.model_selection import cross_val_predict
from sklearn.utils.validation import check_is_fitted

from skunlearn._fitted_model import model_of
from skunlearn._torch.observation import observe
from skunlearn._unlearning import words
from skunlearn.base import BaseUnlearner
from skunlearn.metrics._attacks.lira import lira, u_lira
from skunlearn.metrics._attacks.membership import compare_scores, membership_inference
from skunlearn.metrics._attacks.rmia import rmia
from skunlearn.metrics._attacks.thresholds import auc_by_label
from skunlearn.metrics._label_logits import is_multilabel, match_scores
from skunlearn.metrics._logits import margin

_FOLDS = 5


class AttackMixin:
    """LiRA, U-LiRA and RMIA from the margins of fitted shadow models."""

    @words.explained(lira)
    def lira(self, model, rows=None, *, mode="online", variance="auto"):
        """`skunlearn.metrics.lira` on rows of the pool.

        Parameters
        ----------
        model : fitted classifier or unlearner, or array-like of shape (n,) or (n, n_labels)
            The attacked model, or its margins on all rows.
        rows : array-like of int, default=None
            Candidates to attack; all of them when None.
        {mode, variance}

        Returns
        -------
        scores : ndarray of shape (n_rows,)

        Raises
        ------
        ValueError
            When the models forgot their rows: `u_lira` is for those.
        """
        return self._attacked("lira", model, rows, mode=mode, variance=variance)

    @words.explained(lira)
    def u_lira(self, model, rows=None, *, variance="auto"):
        """`skunlearn.metrics.u_lira` on rows of the pool.

        Parameters
        ----------
        {model, rows, variance}

        Returns
        -------
        scores : ndarray of shape (n_rows,)

        Raises
        ------
        ValueError
            When `estimator` is no unlearner.
        """
        return self._attacked("u_lira", model, rows, variance=variance)

    @words.explained(lira, rmia)
    def rmia(self, model, rows=None, *, mode="online", gamma=2.0, offline_a=0.3):
        """`skunlearn.metrics.rmia` on rows of the pool, against the population.

        Parameters
        ----------
        model : fitted classifier or unlearner
            The attacked model. Margins alone do not do: it is asked about the population too.
        {rows}
        {mode, gamma, offline_a}

        Returns
        -------
        scores : ndarray of shape (n_rows,)

        Raises
        ------
        ValueError
            When ``fit`` was given no population.
        """
        options = {"mode": mode, "gamma": gamma, "offline_a": offline_a}
        return self._attacked("rmia", model, rows, **options)

    @words.explained(membership_inference)
    def attack(
        self,
        model,
        forget,
        unseen,
        *,
        method="auto",
        reference=None,
        per_class=False,
        random_state=None,
        **options,
    ):
        """Attack forgotten against unseen rows, matched by class.

        Of rows with several labels what follows from the labels alone, a linear function of them
        fitted to unseen rows, is taken from the score: there are too many sets of labels to
        weight rows by. It is fitted to ranks, which by themselves leave the AUC as it is.

        Parameters
        ----------
        model : fitted classifier or unlearner
            The attacked model, which has forgotten `forget`; or its margins on all rows (not for
            "rmia").
        forget : array-like of int
            Rows of the pool that the model was to forget.
        unseen : array-like of int
            Rows of the pool that it never saw.
        method : {"auto", "lira", "u_lira", "rmia"}, default="auto"
            "auto" takes "u_lira" when the shadow models forget, "lira" otherwise.
        {reference, per_class, random_state}
        **options : dict
            `mode`, `variance`, `gamma` or `offline_a`, as `lira`, `u_lira` and `rmia` take them.

        Returns
        -------
        MembershipInference

        Raises
        ------
        ValueError
            When rows are no candidates, or a class of `forget`, or a value of a label, has no
            row in `unseen`.
        """
        check_is_fitted(self)
        if method == "auto":
            method = "u_lira" if self._forgets() else "lira"
        if method not in _SCORES:
            raise ValueError(f"method must be 'auto', 'lira', 'u_lira' or 'rmia', got {method!r}.")
        forget, unseen = self._check_rows(forget), self._check_rows(unseen)
        said = self._ask(method, model)
        scores = _SCORES[method](*said, **options)
        y = self._rows.y[self.candidates_]
        sides, labels = (scores[forget], scores[unseen]), (y[forget], y[unseen])
        how = {"attack": method, "reference": reference, "random_state": random_state}
        if not is_multilabel(y):
            of = dict(zip(("y_forget", "y_unseen"), labels, strict=True))
            return compare_scores(*sides, **of, per_class=per_class, **how)
        result = compare_scores(*less_labels(sides, labels), match=None, **how)
        result = replace(result, matched=True)
        if not per_class:
            return result
        alone = np.column_stack(
            [_SCORES[method](*_of_label(said, i), **options) for i in range(y.shape[1])]
        )
        matched = match_scores(alone[forget], labels[0], alone[unseen], labels[1])
        classes, skipped = auc_by_label(*matched, result.interval.confidence, random_state)
        return replace(result, per_class=classes, skipped_classes=skipped)

    # ------------------------------------------------------------------ small things

    def _forgets(self):
        return isinstance(self.estimator, BaseUnlearner)

    def _margins(self, model):
        if isinstance(model, np.ndarray | list | tuple):
            found = np.asarray(model, dtype=np.float64)
            if found.shape != self.margins_.shape[1:]:
                raise ValueError(
                    f"model holds margins of shape {found.shape}; expected "
                    f"{self.margins_.shape[1:]}."
                )
            return found
        check_is_fitted(model)
        seen = observe(model_of(model), self._rows, self._columns)
        if seen.logits is None:
            raise ValueError(f"{type(model).__name__} gives no probabilities to attack.")
        return margin(seen.logits, seen.y)

    def _attacked(self, method, model, rows, **options):
        at = self._check_rows(rows)
        return _SCORES[method](*self._ask(method, model), **options)[at]

    def _ask(self, method, model):
        """Margins of the candidates under `model` and the shadow models, and who saw them.

        For RMIA those of the population under both, too.
        """
        if method == "lira" and self._forgets():
            raise ValueError("these shadow models have forgotten their candidates: use u_lira.")
        if method == "u_lira" and not self._forgets():
            raise ValueError(
                "u_lira compares models that forgot a row with models that never saw it: pass an "
                "unlearner as estimator."
            )
        if method == "rmia" and self._population is None:
            raise ValueError("rmia needs a population: pass X_population and y_population to fit.")
        at = self.candidates_
        said = self._margins(model)[at], self.margins_[:, at], self.membership_[:, at]
        if method != "rmia":
            return said
        ours = observe(model_of(model), self._population, self._columns)
        return *said, margin(ours.logits, ours.y), self.population_margins_

    def _check_rows(self, rows):
        """Places of `rows` among the candidates."""
        check_is_fitted(self)
        if rows is None:
            return slice(None)
        rows = np.asarray(rows)
        if rows.ndim != 1 or not len(rows) or rows.dtype.kind not in "iu":
            raise ValueError(
                f"rows must be positions in the pool, got {rows.dtype} of shape {rows.shape}."
            )
        unknown = np.setdiff1d(rows, self.candidates_)
        if len(unknown):
            raise ValueError(
                f"rows {unknown[:5].tolist()} are no candidates: every shadow model, or none, was "
                "trained on them. Mark them in fit's candidates."
            )
        return np.searchsorted(self.candidates_, rows)


def less_labels(sides, labels):
    """Ranks of scores, less the part that is linear in the labels of unseen rows.

    Parameters
    ----------
    sides : (scores of forget rows, scores of unseen rows)
    labels : (bool ndarray of shape (n_forget, n_labels), the same of unseen rows)

    Returns
    -------
    forget, unseen : ndarray of shape (n,)
    """
    (forget, unseen), (y_forget, y_unseen) = sides, labels
    for value, verb in ((True, "have"), (False, "lack")):
        alone = (y_forget == value).any(axis=0) & ~(y_unseen == value).any(axis=0)
        if alone.any():
            raise ValueError(
                f"Forget rows {verb} labels {np.flatnonzero(alone).tolist()} and no unseen row "
                "does, so that nothing tells memory from the labels. Pass unseen rows that "
                f"{verb} them."
            )
    # A ratio may be huge, and the line follow this one row: ranks are what an AUC sees.
    ranks = rankdata(np.concatenate([forget, unseen]))
    forget, unseen = ranks[: len(forget)], ranks[len(forget) :]
    # Unseen rows, too, are judged by a line that was not fitted to them: it would be nearer.
    line, folds = Ridge(), min(_FOLDS, len(unseen))
    expected = cross_val_predict(line, y_unseen, unseen, cv=folds)
    return forget - line.fit(y_unseen, unseen).predict(y_forget), unseen - expected


def _of_label(said, label):
    """What was said of one of several labels; who saw which row stays."""
    return [part if part.dtype == bool else part[..., label] for part in said]


def _u_lira(target, shadow, inside, **options):
    return u_lira(target, shadow, inside, ~inside, **options)


def _rmia(target, shadow, inside, population_target, population_shadow, **options):
    ours, theirs = _log_p(target), _log_p(shadow)
    rest = _log_p(population_target), _log_p(population_shadow)
    return rmia(ours, theirs, inside, *rest, **options)


def _log_p(margins):
    return -np.logaddexp(0.0, -np.asarray(margins, dtype=np.float64))


_SCORES = {"lira": lira, "u_lira": _u_lira, "rmia": _rmia}
