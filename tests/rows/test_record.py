"""Which rows a request finds, in whatever container they come, and what is copied."""

import pickle
import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.naive_bayes import GaussianNB
from torch.utils.data import TensorDataset

from skunlearn import RetrainUnlearner
from skunlearn._rows.containers import digest_of, name_digests, row_digests
from skunlearn._rows.record import TrainingRecord
from skunlearn._rows.views import Rows
from skunlearn.exceptions import AlreadyForgottenError, UnknownRowsError
from tests.instances import make_net


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 5)).astype(np.float32)
    return X, np.arange(30) % 3


def fitted(X, y, **kwargs):
    return RetrainUnlearner(make_net(max_epochs=1, module__n_out=3), random_state=0).fit(
        X, y, **kwargs
    )


def gone(unlearner):
    return np.flatnonzero(~unlearner._record.retained).tolist()


CONTAINERS = {
    "float32": lambda X: X,
    "float64": lambda X: X.astype(np.float64),
    "list": lambda X: X.tolist(),
    "tensor": torch.as_tensor,
    "frame": pd.DataFrame,
    "csr": sparse.csr_array,
    "coo": sparse.coo_matrix,
    "fortran": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "tuple": lambda X: tuple(map(tuple, X.tolist())),
}


@pytest.mark.parametrize("request_kind", CONTAINERS)
@pytest.mark.parametrize("fit_kind", ["float32", "tensor", "csr", "list"])
def test_any_container_finds_its_rows(data, fit_kind, request_kind):
    X, y = data
    unlearner = fitted(CONTAINERS[fit_kind](X), y)
    unlearner.unlearn(CONTAINERS[request_kind](X[[3, 7]]))
    assert gone(unlearner) == [3, 7]


def test_frames_match_by_column_name(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abcde"))
    unlearner = fitted(frame, y)
    unlearner.unlearn(frame.iloc[[4]])
    unlearner.unlearn(X[[5]])
    assert gone(unlearner) == [4, 5]
    with pytest.raises(ValueError, match="feature names"):
        unlearner.unlearn(frame.iloc[[6]][list("edcba")])


def test_float64_rows_are_told_apart_to_the_last_bit():
    X = np.full((6, 2), 1.5)
    X[:, 1] = [1, 2, 3, 4, 5, np.nextafter(5, 6)]
    unlearner = RetrainUnlearner(LogisticRegression()).fit(X, [0, 1, 0, 1, 0, 1])
    assert gone(unlearner.unlearn(X[[4]])) == [4]
    with pytest.raises(UnknownRowsError, match="dtype"):
        unlearner.unlearn((X[[5]]).astype(np.float32) + np.float32(0.1))


def test_requests_are_not_rounded_to_the_integers_of_fit():
    X = np.arange(20).reshape(10, 2)
    unlearner = RetrainUnlearner(LogisticRegression()).fit(X, np.arange(10) % 2)
    with pytest.raises(UnknownRowsError, match="never saw"):
        unlearner.unlearn(X[[3]] + 0.7)
    assert gone(unlearner.unlearn(X[[3]].astype(float))) == [3]
    images = np.arange(40, dtype=np.uint8).reshape(10, 4)
    unlearner = RetrainUnlearner(LogisticRegression()).fit(images, np.arange(10) % 2)
    for wrong in (
        images[[3]] / 255,
        images[[3]].astype(int) - 256,
        images[[3]].astype(np.int8) - 99,
    ):
        with pytest.raises(UnknownRowsError):
            unlearner.unlearn(wrong)


def test_text_is_not_cut_to_the_width_of_fit():
    X = np.array([["ab"], ["cd"], ["ef"], ["gh"]])
    record = TrainingRecord(X, np.arange(4))
    from skunlearn._rows.finding import align_request

    assert record.find(align_request(np.array([["cd"]]), record.like, "X")).tolist() == [1]
    with pytest.raises(UnknownRowsError):
        align_request(np.array([["cdx"]]), record.like, "X")


def test_minus_zero_equals_zero(data):
    X, y = data
    X[2] = 0.0
    X[8] = -0.0
    unlearner = fitted(X, y)
    assert gone(unlearner.unlearn(-X[[2]])) == [2, 8]
    targets = np.arange(30) - 2.0
    regressor = RetrainUnlearner(LinearRegression()).fit(X, targets)
    assert gone(regressor.unlearn(X[[2]], np.array([-0.0]))) == [2]


def test_duplicates_all_go_and_labels_disambiguate(data):
    X, y = data
    X[10] = X[11] = X[12]
    unlearner = fitted(X, y)
    assert gone(unlearner.unlearn(X[[12]], [y[11]])) == [11]
    assert gone(unlearner.unlearn(X[[12]])) == [10, 11, 12]
    with pytest.raises(AlreadyForgottenError):
        unlearner.unlearn(X[[12]])
    assert gone(fitted(X, y).unlearn(X[[12, 12, 12]])) == [10, 11, 12]
    assert gone(fitted(X, y).unlearn(indices=[11])) == [11]


def test_wrong_label_finds_nothing(data):
    X, y = data
    unlearner = fitted(X, y)
    with pytest.raises(UnknownRowsError, match="labels"):
        unlearner.unlearn(X[[3]], [(y[3] + 1) % 3])
    assert gone(unlearner) == []


def test_regression_targets_are_not_rounded():
    X = np.eye(6)
    unlearner = RetrainUnlearner(LinearRegression()).fit(X, np.arange(6))
    with pytest.raises(UnknownRowsError):
        unlearner.unlearn(X[[2]], [2.5])
    assert gone(unlearner.unlearn(X[[2]], [2.0])) == [2]


def test_images_and_single_rows(data):
    images = np.random.default_rng(0).integers(0, 256, (30, 1, 4, 4)).astype(np.uint8)
    unlearner = fitted(images.astype(np.float32), data[1])
    with pytest.raises(ValueError, match=r"X\[None\]"):
        unlearner.unlearn(images[5])
    assert gone(unlearner.unlearn(images[[5]])) == [5]


def test_dict_of_arrays():
    rng = np.random.default_rng(0)
    X = {"a": rng.normal(size=(12, 3)), "b": list(range(12))}
    from tests.instances import make_dict_net

    unlearner = RetrainUnlearner(make_dict_net(), random_state=0).fit(X, np.arange(12) % 2)
    one = {"b": [3], "a": X["a"][[3]]}
    assert gone(unlearner.unlearn(one)) == [3]
    with pytest.raises(ValueError, match="keys"):
        unlearner.unlearn({"a": X["a"][[4]]})
    with pytest.raises(UnknownRowsError):
        unlearner.unlearn({"a": X["a"][[4]], "b": [5]})
    with pytest.raises(ValueError, match="different numbers of rows"):
        unlearner.unlearn({"a": X["a"][[4]], "b": [4, 5]})
    again = pickle.loads(pickle.dumps(unlearner))
    assert gone(again.unlearn({"a": X["a"][[4]], "b": [4]})) == [3, 4]


IDS = {
    "strings": [f"user-{i}" for i in range(30)],
    "ints": list(range(100, 130)),
    "numpy": np.arange(100, 130),
    "series": pd.Series(np.arange(100, 130)),
    "tensor": torch.arange(100, 130),
    "tuples": [("clinic", i) for i in range(30)],
    "ragged tuples": [("clinic",) * (i % 3) + (i,) for i in range(30)],
    "bytes": [bytes([i]) for i in range(30)],
}


@pytest.mark.parametrize("kind", IDS)
def test_ids(data, kind):
    X, y = data
    ids = IDS[kind]
    unlearner = fitted(X, y, ids=ids)
    assert gone(unlearner.unlearn(ids=[ids[4], ids[9]])) == [4, 9]
    assert gone(unlearner.unlearn(ids=ids[10:12])) == [4, 9, 10, 11]


def test_one_id_needs_no_list(data):
    X, y = data
    assert gone(fitted(X, y, ids=IDS["strings"]).unlearn(ids="user-3")) == [3]
    assert gone(fitted(X, y, ids=IDS["ints"]).unlearn(ids=103)) == [3]
    with pytest.raises(UnknownRowsError, match="103"):
        fitted(X, y, ids=IDS["ints"]).unlearn(ids="103")


def test_ids_of_numpy_and_python_are_the_same():
    assert np.array_equal(name_digests(np.arange(3)), name_digests([0, 1, 2]))
    assert np.array_equal(name_digests(np.array(["a"])), name_digests(["a"]))
    assert not np.array_equal(name_digests([7]), name_digests(["7"]))


def test_groups(data):
    X, y = data
    groups = [f"person-{i // 3}" for i in range(30)]
    unlearner = fitted(X, y, groups=groups)
    assert gone(unlearner.unlearn(groups="person-1")) == [3, 4, 5]
    unlearner.unlearn(indices=[6])
    assert gone(unlearner.unlearn(groups=["person-2", "person-0"])) == list(range(9))
    with pytest.raises(AlreadyForgottenError, match="person-1"):
        unlearner.unlearn(groups=["person-1"])


def test_names_need_to_be_given_to_fit(data):
    with pytest.raises(ValueError, match="without ids="):
        fitted(*data).unlearn(ids=[1])
    with pytest.raises(ValueError, match="30 rows"):
        fitted(*data, ids=[1, 2])


def test_pickle_keeps_positions_and_retained_rows_only(data):
    X, y = data
    unlearner = fitted(X, y).unlearn(indices=[0, 1, 2])
    again = pickle.loads(pickle.dumps(unlearner))
    assert len(again._record._X) == 27
    assert gone(again.unlearn(indices=[5])) == [0, 1, 2, 5]
    assert gone(again.unlearn(X[[29]])) == [0, 1, 2, 5, 29]


def test_tensor_rows_do_not_drag_the_whole_storage_into_the_pickle(data):
    X, y = data
    unlearner = fitted(torch.from_numpy(X), y).unlearn(indices=[0])
    assert X[0].tobytes() not in pickle.dumps(unlearner)
    unlearner.store_data = False
    assert not any(row.tobytes() in pickle.dumps(unlearner) for row in X)


def test_views_copy_nothing(tmp_path):
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (20_000, 256))
    X[:] = np.arange(20_000, dtype=np.float32)[:, None]
    X.flush()
    X = np.load(tmp_path / "X.npy", mmap_mode="r")
    y = np.arange(20_000) % 3
    unlearner = RetrainUnlearner(
        make_net(max_epochs=1, module__n_out=3, batch_size=512), random_state=0
    )
    tracemalloc.start()
    unlearner.fit(X, y)
    unlearner.unlearn(indices=np.arange(100))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < X.nbytes / 2
    assert unlearner._record._X.base is not None  # the memory map itself


def test_detach_lets_go_of_the_memory(data):
    import weakref

    X = np.random.default_rng(0).normal(size=(30, 5)).astype(np.float32)
    unlearner = fitted(X, data[1]).unlearn(indices=[0])
    ref = weakref.ref(X)
    del X
    assert ref() is not None
    unlearner.detach()
    assert ref() is None


def test_copies_made_by_fit_lose_the_forgotten_rows(data):
    X, y = data
    unlearner = fitted(X.tolist(), y)
    unlearner.unlearn(indices=[0, 1])
    assert len(unlearner._record._X) == 28
    assert gone(unlearner.unlearn(X[[5]])) == [0, 1, 5]
    given = fitted(X, y).unlearn(indices=[0])
    assert np.shares_memory(given._record._X, X)


def test_seen(data):
    X, y = data
    record = fitted(X, y).unlearn(indices=[0])._record
    assert record.mark_seen(np.vstack([X[:3].astype(float), X[:1] + 1])).tolist() == [
        False,
        True,
        True,
        False,
    ]


def test_digests_do_not_depend_on_chunks(data, monkeypatch):
    X, _ = data
    whole = row_digests(X)
    monkeypatch.setattr("skunlearn._rows.containers._CHUNK_BYTES", 64)
    assert np.array_equal(row_digests(X), whole)
    assert len(np.unique(whole, axis=0)) == len(X)
    assert digest_of(b"a", X) != digest_of(b"b", X)


@pytest.mark.parametrize("kind", ["array", "frame", "mapping", "sparse", "tensor", "Dataset"])
def test_a_view_shows_its_rows_and_no_other(data, kind):
    """`X` is the view's, of whatever container; `source` is the container itself."""
    X, y = data
    made = {
        "array": X,
        "frame": pd.DataFrame(X, columns=list("abcde")),
        "mapping": {"a": X, "b": X[:, 0]},
        "sparse": sparse.csr_matrix(X),
        "tensor": torch.from_numpy(X),
        "Dataset": TensorDataset(torch.from_numpy(X), torch.from_numpy(y)),
    }[kind]
    rows = Rows(made, y, [7, 3, 11])

    def plain(part):
        if kind == "Dataset":
            return np.stack([x.numpy() for x, _ in part])
        part = part["a"] if kind == "mapping" else part
        return part.toarray() if kind == "sparse" else np.asarray(part)

    assert rows.source is made
    np.testing.assert_array_equal(plain(rows.X), X[[7, 3, 11]])
    np.testing.assert_array_equal(plain(rows.take([2]).X), X[[11]])
    np.testing.assert_array_equal(rows.y, y[[7, 3, 11]])
    both = rows.union(Rows(made, y, [0]))
    np.testing.assert_array_equal(plain(both.X), X[[7, 3, 11, 0]])
    elsewhere = rows.union(Rows(rows.X, y[[7, 3, 11]], [1]))
    np.testing.assert_array_equal(plain(elsewhere.X), X[[7, 3, 11, 3]])
    np.testing.assert_array_equal(elsewhere.y, y[[7, 3, 11, 3]])
    other = rows.relabel(np.array([9, 8, 7]))
    assert other.y.tolist() == [9, 8, 7]
    np.testing.assert_array_equal(rows.y, y[[7, 3, 11]])


@pytest.mark.parametrize("kind", ["ids", "groups", "indices", "X_forget"])
def test_the_errors_hold_all_names_that_are_wrong(kind):
    """The messages show five of them, and whoever wants the others forgotten needs them all."""
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    labels = [f"row-{i}" for i in range(20)]
    unlearner = RetrainUnlearner(GaussianNB()).fit(X, y, ids=labels, groups=labels)
    gone = list(range(7))
    names = np.array(labels) if kind in ("ids", "groups") else np.arange(20)
    rows = X if kind == "X_forget" else names
    unlearner.unlearn(**{kind: rows[gone]})
    with pytest.raises(AlreadyForgottenError, match="names attribute has all of them") as found:
        unlearner.unlearn(**{kind: rows[:9]})
    expected = names[gone].tolist() if kind != "X_forget" else gone
    assert found.value.names == expected
    copied = pickle.loads(pickle.dumps(found.value))
    assert copied.names == expected
    assert str(copied) == str(found.value)
    unknown = {"indices": np.arange(18, 26), "X_forget": X + 999}.get(kind)
    unknown = np.array(["a", "b", "c", "d", "e", "f"]) if unknown is None else unknown
    with pytest.raises(UnknownRowsError) as found:
        unlearner.unlearn(**{kind: unknown})
    assert len(found.value.names) == {"indices": 6, "X_forget": 20}.get(kind, 6)
    pickled = pickle.loads(pickle.dumps(unlearner.set_params(store_data=False)))
    with pytest.raises(AlreadyForgottenError) as found:
        pickled.attach(X, y)
    assert found.value.names == gone
    left = np.delete(np.arange(20), found.value.names)
    pickled.attach(X[left], y[left]).unlearn(ids=["row-9"])


def test_all_rows_of_a_class_are_asked_for_in_the_way_that_the_error_says():
    X, y = np.arange(40.0).reshape(20, 2), np.arange(20) % 2
    unlearner = RetrainUnlearner(GaussianNB()).fit(X, y)
    with pytest.raises(TypeError, match=r"classes=.* a class numpy\.flatnonzero\(y == label\)"):
        unlearner.unlearn(classes=[1])
    with pytest.raises(TypeError, match=r"got 'all'\.$"):
        unlearner.unlearn(indices="all")


def test_what_a_corrected_row_held_was_forgotten():
    """Unless a row holds it now: its own label alone was corrected, say, or another row has it."""
    X, y = np.arange(12.0).reshape(6, 2), np.arange(6)
    record = TrainingRecord(X, y).correct(np.array([1, 2]), np.array([[7.5, 7.5], X[2]]), y[[1, 2]])
    assert record.mark_forgotten(X).tolist() == [False, True, False, False, False, False]
    record = record.correct(np.array([3]), X[[1]], y[[3]]).without([5])
    assert record.mark_forgotten(X).tolist() == [False, False, False, True, False, True]
    assert record.detach().mark_forgotten(X).tolist() == record.mark_forgotten(X).tolist()
