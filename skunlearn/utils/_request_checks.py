"""Checks of how rows are named, and of requests that must be refused."""

import copy
import json
from functools import partial
from unittest import SkipTest

import numpy as np
from sklearn.base import clone

from skunlearn.exceptions import AlreadyForgottenError, UnknownRowsError
from skunlearn.utils._check_tools import (
    FORGET,
    N_ROWS,
    OTHER,
    Snapshot,
    fitted,
    must_raise,
    outcome,
    outcome_after,
    prepare,
    quietly,
    twin,
)


@quietly
def check_second_request(estimator):
    """The second request keeps the first one's rows forgotten."""
    new, X, y = fitted(estimator)
    new.unlearn(indices=FORGET)
    first = outcome(new, X)
    new.unlearn(indices=OTHER)
    assert not np.array_equal(outcome(new, X), first), "the second request changed nothing"
    assert [entry["rows"] for entry in new.deletions_] == [len(FORGET), len(OTHER)]
    assert json.loads(new.certificate())["forgotten_rows"] == len(FORGET) + len(OTHER)
    for again in (FORGET, OTHER[:1]):
        state = Snapshot(new, X)
        must_raise(AlreadyForgottenError, partial(new.unlearn, X[again]), "rows forgotten twice")
        state.check("a refused request")
    # A method that trained on the first request's rows again would give these rows away.
    other = X.copy()
    other[FORGET] = np.random.default_rng(1).normal(size=(len(FORGET), X.shape[1]))
    if not new._make_promises().exact:
        return
    again = clone(new).fit(other, y).unlearn(indices=FORGET).unlearn(indices=OTHER)
    rounding = new._make_promises().rtol
    close = np.allclose(outcome(again, X), outcome(new, X), rtol=rounding, atol=rounding)
    assert close, "forgotten rows had an influence"


@quietly
def check_ways_of_naming(estimator):
    """Naming rows by content, ids, groups or indices leads to the same model."""
    new, X, y = prepare(estimator)
    ids = [f"user-{i}" for i in range(N_ROWS)]
    groups = np.where(np.isin(np.arange(N_ROWS), FORGET), "leaving", "staying")
    results, named = [], partial(new.fit, X, y, ids=ids, groups=groups)
    first = named()
    for request in (
        {"indices": FORGET[::-1]},
        {"X_forget": X[FORGET]},
        {"X_forget": X[FORGET].tolist(), "y_forget": y[FORGET]},
        {"ids": [ids[i] for i in FORGET]},
        {"groups": "leaving"},
    ):
        run = twin(first, named).unlearn(**request)
        results.append(outcome(run, X))
        assert np.array_equal(results[0], results[-1]), f"{list(request)} led to another model"


@quietly
def check_fit_forget(estimator):
    """``fit(forget=mask)`` equals fit and unlearn."""
    new, X, y = prepare(estimator)
    mask = np.isin(np.arange(N_ROWS), FORGET)
    at_once = clone(new).fit(X, y, forget=mask)
    in_turn = outcome_after(estimator)
    assert np.array_equal(outcome(at_once, X), in_turn), "the two differ"
    assert len(at_once.deletions_) == 1


@quietly
def check_bad_requests(estimator):
    """Bad requests are refused and change nothing."""
    new, X, y = prepare(estimator)
    new.fit(X, y, ids=range(N_ROWS)).unlearn(indices=FORGET[:2])
    kept = np.arange(2, N_ROWS)
    state = Snapshot(new, X)
    for what, error, act in (
        ("unknown rows", UnknownRowsError, partial(new.unlearn, X[50:60] + 1)),
        ("an unknown row among known ones", UnknownRowsError, partial(new.unlearn, _change_one(X))),
        ("unknown ids", UnknownRowsError, partial(new.unlearn, ids=[5, "nobody"])),
        ("repeated ids", ValueError, partial(new.unlearn, ids=[5, 5])),
        ("indices out of range", UnknownRowsError, partial(new.unlearn, indices=[N_ROWS])),
        ("negative indices", UnknownRowsError, partial(new.unlearn, indices=[-1])),
        ("repeated indices", ValueError, partial(new.unlearn, indices=[5, 5])),
        ("a mask as indices", TypeError, partial(new.unlearn, indices=np.ones(N_ROWS, bool))),
        ("rows forgotten before", AlreadyForgottenError, partial(new.unlearn, X[:4])),
        ("no rows", ValueError, partial(new.unlearn, X[:0])),
        ("no indices", ValueError, partial(new.unlearn, indices=[])),
        ("every row", ValueError, partial(new.unlearn, X[kept])),
        ("every index", ValueError, partial(new.unlearn, indices=kept)),
        ("rows of another shape", ValueError, partial(new.unlearn, X[5:9, :-1])),
        ("NaN", ValueError, partial(new.unlearn, np.full((1, X.shape[1]), np.nan))),
        ("nothing", TypeError, new.unlearn),
        ("rows and indices at once", TypeError, partial(new.unlearn, X[5:6], indices=[5])),
        ("a mask of another length", ValueError, partial(new.fit, X, y, forget=np.ones(3, bool))),
        ("index array as mask", TypeError, partial(new.fit, X, y, forget=np.arange(N_ROWS))),
        ("an empty mask", ValueError, partial(new.fit, X, y, forget=np.zeros(N_ROWS, bool))),
        ("a full mask", ValueError, partial(new.fit, X, y, forget=np.ones(N_ROWS, bool))),
        ("repeated ids in fit", ValueError, partial(new.fit, X, y, ids=[0] * N_ROWS)),
        ("y of another length", ValueError, partial(new.fit, X, y[:-1])),
    ):
        must_raise(error, act, what)
        state.check(f"the refused request ({what})")


def _change_one(X):
    rows = X[50:60].copy()
    rows[3, 0] = np.nextafter(rows[3, 0], 9)
    return rows


@quietly
def check_reads_as_declared(estimator):
    """Other forget rows beside the same retained ones: another model where they are read alone."""
    new, X, _ = fitted(estimator)
    promises, own = new._make_promises(), new._record
    if promises.watches_training:
        raise SkipTest("the method knows the rows that it was trained on, and takes no others")
    kept = np.setdiff1d(np.arange(N_ROWS), FORGET)
    rows, labels = X.copy(), own._y.copy()
    rows[FORGET] = np.random.default_rng(2).normal(size=rows[FORGET].shape)
    labels[FORGET] = labels.min()

    def forgotten(X_forget, y_forget):
        shown = own.with_rows(X_forget, y_forget, np.arange(N_ROWS))
        done = copy.copy(new)._successor(FORGET, shown.view(FORGET), own.view(kept))
        return outcome(done, X)

    before, after = forgotten(X, own._y), forgotten(rows, labels)
    alike = np.array_equal(before, after)
    # Exact and certified methods read what must not show; a judge of itself may judge alike.
    hides = promises.exact or promises.certified or promises.judges_itself
    shows = promises.reads_forget_rows and not hides
    assert not (alike and shows), (
        "forget rows of other values and labels led to the same model: it follows from the "
        "retained rows alone. Say reads_forget_rows=False in `_promises`, or read `forget`."
    )
    assert alike or promises.reads_forget_rows, (
        "forget rows of other values and labels led to another model, of a method that says "
        "reads_forget_rows=False"
    )
    if promises.reads_forget_rows and not promises.reads_forget_labels:
        assert np.array_equal(forgotten(X, labels), before), (
            "other labels of the forget rows led to another model, of a method that says "
            "reads_forget_labels=False"
        )
