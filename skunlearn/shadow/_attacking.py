"""The attacks that shadow models serve."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skunlearn._torch.observation import observe
from skunlearn.base import BaseUnlearner, model_of
from skunlearn.metrics._attacks.lira import lira, u_lira
from skunlearn.metrics._attacks.membership import compare_scores
from skunlearn.metrics._attacks.rmia import rmia
from skunlearn.metrics._logits import margin


class AttackMixin:
    """LiRA, U-LiRA and RMIA from the margins of fitted shadow models."""

    def lira(self, model, rows=None, *, mode="online", variance="auto"):
        """`skunlearn.metrics.lira` on rows of the pool.

        Parameters
        ----------
        model : fitted classifier or unlearner, or array-like of shape (n,)
            The attacked model, or its margins on all rows.
        rows : array-like of int, default=None
            Candidates to attack; all of them when None.
        mode, variance
            See `skunlearn.metrics.lira`.

        Returns
        -------
        scores : ndarray of shape (n_rows,)

        Raises
        ------
        ValueError
            When the models forgot their rows: `u_lira` is for those.
        """
        if self._forgets():
            raise ValueError("these shadow models have forgotten their candidates: use u_lira.")
        at = self._check_rows(rows)
        return lira(*self._sides(model), mode=mode, variance=variance)[at]

    def u_lira(self, model, rows=None, *, variance="auto"):
        """`skunlearn.metrics.u_lira` on rows of the pool.

        Parameters
        ----------
        model, rows, variance
            See `lira`.

        Returns
        -------
        scores : ndarray of shape (n_rows,)

        Raises
        ------
        ValueError
            When `estimator` is no unlearner.
        """
        check_is_fitted(self)
        if not self._forgets():
            raise ValueError(
                "u_lira compares models that forgot a row with models that never saw it: pass an "
                "unlearner as estimator."
            )
        at = self._check_rows(rows)
        target, shadow, inside = self._sides(model)
        return u_lira(target, shadow, inside, ~inside, variance=variance)[at]

    def rmia(self, model, rows=None, *, mode="online", gamma=2.0, offline_a=0.3):
        """`skunlearn.metrics.rmia` on rows of the pool, against the population.

        Parameters
        ----------
        model : fitted classifier or unlearner
        rows : array-like of int, default=None
            See `lira`.
        mode, gamma, offline_a
            See `skunlearn.metrics.rmia`.

        Returns
        -------
        scores : ndarray of shape (n_rows,)

        Raises
        ------
        ValueError
            When ``fit`` was given no population.
        """
        at = self._check_rows(rows)
        if self._population is None:
            raise ValueError("rmia needs a population: pass X_population and y_population to fit.")
        ours = observe(model_of(model), self._population, self._columns)
        target, shadow, inside = self._sides(model)
        return rmia(
            _log_p(target),
            _log_p(shadow),
            inside,
            _log_p(margin(ours.logits, ours.y)),
            _log_p(self.population_margins_),
            mode=mode,
            gamma=gamma,
            offline_a=offline_a,
        )[at]

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

        Parameters
        ----------
        model : fitted classifier or unlearner
        forget : array-like of int
            Rows of the pool that the model was to forget.
        unseen : array-like of int
            Rows of the pool that it never saw.
        method : {"auto", "lira", "u_lira", "rmia"}, default="auto"
            "auto" takes "u_lira" when the shadow models forget, "lira" otherwise.
        reference, per_class, random_state
            See `skunlearn.metrics.membership_inference`.
        **options : dict
            For the method.

        Returns
        -------
        MembershipInference

        Raises
        ------
        ValueError
            When rows are no candidates, or a class of `forget` has no row in `unseen`.
        """
        check_is_fitted(self)
        if method == "auto":
            method = "u_lira" if self._forgets() else "lira"
        if method not in ("lira", "u_lira", "rmia"):
            raise ValueError(f"method must be 'auto', 'lira', 'u_lira' or 'rmia', got {method!r}.")
        forget, unseen = self._check_rows(forget), self._check_rows(unseen)
        scores = getattr(self, method)(model, **options)
        y = self._rows.y[self.candidates_]
        return compare_scores(
            scores[forget],
            scores[unseen],
            y_forget=y[forget],
            y_unseen=y[unseen],
            attack=method,
            reference=reference,
            per_class=per_class,
            random_state=random_state,
        )

    # ------------------------------------------------------------------ small things

    def _forgets(self):
        return isinstance(self.estimator, BaseUnlearner)

    def _margins(self, model):
        if isinstance(model, np.ndarray | list | tuple):
            found = np.asarray(model, dtype=np.float64)
            if found.shape != (len(self._rows),):
                raise ValueError(
                    f"model holds margins of shape {found.shape}; expected ({len(self._rows)},)."
                )
            return found
        check_is_fitted(model)
        seen = observe(model_of(model), self._rows, self._columns)
        if seen.logits is None:
            raise ValueError(f"{type(model).__name__} gives no probabilities to attack.")
        return margin(seen.logits, seen.y)

    def _sides(self, model):
        """Margins of the candidates under `model` and the shadow models, and who saw them."""
        at = self.candidates_
        return self._margins(model)[at], self.margins_[:, at], self.membership_[:, at]

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


def _log_p(margins):
    return -np.logaddexp(0.0, -np.asarray(margins, dtype=np.float64))
