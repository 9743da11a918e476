"""How the steps of a pipeline forget: kept or fitted anew, and the unlearner behind them."""

import copy
from dataclasses import replace

import numpy as np

from skunlearn._recipe import step_kinds
from skunlearn._rows.containers import row_shape
from skunlearn._rows.seeding import derive_seed, seeded
from skunlearn._torch.observation import observe, observe_forgotten
from skunlearn._unlearning.certificate.deletion_log import digest_forgotten
from skunlearn._unlearning.removal import Removal, draw_sample, purge_caches
from skunlearn._unlearning.unseen_rows import read_unseen
from skunlearn.base import BaseUnlearner
from skunlearn.compose import _front_steps
from skunlearn.compose._prepared import Subtraction
from skunlearn.exceptions import UnlearningError


class StepsMixin:
    """Checks of the steps, and one request on its way through them."""

    def _kinds(self):
        return step_kinds.sort_steps(self.steps[:-1])

    def _check_steps(self):
        self._validate_params()
        if not self.steps:
            raise ValueError("The pipeline is empty: it must end in an unlearner.")
        self._validate_steps()
        name = _front_steps.find_resampler(self.steps[:-1])
        if name is not None:
            raise TypeError(
                f"The step {name!r} changes the number of rows (fit_resample), so that requests "
                "could not be traced to rows. Resample before fit."
            )
        unlearner = self.steps[-1][1]
        if not isinstance(unlearner, BaseUnlearner):
            raise TypeError(
                f"UnlearningPipeline must end in an unlearner, got {type(unlearner).__name__}. "
                "Wrap it: RetrainUnlearner takes any classifier or regressor. make_unlearner of "
                "scikit-learn's Pipeline of the same steps chooses one."
            )
        fitted = self._kinds()["fitted"]
        if self.refit_transformers and fitted and not unlearner._make_promises().takes_new_inputs:
            raise TypeError(
                f"{type(unlearner).__name__} is tied to the rows as the steps showed them in fit, "
                f"so that {', '.join(fitted)} cannot be fitted anew behind its back. To stay "
                "exact, end in RetrainUnlearner, or put the steps inside, where each shard fits "
                "its own: ShardedUnlearner(make_pipeline(step, model)). Otherwise use "
                "refit_transformers=False (the certificate then names these steps), steps that "
                "learn nothing from rows, or FrozenEstimator around steps fitted on other rows."
            )

    def _successor(self, positions, **known):
        """A copy of this pipeline that has forgotten; this one stays as it is."""
        new = copy.copy(self)
        new._check_steps()
        new._forget(Removal(positions, **known))
        return new

    def _check_parameters(self):
        self._check_steps()

    def _clean_up(self, before):
        """Let go of what knows the forgotten rows still; `before` is the pipeline before."""
        gone = np.flatnonzero(before._record.retained & ~self._record.retained)
        self._purge_caches(before, gone)

    def _purge_caches(self, before, gone):
        as_cached = before._final_estimator._record.without(gone)
        purge_caches(self._final_estimator, [f"{self.steps[-1][0]}__memory"], as_cached, self)

    def _commit(self):
        """Called when nothing will be put back."""
        self._final_estimator._commit()

    def _forget(self, removal):
        """Swap in steps that have forgotten."""
        positions, forget, retain = removal.positions, removal.forget, removal.retain
        name, old = self.steps[-1]
        kinds, steps = self._kinds(), self.steps[:-1]
        self._record.check_unchanged(positions)
        record, sums, subtracted = self._record.without(positions), None, []
        refit = bool(self.refit_transformers and kinds["fitted"])
        as_stored = retain is None
        if as_stored and self._record.has_data:
            forget = self._record.view(positions)
        if as_stored and not refit:
            limits = {"most_lost": removal.most_lost, "unseen": _show(removal.unseen, steps)}
            new = old._successor(positions, **limits)
        else:
            if as_stored:
                retain = record.view(np.flatnonzero(record.retained))
            # Steps without a seed of their own draw from numpy's global generator.
            with seeded(derive_seed(old._seed, 1, len(old.deletions_))):
                removal = replace(removal, forget=forget, retain=retain)
                steps, new, sums, subtracted = self._work(removal, refit, as_stored)
        transformers = self._transformers(kinds, refit, subtracted)
        entry, forgets = new.deletions_[-1], refit or not kinds["fitted"]
        entry = entry | {
            "exact": entry["exact"] and not kinds["frozen"] and forgets,
            **digest_forgotten(new._key, *record.name_rows(positions)),
            "transformers": transformers,
        }
        forgotten = None
        if forget is not None and not record.owned:
            forgotten = _front_steps.TransformedRows(forget, steps, new)
        new._change(deletions=[*new.deletions_[:-1], entry], forgotten=forgotten)
        self._record = record.without_forgotten() if record.owned else record
        self._held = None if self._held is None else self._held.without(positions)
        self._sums, self.steps = sums, [*steps, (name, new)]

    @staticmethod
    def _transformers(kinds, refit, subtracted):
        """What the log says of the steps."""
        said = {
            "refitted": kinds["fitted"] if refit else [],
            "kept": [] if refit else kinds["fitted"],
            "frozen": kinds["frozen"],
            "stateless": kinds["stateless"],
        }
        more = {"declared": kinds["declared"], "subtracted": subtracted}
        return said | {key: names for key, names in more.items() if names}

    def _work(self, removal, refit, as_stored):
        """Let a copy of the unlearner work on rows that are transformed for this request."""
        positions, forget, retain = removal.positions, removal.forget, removal.retain
        old, steps, sums, subtracted = self._final_estimator, self.steps[:-1], None, []
        start, before = copy.copy(old), None
        if refit:
            never = None
            if not old._make_promises().exact:
                never = read_unseen(old, _show(removal.unseen, steps), forget)
                never = never and observe(old.estimator_, never, old._classes)
            before = (*self._observe(forget, draw_sample(old, retain)), never)
            steps, X, sums, subtracted = self._new_steps(positions, forget, retain, as_stored)
            kept = _front_steps.check_rows(X, retain, start, reset=True)
            self._check_columns(steps, X)
            if self._record.has_data:
                seen = self._record_shown(steps, start, positions, kept if as_stored else None)
                start._change(record=seen)
        else:
            kept = self._show_rows(retain, steps, start)
        try:
            gone = None if forget is None else self._show_rows(forget, steps, start)
        except ValueError as error:  # a category of the forget rows alone, say
            if old._make_promises().reads_forget_rows:
                raise UnlearningError(
                    f"The steps, fitted anew, cannot transform the forget rows ({error}), which "
                    f"{type(old).__name__} works on. The pipeline is as it was. Let the step "
                    "take unknown values, or use refit_transformers=False."
                ) from error
            gone = forget = None
        known = {"before": before, "most_lost": removal.most_lost}
        if refit and old._make_promises().edits_weights:
            # Behind new steps the forget rows lie further out: the net is surer of them, and
            # nothing of what it holds shows in their gradients.
            as_trained = (
                None if r is None else self._show_rows(r, self.steps[:-1], old)
                for r in (retain, forget)
            )
            known["trained_on"] = tuple(as_trained)
        try:
            unseen = _show(removal.unseen, steps)
            new = start._successor(positions, gone, kept, unseen=unseen, **known)
        except UnlearningError as error:
            apart = refit and _front_steps.tell_columns_apart(self.steps[:-1], steps)
            if not apart:
                raise
            raise UnlearningError(
                f"{error} Without the forget rows the steps make other columns than before "
                f"({apart}): let the module take as many as it is shown (skorch's "
                "InputShapeSetter, lazy layers), or fix the steps' output (categories=, "
                "vocabulary=)."
            ) from error
        return steps, new, sums, subtracted

    def _new_steps(self, positions, forget, retain, as_stored):
        """Steps of the kept rows, what they make of these, their `Subtraction`, what it was of."""
        old, steps = self._final_estimator, self.steps[:-1]
        y = retain.y if old._classes is None else old._classes[retain.y]
        held = self._held if as_stored else None
        first = 0 if held is None else self._constant
        X = retain.arrays()[0] if held is None else held.take(retain.positions)
        if as_stored and self._sums is not None and forget is not None:
            gone = forget.arrays()[0] if held is None else held.take(positions)
            found = self._sums.without(steps, gone, X, first)
            if found is not None:
                new, sums = found
                name, place = steps[sums.place][0], sums.place + 1
                before = [*steps[: sums.place], (name, new)]
                shown = _front_steps.transform(before[first:], X)
                after, X = _front_steps.fit_transform(steps[place:], shown, y, raw=X)
                return [*before, *after], X, sums, [f"{name} ({type(new).__name__})"]
        after, made = _front_steps.fit_transform(steps[first:], X, y)
        steps = [*steps[:first], *after]
        return steps, made, Subtraction.of(steps, X, first) if as_stored else None, []

    def _show_rows(self, rows, steps, unlearner):
        """`rows` as `steps` show them to `unlearner`, from what is held of them where it is."""
        if self._held is None or rows.positions is None:
            return _front_steps.transform_rows(rows, steps, unlearner)
        X = self._held.take(rows.positions)
        X = _front_steps.transform(steps[self._constant :], X)
        return _front_steps.check_rows(X, rows, unlearner)

    def _record_shown(self, steps, unlearner, positions, kept):
        """The unlearner's record with all retained rows as new steps show them."""
        record = self._record.without(positions)
        left = np.flatnonzero(record.retained)
        if kept is None:
            kept = self._show_rows(record.view(left), steps, unlearner)
        kept.positions = left
        slot = np.full(len(record), -1)
        slot[left] = np.arange(len(left))
        return unlearner._record.with_rows(kept.source, kept.all_y, slot)

    def _observe(self, forget, sample):
        """What the present pipeline says of rows as they are before its first step."""
        old, steps = self._final_estimator, self.steps[:-1]
        return [
            None
            if rows is None
            else hear(old.estimator_, self._show_rows(rows, steps, old), old._classes)
            for rows, hear in ((forget, observe_forgotten), (sample, observe))
        ]

    def _check_columns(self, steps, X):
        old = self._final_estimator
        if old._make_promises().exact:
            return  # it trains a new model, whatever the columns
        like = old._record.like
        same_width = like is None or row_shape(X) == row_shape(like)
        apart = _front_steps.tell_columns_apart(self.steps[:-1], steps)
        if apart or not same_width:
            told = f" ({apart})" if apart else ""
            raise UnlearningError(
                f"Without the forget rows the steps make other columns than before{told}, and "
                f"{type(old).__name__} starts from a model of the columns before. The pipeline is "
                "as it was. Fix the steps' output (categories=, vocabulary=), use "
                "RetrainUnlearner, or refit_transformers=False."
            )


def _show(unseen, steps):
    return unseen and (_front_steps.transform(steps, unseen[0]), unseen[1])
