"""A row of an embedding that only forgotten rows look up: no training on the others reaches it."""

import warnings

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import (
    AutoUnlearner,
    FineTuneUnlearner,
    NegGradPlusUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
    ShrinkPerturbUnlearner,
)
from skunlearn._rows.views import Rows
from skunlearn._torch import lookups
from skunlearn._torch.lookups import find_left_behind
from skunlearn._torch.parts.net_state import list_tables
from skunlearn.exceptions import NotForgottenWarning

USERS, ITEMS, PAD = 6, 5, 0


class Tastes(nn.Module):
    """Whether a user likes an item; a user of number 0 is padding."""

    def __init__(self, width=4, free=True, padded=False):
        super().__init__()
        self.user = nn.Embedding(USERS, width, padding_idx=PAD if padded else None)
        self.item = nn.Embedding(ITEMS, width)
        self.out = nn.Linear(2 * width, 2)
        self.user.weight.requires_grad_(free)

    def forward(self, X):
        return self.out(torch.cat([self.user(input=X[:, 0]), self.item(X[:, 1])], 1))


class BareTastes(nn.Module):
    """The same with tables of its own, which it indexes, and weights that all rows use."""

    def __init__(self, free=True):
        super().__init__()
        self.user = nn.Parameter(0.3 * torch.randn(USERS, 4), requires_grad=free)
        self.item = nn.Parameter(0.3 * torch.randn(ITEMS, 4))
        self.out = nn.Parameter(0.3 * torch.randn(2, 8))

    def forward(self, X):
        return torch.cat([self.user[X[:, 0]], self.item[X[:, 1]]], 1) @ self.out.T


class Leanings(nn.Module):
    """A number for each user and item, as a matrix factorisation adds them, and two for all."""

    def __init__(self):
        super().__init__()
        self.user = nn.Parameter(torch.randn(USERS))
        self.item = nn.Parameter(torch.randn(ITEMS))
        self.scale = nn.Parameter(torch.ones(2))

    def forward(self, X):
        liked = self.user[X[:, 0]] + self.item[X[:, 1]]
        return self.scale * torch.stack([-liked, liked], 1)


def make(**params):
    params = {"module": Tastes, "optimizer": torch.optim.Adam, "lr": 0.02} | params
    return NeuralNetClassifier(
        criterion=nn.CrossEntropyLoss, max_epochs=2, verbose=0, train_split=None, **params
    )


@pytest.fixture
def ratings():
    rng = np.random.default_rng(0)
    X = np.column_stack([np.arange(120) % USERS, rng.integers(0, ITEMS, 120)])
    return X, (X.sum(axis=1) % 3 > 0).astype(int)


def forget(unlearner, ratings, users=(3,)):
    """What is said of embeddings when users are forgotten."""
    X, y = ratings
    unlearner.fit(X, y, groups=X[:, 0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        unlearner.unlearn(groups=list(users))
    said = [w for w in caught if "of embeddings" in str(w.message)]
    assert all(w.category is NotForgottenWarning for w in said)
    return [str(w.message) for w in said]


@pytest.mark.parametrize("method", [FineTuneUnlearner, ProximalUnlearner])
def test_a_user_that_stays_in_the_weights_is_told(ratings, method):
    unlearner = method(make(), random_state=0)
    (said,) = forget(unlearner, ratings)
    assert f"{method.__name__} left 1 row of embeddings (user) as before" in said
    (said,) = forget(method(make(), random_state=0), ratings, users=[1, 3])
    assert "left 2 rows of embeddings (user)" in said


@pytest.mark.parametrize("method", [FineTuneUnlearner, ProximalUnlearner])
def test_a_table_that_is_a_bare_parameter_is_told_of_too(ratings, method):
    unlearner = method(make(module=BareTastes), random_state=0)
    (said,) = forget(unlearner, ratings, users=[1, 3])
    assert f"{method.__name__} left 2 rows of embeddings (user) as before" in said


def test_a_number_of_each_user_is_a_row_too(ratings):
    (said,) = forget(FineTuneUnlearner(make(module=Leanings), random_state=0), ratings, [1, 3])
    assert "left 2 rows of embeddings (user) as before" in said
    assert forget(ShrinkPerturbUnlearner(make(module=Leanings), random_state=0), ratings) == []


def test_where_all_weights_have_moved_no_row_is_read(ratings, monkeypatch):
    X, y = ratings
    before, after = (make(module=BareTastes).initialize() for _ in range(2))
    monkeypatch.setattr(lookups, "_look_up", None)  # two draws of the first weights share none
    gone, left = (Rows(X, y, np.flatnonzero(mask)) for mask in (X[:, 0] == 3, X[:, 0] != 3))
    assert find_left_behind(before, after, list_tables(before), gone, left) == {}


def test_rows_of_a_bare_table_that_others_reach_are_theirs(ratings, monkeypatch):
    X, y = ratings
    before, after = (make(module=BareTastes, batch_size=16).initialize() for _ in range(2))
    after.module_.load_state_dict(before.module_.state_dict())  # nothing was done at all
    gone, left = (Rows(X, y, np.flatnonzero(mask)) for mask in (X[:, 0] == 3, X[:, 0] != 3))
    tables = list_tables(before)
    assert sorted(tables) == ["item", "out", "user"]
    assert find_left_behind(before, after, tables, gone, left) == {"user": 1}
    # Where all that was asked after is found, no further rows are read.
    passes, infer = [], lookups.inference.infer
    monkeypatch.setattr(lookups.inference, "infer", lambda *a: passes.append(1) or infer(*a))
    items = {"item": tables["item"]}
    assert find_left_behind(before, after, items, gone, left) == {}
    assert len(passes) < 4 < len(left) / 16


def test_weights_of_layers_are_no_tables():
    assert sorted(list_tables(make().initialize())) == ["item", "user"]


def test_weight_decay_that_shortens_it_makes_no_difference(ratings):
    net = make(optimizer=torch.optim.AdamW, optimizer__weight_decay=0.5)
    assert forget(FineTuneUnlearner(net, random_state=0), ratings)


@pytest.mark.parametrize(
    "unlearner, users",
    [
        (RetrainUnlearner(make()), [3]),
        (ShrinkPerturbUnlearner(make()), [3]),
        (AutoUnlearner(make(lr=1e-5)), [3]),
        (NegGradPlusUnlearner(make()), [3]),
        (FineTuneUnlearner(make(module__free=False)), [3]),
        (FineTuneUnlearner(make(module=BareTastes, module__free=False)), [3]),
        (ShrinkPerturbUnlearner(make(module=BareTastes)), [3]),
        (FineTuneUnlearner(make(module__padded=True)), [PAD]),
    ],
    ids=[
        "anew",
        "drawn anew",
        "anew after all, by next to nothing",
        "climbs",
        "nothing was learnt",
        "nothing bare",
        "bare, drawn anew",
        "padding",
    ],
)
def test_others_are_not_accused(ratings, unlearner, users):
    assert forget(unlearner.set_params(random_state=0), ratings, users) == []


def test_rows_that_others_look_up_too_are_theirs(ratings):
    """A table of items, of which every one was rated by those who stay as well."""
    X, y = ratings
    before, after = (make().initialize() for _ in range(2))
    after.module_.load_state_dict(before.module_.state_dict())  # nothing was done at all
    rows = [Rows(X, y, np.flatnonzero(mask)) for mask in (X[:, 0] == 3, X[:, 0] != 3)]
    assert find_left_behind(before, after, list_tables(before), *rows) == {"user": 1}
    with torch.no_grad():
        after.module_.user.weight[3] += torch.tensor([0.1, 0, 0, 0])
    assert find_left_behind(before, after, list_tables(before), *rows) == {}


def test_a_table_of_one_column_points_nowhere(ratings):
    """Any two numbers of one sign would count as alike."""
    X, y = ratings
    before, after = (make(module__width=1).initialize() for _ in range(2))
    after.module_.load_state_dict(before.module_.state_dict())
    rows = [Rows(X, y, np.flatnonzero(mask)) for mask in (X[:, 0] == 3, X[:, 0] != 3)]
    assert find_left_behind(before, after, list_tables(before), *rows) == {"user": 1}
    with torch.no_grad():
        after.module_.user.weight[3] *= 1.5
    assert find_left_behind(before, after, list_tables(before), *rows) == {}
