"""Checks of what an unlearner keeps, in files and pickles, and of what it does without."""

import os
import pickle
import tempfile
import warnings
from functools import partial
from unittest import SkipTest

import numpy as np
from sklearn.base import clone

from skunlearn._torch.skorch_nets import is_net
from skunlearn._unlearning.fitted import list_own_names
from skunlearn.exceptions import AlreadyForgottenError, UnlearningError
from skunlearn.utils._check_tools import (
    FORGET,
    N_ROWS,
    OTHER,
    fitted,
    must_raise,
    outcome,
    outcome_after,
    parameters,
    prepare,
    quietly,
)


@quietly
def check_pickle(estimator):
    """A pickle holds no forgotten row, no old weights, predicts the same, and can forget more."""
    run, X, _ = fitted(estimator)
    _check_pickle_of(run, X)


@quietly
def check_pickle_containers(estimator):
    """As `check_pickle`, after a fit to float32 rows, and to a list of lists."""
    new, X, y = prepare(estimator)
    for given in (X.astype(np.float32), X.tolist()):
        _check_pickle_of(clone(new).fit(given, y), X)


def _check_pickle_of(run, X):
    before = parameters(run.estimator_)
    run.unlearn(indices=FORGET)
    data = pickle.dumps(run)
    if before is not None:  # nor does it hold the net that knew them
        after = parameters(run.estimator_) or {}
        changed = [k for k, old in before.items() if not np.array_equal(old, after.get(k))]
        # Few numbers, or zeros, may be there by chance.
        told = [k for k in changed if len(np.unique(before[k])) >= 4]
        held = [k for k in told if before[k].tobytes() in data]
        assert not held, f"the pickle holds weights from before the request: {', '.join(held)}"
    for row in X[FORGET]:
        for dtype in (np.float32, np.float64):
            assert row.astype(dtype).tobytes() not in data, "the pickle holds a forgotten row"
    again = pickle.loads(data)
    assert np.array_equal(outcome(again, X), outcome(run, X)), "the copy predicts otherwise"
    again.unlearn(indices=OTHER)
    run.unlearn(indices=OTHER)
    assert np.array_equal(outcome(again, X), outcome(run, X)), "the copy forgets otherwise"
    must_raise(AlreadyForgottenError, partial(again.unlearn, indices=FORGET), "rows came back")


@quietly
def check_rows_of_request(estimator):
    """One that holds no rows takes those of the request; forget rows only where it reads them."""
    new, X, y = fitted(estimator)
    kept = np.setdiff1d(np.arange(N_ROWS), FORGET)
    request = {"indices": FORGET}
    if new._make_promises().reads_forget_rows:
        request = {"X_forget": X[FORGET], "y_forget": y[FORGET]}
    bare, expected = new.detach(), outcome_after(estimator)
    try:
        bare.unlearn(**request, X_retain=X[kept], y_retain=y[kept])
    except UnlearningError as error:
        raise SkipTest(f"refused, with a reason: {error}") from error
    except Exception as error:
        what = f"{type(error).__name__} where rows come with the request"
        if "indices" in request:
            what += ", and the forget rows not: a method that promises not to read them gets None"
        raise AssertionError(f"{what} ({error})") from error
    assert np.allclose(outcome(bare, X), expected, atol=1e-4), (
        "rows that come with the request lead to another model than those of fit"
    )


@quietly
def check_files(estimator):
    """``save`` and ``load`` give the same model and log; it goes on forgetting as it would."""
    new, X, y = fitted(estimator)
    if not is_net(new.estimator_):
        raise SkipTest("files hold nets")
    new.unlearn(indices=FORGET)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        new.save(os.path.join(folder, "model"))
        again = clone(new).load(os.path.join(folder, "model"))
    assert np.array_equal(outcome(again, X), outcome(new, X)), "the loaded one predicts otherwise"
    assert again.deletions_ == new.deletions_, "the log is another"
    named = " ".join(str(warning.message) for warning in said)
    left = [name for name in list_own_names(new) if name not in vars(again) and name in named]
    if left or new._make_promises().not_in_files:
        raise SkipTest(f"the file does not hold {', '.join(left) or 'all'}, and says so")
    kept = np.setdiff1d(np.arange(N_ROWS), FORGET)
    again.attach(X[kept], y[kept]).unlearn(indices=OTHER)
    new.unlearn(indices=OTHER)
    assert np.allclose(outcome(again, X), outcome(new, X), atol=1e-4), (
        "the loaded one forgets otherwise"
    )
