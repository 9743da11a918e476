"""Requests to estimators that do not hold their rows: what is known of them all the same."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from skunlearn import FineTuneUnlearner, RetrainUnlearner, UnlearningPipeline
from skunlearn.exceptions import ClassForgottenWarning, NotForgottenWarning
from tests.small import net

NAMES = np.array(["ant", "bee", "wasp"])


def on_arrays():
    return RetrainUnlearner(LogisticRegression(), random_state=0)


def in_a_pipeline():
    return UnlearningPipeline([("scale", StandardScaler()), ("model", on_arrays())])


def warned_of(unlearner, **request):
    """Classes that the log names, which a warning is to name, too."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        unlearner.unlearn(**request)
    said = [str(w.message) for w in caught if w.category is ClassForgottenWarning]
    gone = unlearner.deletions_[-1]["classes_forgotten"]
    assert len(said) == (len(gone) > 0)
    assert all(name in said[0] for name in gone)
    return gone


@pytest.mark.parametrize("make", [on_arrays, in_a_pipeline])
def test_classes_that_go_are_known_by_digests(data, make):
    X, y = data
    y = NAMES[y]
    bees = y == "bee"
    unlearner = make().fit(X, y, ids=range(60)).detach()
    ids, kept = np.flatnonzero(bees), {"X_retain": X[~bees], "y_retain": y[~bees]}
    assert warned_of(unlearner, ids=ids[:-1], **kept) == []  # one is left that did not come along
    assert warned_of(unlearner, ids=ids[-1:], **kept) == ["bee"]
    bees[np.flatnonzero(y == "ant")[0]] = True
    kept = {"X_retain": X[~bees], "y_retain": y[~bees]}
    assert warned_of(unlearner, ids=np.flatnonzero(bees & (y == "ant")), **kept) == []


@pytest.mark.parametrize("make", [on_arrays, in_a_pipeline])
def test_a_part_of_the_rows_that_are_left(data, make):
    X, y = data
    y = NAMES[y]
    bees = np.flatnonzero(y == "bee")
    some = np.flatnonzero(y != "bee")[::2]
    part = {"X_retain": X[some], "y_retain": y[some]}
    unlearner = make().fit(X, y).detach()
    assert warned_of(unlearner, indices=bees[1:], **part) == []
    assert warned_of(unlearner, X_forget=X[bees[:1]], y_forget=y[bees[:1]], **part) == ["bee"]


def test_rows_that_come_back_as_well(data):
    X, y = data
    unlearner = on_arrays().fit(X, NAMES[y]).detach().attach(X[::-1], NAMES[y][::-1])
    assert warned_of(unlearner, indices=np.flatnonzero(y == 2)) == ["wasp"]


def test_rows_that_were_changed_say_nothing(data):
    X, y = data[0].copy(), NAMES[data[1]]
    unlearner = on_arrays().fit(X, y, ids=range(60))
    bees, some = np.flatnonzero(y == "bee"), np.flatnonzero(y != "bee")[::2]
    part = {"X_retain": X[some].copy(), "y_retain": y[some]}
    X[np.flatnonzero(y != "bee")[1]] += 1  # whose label is known no more
    assert warned_of(unlearner.detach(), ids=bees, **part) == []


def test_a_net_is_judged_by_the_rows_of_the_request(data):
    X, y = data
    gone = y == 1
    request = {"X_forget": X[gone], "y_forget": y[gone], "X_val": X + 0.01, "y_val": y}
    unlearner = FineTuneUnlearner(net(max_epochs=30), max_epochs=1, lr=1e-6, random_state=0)
    unlearner.fit(X, y).detach()
    with pytest.warns(NotForgottenWarning), pytest.warns(ClassForgottenWarning):
        unlearner.unlearn(**request, X_retain=X[~gone], y_retain=y[~gone])
    assert unlearner.deletions_[0]["classes_forgotten"] == [1]
