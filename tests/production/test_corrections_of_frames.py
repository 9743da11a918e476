"""Corrections of tables in a queue: words, categories, dates, gaps; of pandas and polars."""

import pathlib
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from skunlearn import RetrainUnlearner
from skunlearn.production import DeletionQueue, DeletionWorker
from tests import production_task as task
from tests.production.frames import MAKE, NAMES, N, make_unlearner, need, new_values, started
from tests.production.workers import contents, same
from tests.small import quiet
from tests.turns import crossed_in_turns

pytestmark = quiet
ROWS = [7, 3]
NEW = np.arange(8, dtype=np.float32).reshape(2, 4) / 8


@pytest.fixture(params=["pandas", "polars"])
def make(request):
    need(request.param)
    return MAKE[request.param]


def submit(queue, make, X_true, y_true):
    names = [NAMES[i] for i in ROWS]
    return queue.submit_correction("a", make(X_true.iloc[ROWS]), y_true[ROWS], ids=names)


@pytest.mark.parametrize(
    "make, kind",
    crossed_in_turns(["pandas", "polars"], ["plain", "pipeline"], every=3),
    indirect=["make"],
)
def test_the_model_is_that_of_the_corrected_table(queue, make, kind):
    X, y, X_true, y_true = new_values()
    worker = started(queue, make, make_unlearner(kind))
    first = submit(queue, make, X_true, y_true)
    assert submit(queue, make, X_true, y_true) == first  # once more: nothing happens
    queue.submit("b", ids=[NAMES[11]])
    audit = worker.run_once(flush=True)["audit"]
    assert (audit["requests"], audit["rows"], audit["corrected"]) == (2, 1, 2)
    left = np.delete(np.arange(N), 11)
    fresh = make_unlearner(kind).fit(make(X_true.iloc[left]), y_true[left])
    everything = make(X_true)
    said = fresh.predict_proba(everything)
    np.testing.assert_allclose(worker.unlearner.predict_proba(everything), said, atol=1e-12)
    # The next life takes the corrected table, and the old one no more.
    again = DeletionQueue(queue.folder, batch_size=2)
    with pytest.raises(ValueError, match="those that were corrected have their new values"):
        started(again, make, make_unlearner(kind), X, y)
    order = np.random.default_rng(0).permutation(left)
    second = started(again, make, make_unlearner(kind), X_true, y_true, order)
    np.testing.assert_allclose(second.unlearner.predict_proba(everything), said, atol=1e-12)
    again.submit("c", ids=[NAMES[7]])  # by its name, with its new values
    assert second.run_once(flush=True)["audit"]["rows"] == 1
    left = np.delete(np.arange(N), [7, 11])
    said = make_unlearner(kind).fit(make(X_true.iloc[left]), y_true[left]).predict_proba(everything)
    np.testing.assert_allclose(second.unlearner.predict_proba(everything), said, atol=1e-12)


@pytest.mark.parametrize(
    "make", [pytest.param("pandas", marks=pytest.mark.long), "polars"], indirect=True
)
def test_no_word_of_the_old_row_or_of_the_request_is_left(queue, make):
    X, y, X_true, y_true = new_values()
    X.loc[7, "grower"] = X_true.loc[8, "grower"] = "Once Upon A Vineyard"
    worker = started(queue, make, make_unlearner(), X, y)
    submit(queue, make, X_true, y_true)
    folder = pathlib.Path(queue.folder)
    new = b"nterh\\u00f6lzner"
    assert new in contents(folder)  # so that below it is searched for in the form it had
    worker.run_once(flush=True)
    queue.submit_correction("withdrawn", make(X_true.iloc[[3]]), ids=[NAMES[9]])
    queue.refuse("withdrawn", "not theirs")
    for some in (new, "Ünterhölzner".encode(), b"Once Upon", b"1998-03-29", NAMES[7].encode()):
        assert some not in contents(folder)
    # The worker holds the new rows and no old one.
    held = worker._store.rows[0]
    assert "Once Upon A Vineyard" not in held["grower"].to_list()
    assert "Once Upon A Vineyard" not in worker.unlearner._record._X["grower"].to_list()
    assert "Once Upon A Vineyard" in X["grower"].to_list()  # the user's own table stays


@pytest.mark.parametrize(
    "make", ["pandas", pytest.param("polars", marks=pytest.mark.long)], indirect=True
)
def test_a_death_between_submission_and_batch(queue, make):
    X_true, y_true = new_values()[2:]
    started(queue, make, make_unlearner())
    submit(queue, make, X_true, y_true)
    second = started(DeletionQueue(queue.folder, batch_size=1), make, make_unlearner())
    assert second.run_once()["audit"]["corrected"] == 2
    fresh = make_unlearner().fit(make(X_true.iloc[:N]), y_true[:N])
    everything = make(X_true)
    said = second.unlearner.predict_proba(everything)
    np.testing.assert_allclose(said, fresh.predict_proba(everything), atol=1e-12)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"colour": ["green"]}, "no category of its column"),
        ({"proline": [1065.5]}, "a fraction among whole numbers"),
        ({"bottled": pd.to_datetime(["1999-01-01 00:00:00.5"])}, "a finer time"),
        ({"colour": None}, "now missing"),
    ],
)
def test_what_the_table_cannot_hold_is_set_aside_with_words(queue, change, match):
    X, y, _, _ = new_values()
    X = X.astype({"bottled": "datetime64[s]"})
    worker = started(queue, MAKE["pandas"], make_unlearner(), X, y)
    row = X.iloc[[7]].copy()
    for name, value in change.items():
        row = row.drop(columns=name) if value is None else row.assign(**{name: value})
    queue.submit_correction("a", row, ids=[NAMES[7]])
    assert worker.run_once(flush=True)["state"] == "failed"
    assert match in queue.status("a")["reason"]
    assert worker.unlearner.deletions_ == []


def test_what_no_file_holds_is_refused_at_once(queue):
    row = new_values()[2].iloc[[7]]
    zoned = pd.Timestamp("2020-01-01", tz="Europe/Berlin")
    for value in (object(), {1, 2}, zoned, np.float64(1)):
        strange = row.assign(strange=pd.Series([value], index=[7], dtype=object))
        with pytest.raises(TypeError, match="Request 'a': column 'strange' of X_new holds values"):
            queue.submit_correction("a", strange, ids=[NAMES[7]])
    with pytest.raises(ValueError, match="X_new has 1 rows, but 2"):
        queue.submit_correction("a", row, ids=[NAMES[7], NAMES[3]])
    assert queue.log() == []


# ---------------------------------------------------------------------- other containers


def containers():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3))
    words = np.column_stack([rng.choice(["a", "bb", "ccc"], 60), [f"w{i}" for i in range(60)]])
    y = (X[:, 0] > 0).astype(int)
    return {
        "sparse": sparse.csr_matrix(np.where(abs(X) < 0.5, 0, X)),
        "objects": np.hstack([X[:, :1].astype(object), words.astype(object)]),
        "words": words,
    }, y


@pytest.mark.parametrize("kind", ["sparse", "objects", "words"])
def test_other_containers(queue, kind):
    X, y = containers()[0][kind], containers()[1]
    order = np.arange(60)
    order[[7, 3]] = 20, 21
    X_true = X[order]
    steps = [] if kind == "sparse" else [("words", OneHotEncoder(handle_unknown="ignore"))]
    model = Pipeline([*steps, ("model", LogisticRegression())])

    def make():
        return RetrainUnlearner(model, random_state=0)

    worker = DeletionWorker(queue, make(), X[40:], y[40:]).start(X[:40], y[:40])
    queue.submit_correction("a", X[[20, 21]], indices=[7, 3])
    assert worker.run_once(flush=True)["audit"]["corrected"] == 2
    said = make().fit(X_true[:40], y[:40]).predict_proba(X)
    np.testing.assert_allclose(worker.unlearner.predict_proba(X), said, atol=1e-12)
    again = DeletionWorker(queue, make(), X[40:], y[40:]).start(X_true[:40], y[:40])
    np.testing.assert_allclose(again.unlearner.predict_proba(X), said, atol=1e-12)


def test_an_array_for_a_frame_is_set_aside(queue):
    X, y, X_test, y_test = task.rows()
    columns = list("abcd")
    model = RetrainUnlearner(GaussianNB(), random_state=0)
    worker = DeletionWorker(queue, model, pd.DataFrame(X_test, columns=columns), y_test)
    worker.start(pd.DataFrame(X, columns=columns), y)
    queue.submit_correction("a", NEW[:1], indices=[4])
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it comes to no model, which would warn of its names
        assert worker.run_once(flush=True)["state"] == "failed"
    assert "must be a data frame with the training" in queue.status("a")["reason"]


def test_tensors(queue):
    X, y, X_test, y_test = (torch.from_numpy(part) for part in task.rows())
    worker = DeletionWorker(queue, task.make_unlearner("net"), X_test, y_test).start(X, y)
    queue.submit_correction("a", torch.from_numpy(NEW), indices=[7, 3])
    assert worker.run_once(flush=True)["audit"]["corrected"] == 2
    X_true = X.clone()
    X_true[[7, 3]] = torch.from_numpy(NEW)
    again = DeletionWorker(queue, task.make_unlearner("net"), X_test, y_test).start(X_true, y)
    assert same(again.unlearner, worker.unlearner)
