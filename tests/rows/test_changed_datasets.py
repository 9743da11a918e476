"""Datasets that are changed after `fit`."""

import pickle

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, Subset, TensorDataset

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.exceptions import DataChangedError, UnknownRowsError
from skunlearn.utils._check_tools import Snapshot
from tests.rows.changes import N
from tests.small import net, quiet


class Items(Dataset):
    """Items of odd kinds, read from a list that somebody may change."""

    def __init__(self, X, y):
        self.items = [(torch.from_numpy(x.copy()), int(label)) for x, label in zip(X, y)]
        self.scale = 1.0

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        x, label = self.items[i]
        return x * self.scale, label


DATASET_CHANGES = {
    "another transform": lambda d: setattr(d, "scale", 2.0),
    "turned round": lambda d: d.items.reverse(),
    "cut": lambda d: d.items.pop(),
}


@quiet
@pytest.mark.parametrize("change", DATASET_CHANGES)
@pytest.mark.parametrize("part", [False, True])
def test_datasets(rows, change, part):
    X, y = rows
    whole = Items(X, y)
    given = Subset(whole, list(range(100, 200))) if part and change != "cut" else whole
    unlearner = FineTuneUnlearner(net(max_epochs=1), random_state=0).fit(given)
    unlearner.unlearn(indices=[0])
    state = Snapshot(unlearner, X)
    DATASET_CHANGES[change](whole)
    with pytest.raises(DataChangedError, match="X has changed since fit"):
        unlearner.unlearn(indices=[1])
    state.check("a changed Dataset")


@quiet
def test_tensors_of_a_dataset(rows):
    X, y = map(torch.from_numpy, rows)
    data = TensorDataset(X, y)
    unlearner = RetrainUnlearner(net(max_epochs=1), random_state=0).fit(data)
    X.copy_(X.flip(0))
    with pytest.raises(DataChangedError, match="item 0 of the Dataset"):
        unlearner.unlearn(indices=[1])
    with pytest.raises(DataChangedError):
        unlearner.unlearn(Subset(data, [1]))
    X.copy_(X.flip(0))
    y.copy_(y.flip(0))
    with pytest.raises(DataChangedError):
        unlearner.unlearn(indices=[1])


@quiet
def test_forgotten_items_are_not_read_again(rows):
    data = Items(*rows)
    unlearner = RetrainUnlearner(net(max_epochs=1), random_state=0).fit(data)
    unlearner.unlearn(indices=[0, N - 1])
    data.items[0] = data.items[N - 1] = None  # deleted by their owner
    unlearner.unlearn(indices=[7])
    unlearner.detach().attach(data, rows[1])
    unlearner.unlearn(indices=[8])


@quiet
def test_another_dataset_is_not_attached(rows, tmp_path):
    X, y = rows
    unlearner = FineTuneUnlearner(net(max_epochs=1), random_state=0).fit(Items(X, y))
    unlearner.save(tmp_path / "model")
    for again in (
        pickle.loads(pickle.dumps(unlearner)),
        FineTuneUnlearner(net(max_epochs=1), random_state=0).load(tmp_path / "model"),
    ):
        with pytest.raises(UnknownRowsError, match="Item 0 of X"):
            again.attach(Items(X[::-1], y), y)
        again.attach(Items(X, y)).unlearn(indices=[4])


class Holder:
    """Of a kind that has no digest."""

    def __init__(self, x):
        self.x = x


class Unknown(Items):
    def __getitem__(self, i):
        x, label = super().__getitem__(i)
        return {"x": x, "extra": [np.float32(1.5), "text", None, b"x", np.arange(2)]}, label


def test_items_of_every_kind(rows):
    from skunlearn._rows.items import ItemSample

    data = Unknown(*rows)
    sample = ItemSample.of(data, np.arange(N))
    assert sample.inputs is not None
    assert not sample.is_random
    assert sample.differs(data, np.ones(N, bool)) is None
    data.items[N - 1] = (data.items[N - 1][0] + 1, data.items[N - 1][1])
    assert sample.differs(data, np.ones(N, bool)) == N - 1
    assert sample.differs(data, np.arange(N) < N - 1) is None
    data.items = [(Holder(x), label) for x, label in data.items]
    data.__class__ = Items
    data.scale = 1.0
    Holder.__mul__ = lambda self, scale: self
    odd = ItemSample.of(data, np.arange(N))
    assert odd.inputs is None
    assert odd.rest is not None
    assert not odd.is_random
    data.items.reverse()
    assert odd.differs(data, np.ones(N, bool)) is not None


def test_what_cannot_be_attached_is_told_apart():
    """Items are known by their places: fewer of them are none that fit was given."""
    X, y = torch.rand(60, 4), torch.arange(60) % 3
    rows, arrays = TensorDataset(X, y), (X.numpy(), y.numpy())
    of_dataset, of_arrays = (
        RetrainUnlearner(net(max_epochs=1), random_state=0).fit(*given).unlearn(indices=[3])
        for given in ((rows,), arrays)
    )
    few = Subset(rows, [i for i in range(60) if i != 3])
    with pytest.raises(ValueError, match=r"has 59 rows, but .* fitted on 60.*by their places"):
        of_dataset.detach().attach(few)
    with pytest.raises(TypeError, match=r"X holds rows by themselves.*given rows of a torch Dat"):
        of_dataset.attach(*arrays)
    with pytest.raises(TypeError, match=r"X holds rows of a torch Dataset.*by themselves"):
        of_arrays.detach().attach(rows)
    assert of_dataset.attach(rows).unlearn(indices=[4]).deletions_[-1]["rows"] == 1
