"""The guard of a request: it is undone when it costs more accuracy than is allowed."""

from contextlib import contextmanager
from numbers import Real

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar

from skunlearn._rows.checking import warn
from skunlearn._rows.containers import digest_of, is_dataset, row_digests, take
from skunlearn._rows.seen import share_alike
from skunlearn._unlearning.validation import dataset_targets
from skunlearn.exceptions import AccuracyDropError

_BY_CHANCE = 0.05  # share of rows that a table holds twice; more were passed by mistake


@contextmanager
def of_validation(given=True):
    """Let an error say that the rows are the request's `X_val`; nothing where none were `given`."""
    try:
        yield
    except (TypeError, ValueError) as error:
        if given:
            error.add_note("These rows are X_val and y_val of the request. Nothing was forgotten.")
        raise


class Guard:
    """What a request may cost, and on which rows that is measured.

    Without rows of the user's own the log's sample of retained rows counts.

    Parameters
    ----------
    unlearner : fitted unlearner or pipeline that ends in one
    limit : float or None
    X, y : rows the model has not seen, with labels or targets; or None
    """

    def __init__(self, unlearner, limit, X=None, y=None):
        self.limit, self.X, self.y = limit, X, y
        final = unlearner.steps[-1][1] if isinstance(unlearner, Pipeline) else unlearner
        if limit is not None:
            check_drop(limit, classifier=final._classes is not None)
        if X is None and y is None:
            return
        if y is None and is_dataset(X):
            self.y = dataset_targets(X)
        if X is None or self.y is None:
            raise ValueError("X_val and y_val come together: rows and their labels.")
        with of_validation():
            self._leave_out_seen(unlearner._record)
        if limit is None:
            return
        self._digest = _digest(self.X, self.y)
        with of_validation():
            self._before = unlearner.score(self.X, self.y)
        self._first = next(
            (
                entry["guard"]["before"]
                for entry in unlearner.deletions_
                if entry.get("guard", {}).get("digest") == self._digest
            ),
            self._before,
        )

    def _leave_out_seen(self, record):
        """Leave rows out that are training rows too, by chance; refuse where they are many.

        Where training rows equal each other as often, they stay: without them the others would be
        rarer rows than those to forget.
        """
        seen = record.mark_seen(self.X)
        n = np.count_nonzero(seen)
        if not n:
            return
        alike, most = share_alike(record, self.X)
        if n > max(most, _BY_CHANCE) * len(seen):
            often = f", where {alike:.0%} of these equal another one" if alike else ""
            raise ValueError(
                f"X_val holds {n} training rows, of {len(seen)}{often}. Accuracy on rows to be "
                "forgotten is meant to fall: pass rows that fit was not given."
            )
        if alike > _BY_CHANCE:
            return
        warn(
            f"X_val holds {n} of {len(seen)} rows that are training rows too. They are left out: "
            "the model has seen them.",
            UserWarning,
        )
        places = np.flatnonzero(~seen)
        self.X, self.y = (
            [part[i] for i in places] if isinstance(part, list | tuple) else take(part, places)
            for part in (self.X, self.y)
        )

    @property
    def unseen(self):
        """Rows that the model has never seen, with their labels; None without."""
        return None if self.X is None else (self.X, self.y)

    @property
    def on_sample(self):
        """The limit where it holds for the sample of retained rows, else None."""
        return None if self.X is not None else self.limit

    def check(self, unlearner):
        """The log with what the guard measured; raises above the limit."""
        *earlier, entry = unlearner.deletions_
        if self.limit is None:
            return unlearner.deletions_
        guard = {"max_accuracy_drop": float(self.limit)}
        if self.X is not None:
            after = float(unlearner.score(self.X, self.y))
            where = f"the {len(self.y)} rows of X_val"
            refuse_drop(unlearner, self._first, after, self.limit, where)
            guard |= {"digest": self._digest, "before": float(self._before), "after": after}
        return [*earlier, entry | {"guard": guard}]


def check_drop(limit, *, classifier):
    """Check a limit on lost accuracy, which no classifier can lose more of than there is."""
    check_scalar(limit, "max_accuracy_drop", Real, min_val=0)
    if not np.isfinite(limit):
        raise ValueError(f"max_accuracy_drop must be finite, got {limit}.")
    if classifier and limit > 1:
        raise ValueError(
            f"max_accuracy_drop is a share of the rows, from 0 to 1, got {limit}, which no "
            f"classifier could ever exceed. For {limit:g} points of accuracy pass {limit / 100:g}."
        )


def advise_less(unlearner):
    """Which parameters make a method cost less, in words."""
    if isinstance(unlearner, Pipeline):
        unlearner = unlearner.steps[-1][1]
    names = unlearner._get_param_names()
    # Epochs on nothing but retained rows bring back what was lost.
    epochs = "fewer epochs" if unlearner._make_promises().reads_forget_rows else "more epochs"
    ways = {"lr": "a smaller learning rate", "max_epochs": epochs, "penalty": "a larger penalty"}
    if "budget" in names:  # as they do here, with what a smaller rate would leave undone
        ways = {"budget": "a larger budget"}
    return " or ".join([ways[name] for name in ways if name in names] or ["weaker parameters"])


def refuse_drop(unlearner, before, after, limit, where):
    """Raise AccuracyDropError when a score has fallen by more than `limit`."""
    if before is None or after is None:
        raise ValueError(
            f"max_accuracy_drop needs a score, which {where} do not give (R² of constant "
            "targets). Pass X_val and y_val. Nothing was forgotten."
        )
    # Shares of rows are not exact in binary: a drop of three rows in ten is one of 0.3.
    if not before - after <= limit + 1e-12:  # NaN too
        raise AccuracyDropError(
            f"{type(unlearner).__name__} would lower the score on {where} from {before:.4f} "
            f"to {after:.4f}, by {before - after:.4f}, and max_accuracy_drop={limit} allows less. "
            "The estimator is as it was: nothing was forgotten, and the request still waits. Try "
            f"{advise_less(unlearner)}, or RetrainUnlearner; where a retrained model loses as "
            "much, the request itself is what costs it.",
            before=before,
            after=after,
            max_accuracy_drop=limit,
        )


def _digest(X, y):
    X = np.asarray(X) if isinstance(X, list) else X
    rows = np.arange(len(X)) if is_dataset(X) else row_digests(X)
    return digest_of(rows, np.asarray(y).astype(str))
