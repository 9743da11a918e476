"""Rows that live on the device, or are sent ahead: the same batches; the CPU stands in for it."""

import threading

import numpy as np
import pytest
import torch
from scipy import sparse
from skorch.dataset import Dataset
from torch.utils.data import DataLoader

from skunlearn import FineTuneUnlearner, ProximalUnlearner, SalUnUnlearner
from skunlearn._torch.batches import device_rows
from skunlearn._torch.batches.net_rows import NetRows
from skunlearn.nets import BatchLoader
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import make_dict_net
from tests.small import FORGET, net, quiet

WAYS = [{"resident": True}, {"prefetch": True}, {"resident": True, "prefetch": True}, {}]


def options(way):
    named = {f"iterator_train__{key}": value for key, value in way.items()}
    return {"iterator_train": BatchLoader, **named}


@quiet
@pytest.mark.parametrize("way", WAYS, ids=str)
@pytest.mark.parametrize("cls", [FineTuneUnlearner, ProximalUnlearner, SalUnUnlearner])
def test_the_same_weights_bitwise(data, cls, way, monkeypatch):
    X, y = data
    seen = []
    plain = NetRows.move
    monkeypatch.setattr(NetRows, "move", lambda *a: seen.append(plain(*a)) or seen[-1])
    runs = [cls(net(**o), random_state=0).fit(X, y).unlearn(indices=FORGET)
            for o in ({}, options(way))]  # fmt: skip
    assert same_parameters(*(parameters(run.estimator_) for run in runs))
    assert any(seen) == ("resident" in way)


@quiet
def test_dicts_and_images_and_sparse_rows(data, monkeypatch):
    monkeypatch.setattr(device_rows, "_PIECE", 100)  # some rows at a time
    X, y = data
    rows = {"a": X[:, :3], "b": X[:, 3].astype("f8")}
    runs = [
        FineTuneUnlearner(make_dict_net(module__n_out=3, **o), random_state=0).fit(rows, y)
        for o in ({}, options({"resident": True}))
    ]
    assert same_parameters(*(parameters(run.estimator_) for run in runs))
    images = torch.randn(60, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    view = NetRows(None, images, np.arange(60), np.arange(10, 50), torch.float32)
    assert view.move(True)
    x, i = view.batch(np.array([3, 1, 7]))
    assert torch.equal(x, images[[13, 11, 17]])
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert i.tolist() == [13, 11, 17]
    x += 1  # a module that writes to its input reaches neither the copy nor the user's rows
    assert torch.equal(view.batch(np.array([3]))[0], images[[13]])
    assert not NetRows(None, sparse.csr_matrix(X), y, np.arange(60), torch.float32).move(True)


def test_automatic_choice_on_a_gpu(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9000))
    assert device_rows.fits(500, gpu)
    assert not device_rows.fits(501, gpu)
    assert not device_rows.fits(1, "cpu")


def test_batches_are_made_ahead_in_order_and_errors_come_through():
    mine, made = threading.get_ident(), []

    def make(i):
        made.append((i, threading.get_ident() != mine))
        if i == 4:
            raise KeyError("four")
        return i

    def use():
        for i in device_rows.ahead(make, 9):
            assert i <= len(made) <= i + 1 + device_rows._AHEAD

    with pytest.raises(KeyError, match="four"):
        use()
    assert [i for i, _ in made][:5] == [0, 1, 2, 3, 4]
    assert all(other for _, other in made)
    before = threading.active_count()
    stopped = device_rows.ahead(lambda i: i, 9)
    next(stopped)
    stopped.close()
    assert threading.active_count() == before


def test_the_loader_works_in_plain_skorch(data):
    X, y = data
    plain = net(iterator_train=BatchLoader, max_epochs=1).fit(X, y)
    assert [b["train_batch_size"] for b in plain.history[-1]["batches"]] == [16, 16, 16, 12]
    loader = BatchLoader(Dataset(X, y), batch_size=50, drop_last=True)
    assert len(list(loader)) == len(loader) == 1


@pytest.mark.parametrize("as_is", [np.asarray, torch.as_tensor])
def test_whole_batches_of_arrays_are_read_at_once(data, as_is, monkeypatch):
    X, y = map(as_is, data)
    read, plain = [], Dataset.__getitem__
    monkeypatch.setattr(Dataset, "__getitem__", lambda d, i: read.append(np.size(i)) or plain(d, i))
    found = list(BatchLoader(Dataset(X, y), batch_size=25))
    assert read == [25, 25, 10]
    expected = list(DataLoader(Dataset(X, y), batch_size=25))
    for a, b in zip(found, expected, strict=True):
        assert all(torch.equal(*pair) and pair[0].dtype == pair[1].dtype for pair in zip(a, b))


def test_bad_options():
    with pytest.raises(ValueError, match="resident must be"):
        BatchLoader([], resident="yes")
