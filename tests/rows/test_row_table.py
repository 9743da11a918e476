"""Digests are computed when they are asked for; until then a sketch notices changes."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier

from skunlearn import FineTuneUnlearner, RetrainUnlearner, RidgeUnlearner
from skunlearn._rows import row_table
from skunlearn._rows.containers import find_repeated, label_digests, row_digests
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
