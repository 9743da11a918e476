"""Bad input: a clear error, and nothing has changed."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skunlearn import ForestUnlearner, RetrainUnlearner, RidgeUnlearner, UnlearningPipeline
from skunlearn._torch.skorch_nets import is_net
from skunlearn.exceptions import AlreadyForgottenError, ClassForgottenWarning, UnknownRowsError
from skunlearn.forget_sets import random_forget_set
from skunlearn.metrics import MIAScorer
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.utils._check_tools import Snapshot
from tests.instances import make_dict_net, make_net

N = 30


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 4)).astype(np.float32), np.arange(N) % 3


def make(**kwargs):
    net = make_net(module__n_out=3, max_epochs=2, **kwargs)
    return RetrainUnlearner(net, random_state=0)


DAYS = pd.date_range("2026-01-01", periods=N)
COLUMNS = {
    "words": (["Oslo"] * N, "words"),
    "words, some missing": (["Oslo", None] * (N // 2), "words"),
    "categories": (pd.Categorical(["a", "b"] * (N // 2)), "words"),
    "days": (DAYS, "dates"),
    "days of a time zone": (DAYS.tz_localize("UTC"), "of type Timestamp|dates"),
    "Python's dates": (list(DAYS.date), "dates"),
    "spans of time": (DAYS - DAYS[0], "spans of time"),
    "lists": ([[1]] * N, "of type list"),
    "this and that": (["Oslo", 3] * (N // 2), "of several types"),
}


@pytest.mark.parametrize("case", COLUMNS)
def test_columns_that_are_no_numbers_are_named_to_a_net(case):
    values, kind = COLUMNS[case]
    odd = pd.Series([4] * N, dtype=object)
    frame = pd.DataFrame({"age": [3.0] * N, "city": values, "odd": odd})
    for X in (frame, frame[["age", "city"]], frame[["city"]]):
        with pytest.raises(ValueError, match=rf"of X hold others: 'city' \(({kind})\)\. Encode"):
            make().fit(X, np.arange(N) % 3)


def mask(*rows, n=N):
    return np.isin(np.arange(n), rows)


X_ROWS = {
    "rows never seen": (lambda X: X[:3] + 1, UnknownRowsError, "3 of 3 rows"),
    "one row never seen": (lambda X: np.vstack([X[:3], X[:1] + 1]), UnknownRowsError, "rows 3"),
    "another width": (lambda X: X[:3, :2], ValueError, r"shape \(2,\)"),
    "one row without its axis": (lambda X: X[3], ValueError, r"X\[None\]"),
    "NaN": (lambda X: np.where(mask(0, n=3)[:, None], np.nan, X[:3]), ValueError, "NaN"),
    "infinity": (lambda X: X[:3] / 0.0, ValueError, "infinity"),
    "no rows": (lambda X: X[:0], ValueError, "empty"),
    "all rows": (lambda X: X, ValueError, "every retained row"),
    "a scalar": (lambda X: 3.0, ValueError, "rows of shape"),
    "a data set": (
        lambda X: torch.utils.data.TensorDataset(torch.from_numpy(X)),
        TypeError,
        "Dataset",
    ),
    "ragged lists": (lambda X: [[1, 2], [3]], ValueError, "inhomogeneous"),
    "a dict": (lambda X: {"a": X}, TypeError, "dict"),
}


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("kind", X_ROWS)
def test_bad_rows(data, kind):
    X, y = data
    rows, error, message = X_ROWS[kind]
    unlearner = make().fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(error, match=message):
        unlearner.unlearn(rows(X))
    state.check(kind)


FORGET_SET = random_forget_set(np.arange(N) % 3, 4, random_state=0)
REQUESTS = {
    "unknown ids": ({"ids": ["user-1", "nobody"]}, UnknownRowsError, "1 of 2 ids.*nobody"),
    "repeated ids": ({"ids": ["user-1", "user-1"]}, ValueError, "more than once"),
    "no ids": ({"ids": []}, ValueError, "empty"),
    "ids of another type": ({"ids": [1]}, UnknownRowsError, "1 of 1 ids"),
    "unknown groups": ({"groups": ["x"]}, ValueError, "without groups="),
    "a mask": ({"indices": mask(1)}, TypeError, "flatnonzero"),
    "floats": ({"indices": [1.0]}, TypeError, "integers"),
    "names": ({"indices": ["user-1"]}, TypeError, "integers"),
    "2-d": ({"indices": [[1, 2]]}, TypeError, r"1-D.*\(1, 2\)"),
    "one number": ({"indices": 1}, TypeError, r"1-D.*got 1\. Of one row pass \[1\]"),
    "a slice": ({"indices": slice(2, 9, 2)}, TypeError, r"got a slice\. Pass range\(2, 9, 2\)"),
    "a set": ({"indices": {1, 2}}, TypeError, r"got a set\. Pass sorted\(\.\.\.\)"),
    "labels of another length": (
        {"indices": [1], "X_val": np.ones((4, 4)), "y_val": [0, 1], "max_accuracy_drop": 0.5},
        ValueError,
        r"inconsistent numbers of samples(.|\n)*X_val and y_val",
    ),
    "a forget set": ({"indices": FORGET_SET}, TypeError, "pass indices=forget_set.indices"),
    "a forget set as rows": ({"X_forget": FORGET_SET}, TypeError, "pass indices=forget_set.ind"),
    "too large": ({"indices": [N]}, UnknownRowsError, f"outside the {N}"),
    "negative": ({"indices": [-1]}, UnknownRowsError, "outside"),
    "repeated": ({"indices": [2, 2]}, ValueError, "more than once"),
    "none": ({"indices": []}, ValueError, "empty"),
    "all": ({"indices": np.arange(N)}, ValueError, "every retained row"),
    "nothing": ({}, TypeError, "none of them"),
    "two ways": ({"indices": [1], "ids": ["user-1"]}, TypeError, "exactly one way"),
    "labels alone": ({"indices": [1], "y_forget": [0]}, TypeError, "X_forget"),
    "forget": ({"forget": mask(1)}, TypeError, r"no forget=.*indices=numpy.flatnonzero\(mask\)"),
    "a misspelt word": ({"index": [1]}, TypeError, "no index=.*indices="),
    "a mask as rows": ({"X_forget": mask(1)}, TypeError, r"mask.*indices=numpy.flatnonzero"),
    "a mask in a list": ({"X_forget": mask(1).tolist()}, TypeError, "indices=numpy.flatnonzero"),
    "a mask in a tensor": ({"X_forget": torch.tensor(mask(1))}, TypeError, "indices=numpy.flat"),
    "a mask in a series": ({"X_forget": pd.Series(mask(1))}, TypeError, "indices=numpy.flatnonz"),
    "positions as rows": ({"X_forget": np.arange(5)}, TypeError, r"indices=\[0, 1, 2, 3, \.\.\.\]"),
    "a range as rows": ({"X_forget": range(2)}, TypeError, r"indices=\[0, 1\]"),
    "a position as rows": ({"X_forget": 7}, TypeError, r"indices=\[7\]"),
    "a set as rows": ({"X_forget": {7, 3}}, TypeError, r"indices=\[3, 7\]"),
    "positions that look like a row": ({"X_forget": np.arange(4)}, TypeError, r"X\[None\]"),
}


@pytest.mark.parametrize("kind", REQUESTS)
def test_bad_requests(data, kind):
    X, y = data
    request, error, message = REQUESTS[kind]
    unlearner = make().fit(X, y, ids=[f"user-{i}" for i in range(N)])
    state = Snapshot(unlearner, X)
    with pytest.raises(error, match=message):
        unlearner.unlearn(**request)
    state.check(kind)


LABELS = {
    "another length": ([0, 1], ValueError, "3 rows.*2 entries"),
    "a scalar": (0, ValueError, "no length"),
    "an unknown class": ([0, 1, 7], ValueError, "not among the classes.*7"),
    "another type": (["a", "b", "c"], ValueError, "another type"),
    "wrong ones": ([1, 2, 0], UnknownRowsError, "never seen"),
}


@pytest.mark.parametrize("kind", LABELS)
def test_bad_labels(data, kind):
    X, y = data
    labels, error, message = LABELS[kind]
    unlearner = make().fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(error, match=message):
        unlearner.unlearn(X[:3], labels)
    state.check(kind)


SEVERAL = {
    "a list": lambda values: values,
    "an array of objects": lambda values: np.array(values, dtype=object),
    "a column of a frame": lambda values: pd.Series(values),
}


@pytest.mark.parametrize("form", SEVERAL)
def test_labels_of_several_types_are_told_wherever_they_are_read(data, form):
    X, y = data
    mixed = SEVERAL[form]([1, "a", 2] * (N // 3))
    told = r"y holds labels of several types, such as 'a' \(str\) and 1 \(int\)\. .* one type"
    for unlearner in (make(), RetrainUnlearner(LogisticRegression())):
        with pytest.raises(ValueError, match=told):
            unlearner.fit(X, mixed)
        with pytest.raises(ValueError, match=told):
            UnlearningPipeline([("scale", StandardScaler()), ("net", unlearner)]).fit(X, mixed)
    for labels in (y, np.array(["a", "b", "c"])[y]):
        unlearner = make().fit(X, labels)
        state = Snapshot(unlearner, X)
        for read in (
            lambda of=unlearner: of.unlearn(X[:3], mixed[:3]),
            lambda of=unlearner: of.unlearn(X[:3], X_retain=X[3:], y_retain=mixed[3:]),
            lambda of=unlearner: of.score(X, mixed),
        ):
            with pytest.raises(ValueError, match="several types, such as 'a'"):
                read()
        state.check(form)
        unlearner.unlearn(indices=[0])
        with pytest.raises(ValueError, match="several types, such as 'a'"):
            MIAScorer()(unlearner, X, mixed)


def test_labels_that_are_objects_are_told_what_to_become(data):
    X, _ = data
    with pytest.raises(ValueError, match=r"an array of objects, such as True.*y\.astype\(int\)"):
        make().fit(X, np.array([True, 3] * (N // 2), dtype=object))


def test_items_with_labels_of_several_types():
    class Items(torch.utils.data.Dataset):
        def __len__(self):
            return N

        def __getitem__(self, i):
            return np.zeros(4, np.float32), (1, "a")[i % 2]

    with pytest.raises(ValueError, match="The Dataset holds labels of several types"):
        make().fit(Items())


def test_rows_forgotten_before(data):
    X, y = data
    unlearner = make().fit(X, y, ids=range(N)).unlearn(indices=[3, 4])
    state = Snapshot(unlearner, X)
    for request in ({"X_forget": X[[4, 5]]}, {"ids": [3]}, {"indices": [3, 9]}):
        with pytest.raises(AlreadyForgottenError, match="1 of"):
            unlearner.unlearn(**request)
        state.check("rows forgotten before")


MASKS = {
    "indices": ([1, 2], TypeError, "boolean mask.*dtype int"),
    "index array of full length": (np.arange(N), TypeError, "boolean mask"),
    "floats": (mask(1).astype(float), TypeError, "boolean mask"),
    "names": (["a"] * N, TypeError, "boolean mask"),
    "too short": (mask(1)[:-1], ValueError, r"expected shape \(30,\), got \(29,\)"),
    "2-d": (mask(1)[:, None], ValueError, "expected shape"),
    "a forget set": (FORGET_SET, TypeError, "pass forget=forget_set.mask"),
    "nothing": (mask(), ValueError, "no row"),
    "everything": (mask(*range(N)), ValueError, "every row"),
}


@pytest.mark.parametrize("kind", MASKS)
@pytest.mark.parametrize("fitted", [False, True])
def test_bad_masks(data, kind, fitted):
    X, y = data
    forget, error, message = MASKS[kind]
    unlearner = make()
    state = Snapshot(unlearner.fit(X, y), X) if fitted else None
    with pytest.raises(error, match=message):
        unlearner.fit(X, y, forget=forget)
    if fitted:
        state.check(kind)
    else:
        assert not hasattr(unlearner, "estimator_")


@pytest.mark.parametrize("kind", [list, pd.Series, torch.tensor, np.array])
def test_masks_of_any_container(data, kind):
    X, y = data
    unlearner = make().fit(X, y, forget=kind(mask(1, 2).tolist()))
    assert unlearner.deletions_[0]["rows"] == 2


class Stream(torch.utils.data.IterableDataset):
    def __iter__(self):
        return iter(())


class Endless(torch.utils.data.Dataset):
    def __getitem__(self, i):
        return torch.zeros(4), i % 3


def bad_value(X, value):
    X = X.copy()
    X[3, 1] = value
    return X


FITS = {
    "NaN": (lambda X, y: (bad_value(X, np.nan), y), ValueError, "NaN"),
    "infinity": (lambda X, y: (bad_value(X, np.inf), y), ValueError, "infinity"),
    "NaN in a tensor": (
        lambda X, y: (torch.from_numpy(bad_value(X, np.nan)), y),
        ValueError,
        "NaN",
    ),
    "1-d": (lambda X, y: (X[:, 0], y), ValueError, "2D array"),
    "1-d tensor": (lambda X, y: (torch.from_numpy(X[:, 0]), y), ValueError, "2D array"),
    "another length": (lambda X, y: (X, y[:-1]), ValueError, "inconsistent"),
    "two inputs": (
        lambda X, y: ((X[:, :1], X), y),
        ValueError,
        r"a tuple of 2 arrays with \d+ rows each. Several inputs .* go into a dict",
    ),
    "a list of two inputs": (lambda X, y: ([y, X], y), ValueError, "a list of 2 arrays"),
    "rows of several shapes": (
        lambda X, y: ([row[: 1 + i % 2] for i, row in enumerate(X)], y),
        ValueError,
        r"rows of several shapes, such as \(1,\) and \(2,\). .*collate",
    ),
    "images of several sizes": (
        lambda X, y: ([np.ones((3, 8 + i % 2, 8)) for i in range(len(y))], y),
        ValueError,
        r"rows of several shapes, such as \(3, 8, 8\) and \(3, 9, 8\)",
    ),
    "no labels": (lambda X, y: (X, None), ValueError, "requires y"),
    "NaN labels": (lambda X, y: (X, np.where(y == 0, np.nan, y)), ValueError, "NaN"),
    "continuous labels": (lambda X, y: (X, y + 0.5 * X[:, 0]), ValueError, "continuous"),
    "2-d labels": (lambda X, y: (X, np.eye(3)[y]), ValueError, "1d array"),
    "one-hot labels": (
        lambda X, y: (X, np.eye(3)[y]),
        ValueError,
        r"adds up to 1: pass the class, y\.argmax\(axis=1\)\. For",
    ),
    "soft labels": (
        lambda X, y: (X, 0.7 * np.eye(3)[y] + 0.1),
        ValueError,
        r"y\.argmax\(axis=1\), which drops how sure they are\.",
    ),
    "no rows": (lambda X, y: (X[:0], y[:0]), ValueError, "0 sample"),
    "text": (lambda X, y: (X.astype(str).astype(object) + "x", y), ValueError, "convert"),
    "a text each": (
        lambda X, y: (["a good film" for _ in y], y),
        ValueError,
        "X holds texts, such as 'a good film', .* UnlearningPipeline",
    ),
    "texts": (lambda X, y: (np.array(["good"] * len(y), object), y), ValueError, "holds texts"),
    "words": (lambda X, y: (X.astype(str), y), ValueError, "X holds texts"),
    "tokens": (lambda X, y: ([[1], [1, 2]] * (len(y) // 2), y), ValueError, "several shapes"),
    "a stream": (
        lambda X, y: (Stream(), y),
        TypeError,
        "an IterableDataset .Stream., but rows must be found again",
    ),
    "a stream of labels too": (
        lambda X, y: (Stream(), None),
        TypeError,
        "an IterableDataset .Stream., but rows must be found again",
    ),
    "a Dataset without a length": (
        lambda X, y: (Endless(), None),
        TypeError,
        "a Dataset without a length .Endless., but rows must be found again",
    ),
}


@pytest.mark.parametrize("kind", FITS)
def test_bad_fits(data, kind):
    X, y = data
    change, error, message = FITS[kind]
    unlearner = make().fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(error, match=message):
        unlearner.fit(*change(X, y))
    state.check(kind)


@pytest.mark.parametrize("kind", ["a stream", "a Dataset without a length"])
def test_what_has_no_length_is_refused_wherever_rows_go(data, kind, tmp_path):
    X, y = data
    change, error, message = FITS[kind]
    rows = change(X, y)[0]
    for call in (
        lambda: UnlearningPipeline([("scale", StandardScaler()), ("model", make())]).fit(rows, y),
        lambda: DeletionWorker(DeletionQueue(tmp_path), make(), X, y).start(rows, y),
        lambda: make().fit(X, y).predict(rows),
    ):
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("rows", ["frame", "text"])
def test_positions_and_masks_where_rows_are_frames_or_text(data, rows):
    X, y = data
    if rows == "frame":
        X, model = pd.DataFrame(X, columns=list("abcd")), LogisticRegression()
    else:
        X = np.array([f"word{i} text" for i in range(N)], dtype=object)
        model = make_pipeline(CountVectorizer(), LogisticRegression())
    for unlearner in (
        RetrainUnlearner(model).fit(X, y),
        UnlearningPipeline([("model", RetrainUnlearner(model))]).fit(X, y),
    ):
        for request in ({"X_forget": mask(1)}, {"X_forget": np.arange(5)}, {"forget": mask(1)}):
            with pytest.raises(TypeError, match="indices="):
                unlearner.unlearn(**request)
        assert unlearner.unlearn(indices=[1]).deletions_[0]["rows"] == 1


def test_ids_that_repeat_or_do_not_fit(data):
    X, y = data
    with pytest.raises(ValueError, match=r"unique.*7.*groups="):
        make().fit(X, y, ids=[7, 7, *range(100, N + 98)])
    with pytest.raises(ValueError, match="ids has 2 entries"):
        make().fit(X, y, ids=[1, 2])
    with pytest.raises(ValueError, match="groups has 2 entries"):
        make().fit(X, y, groups=[1, 2])


def test_dict_entries_of_different_lengths():
    X = {"a": np.eye(4), "b": np.arange(3)}
    with pytest.raises(ValueError, match="different numbers of rows"):
        RetrainUnlearner(make_dict_net()).fit(X, [0, 1, 0, 1])
    X = {"a": np.full((4, 2), np.nan), "b": np.arange(4)}
    with pytest.raises(ValueError, match=r"a.*NaN"):
        RetrainUnlearner(make_dict_net()).fit(X, [0, 1, 0, 1])


def test_forgetting_a_whole_class_is_announced(data):
    X, y = data
    labels = np.array(["ant", "bee", "cat"], dtype=object)[y]
    unlearner = RetrainUnlearner(LogisticRegression()).fit(X, labels)
    with pytest.warns(ClassForgottenWarning, match="bee") as caught:
        unlearner.unlearn(indices=np.flatnonzero(y == 1))
    assert caught[0].filename == __file__
    assert unlearner.deletions_[0]["classes_forgotten"] == ["bee"]
    assert list(unlearner.classes_) == ["ant", "bee", "cat"]
    assert np.all(unlearner.predict_proba(X)[:, 1] == 0)
    assert "bee" not in unlearner.predict(X)


@pytest.mark.parametrize(
    "unlearner",
    [
        RetrainUnlearner(LogisticRegression(max_iter=500)),
        ForestUnlearner(RandomForestClassifier(5)),
        RidgeUnlearner(RidgeClassifier()),
        make(),
    ],
    ids=["estimator", "forest", "sums", "net"],
)
def test_rows_without_names_are_told_of_once(data, unlearner):
    """By the model inside, where it knows the names, and not by the unlearner as well."""
    X, y = data
    unlearner = clone(unlearner).fit(pd.DataFrame(X, columns=list("abcd")), y)
    for name in ("predict", "predict_proba", "decision_function"):
        if not hasattr(unlearner, name):
            continue
        with pytest.warns(UserWarning, match="X does not have valid feature names") as heard:
            getattr(unlearner, name)(X)
        assert len(heard) == 1, [str(each.message) for each in heard]
    narrow = pd.DataFrame(X[:, :3], columns=list("abc"))
    with pytest.raises(ValueError, match="feature names"):
        unlearner.predict(narrow)
    if not is_net(unlearner.estimator):
        with pytest.raises(ValueError, match=r"X has 3 features, but .* is expecting 4 features"):
            unlearner.predict(X[:, :3])


def test_several_inputs_as_skorch_takes_them_are_told_what_they_are(data):
    """Also where they are alike, and would be stacked to an array."""
    X, y = data
    for given in ((X, X + 1), [X, X + 1], (X, X[:, :2])):
        for labels in (y, y.tolist(), torch.from_numpy(y)):
            with pytest.raises(ValueError, match=r"2 arrays with 30 rows each.* go into a dict"):
                make().fit(given, labels)
    with pytest.raises(ValueError, match="inconsistent numbers of samples: 2 rows and 30 labels"):
        make().fit([X[0].tolist(), X[1].tolist()], y)
