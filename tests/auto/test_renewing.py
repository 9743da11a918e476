"""Weights that only forget rows use: no training on the others would ever move them."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from torch import nn

from skunlearn import AutoUnlearner, RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.parts.net_state import weights
from skunlearn.auto import _trying, auto_unlearner
from skunlearn.auto._judge import Judge
from skunlearn.auto._renewing import Unused, find_sparse, shrink_evenly
from skunlearn.finetuning._shrinking import shrink
from tests.auto.digits import MLP, damaged, net, sides

USER = 3


class Ratings(nn.Module):
    """A table of users, one of items, and a column that few rows have."""

    def __init__(self, tied=False, bag=False):
        super().__init__()
        self.users = (nn.EmbeddingBag if bag else nn.Embedding)(20, 8)
        self.items = nn.Embedding(30, 8)
        self.body, self.last = nn.Linear(17, 16), nn.Linear(16, 3)
        if tied:
            self.says = nn.Linear(8, 20, bias=False)
            self.says.weight = self.users.weight

    def forward(self, X):
        users = X[:, :1].long()
        if isinstance(self.users, nn.Embedding):
            users = users[:, 0]
        found = torch.cat([self.users(users), self.items(X[:, 1].long()), X[:, 2:]], dim=1)
        return self.last(torch.relu(self.body(found)))


@pytest.fixture(scope="module")
def ratings():
    """What a user says, and what is in the last column of that user's rows alone."""
    rng = np.random.default_rng(0)
    X = np.stack([rng.integers(0, n, 400) for n in (20, 30, 1)], axis=1).astype(np.float32)
    y = rng.integers(0, 3, 400)
    forget = np.flatnonzero(X[:, 0] == USER)
    X[forget, 2] = 1
    return X, y, forget


def recipe(**changed):
    given = {"module": Ratings, "max_epochs": 20, "batch_size": 32, "lr": 0.05} | changed
    return net(**given)


@pytest.mark.parametrize("bag", [False, True])
def test_what_no_retained_row_uses_is_that_of_a_new_net(ratings, bag):
    X, y, forget = ratings
    own, new = (recipe(module__bag=bag, max_epochs=n).fit(X, y) for n in (3, 0))
    rows, kept = Rows(X, y, np.arange(400)), np.setdiff1d(np.arange(400), forget)
    before, fresh = weights(own), weights(new)
    said = torch.as_tensor(own.predict_proba(X[kept]))
    sides = rows.take(kept), rows.take(forget)
    unused = Unused(own, *sides, np.arange(3))
    assert unused.share == 1
    unused.renew(own, new)
    after = weights(own)
    users, body = (f"module.{key}.weight" for key in ("users", "body"))
    torch.testing.assert_close(after[users][USER], fresh[users][USER])
    torch.testing.assert_close(after[body][:, 16], fresh[body][:, 16])
    for key, value in before.items():
        if key == users:
            value[USER] = fresh[key][USER]
        elif key == body:
            value[:, 16] = fresh[key][:, 16]
        if "items" not in key and "last" not in key:  # which the user's rows may have for their own
            torch.testing.assert_close(after[key], value)
    torch.testing.assert_close(torch.as_tensor(own.predict_proba(X[kept])), said)
    assert not any(hook for layer in own.module_.modules() for hook in layer._forward_pre_hooks)


@pytest.mark.parametrize("shrunk", [0.5, 2.0])
def test_it_is_as_much_smaller_as_what_retained_rows_use(ratings, shrunk):
    """Full vectors beside shrunk ones made nets surer of users whom they did not know."""
    X, y, forget = ratings
    own, new = (recipe(max_epochs=n).fit(X, y) for n in (3, 0))
    rows, kept = Rows(X, y, np.arange(400)), np.setdiff1d(np.arange(400), forget)
    unused = Unused(own, rows.take(kept), rows.take(forget), np.arange(3))
    unused.renew(own, new)
    before = weights(own)
    unused.fit_in(own)  # nothing has changed
    for key, value in weights(own).items():
        torch.testing.assert_close(value, before[key])
    stay, factor = np.setdiff1d(np.arange(20), USER), min(shrunk, 1.0)
    with torch.no_grad():
        own.module_.users.weight[stay] *= shrunk
        own.module_.body.weight[:, :16] *= shrunk
    unused.fit_in(own)
    users, body = (layer.weight.detach() for layer in (own.module_.users, own.module_.body))
    torch.testing.assert_close(users[USER], factor * before["module.users.weight"][USER])
    torch.testing.assert_close(users[stay], shrunk * before["module.users.weight"][stay])
    torch.testing.assert_close(body[:, 16], factor * before["module.body.weight"][:, 16])


def test_rows_of_users_who_stay_renew_nothing(ratings):
    X, y, _ = ratings
    own, new = (recipe(max_epochs=n).fit(X, y) for n in (2, 0))
    rows, forget = Rows(X, y, np.arange(400)), np.flatnonzero(X[:, 0] != USER)[:5]
    before = weights(own)
    sides = rows.take(np.setdiff1d(np.arange(400), forget)), rows.take(forget)
    unused = Unused(own, *sides, np.arange(3))
    assert unused.masks == {}
    assert unused.share == 0
    unused.renew(own, new)
    for key, value in weights(own).items():
        torch.testing.assert_close(value, before[key])


def test_frozen_tables_and_those_that_make_the_logits_as_well_stay(ratings):
    X, y, forget = ratings
    kept = np.setdiff1d(np.arange(400), forget)
    rows = Rows(X, y, np.arange(400))
    for own in (recipe(module__tied=True), recipe()):
        own.set_params(max_epochs=2).fit(X, y)
        if not hasattr(own.module_, "says"):
            own.module_.users.weight.requires_grad_(False)
        before = own.module_.users.weight.detach().clone()
        new = recipe(module__tied=hasattr(own.module_, "says"), max_epochs=0).fit(X, y)
        unused = Unused(own, rows.take(kept), rows.take(forget), np.arange(3))
        unused.renew(own, new)
        assert unused.share == 0
        torch.testing.assert_close(own.module_.users.weight.detach(), before)


@damaged
@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
@pytest.mark.parametrize("judged", [False, True])
def test_nothing_of_a_user_is_left_after_a_request(monkeypatch, ratings, judged):
    """A quarter or more of the vector stayed, whatever was forgotten."""
    X, y, forget = ratings
    auto = AutoUnlearner(recipe(), random_state=0).fit(X, y)
    fresh = []

    def renew(unused, own, new, original=Unused.renew):
        fresh.append(new.module_.users.weight[USER].detach().clone())
        original(unused, own, new)

    monkeypatch.setattr(Unused, "renew", renew)
    unseen = X.copy()
    unseen[:, 1] = (X[:, 1] + 1) % 30
    auto.unlearn(indices=forget, **({"X_val": unseen, "y_val": y} if judged else {}))
    left = auto.estimator_.module_.users.weight[USER].detach()
    assert torch.cosine_similarity(left, fresh[0], dim=0) > 1 - 1e-5
    assert 0.5 < left.norm() / fresh[0].norm() < 1  # as those of others, which were shrunk
    done = auto.deletions_[0]["auto"]
    assert not done["retrained"]
    if judged:
        assert set(done["after"]) == {"loss", "margin", "confidence", "modified_entropy"}


def test_how_sure_a_net_is_of_a_user_whom_it_does_not_know_is_no_memory(ratings):
    """It was said to be, and the net was shrunk for it."""
    X, y, forget = ratings
    rows, model = Rows(X, y, np.arange(400)), recipe(max_epochs=1).fit(X, y)
    given = np.arange(3), rows.take(forget), rows.take(np.arange(100)), model, False, 0
    for share, left_out in ((0.0, set()), (0.05, set()), (1.0, {"entropy"})):
        judge = Judge(*given, share)
        seen = judge.look(model)
        assert set(seen) - set(judge.differences(seen)) == left_out
        assert all(value == 0 for value in judge.differences(seen).values())


class Factors(nn.Module):
    """Likes of users, as products of vectors that begin near zero."""

    def __init__(self, std=0.1):
        super().__init__()
        self.users, self.items = nn.Embedding(60, 16), nn.Embedding(50, 16)
        for table in (self.users, self.items):
            nn.init.normal_(table.weight, std=std)

    def forward(self, X):
        users, items = (table(X[:, i].long()) for i, table in enumerate((self.users, self.items)))
        found = (users * items).sum(dim=1)
        return torch.stack([torch.zeros_like(found), found], dim=1)


@pytest.mark.parametrize(("std", "size"), [(0.1, 8.0), (0.001, 20.0), (3.0, 1.0)])
def test_of_a_table_that_is_all_training_as_much_less_is_kept(std, size):
    X, y = np.zeros((8, 2), np.float32), np.arange(8) % 2
    own, new = (recipe(module=Factors, module__std=std, max_epochs=0).fit(X, y) for _ in range(2))
    with torch.no_grad():
        for table in (own.module_.users, own.module_.items):
            table.weight.normal_()
        scale = 8 * std if std == 0.1 else 1.0
        own.module_.users.weight *= scale / own.module_.users.weight.square().mean().sqrt()
        new.module_.users.weight *= std / new.module_.users.weight.square().mean().sqrt()
    old, fresh = (one.module_.users.weight.detach().clone() for one in (own, new))
    shrink_evenly(own, new, 0.25)
    share = 0.25 / (0.25 + 0.75 * size)
    expected = share * old + (1 - share) * fresh
    torch.testing.assert_close(own.module_.users.weight.detach(), expected)
    shrink_evenly(own, new, 0.0)
    torch.testing.assert_close(own.module_.users.weight.detach(), fresh)


def categories(n=1600):
    """Twelve of twenty values each, one-hot; a seventh of the labels is wrong."""
    rng = np.random.default_rng(0)
    found, weigh = rng.integers(0, 20, (n, 12)), rng.normal(size=(12, 20, 3))
    y = weigh[np.arange(12), found].sum(axis=1).argmax(axis=1)
    y = np.where(rng.random(n) < 0.15, (y + rng.integers(1, 3, n)) % 3, y)
    return np.eye(20, dtype=np.float32)[found].reshape(n, -1), y


def test_a_layer_that_reads_a_few_inputs_of_many_is_a_table():
    X, y = categories()
    module = {"module": MLP, "module__n_in": 240, "module__n_out": 3, "module__hidden": 32}
    own, new = (recipe(max_epochs=n, **module).fit(X, y) for n in (3, 0))
    sparse = find_sparse(own, Rows(X, y, np.arange(len(y))), np.arange(3))
    assert sparse == {("module", "first")}
    dense = Rows(X + 1, y, np.arange(len(y)))
    assert find_sparse(own, dense, np.arange(3)) == set()
    with torch.no_grad():
        own.module_.first.weight.copy_(4 * new.module_.first.weight)
    fresh, last = (weights(one)["module.last.weight"] for one in (new, own))
    shrink_evenly(own, new, 0.25, sparse)
    share = 0.25 / (0.25 + 0.75 * 4)
    expected = (4 * share + 1 - share) * new.module_.first.weight.detach()
    torch.testing.assert_close(own.module_.first.weight.detach(), expected)
    torch.testing.assert_close(weights(own)["module.last.weight"], 0.25 * last + 0.75 * fresh)


def test_rows_of_categories_are_forgotten():
    """Columns that few rows use are hardly trained back: it was 0.060, and is 0.032."""
    X, y = categories()
    model = net(
        module__n_in=240, module__n_out=3, module__hidden=64, max_epochs=60, batch_size=32, lr=0.05
    )
    rows = X[:80], y[:80], X[1100:], y[1100:]
    auto = AutoUnlearner(model, random_state=0).fit(X[:600], y[:600])
    auto.unlearn(indices=np.arange(80))
    gold = sides(RetrainUnlearner(model, random_state=1).fit(X[80:600], y[80:600]), *rows)
    assert max(abs(found - gold[name]) for name, found in sides(auto, *rows).items()) < 0.05


@damaged
@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
def test_likes_known_by_heart_are_forgotten_though_a_product_says_the_same_at_a_quarter(
    monkeypatch,
):
    """As many as before were named: a trial on half of the weights took them for what holds."""
    rng = np.random.default_rng(0)
    pairs = rng.choice(60 * 50, 1000, replace=False)
    X, y = np.stack(np.divmod(pairs, 50), axis=1).astype(np.float32), rng.integers(0, 2, 1000)
    model = recipe(module=Factors, lr=2.0, max_epochs=20)
    monkeypatch.setattr(_trying, "_TOLD", (1.0, 2.0))  # by which the trial notices in part
    named = []
    for change in (shrink_evenly, lambda net, new, factor, sparse: shrink(net, new, factor)):
        for place in (_trying, auto_unlearner):
            monkeypatch.setattr(place, "shrink_evenly", change)
        auto = AutoUnlearner(model, random_state=0).fit(X, y)
        assert auto.score(X[:60], y[:60]) > 0.95
        named.append(auto.unlearn(indices=np.arange(60)).score(X[:60], y[:60]))
    assert named[0] < 0.75 < 0.85 < named[1]


class Thaw(Callback):
    """Lets the users learn once the training goes on."""

    def on_epoch_begin(self, net, **kwargs):
        net.module_.users.weight.requires_grad_(True)


class Frozen(Ratings):
    def __init__(self):
        super().__init__()
        self.users.weight.requires_grad_(False)


def test_a_table_that_callbacks_thaw_is_renewed_too(ratings):
    X, y, forget = ratings
    own, new = (recipe(module=Frozen, max_epochs=n, callbacks=[Thaw()]).fit(X, y) for n in (2, 0))
    assert own.module_.users.weight.requires_grad
    assert not new.module_.users.weight.requires_grad
    rows, kept = Rows(X, y, np.arange(400)), np.setdiff1d(np.arange(400), forget)
    unused = Unused(own, rows.take(kept), rows.take(forget), np.arange(3))
    shrink_evenly(own, new, 0.5)
    unused.renew(own, new)
    users = [one.module_.users.weight[USER].detach() for one in (own, new)]
    torch.testing.assert_close(*users)


def test_of_a_compiled_net_as_well(ratings):
    X, y, forget = ratings
    rows, kept = Rows(X, y, np.arange(400)), np.setdiff1d(np.arange(400), forget)
    own = recipe(max_epochs=1).fit(X, y)
    whole = own.module_

    class Compiled(nn.Module):  # compiled code, which calls no hooks
        def __init__(self):
            super().__init__()
            self._orig_mod = whole

        def forward(self, X):
            users = whole.users.weight[X[:, 0].long()], whole.items.weight[X[:, 1].long()]
            found = torch.cat([*users, X[:, 2:]], dim=1) @ whole.body.weight.T + whole.body.bias
            return torch.relu(found) @ whole.last.weight.T + whole.last.bias

    own.module_ = Compiled()
    unused = Unused(own, rows.take(kept), rows.take(forget), np.arange(3))
    assert unused.share == 1.0
