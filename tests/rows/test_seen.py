"""Training rows among rows that are said to be unseen, through whatever they are seen."""

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from skunlearn._rows import seen
from skunlearn._rows.items import ItemSample
from skunlearn._rows.record import TrainingRecord

N = 40  # training rows
SHARED = np.arange(60) < 15  # of 60 that are asked about


class Items(Dataset):
    """Rows that are read one by one, of a kind."""

    def __init__(self, X, wrap=lambda row: (row, 0)):
        self.X, self.wrap, self.reads = X, wrap, 0

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        self.reads += 1
        return self.wrap(self.X[i])


@pytest.fixture(scope="module")
def rows():
    """All rows, float32; the first 15 asked about are training rows."""
    X = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    return X[:N], np.concatenate([X[:15], X[55:]])


def of_tensors(X):
    return TensorDataset(torch.from_numpy(X), torch.zeros(len(X)))


FORMS = {
    "array": lambda X: X,
    "float64": lambda X: X.astype(np.float64),
    "tensor": torch.from_numpy,
    "tensors": of_tensors,
    "items": Items,
    "tensor items": lambda X: Items(torch.from_numpy(X)),
    "Subset": lambda X: Subset(of_tensors(X[::-1].copy()), range(len(X))[::-1]),
    "ConcatDataset": lambda X: ConcatDataset([Items(X[:7]), of_tensors(X[7:])]),
}


def record_of(X):
    if not isinstance(X, Dataset):
        return TrainingRecord(X, np.zeros(len(X)))
    return TrainingRecord(X, np.zeros(len(X)), items=ItemSample.of(X, np.arange(len(X))))


@pytest.mark.parametrize("asked", FORMS)
@pytest.mark.parametrize("fitted", FORMS)
def test_training_rows_are_known_in_every_form(rows, fitted, asked):
    train, X = rows
    record = record_of(FORMS[fitted](train))
    assert seen.mark_seen(record, FORMS[asked](X)).tolist() == SHARED.tolist()
    forgotten = record.without(np.arange(15))
    assert not forgotten.mark_seen(FORMS[asked](X)).any()
    if not record.is_dataset:  # forgotten items are known by their places alone
        assert forgotten.mark_seen(FORMS[asked](X), ever=True).tolist() == SHARED.tolist()
    # Rows of another shape are none of them.
    if isinstance(FORMS[asked](X), Dataset):
        assert not record.mark_seen(FORMS[asked](X[:, :2].copy())).any()


def test_items_that_are_no_arrays_are_compared():
    rows = [f"row {i}" for i in range(100)]
    record = record_of(Items(rows[:N], lambda row: ({"text": row, "length": len(row)}, 0)))
    same = Items(rows[:15] + rows[55:], lambda row: ({"length": len(row), "text": row}, 1))
    assert record.mark_seen(same).tolist() == SHARED.tolist()
    assert not record.mark_seen(Items([object()] * 3)).any()


def test_places_count_within_the_data_sets_of_the_training(rows):
    """Equal items at other places are other rows there, as requests know them."""
    train, _ = rows
    one, other = of_tensors(np.repeat(train[:1], 5, axis=0)), of_tensors(train)
    record = record_of(ConcatDataset([Subset(one, [0, 2]), other]))
    assert record.mark_seen(Subset(one, [1, 2, 3])).tolist() == [False, True, False]
    assert record.mark_seen(ConcatDataset([Subset(one, [4]), other])).sum() == len(train)
    nested = Subset(ConcatDataset([other, one]), [len(train) + 2, 3, len(train) + 4])
    assert record.mark_seen(nested).tolist() == [True, True, False]
    record = record.without([1, 5])
    assert record.mark_seen(nested).tolist() == [False, False, False]
    assert record.mark_seen(nested, ever=True).tolist() == [True, True, False]


def test_of_many_items_some_are_read(rows, monkeypatch):
    monkeypatch.setattr(seen, "_PROBE", 20)
    train, X = rows
    fitted, apart = Items(train), Items(X[~SHARED])
    record = record_of(fitted)
    fitted.reads = 0
    assert not record.mark_seen(apart).any()
    assert max(fitted.reads, apart.reads) <= 21
    # One of them is found, so that all are read.
    assert record.mark_seen(Items(X)).tolist() == SHARED.tolist()


def test_rows_that_equal_each_other_are_there_by_chance(rows):
    train, X = rows
    twice = np.concatenate([train[:10], train[:10], train[10:30]])
    for form in ("array", "tensors", "items"):
        share, most = seen.share_alike(record_of(FORMS[form](twice)), X)
        assert share == 0.5
        assert share < most < 1
    held = of_tensors(twice)
    assert seen.share_alike(record_of(held), Subset(held, [3])) == (0.0, 0.0)
