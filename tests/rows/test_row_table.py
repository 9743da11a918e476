"""Digests are computed when they are asked for; until then a sketch notices changes."""

import hashlib

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

from skunlearn import FineTuneUnlearner, RetrainUnlearner, RidgeUnlearner
from skunlearn._rows import row_table
from skunlearn._rows.containers import (
    digest_of,
    digest_rows,
    find_repeated,
    label_digests,
    row_digests,
)
from skunlearn._rows.row_table import can_sketch, row_sketches
from skunlearn.exceptions import AlreadyForgottenError, DataChangedError, UnknownRowsError
from tests.small import net, quiet

N = 200


@pytest.fixture
def rows():
    """200 rows of 12 floats in three classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 12)).astype(np.float32), rng.integers(0, 3, N)


@pytest.fixture
def hashed(monkeypatch):
    """How many rows were hashed."""
    counts = [0]

    def counting(X):
        counts[0] += len(X)
        return row_digests(X)

    monkeypatch.setattr(row_table, "row_digests", counting)
    return counts


def knn():
    return RetrainUnlearner(KNeighborsClassifier(1), random_state=0)


def tuned():
    return FineTuneUnlearner(net(max_epochs=1), random_state=0)


def test_requests_by_index_id_and_group_hash_the_named_rows_only(rows, hashed):
    X, y = rows
    unlearner = knn().fit(X, y, ids=range(N), groups=np.arange(N) // 10)
    assert hashed[0] == 0
    unlearner.unlearn(indices=[3, 4])
    unlearner.unlearn(ids=[7])
    unlearner.unlearn(groups=[5])
    assert hashed[0] == 2 + 1 + 10
    unlearner.unlearn(X[100:101])
    assert hashed[0] == 13 + 2  # the row of the request, and the one that has its sketch


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
@pytest.mark.parametrize("asked", [np.asarray, torch.as_tensor])
def test_tensors_are_found_by_sketches_as_arrays_are(rows, hashed, kind, asked):
    X, y = rows
    unlearner = knn().fit(kind(X), y)
    unlearner.unlearn(asked(X[100:101]))
    assert hashed[0] == 2


@pytest.mark.parametrize("y_given", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, np.asfortranarray])
def test_rows_found_by_sketches_are_those_that_digests_find(rows, kind, y_given):
    X, y = rows
    X[50], X[60], X[70] = X[40], X[40], -0.0
    y[50], y[60] = y[40], y[40] + 1
    record = knn().fit(kind(X), y)._record
    asked, labels = X[[40, 70, 3]].copy(), y[[40, 70, 3]] if y_given else None
    asked[1] = 0.0
    found = record._table.match(record, kind(asked), labels)
    digests, labelled = record.digests, record.label_digests
    assert (
        record._table.match(record, kind(asked), labels)[0].tolist() == found[0].tolist()
    )  # all are known
    assert [hit.tolist() for hit in found] == [[40, 50] + [60] * (not y_given), [70], [3]]
    assert (digests == row_digests(X)).all()
    assert (labelled == label_digests(digests, y)).all()


def test_a_named_row_that_was_changed_is_noticed_and_one_in_its_place_is_unknown(rows):
    X, y = rows
    unlearner = knn().fit(X, y)
    before = X[5].copy()
    X[5] += 1
    with pytest.raises(DataChangedError):
        unlearner.unlearn(before[None])
    with pytest.raises((DataChangedError, UnknownRowsError)):
        unlearner.unlearn(X[5:6])


def test_digests_are_those_of_the_rows(rows):
    X, y = rows
    record = knn().fit(X, y)._record
    some = np.array([5, 17, 5])
    assert np.array_equal(record.digests_at(some), row_digests(X[some]))
    assert np.array_equal(record.view(some).digests, row_digests(X[some]))
    assert np.array_equal(record.name_rows(some)[1], label_digests(row_digests(X), y)[some])
    assert np.array_equal(record.digests, row_digests(X))
    assert np.array_equal(record.label_digests, label_digests(row_digests(X), y))


@quiet
def test_forgotten_rows_may_be_overwritten_and_are_known_when_they_come_back(rows, tmp_path):
    X, y = rows
    before = X.copy()
    unlearner = tuned().fit(X, y).unlearn(indices=[3, 4])
    X[[3, 4]] = 0  # as their owner should
    unlearner.unlearn(X[10:12])
    unlearner.save(tmp_path / "model")
    kept = np.setdiff1d(np.arange(N), [10, 11])
    for holder in (unlearner.detach(), tuned().load(tmp_path / "model")):
        with pytest.raises(AlreadyForgottenError, match="must not come back"):
            holder.attach(before[kept], y[kept])


@quiet
@pytest.mark.parametrize("saved", [False, True])
def test_rows_that_were_changed_are_attached_again_as_they_were(rows, tmp_path, saved):
    X, y = rows
    before = X.copy()
    unlearner = tuned().fit(X, y)
    X *= 2
    with pytest.raises(DataChangedError, match="row 0"):
        unlearner.unlearn(before[:2], y[:2])
    unlearner.detach()
    if saved:
        unlearner.save(tmp_path / "model")
        unlearner = tuned().load(tmp_path / "model")
    with pytest.raises(UnknownRowsError):
        unlearner.attach(X, y)
    order = np.random.default_rng(1).permutation(N)
    unlearner.attach(before[order], y[order])
    unlearner.unlearn(before[:2], y[:2])
    assert np.array_equal(np.flatnonzero(~unlearner._record.retained), [0, 1])
    assert np.array_equal(unlearner._record.digests, row_digests(before))


def test_a_million_digests_are_not_made_by_fit(hashed):
    X = np.random.default_rng(0).normal(size=(50_000, 4))
    RidgeUnlearner(Ridge()).fit(X, X[:, 0]).unlearn(indices=[5])
    assert hashed[0] == 1


DTYPES = ["f2", "f4", "f8", ">f4", ">i8", "i1", "u1", "i4", "u8", "?"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", [1, 5, 8, 13])
def test_any_changed_bit_changes_the_sketch(dtype, width):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 2 if dtype == "?" else 100, size=(40, width)).astype(dtype)
    known = row_sketches(X)
    assert len(np.unique(known)) == len(np.unique(X, axis=0))
    assert np.array_equal(known[::-1], row_sketches(X[::-1]))
    assert np.array_equal(known, row_sketches(X.astype(X.dtype.newbyteorder("="))))
    assert np.array_equal(known, row_sketches(np.asfortranarray(X)))
    if dtype != "?":
        for row, column in zip(range(40), rng.integers(width, size=40)):
            bits = X[row : row + 1, column].copy().view(np.uint8)
            bits[rng.integers(len(bits))] ^= 1 << rng.integers(8)
            X[row, column] = bits.view(X.dtype)[0]
        assert (row_sketches(X) != known).all()


def test_changes_that_a_sum_would_overlook():
    X = np.random.default_rng(0).normal(size=(100, 8))
    known = row_sketches(X)
    flipped, swapped = X.copy(), X[:, ::-1].copy()
    flipped[:, [2, 5]] *= -1
    for changed in (flipped, swapped, -X, X * 2, np.roll(X, 1, axis=1)):
        assert (row_sketches(changed) != known).all()


def test_zeros_are_equal_whatever_their_sign():
    X = np.array([[0.0, 1.0], [-0.0, 1.0]])
    assert len(np.unique(row_sketches(X))) == 1
    tensor = torch.from_numpy(X).requires_grad_()
    assert np.array_equal(row_sketches(tensor), row_sketches(X))


def mixed(n=30):
    """A frame of every kind of column that has a sketch."""
    rng = np.random.default_rng(0)
    text, when = rng.choice(["a", "bb", "nan", ""], n), pd.Timestamp("2026-01-01")
    return pd.DataFrame({
        "float": rng.normal(size=n), "half": rng.normal(size=n).astype(np.float16),
        "int": rng.integers(0, 2**62, n), "bool": rng.random(n) > 0.5,
        "objects": text.astype(object), "text": pd.Series(text, dtype="string"),
        "kind": pd.Categorical(text),
        "level": pd.Categorical(rng.integers(0, 3, n)),
        "when": when + pd.to_timedelta(np.arange(n)),
    })  # fmt: skip


OTHER = [0.5, 0.25, 3, None, "b", "b", "a", 0, pd.Timestamp("2027-01-01")]


@pytest.mark.parametrize("column", range(9))
def test_any_changed_cell_of_a_frame_changes_the_sketch(column):
    X = mixed()
    assert can_sketch(X)
    known, digests = row_sketches(X), row_digests(X)
    other = not X.iloc[4, column] if OTHER[column] is None else OTHER[column]
    X.iloc[4, column] = other
    same = (row_digests(X) == digests).all(axis=1)
    assert np.array_equal(row_sketches(X) == known, same)
    assert not same[4] or column in (6, 7)  # categories are few: it may be the one that it was
    if column in (0, 5, 6):
        X.iloc[4, column] = None
        again = row_sketches(X)
        assert again[4] not in (known[4], row_sketches(mixed())[4])
        assert np.array_equal(np.delete(again, 4), np.delete(known, 4))


def test_rows_of_frames_are_equal_where_their_digests_are():
    X = pd.concat([mixed(), mixed()[::-1]], ignore_index=True)
    X.loc[:3, "float"] = [0.0, -0.0, np.nan, -np.nan]
    X.loc[:3, X.columns[1:]] = X.loc[[0] * 4, X.columns[1:]].to_numpy()
    ours, theirs = row_sketches(X), row_digests(X)
    numbers = [np.unique(rows, axis=0, return_inverse=True)[1].ravel() for rows in (ours, theirs)]
    pairs = set(zip(*numbers))
    assert len(pairs) == len(set(numbers[0])) == len(set(numbers[1])) < len(X)
    assert len(row_sketches(X.iloc[:0])) == 0
    part = X.iloc[[5, 30]]
    assert np.array_equal(row_sketches(part), ours[[5, 30]])


def test_of_many_categories_those_of_the_rows_are_read(monkeypatch):
    kinds = pd.Categorical.from_codes([7, 3, -1, 7], [f"user {i}" for i in range(50)])
    X, written = pd.DataFrame({"user": kinds, "x": 1.0}), []
    write = row_table.write_cell
    monkeypatch.setattr(
        row_table, "write_cell", lambda value: (written.append(value), write(value))[1]
    )
    sketches = row_sketches(X)
    assert len(written) == 2 + 1  # and what stands for a missing one
    assert np.array_equal(row_sketches(X.astype({"user": "string"})), sketches)


def test_digests_of_a_frame_are_made_when_they_are_asked_for(hashed):
    X, y = mixed(), np.arange(30) % 2
    unlearner = RetrainUnlearner(DummyClassifier(), random_state=0).fit(X, y)
    unlearner.unlearn(indices=[3])
    assert hashed[0] == 1  # the row that goes
    unlearner.unlearn(X.iloc[[7]], y[[7]])
    assert hashed[0] == 3  # that of the request, and the row that it names
    assert np.array_equal(unlearner._record.digests, row_digests(X))
    with pytest.raises(AlreadyForgottenError):
        unlearner.unlearn(X.iloc[[3]], y[[3]])
    changed = X.iloc[[9]].assign(text="b")
    with pytest.raises(UnknownRowsError):
        unlearner.unlearn(changed, y[[9]])


def test_frames_of_other_objects_are_hashed_at_once():
    X = pd.DataFrame({"objects": pd.Series([1, True, "a"], dtype=object)})
    assert not can_sketch(X)
    assert not can_sketch(pd.DataFrame({"n": pd.array([1, None], dtype="Int64")}))
    record = RetrainUnlearner(DummyClassifier(), random_state=0).fit(X, [0, 1, 1])._record
    assert np.array_equal(record._table._digests, row_digests(X))
    texts = pd.DataFrame({"objects": pd.Series(["a", "b"], dtype=object)})
    known = row_sketches(texts)
    texts.iat[0, 0] = ["a"]
    assert list(row_sketches(texts) == known) == [False, True]


def test_what_has_no_sketch_is_hashed_at_once():
    for X in (np.array([["a"]]), np.ones((2, 2), dtype=complex), np.array([[None]]), {"a": 1}):
        assert not can_sketch(X)
    record = knn().fit(np.array([[1], [2], [3]], dtype=object), [0, 1, 1])._record
    assert np.array_equal(record.digests, row_digests(np.array([[1], [2], [3]], dtype=object)))


def test_first_repeated():
    digests = np.random.default_rng(0).integers(256, size=(1000, 16)).astype(np.uint8)
    assert len(find_repeated(digests)) == 0
    digests[[40, 900]] = digests[7]
    digests[[500]] = digests[41]
    digests[600, :8] = digests[601, :8]  # half of a digest
    assert sorted(find_repeated(digests)) == [7, 41]
    assert len(find_repeated(digests[:0])) == 0


def test_one_digest_of_arrays_is_that_of_their_bytes():
    X = np.arange(24, dtype=np.float32).reshape(4, 6)
    parts = [X, X[:, ::2], X.T, X[:0], np.array(3.5), X > 5, b"text", np.array(["a", "bb"])]
    text = b"".join(part if isinstance(part, bytes) else part.tobytes() for part in parts)
    assert digest_of(*parts) == hashlib.blake2b(text, digest_size=16).hexdigest()


def test_a_run_of_rows_has_the_digest_of_the_same_rows_picked():
    X = np.random.default_rng(0).normal(size=(40, 3))
    X[5, 1], X[6, 2] = -0.0, np.nan
    before = X.copy()
    run, torn = digest_rows(X, np.arange(3, 30)), digest_rows(X[::-1], 39 - np.arange(3, 30))
    assert run == torn == digest_rows(torch.from_numpy(X), np.arange(3, 30))
    assert run == digest_rows(X[3:30].copy(), np.arange(27)) != digest_rows(X, np.arange(4, 31))
    np.testing.assert_array_equal(X, before)
