"""Rows that are there twice, or under another order: which are meant, and what stays."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import RetrainUnlearner, UnlearningPipeline

N = 40


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 3)), rng.integers(0, 2, N)


def certify(unlearner):
    return json.loads(unlearner.certificate())


@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame], ids=["array", "frame"])
@pytest.mark.parametrize("named", ["ids", "indices", "groups"])
def test_a_row_that_another_name_has_too_stays_and_is_named(rows, kind, named):
    X, y = rows
    X[5], y[5] = X[3], y[3]
    unlearner = RetrainUnlearner(KNeighborsClassifier(1), random_state=0)
    names = {named: np.arange(N)} if named != "indices" else {}
    unlearner.fit(kind(X), y, **names).unlearn(**{named: [3]})
    assert unlearner.deletions_[0]["equal_rows_left"] == 1
    assert unlearner.predict(kind(X[3:4])) == y[3]  # the model still knows it
    assert any("1 retained rows equal one" in note for note in certify(unlearner)["notes"])
    unlearner.unlearn(kind(X[5:6]))
    assert "equal_rows_left" not in unlearner.deletions_[1]


def test_a_row_with_another_label_stays_and_is_named(rows):
    X, y = rows
    X[[5, 7]], y[[3, 5, 7]] = X[3], (0, 1, 0)
    unlearner = RetrainUnlearner(KNeighborsClassifier(1), random_state=0).fit(X, y)
    unlearner.unlearn(X[3:4], [0])
    assert np.flatnonzero(~unlearner._record.retained).tolist() == [3, 7]
    assert unlearner.deletions_[0]["equal_rows_left"] == 1


def test_rows_that_are_there_once_say_nothing(rows):
    X, y = rows
    unlearner = RetrainUnlearner(KNeighborsClassifier(1), random_state=0).fit(X, y)
    unlearner.unlearn(indices=[0, 1])
    assert "equal_rows_left" not in unlearner.deletions_[0]
    assert certify(unlearner)["notes"] == []


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("kind", [np.asarray, pd.DataFrame], ids=["array", "frame"])
def test_missing_values_are_equal_whatever_their_bits(rows, kind, dtype):
    X, y = rows
    X = X.astype(dtype)
    with np.errstate(invalid="ignore"):
        X[3, 1], X[5] = np.nan, X[3]
        X[5, 1] = np.float64(np.inf) - np.inf
    X[5] = np.where(np.isnan(X[5]), -np.float64(np.nan), X[3])
    assert X[3].tobytes() != X[5].tobytes()
    unlearner = RetrainUnlearner(DecisionTreeClassifier(), random_state=0).fit(kind(X), y)
    unlearner.unlearn(kind(X[3:4]))
    assert np.flatnonzero(~unlearner._record.retained).tolist() == [3, 5]


@pytest.mark.parametrize("what", ["forget", "ids", "groups"])
@pytest.mark.parametrize("pipeline", [False, True])
def test_a_series_in_another_order_than_the_frame_is_refused(rows, what, pipeline):
    X, y = rows
    frame = pd.DataFrame(X, index=np.arange(N)[::-1])
    values = pd.Series(np.arange(N) < 2 if what == "forget" else np.arange(N))
    unlearner = RetrainUnlearner(KNeighborsClassifier(1), random_state=0)
    if pipeline:
        unlearner = UnlearningPipeline([("scale", StandardScaler()), ("model", unlearner)])
    with pytest.raises(ValueError, match=rf"{what} is a series .* Pass {what}.loc\[X.index\]"):
        unlearner.fit(frame, y, **{what: values})
    unlearner.fit(frame, y, **{what: values.loc[frame.index]})
    unlearner.fit(frame.reset_index(drop=True), y, **{what: values})
    unlearner.fit(frame, y, **{what: values.to_numpy()})


def test_a_row_of_a_frame_taken_as_a_series(rows):
    X, y = rows
    frame = pd.DataFrame(X, columns=list("abc"))
    unlearner = RetrainUnlearner(KNeighborsClassifier(1), random_state=0).fit(frame, y)
    with pytest.raises(ValueError, match=r"X_forget must be a data frame .* X.iloc\[\[3\]\]"):
        unlearner.unlearn(frame.iloc[3])


def test_a_model_that_was_trained_on_afterwards_has_no_guarantee(rows):
    X, y = rows
    unlearner = RetrainUnlearner(SGDClassifier(), random_state=0).fit(X, y).unlearn(indices=[0])
    assert certify(unlearner)["guarantee"] == "retrained without the rows"
    unlearner.estimator_.partial_fit(X[:1], y[:1])
    certificate = certify(unlearner)
    assert certificate["guarantee"] == "none"
    assert "not the one that the last request left" in certificate["notes"][0]
