"""Rectification in a pipeline: rows get other values, and the steps that learn are fitted anew."""

import copy

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skunlearn._files.digests import chain_entry
from skunlearn._rows.seeding import derive_seed, seeded
from skunlearn._unlearning import correction, words
from skunlearn._unlearning.certificate.deletion_log import (
    digest_forgotten,
)
from skunlearn._unlearning.diagnosis import find_emptied
from skunlearn._unlearning.fitted import note_own_state
from skunlearn._unlearning.removal import Removal, draw_sample
from skunlearn.compose import _front_steps
from skunlearn.compose._prepared import Subtraction


class CorrectsMixin:
    """The verb ``correct`` of a pipeline."""

    @words.explained(correction.correct)
    def correct(self, X_old=None, y_old=None, X_new=None, y_new=None, *, ids=None, indices=None):
        """Put new values in the place of rows: one request that forgets the old and learns the new.

        Steps that learn are fitted on the corrected rows (with ``refit_transformers=False`` they
        are kept, and named as holding statistics of the old values), and the unlearner learns from
        what they make of these, see `BaseUnlearner.correct`. All rows are as before the first step.

        Parameters
        ----------
        {X_old, y_old, X_new, y_new, ids, indices}

        Returns
        -------
        self : object

        Raises
        ------
        UnknownRowsError, AlreadyForgottenError
            When rows are named that the pipeline does not know.
        TypeError
            When the unlearner cannot learn new values, or rows are known by position only.
        ValueError
            When old and new values do not belong together.
        UnlearningError
            When the steps, fitted anew, make other columns than the present model takes. After any
            error the pipeline is as it was.
        """
        check_is_fitted(self)
        correction.check_able(self._final_estimator)
        correction.check_kind(self._record)
        correction.check_kind(self._final_estimator._record)
        return correction.carry_out(self, X_old, y_old, X_new, y_new, ids, indices)

    _read_new = correction.read_new

    def _drop_copies(self):
        if self._record.owned:
            self._record = self._record.without_forgotten()
        self._final_estimator._drop_copies()

    def _put(self, positions, X_new=None, y_new=None, *, gone=()):
        """Swap in steps, and an unlearner, of the corrected rows; see `correction.put`."""
        old = self._record.view(positions)
        X_new, y_new = old.X if X_new is None else X_new, old.y if y_new is None else y_new
        (name, unlearner), steps, kinds = self.steps[-1], self.steps[:-1], self._kinds()
        refit = bool(self.refit_transformers and kinds["fitted"])
        also = self._record.view(gone) if len(gone) else None
        record = self._record.correct(positions, X_new, y_new)
        record = record.without(gone) if len(gone) else record
        retain = record.view(np.flatnonzero(record.retained))
        before, sums = self._observe(old, draw_sample(unlearner, retain)), None
        X = retain.arrays()[0]
        with seeded(derive_seed(unlearner._seed, 1, len(unlearner.deletions_))):
            if refit:
                y = retain.y if unlearner._classes is None else unlearner._classes[retain.y]
                steps, shown = _front_steps.fit_transform(steps, X, y)
                sums = Subtraction.of(steps, X)
            else:
                shown = _front_steps.transform(steps, X)
        new = copy.copy(unlearner)
        kept = _front_steps.check_rows(shown, retain, new, reset=refit)
        if refit:
            self._check_columns(steps, shown)
        kept.positions, slot = retain.positions, np.full(len(record), -1)
        slot[kept.positions] = np.arange(len(kept))
        seen = unlearner._record.without(gone) if len(gone) else unlearner._record
        seen = seen.with_rows(kept.source, kept.all_y, slot)
        removal = Removal(
            positions,
            _front_steps.transform_rows(old, steps, new),
            kept,
            before=(*before, None),
            record=seen,
            sample=draw_sample(new, kept),
            emptied=find_emptied(new, seen, old),
            corrected=True,
        )
        shown = None if also is None else _front_steps.transform_rows(also, steps, new)
        forgotten = correction.forget_too(
            unlearner, removal, gone, shown, before[1], lambda: self._observe(also, None)[0]
        )
        with seeded(new._seed):
            new._check_parameters()
            new._forget(removal)
            new._change(forgotten=None)
            if forgotten is not None:
                new._forget(forgotten)
        note_own_state(new, set(vars(unlearner)))
        named = [self._record.name_rows(positions, corrected=True)]
        named += [self._record.name_rows(gone)] if len(gone) else []
        clean, log = not kinds["frozen"] and (refit or not kinds["fitted"]), unlearner.deletions_
        for entry, names in zip(new.deletions_[len(log) :], named, strict=True):
            more = {
                "exact": entry["exact"] and clean,
                **digest_forgotten(new._key, *names),
                "transformers": self._transformers(kinds, refit, []),
            }
            log = chain_entry(log, entry | more)
        if forgotten is not None:
            new._change(forgotten=_front_steps.TransformedRows(also, steps, new))
        new._change(deletions=log)
        # What leading steps made of the old rows is no more that of these.
        self._record, self._held, self._sums = record, None, sums
        self.steps = [*steps, (name, new)]
