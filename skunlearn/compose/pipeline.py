"""A pipeline that ends in an unlearner, and forgets from its first step to its last."""

import copy
from dataclasses import replace

import numpy as np
from sklearn.pipeline import Pipeline

from skunlearn._recipe import step_kinds
from skunlearn._recipe.leaves import refuse_dataset
from skunlearn._recipe.step_kinds import sort_steps
from skunlearn._rows import checking
from skunlearn._rows.containers import is_dataset, n_rows, row_digests, shares_memory, view_of
from skunlearn._rows.frames import select_columns
from skunlearn._rows.record import TrainingRecord
from skunlearn._rows.row_table import can_sketch, row_sketches
from skunlearn._unlearning import notebook, words
from skunlearn._unlearning.certificate import recording
from skunlearn._unlearning.fitted import (
    drafted,
    find_files,
    find_steps_before,
    forget_own_state,
    refuse_unasked,
    share_all,
)
from skunlearn._unlearning.removal import Removal, carry_out
from skunlearn._unlearning.row_reader import read_request
from skunlearn.base import BaseUnlearner
from skunlearn.compose import _attaching, _front_steps
from skunlearn.compose._certifying import write_content
from skunlearn.compose._correcting import CorrectsMixin
from skunlearn.compose._prepared import Held, Subtraction
from skunlearn.compose._refitting import StepsMixin
from skunlearn.compose._routing import check_step_parameters, step_parameters
from skunlearn.compose._step_files import StepFilesMixin
from skunlearn.exceptions import DataChangedError

__all__ = ["UnlearningPipeline"]


class UnlearningPipeline(StepFilesMixin, CorrectsMixin, StepsMixin, Pipeline):
    """scikit-learn's Pipeline with an unlearner at its end, and the verb ``unlearn``.

    Choose it when scalers, imputers, encoders or the like stand before a net: their means and
    categories were learnt from the forgotten rows as well. For a model that is retrained anyway,
    ``RetrainUnlearner(pipeline)`` does the same.

    A request names rows as they are before the first step, and they are found in a record of
    these; the steps need not map them to the same bits twice. What then happens to steps that
    learn from rows is a choice:

    - ``refit_transformers=True`` makes them those of the retained rows, and the unlearner works on
      these rows as the new steps show them. The first of them, if it is a StandardScaler or a PCA,
      follows from sums over the rows, out of which the forgotten ones are taken; the others are
      fitted anew. (Only the first: what comes behind it sees other rows.) With
      `RetrainUnlearner` at its end the pipeline is that of a ``fit`` on the retained rows alone.
      Methods that start from the present weights do so with slightly other inputs; the log holds
      the accuracy before and after. Those that edit weights work on the rows as they were. Where
      the new steps make other columns (a category is gone, say) such methods refuse. So do, in
      ``fit``, methods that are tied to the rows as they were (recorded updates, checkpoints,
      proofs).
    - ``refit_transformers=False`` keeps them. The log and the certificate name them as still
      holding statistics of the forgotten rows, and no exactness is claimed.

    Steps that learn nothing (tag ``requires_fit=False``: FunctionTransformer, Normalizer,
    HashingVectorizer and the like) are left alone. So is a step inside ``FrozenEstimator``, which
    was fitted elsewhere: the certificate names it, as it may have seen the rows, and claims no
    exactness. Of a `PublicBackbone` somebody declares that it has not; the certificate quotes who.

    Parameters
    ----------
    steps : list of (str, estimator)
        Transformers, and an unlearner at the end. They are copied by ``fit``; those passed in
        stay unfitted. Steps that change the number of rows are refused.
    refit_transformers : bool, default=True
        Whether steps that learnt from forgotten rows are fitted anew. True, as anything else
        leaves traces of the rows.
    transform_input : list of str, default=None
        Names of metadata of ``fit`` that the transformers before the step that asks for them are
        to transform too, as in scikit-learn's Pipeline; it needs metadata routing.
    memory : None, str or joblib.Memory, default=None
        Cache of fitted transformers, in ``fit`` only. ``unlearn`` empties it of what pipelines
        have put there.
    verbose : bool, default=False
        Whether to print how long each step took in ``fit``.

    Attributes
    ----------
    deletions_ : list of dict
        The log of requests: that of the unlearner, with "transformers" in each entry, the names
        of those that are "refitted", hence those of the retained rows alone, and "kept", and of
        those that are "frozen" and "stateless"; where there are any also of those that are
        "declared" public, and of those "refitted" that were computed by subtraction
        ("subtracted").
    named_steps, classes_, n_features_in_, feature_names_in_
        See scikit-learn's Pipeline.

    See Also
    --------
    RetrainUnlearner : Takes whole pipelines.
    PublicBackbone : A step that is declared to hold no training row.

    Examples
    --------
    >>> import json
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skunlearn import RetrainUnlearner, UnlearningPipeline
    >>> X, y = load_iris(return_X_y=True)
    >>> steps = [("scale", StandardScaler()), ("model", RetrainUnlearner(LogisticRegression()))]
    >>> pipeline = UnlearningPipeline(steps).fit(X, y).unlearn(X[:2])
    >>> np.allclose(pipeline.named_steps["scale"].mean_, X[2:].mean(axis=0), rtol=1e-14)
    True
    >>> pipeline = UnlearningPipeline(steps, refit_transformers=False).fit(X, y).unlearn(X[:2])
    >>> pipeline.deletions_[0]["transformers"]["kept"]
    ['scale (StandardScaler)']
    """

    __repr__, _repr_html_inner = notebook.write_text, notebook.write_html
    _repr_mimebundle_ = notebook.write_bundle
    _parameter_constraints = {
        **Pipeline._parameter_constraints,
        "refit_transformers": ["boolean"],
    }

    def __init__(
        self, steps, *, refit_transformers=True, transform_input=None, memory=None, verbose=False
    ):
        super().__init__(steps, transform_input=transform_input, memory=memory, verbose=verbose)
        self.refit_transformers = refit_transformers

    # ------------------------------------------------------------------ the two verbs

    def fit(self, X, y=None, *, forget=None, ids=None, groups=None, measure_on=None, **params):
        """Fit copies of the steps, and remember which rows they have seen.

        Parameters
        ----------
        X : rows as the first step takes them
            Pandas frame, array, sparse matrix or list. Referred to, not copied, save for lists.
        y : array of shape (n,)
            Labels, or targets of a regression, as the last step takes them.
        forget : bool array of shape (n,), default=None
            Rows to forget right after the training, as ``unlearn`` would.
        ids : sequence of n hashable values, default=None
            Unique record identifiers that later requests may name.
        groups : sequence of n hashable values, default=None
            Group of each row; a request may name groups.
        measure_on : callable, default=None
            The transform to leave out where the net has a ``dataset=`` of its own that augments
            what the steps make; see `BaseUnlearner.fit`.
        **params : dict
            Parameters of ``fit`` of the steps, as in scikit-learn's Pipeline. Steps that
            ``unlearn`` fits anew take none. ``sample_weight``, of shape (n,), is for the unlearner
            (with metadata routing: for the steps that ask for it).

        Returns
        -------
        self : object

        Raises
        ------
        ValueError, TypeError
            When something passed in is wrong; a fitted pipeline stays as it was.
        """
        refuse_unasked(self, forget)
        named = {"ids": ids, "groups": groups, "measure_on": measure_on}
        with drafted(self, anew=True) as draft:
            draft._fit_steps(X, y, forget, named, params)
        self._commit()
        return self

    def _fit_steps(self, X, y, forget, named, params):
        self._check_steps()
        to_refit = self._kinds()["fitted"] if self.refit_transformers else []
        check_step_parameters(self, params, refit=to_refit)
        checking.refuse_other_order(X, forget=forget, ids=named["ids"], groups=named["groups"])
        rows = _front_steps.as_rows(X)
        owned = not shares_memory(rows, X)
        rows = view_of(rows)  # steps may give a frame more columns
        if is_dataset(rows):
            refuse_dataset(self.steps[:-1])
        n = len(rows) if is_dataset(rows) else n_rows(rows)
        if forget is not None:
            forget = checking.check_forget_mask(forget, n)
        name, unlearner = self.steps[-1]
        if is_dataset(named["measure_on"]) and not is_dataset(rows):
            raise TypeError(
                "measure_on= of a pipeline is the transform to leave out: a Dataset would have "
                "to hold rows as the steps make them."
            )
        # Steps may write to the rows that they are given.
        sketches = row_sketches(rows) if can_sketch(rows) else None
        digests = None if is_dataset(rows) or sketches is not None else row_digests(rows)
        # No clone: an unlearner around a trained model must not take itself for one.
        unlearner = copy.copy(unlearner)
        forget_own_state(unlearner)  # the files of an earlier fit go when this one has succeeded
        self.steps = [*_front_steps.clone_steps(self.steps[:-1]), (name, unlearner)]
        self._held = self._sums = None
        self._constant, shown = self._show_constant(rows, y, to_refit, params), X
        if self._held is not None:
            shown, whole = self._held.X, self.steps
            self.steps = whole[self._constant :]
        _front_steps.name_rows(self.steps[:-1], rows if self._held is None else shown)
        weights = params.pop("sample_weight", None)
        own = step_parameters(self, sample_weight=weights, **named)
        super().fit(shown, y, **params, **own)
        if self._held is not None:
            self.steps = [*whole[: self._constant], *self.steps]
        self._declared = step_kinds.list_declarations(self.steps[:-1])
        # Its own steps forget as well.
        self._final_estimator._change(steps_before=sort_steps(find_steps_before(self)))
        final = self._final_estimator._record
        known = {"digests": digests, "sketches": sketches, "items": final.items}
        numbered = checking.are_positions(y)
        self._record = TrainingRecord(rows, final._y, owned=owned, numbered=numbered, **known)
        self._record.take_names(final)
        self._record.weights = final.weights
        if not is_dataset(rows) and not shares_memory(rows, final._X):
            final.owned = True  # what the steps have made is nobody else's
        self._refuse_steps_that_write()
        if to_refit:
            first = 0 if self._held is None else self._constant
            shown = rows if self._held is None else self._held.X
            self._sums = Subtraction.of(self.steps[:-1], shown, first)
        if forget is not None:
            self._forget(Removal(np.flatnonzero(forget)))

    def _show_constant(self, rows, y, to_refit, params):
        """How many leading steps never change and are run but once; what they make is held.

        Only a public backbone is worth it, in front of steps that are fitted anew.
        """
        n = step_kinds.count_constant(self.steps[:-1]) if to_refit else 0
        if n == 0 or params or self.transform_input is not None or is_dataset(rows):
            return 0
        steps, shown = _front_steps.fit_transform(self.steps[:n], rows, y)
        self.steps = [*steps, *self.steps[n:]]
        self._held = Held(_front_steps.as_rows(shown))
        return n

    @words.explained(BaseUnlearner.unlearn)
    def unlearn(
        self,
        X_forget=None,
        y_forget=None,
        *,
        ids=None,
        indices=None,
        groups=None,
        X_retain=None,
        y_retain=None,
        max_accuracy_drop=None,
        X_val=None,
        y_val=None,
        **unknown,
    ):
        """Forget training rows in every step.

        Parameters
        ----------
        X_forget : rows as in ``fit``, default=None
            As they are before the first step; all duplicates of a row go.
        y_forget : array of shape (n_forget,), default=None
            Labels, to tell apart equal rows with different labels.
        {ids, indices, groups, X_retain, max_accuracy_drop, X_val}
            Rows are as before the first step.
        **unknown : dict
            Nothing else is taken; the error says how rows are named.

        Returns
        -------
        self : object

        Raises
        ------
        UnknownRowsError
            When the request names rows that the pipeline never saw.
        AlreadyForgottenError
            When it names rows that an earlier request removed.
        DataChangedError
            When the rows that ``fit`` was given were changed in place since.
        AccuracyDropError
            When the request costs more than `max_accuracy_drop`.
        UnlearningError
            When the training diverged, or the steps fitted anew make other columns than the
            unlearner's present model takes. After any error or interrupt the pipeline is
            exactly as it was.
        """
        given, guard = (X_retain, y_retain), (max_accuracy_drop, X_val, y_val)
        return carry_out(self, X_forget, y_forget, ids, indices, groups, given, guard, unknown)

    # ------------------------------------------------------------------ what it tells

    @property
    def deletions_(self):
        """The log of requests."""
        return self._final_estimator.deletions_

    certificate, record = recording.certificate, recording.record
    log_key, exclusion_manifest = recording.log_key, recording.exclusion_manifest
    attach, detach = _attaching.attach, _attaching.detach

    def _held_files(self):
        last = self.steps[-1] if isinstance(self.steps, list | tuple) and self.steps else None
        return find_files(last[1]) if isinstance(last, list | tuple) and len(last) > 1 else None

    def _certified_content(self):
        """What the certificate holds before it is sealed."""
        return write_content(self)

    def _change(self, **changed):
        """Give entries of the unlearner's state other values; those who hold it too see none."""
        name, unlearner = self.steps[-1]
        unlearner = copy.copy(unlearner)
        unlearner._change(**changed)
        self.steps = [*self.steps[:-1], (name, unlearner)]

    @property
    def _records(self):
        return self._final_estimator._records

    @property
    def _key(self):
        return self._final_estimator._key

    # ------------------------------------------------------------------ for the base classes

    def _refuse_steps_that_write(self):
        try:
            self._record.check_unchanged(np.empty(0, np.intp))
        except DataChangedError as error:
            raise ValueError(
                "A step of the pipeline changes the rows that it is given in place, those of X "
                "itself, so that fitting it anew would apply it twice. Set copy=True of that step, "
                "or give fit a copy of X."
            ) from error

    _check_request = read_request

    def _read_rows(self, X, name):
        """Rows of a request, in a container as ``fit`` has put them into."""
        X, like = _front_steps.as_rows(X), self._record.like
        return select_columns(X, like.columns) if hasattr(like, "columns") else X

    def _encode(self, y, name="y"):
        return self._final_estimator._encode(y, name)

    @property
    def _seed(self):
        return self._final_estimator._seed

    @property
    def _forgotten(self):
        """Rows of the last request as they are before the first step; None where not at hand."""
        rows = self._final_estimator._forgotten
        return None if rows is None else rows.rows

    def _make_promises(self):
        """Those of the unlearner; steps that were fitted elsewhere, or are kept, are not exact."""
        promises, kinds = self._final_estimator._make_promises(), self._kinds()
        forgets = not kinds["frozen"] and (self.refit_transformers or not kinds["fitted"])
        return replace(promises, exact=promises.exact and forgets)

    def __getitem__(self, ind):
        """A step, or several as scikit-learn's Pipeline: a part cannot unlearn."""
        if isinstance(ind, slice) and ind.step in (1, None):
            return Pipeline(self.steps[ind], memory=self.memory, verbose=self.verbose)
        return super().__getitem__(ind)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "_record")

    __copy__ = share_all

    def __getstate__(self):
        state = dict(super().__getstate__())
        record = state.get("_record")
        if record is not None:
            store = self._final_estimator.store_data
            state["_record"] = record.compact() if store else record.detach()
            state["_held"] = self._held if store else None
        return state
