"""Batches of one row: a lone last one joins the batch before it, and every method takes one."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, default_collate

from skunlearn import (
    FineTuneUnlearner,
    NegGradPlusUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
)
from skunlearn._torch.batches.batching import n_batches
from skunlearn._unlearning import removal
from skunlearn.nets import BatchLoader
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.batch_tools import Plain, net, other_methods, some_methods, task, unlearner

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@some_methods
@pytest.mark.parametrize("gone", [11, 1])
def test_a_last_batch_of_one_row_and_one_row_to_forget(name, gone):
    """289 rows of which one is left over; and a forget set of a single row."""
    X, y = task(290 if gone == 1 else 300)
    normed = unlearner(name, net(module__normed=True)).fit(X, y)
    normed.unlearn(indices=np.arange(gone))
    assert np.isfinite(normed.predict_proba(X)).all()


@other_methods
def test_every_number_of_rows(name):
    """Modulo the batch size: of rows that stay, and of rows to forget."""
    X, y = task(40)
    fitted = unlearner(name, net(module__normed=True, batch_size=4, max_epochs=1)).fit(X, y)
    sizes, first = [1, 2, 3, 4, 5, 1], 0
    left = len(X) - np.cumsum(sizes)
    assert set(left % 4) == set(np.array(sizes) % 4) == {0, 1, 2, 3}
    for size in sizes:
        fitted.unlearn(indices=np.arange(first, first + size))
        first += size
        assert np.isfinite(fitted.predict_proba(X)).all()


class Sizes(Callback):
    """Notes how many rows each training batch has."""

    seen = []

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            Sizes.seen.append(len(batch[1]))


class OwnIterator:
    """Makes batches by hand."""

    def __init__(self, dataset, batch_size):
        self.dataset, self.batch_size = dataset, batch_size

    def __iter__(self):
        n = len(self.dataset)
        for i in range(0, n, self.batch_size):
            items = [self.dataset[j] for j in range(i, min(i + self.batch_size, n))]
            yield default_collate(items)


ITERATORS = {
    "BatchLoader": {},
    "DataLoader": {"iterator_train__collate_fn": default_collate},
    "own": {"iterator_train": OwnIterator},
}


def sizes(n, params, **more):
    X, y = task(n)
    model = net(
        max_epochs=1, batch_size=4, module__normed=True, callbacks=[Sizes()], **params, **more
    )
    Sizes.seen.clear()
    fitted = RetrainUnlearner(model, random_state=0).fit(X, y).estimator_
    found = list(Sizes.seen)
    assert sum(b["train_batch_size"] for b in fitted.history[-1]["batches"]) == sum(found)
    return found


@pytest.mark.parametrize("params", ITERATORS.values(), ids=ITERATORS)
def test_every_residue(params):
    """n modulo the batch size."""
    expected = {1: [1], 5: [5], 8: [4, 4], 9: [4, 5], 10: [4, 4, 2], 11: [4, 4, 3], 13: [4, 4, 5]}
    for n, wanted in expected.items():
        assert sizes(n, params) == wanted
        if "own" not in params.get("iterator_train", type).__name__.lower():
            assert n_batches(net(batch_size=4, **params), n) == len(wanted)


@pytest.mark.parametrize("params", list(ITERATORS.values())[:2], ids=list(ITERATORS)[:2])
def test_a_loader_that_drops_its_last_batch_leaves_the_row_out(params):
    assert sizes(9, params, iterator_train__drop_last=True) == [4, 4]
    assert sizes(3, params, iterator_train__drop_last=True) == [3]  # or nothing would be learnt


def test_batches_of_one_row_that_were_asked_for():
    assert sizes(3, {}, iterator_train__batch_size=1) == [1, 1, 1]


class Words(Dataset):
    """Rows of different lengths, which a collate function pads."""

    def __init__(self, n, longer=0):
        self.rows = [torch.ones(1 + i % 3 + longer * (i == n - 1)) for i in range(n)]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i], i % 3


def pad(items):
    """Rows of one length, and labels."""
    x, y = zip(*items, strict=True)
    return nn.utils.rnn.pad_sequence(x, batch_first=True), torch.tensor(y)


class Counted(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(1)
        self.out = nn.Linear(1, 3)

    def forward(self, X):
        return self.out(self.norm(X.sum(dim=1, keepdim=True)))


class PaddingIterator:
    def __init__(self, dataset, batch_size):
        self.loader = DataLoader(dataset, batch_size=batch_size, collate_fn=pad)

    def __iter__(self):
        return iter(self.loader)


@pytest.mark.parametrize(
    "params, wanted",
    [
        # The loader pads the joined batch; of an iterator's own batches it is not known how.
        ({"iterator_train__collate_fn": pad}, [4, 5]),
        ({"iterator_train": PaddingIterator}, [4, 4, 1]),
    ],
    ids=["loader", "own"],
)
def test_rows_of_other_lengths(params, wanted):
    model = net(
        module=Counted, batch_size=4, max_epochs=1, callbacks=[Sizes()],
        iterator_valid__collate_fn=pad, **params,
    )  # fmt: skip
    Sizes.seen.clear()
    RetrainUnlearner(model, random_state=0).fit(Words(9, longer=5))
    assert Sizes.seen == wanted


def test_the_joined_batch_is_that_of_a_loop_by_hand():
    X, y = task(9)
    model = net(module__normed=True, batch_size=4, max_epochs=3)
    ours = RetrainUnlearner(model, random_state=0).fit(X, y).estimator_
    torch.manual_seed(0)
    module = Plain(normed=True)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for _ in range(3):
        for i, j in ((0, 4), (4, 9)):
            optimizer.zero_grad()
            out = module(torch.from_numpy(X[i:j]))
            nn.functional.cross_entropy(out, torch.from_numpy(y[i:j])).backward()
            optimizer.step()
    for a, b in zip(ours.module_.state_dict().values(), module.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_running_statistics_stand_in_for_those_of_one_row():
    """And are left alone by it; a single image has statistics of its own."""
    X, y = task(1)
    fitted = RetrainUnlearner(net(module__normed=True), random_state=0)
    norm = fitted.fit(np.vstack([X, X + 1]), np.append(y, (y + 1) % 3)).unlearn(indices=[1])
    norm = norm.estimator_.module_.norm
    assert norm.num_batches_tracked == 0
    assert (norm.running_mean == 0).all()

    class Image(Plain):
        def __init__(self):
            super().__init__()
            self.norm, self.first = nn.Identity(), nn.BatchNorm2d(1)

        def forward(self, X):
            return super().forward(self.first(X.reshape(-1, 1, 3, 4)))

    fitted = RetrainUnlearner(net(module=Image, max_epochs=1), random_state=0).fit(X, y)
    assert fitted.estimator_.module_.first.num_batches_tracked == 1


def test_a_compiled_module_takes_one_row():
    X, y = task(9)
    compiled = net(
        module__normed=True, batch_size=9, compile=True, compile__backend="eager", max_epochs=1
    )
    unlearner = FineTuneUnlearner(compiled, random_state=0).fit(X[:2], y[:2])
    assert np.isfinite(unlearner.unlearn(indices=[0]).predict_proba(X)).all()


@pytest.mark.parametrize("compile", [False, True])
def test_one_row_to_forget_leaves_the_other_batches_alone(compile, monkeypatch):
    """Those of retained rows are normalised as they always are, and nothing stays on the net."""
    X, y = task(33)
    model = net(module__normed=True, compile=compile, compile__backend="eager", batch_size=8)
    fitted = NegGradPlusUnlearner(model, max_epochs=2, random_state=0).fit(X, y)
    before = int(fitted.estimator_.module_.norm.num_batches_tracked)
    monkeypatch.setattr(removal, "renew_statistics", lambda net, rows, seed: None)
    new = fitted.unlearn(indices=[0]).estimator_
    assert int(new.module_.norm.num_batches_tracked) == before + 2 * 4
    assert "_set_training" not in vars(new)
    assert not new.module_.norm._forward_hooks


@pytest.mark.parametrize("n_slices", [1, 2])
def test_small_shards(n_slices):
    """Of which some hold one row, or no row."""
    X, y = task(12)
    shards = ShardedUnlearner(
        net(module__normed=True, batch_size=4), n_shards=8, n_slices=n_slices, random_state=0
    ).fit(X, y)
    sizes = np.bincount(shards._places[0], minlength=8)
    assert (sizes == 1).any()
    assert (sizes > 1).any()
    shards.unlearn(indices=[0, 1])
    assert np.isfinite(shards.predict_proba(X)).all()


def test_one_request_at_a_time_passes_every_residue():
    X, y = task(40)
    unlearner = FineTuneUnlearner(net(module__normed=True, batch_size=8), random_state=0).fit(X, y)
    for i in range(17):
        unlearner.unlearn(indices=[i])
    assert len(unlearner.deletions_) == 17


def test_batch_loaders_of_plain_skorch_join_nothing():
    X, y = task(9)
    rows = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    assert [len(y) for _, y in BatchLoader(rows, batch_size=4)] == [4, 4, 1]
    fitted = net(iterator_train=BatchLoader, batch_size=4, max_epochs=1, verbose=0).fit(X, y)
    assert [b["train_batch_size"] for b in fitted.history[-1]["batches"]] == [4, 4, 1]
    one = RetrainUnlearner(net(cls=NeuralNetClassifier, batch_size=4), random_state=0).fit(X, y)
    two = RetrainUnlearner(net(batch_size=4, iterator_train=BatchLoader), random_state=0).fit(X, y)
    assert same_parameters(parameters(one.estimator_), parameters(two.estimator_))
