"""One batch on its way through a worker."""

from dataclasses import dataclass
from functools import partial

import numpy as np

from skunlearn._files.digests import chain_entry
from skunlearn._rows.checking import hear_warnings
from skunlearn._unlearning.versions_warning import warn_of_batch
from skunlearn.exceptions import (
    AccuracyDropError,
    ModelDamagedWarning,
    NotForgottenWarning,
    QueueStoppedError,
)
from skunlearn.production import _checks
from skunlearn.production._batches import MOST_DEATHS, MOST_DEATHS_APART
from skunlearn.production._rectifying import correct_model, refuse_rows, stand_in, take_over
from skunlearn.production._resolving import resolve
from skunlearn.production._sieve import sieve


class Application:
    """What a worker does with a batch.

    Parameters
    ----------
    worker : DeletionWorker
    lease : Lease
    flush : bool
        Whether the batch is applied however few requests there are.
    """

    def __init__(self, worker, lease, flush):
        self.worker, self.queue, self.store = worker, worker.queue, worker._store
        self.lease, self.flush = lease, flush

    def apply(self, number, requests, starts):
        """Apply what can be applied, and write down what became of every request.

        `starts` is how often the batch was begun.
        """
        self.number = number
        apart = any(request["apart"] is not None for request in requests)
        if starts > (MOST_DEATHS_APART if apart else MOST_DEATHS):
            self.queue._break_up(self.lease, number, starts)
            return
        # Before the requests are tried: that these cannot be read is no fault of theirs.
        self.baseline = self.queue._meta("baseline")
        corrects = any(request["new_values"] is not None for request in requests)
        if self.store.kind != "net" or corrects:
            self.table = self.store.read_table()
        may_be_small = self.flush or apart or self.queue._is_urgent(requests)
        if not may_be_small and self._is_small(requests):
            self._wait(number, requests, {})
            return
        full = self._is_full_training_due()
        found = sieve(requests, partial(self._attempt, full=full))
        audit = {"requests": len(found.accepted), "rows": 0, "retrained": False}
        if found.failed:
            audit["failed"] = len(found.failed)
        if found.result is None:
            self._finish(number, {}, audit, failed=found.failed)
            return
        audit |= found.result.figures
        if found.result.stop is not None:
            self.queue._stop(self.lease, number, found.result.stop, audit)
            raise _make_error(number, found.result.stop)
        small = self._is_small(found.accepted)
        if small and found.failed and not may_be_small:
            self._wait(number, found.accepted, found.failed)
        elif found.result.model is None:
            self._finish(number, found.result.outcomes, audit, failed=found.failed)
        else:
            if small:
                audit["note"] = "; ".join(filter(None, [audit.get("note"), "below min_batch"]))
            self._publish(number, found, audit)

    def _publish(self, number, found, audit):
        """The model's file first, which is none before the transaction that names it."""
        result, store = found.result, self.store
        meta = {"since retrain": self.queue._meta("since retrain") + 1, "retrain": False}
        meta["parameters"] = store.digest_parameters()
        if audit["retrained"]:
            meta |= {"since retrain": 0, "baseline": audit["score"]}
        version = store.versions.write(result.data, number, self.lease)
        if result.rows is not None:
            meta |= store.write_table(result.rows, number, self.lease)
        self._finish(
            number, result.outcomes, audit, failed=found.failed, version=version, meta=meta
        )
        if result.rows is not None:
            store.rows = result.rows.rows
        store.take(result.model, number, store.origin, store.n)
        result.model._commit()
        store.sweep(self.lease)
        warn_of_batch(result.model, audit["rows"] + audit.get("corrected", 0))

    def _finish(self, *args, **kwargs):
        self.queue._finish(self.lease, *args, **kwargs)

    def _is_full_training_due(self):
        every = self.worker.retrain_every
        since = self.queue._meta("since retrain") + 1
        return bool(self.queue._meta("retrain")) or (every is not None and since >= every)

    # ------------------------------------------------------------------ small batches

    def _is_small(self, requests):
        """Whether fewer requests than `min_batch` forget a row that no other one names."""
        if self.queue.min_batch == 1:
            return False
        gone, count = np.empty(0, np.intp), 0
        for request in requests:
            try:
                positions = self._resolve([request]).touched
            except Exception:  # `sieve` will find out
                continue
            count += len(np.setdiff1d(positions, gone)) > 0
            if count == self.queue.min_batch:
                return False
            gone = np.union1d(gone, positions)
        return count > 0

    def _wait(self, number, requests, failed):
        """Answer the requests that forget nothing; the others wait for more of their kind."""
        answered, waiting = {}, []
        for request in requests:
            plan = self._resolve([request])
            if len(plan.touched):
                waiting.append(request["number"])
            else:
                answered |= plan.outcomes
        audit = {"requests": len(answered), "rows": 0, "retrained": False, "waiting": len(waiting)}
        if failed:
            audit["failed"] = len(failed)
        self._finish(number, answered, audit, failed=failed, waiting=waiting)

    # ------------------------------------------------------------------ a new model

    def _resolve(self, requests):
        store, how = self.store, {}
        if any(request["new_values"] is not None for request in requests):
            how["refusal"] = refuse_rows(store.model, store.rows)
            how["newest"] = self.table.newest
        if store.kind != "net":  # trained again, it holds names of the retained rows only
            how["was_seen"] = partial(self.table.was_seen, salt=self.queue._salt)
            how["kept"] = self.table.names
        return resolve(requests, store.model._record, store.origin, store.n, **how)

    def _attempt(self, requests, full):
        """A model without the rows of these requests, and what was measured of it."""
        worker, plan = self.worker, self._resolve(requests)
        deleted, figures = plan.deleted, {"rows": len(plan.deleted)}
        if plan.corrections:
            corrected = np.concatenate([each.positions for each in plan.corrections])
            figures["corrected"] = len(np.unique(corrected))
        if not len(plan.touched):
            return _Result(None, plan.outcomes, figures)
        if len(deleted) == self.store.model._record.retained.sum():
            raise ValueError("The requests name every retained row; nothing would be left.")
        model, measured, breach = self._model_after(plan, full)
        if breach is not None and not full and worker.on_breach == "retrain":
            full, figures["breach"] = True, breach
            model, measured, breach = self._model_after(plan, full)
        if breach is not None and worker.on_breach == "set_aside":
            raise AccuracyDropError(breach)
        figures |= measured
        rows = self.store.correct(plan.corrections) if plan.corrections else None
        return _Result(model, plan.outcomes, figures, breach, self.store.pack(model), rows)

    def _model_after(self, plan, full):
        """A model after the requests of a plan, its figures, and what is wrong with them."""
        model, first, trained = self.store.model, len(self.store.model.deletions_), False
        # What a service's thread warns of is seen by nobody, and once only: the audit holds it.
        with hear_warnings(NotForgottenWarning, ModelDamagedWarning) as heard:
            if plan.corrections:
                model, trained = correct_model(model, plan.corrections, plan.deleted, full=full)
            elif full:
                model = _retrain(model, plan.deleted)
            else:
                final = getattr(model, "_final_estimator", model)
                tests = {}
                if final._make_promises().reads_validation_rows:
                    tests["unseen"] = self.worker.X_test, self.worker.y_test
                model = model._successor(plan.deleted, **tests)
        # The batch is written into the new entries of the log before anything follows them.
        model._change(deletions=_number(model.deletions_, first, self.number))
        figures = _checks.measure(model, self.worker.X_test, self.worker.y_test)
        seconds = sum(entry["seconds"] for entry in model.deletions_[first:])
        retrained = full or trained
        figures |= {"retrained": retrained, "seconds": seconds}
        figures |= {"warnings": heard} if heard else {}
        breach = _checks.breach(
            figures,
            self.baseline,
            max_accuracy_drop=self.worker.max_accuracy_drop,
            # A model that was trained without the rows is what the attack is held against.
            max_auc_distance=None if retrained else self.worker.max_auc_distance,
        )
        return model, figures, breach


@dataclass
class _Result:
    model: object  # None when nothing was to be forgotten
    outcomes: dict
    figures: dict
    stop: str | None = None  # why the figures are reason to stop
    data: bytes = b""
    rows: object = None  # what `start` was given, where some of it was corrected


def refuse_stopped(queue):
    """Raise QueueStoppedError when a person has to look at a batch first."""
    stopped = queue.stopped()
    if stopped is not None:
        raise _make_error(stopped["number"], stopped["reason"])


def _retrain(unlearner, positions):
    """A copy of `unlearner` whose net was trained anew on the rows that are left."""
    if unlearner._make_promises().exact:
        return unlearner._successor(positions)
    return take_over(unlearner, stand_in(unlearner)._successor(positions))


def _number(log, first, batch):
    """A log whose entries from `first` on name the batch, each linked to those before it."""
    numbered = log[:first]
    for entry in log[first:]:
        numbered = chain_entry(numbered, entry | {"batch": batch})
    return numbered


def _make_error(number, reason):
    return QueueStoppedError(
        f"Batch {number} was rolled back. {reason} The model is as it was before, and the requests "
        "are open. Look at queue.stopped(); then queue.release(), or queue.release(retrain=True) "
        "for a training from scratch."
    )
