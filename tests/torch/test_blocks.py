"""Small batches are read a block at a time: the same rows, and none shared between batches."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier

from skunlearn._rows.views import Rows
from skunlearn._torch.batches import batching
from skunlearn._torch.batches.net_rows import NetRows, make_dataset
from skunlearn.nets import BatchLoader


def read(X, y, index, **options):
    torch.manual_seed(0)
    module = torch.nn.Linear(3, 2)
    net = NeuralNetClassifier(module, criterion=torch.nn.CrossEntropyLoss).initialize()
    data = make_dataset(net, Rows(X, y, index))
    torch.manual_seed(1)
    return list(BatchLoader(data, **options))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [1, 5, 12, 53])
@pytest.mark.parametrize("as_mapping", [False, True])
def test_blocks_hold_the_batches_of_single_reads(monkeypatch, shuffle, drop_last, n, as_mapping):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    X, y = ({"a": X, "b": -X} if as_mapping else X), rng.integers(0, 2, 60)
    index = rng.permutation(60)[:n]
    options = {"batch_size": 5, "shuffle": shuffle, "drop_last": drop_last}
    monkeypatch.setattr(batching, "_BLOCK", 0)
    single = read(X, y, index, **options)
    monkeypatch.setattr(batching, "_BLOCK", 3 * 5 * 3 * 4)
    blocks = read(X, y, index, **options)
    assert len(single) == len(blocks) == (n // 5 if drop_last else -(-n // 5))
    for one, other in zip(single, blocks, strict=True):
        parts = zip(one.x.values(), other.x.values()) if as_mapping else [(one.x, other.x)]
        assert all(torch.equal(a, b) for a, b in parts)
        assert torch.equal(one.y, other.y)
        assert torch.equal(one.rows, other.rows)
        source = X["a"] if as_mapping else X
        given = other.x["a"] if as_mapping else other.x
        assert np.array_equal(given.numpy(), source[index[other.rows.numpy()]])


def test_small_batches_are_read_together(monkeypatch):
    sizes, plain = [], NetRows.batch
    monkeypatch.setattr(
        NetRows, "batch", lambda self, places: sizes.append(len(places)) or plain(self, places)
    )
    X, y = np.zeros((64, 3), np.float32), np.zeros(64, np.int64)
    monkeypatch.setattr(batching, "_BLOCK", 3 * 8 * 3 * 4)
    assert len(read(X, y, np.arange(64), batch_size=8)) == 8
    assert sizes == [8, 32, 24]


def test_a_batch_that_is_written_to_changes_no_other():
    X = np.ones((24, 3), np.float32)
    for batch in read(X, np.zeros(24, np.int64), np.arange(24), batch_size=5):
        assert bool((batch.x == 1).all())
        batch.x.mul_(0)
    assert (X == 1).all()
