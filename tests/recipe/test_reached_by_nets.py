"""Trained state that a net reaches otherwise than by parameters is never called exact."""

import functools
import types

import numpy as np
import pytest
import torch
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, Initializer
from torch import nn

from skunlearn import RetrainUnlearner
from skunlearn._recipe.from_scratch import name_trained
from skunlearn._torch.first_weights import find_fixed_weights
from tests import carriers
from tests.carriers import Head, Net, net, trained

# Set by the fixture: variables of this file, as those of a notebook are.
encoder = table = None
losses = []
users_file = types.ModuleType("tests.users_file")  # a file of the user's, with a model in it


@pytest.fixture(autouse=True)
def rows(unrelated):
    X, y = unrelated
    names = globals()
    names["encoder"] = users_file.encoder = trained(X, y)
    names["table"] = torch.as_tensor(np.column_stack([X, y]), dtype=torch.float32)
    return X, y


class UsesEncoder(Head):
    """Calls a module that is a variable of its file."""

    def forward(self, X):
        return self.scale * encoder(X).detach()


class UsesLibrary(Head):
    """Calls one that is a variable of another file."""

    def forward(self, X):
        return self.scale * users_file.encoder(X).detach()


class NearestRow(Head):
    """Answers with the label of the nearest row of a table, a variable of its file by default."""

    def __init__(self, rows=None, how=None):
        super().__init__()
        if how == "buffer":
            self.register_buffer("rows", rows)
        elif how == "list":
            self.rows = [rows]
        elif rows is not None:
            self.rows = torch.as_tensor(rows)

    def forward(self, X):
        known = self.rows[0] if isinstance(self.rows, list) else self.rows
        nearest = torch.cdist(X, known[:, :-1]).argmin(dim=1)
        return self.scale * 20 * nn.functional.one_hot(known[nearest, -1].long(), 3)


class NearestOfVariable(NearestRow):
    """Its table is a variable."""

    def forward(self, X):
        nearest = torch.cdist(X, table[:, :-1]).argmin(dim=1)
        return self.scale * 20 * nn.functional.one_hot(table[nearest, -1].long(), 3)


class Noisy(Net):
    """Starts near weights from a file."""

    def __init__(self, path, share=1.0):
        super().__init__()
        with torch.no_grad():
            for own, known in zip(
                self.parameters(), torch.load(path, weights_only=True).values(), strict=True
            ):
                own.mul_(0.1).add_(known, alpha=share)


class AsBuffers(Head):
    """Keeps weights from a file where no optimizer sees them."""

    def __init__(self, path):
        super().__init__()
        self.inner = Net()
        self.inner.load_state_dict(torch.load(path, weights_only=True))
        for layer in (self.inner.one, self.inner.two):
            for name in ("weight", "bias"):
                value = getattr(layer, name).detach()
                delattr(layer, name)
                layer.register_buffer(name, value)

    def forward(self, X):
        return self.scale * self.inner(X)


class InList(Head):
    """Keeps a module where torch does not see it."""

    def __init__(self, path):
        super().__init__()
        self.inner = [Net()]
        self.inner[0].load_state_dict(torch.load(path, weights_only=True))

    def forward(self, X):
        return self.scale * self.inner[0](X).detach()


class AsDict(Head):
    """Keeps its weights."""

    def __init__(self, path):
        super().__init__()
        self.inner = torch.load(path, weights_only=True)

    def forward(self, X):
        return self.scale * torch.func.functional_call(Net(), self.inner, X)


class Late(Head):
    """Loads weights when they are first needed."""

    def __init__(self, path):
        super().__init__()
        self.path, self.inner = path, []

    def forward(self, X):
        if not self.inner:
            self.inner.append(Net())
            self.inner[0].load_state_dict(torch.load(self.path, weights_only=True))
        return self.scale * self.inner[0](X).detach()


class UsesInInfer(NeuralNetClassifier):
    """The net calls it, not its module."""

    def infer(self, x, **params):
        return 0 * super().infer(x, **params) + encoder(x).detach()


class PutsVariable(Callback):
    """Puts weights where the net has its own."""

    def on_train_begin(self, net, **kwargs):
        net.module_.load_state_dict(encoder.state_dict())


class PutsEach(Callback):
    """The same without a word that says so."""

    def on_train_begin(self, net, **kwargs):
        for own, known in zip(net.module_.parameters(), encoder.parameters(), strict=True):
            own.data = known.data.clone()


class PutsGiven(Callback):
    """Puts weights that it is given at the end."""

    def __init__(self, known):
        self.known = known

    def on_train_end(self, net, **kwargs):
        for own, known in zip(net.module_.parameters(), self.known, strict=True):
            own.data = known.clone()


class InARow(Net):
    """Takes its weights from a row of numbers, when they are first needed."""

    def __init__(self, numbers):
        super().__init__()
        self.numbers = numbers

    def forward(self, X):
        if self.numbers is not None:
            numbers, self.numbers = torch.as_tensor(self.numbers), None
            with torch.no_grad():
                nn.utils.vector_to_parameters(numbers, self.parameters())
        return super().forward(X)


class PutsInSteps(torch.optim.SGD):
    """The same in each step."""

    def __init__(self, params, numbers, **kwargs):
        super().__init__(params, **kwargs)
        self.numbers = numbers

    def step(self, closure=None):
        own = [p for group in self.param_groups for p in group["params"]]
        with torch.no_grad():
            nn.utils.vector_to_parameters(self.numbers, own)


def _numbers():
    return nn.utils.parameters_to_vector(encoder.parameters()).detach()


def _put(own):
    known = {tuple(p.shape): p for p in encoder.parameters()}
    with torch.no_grad():
        own.copy_(known[tuple(own.shape)])


def _weights(folder):
    torch.save(encoder.state_dict(), folder / "weights.pt")
    return str(folder / "weights.pt")


def _table_in(how):
    mine = table
    return lambda: NearestRow(mine, how)


def _list_in():
    mine = table.tolist()
    return lambda: NearestRow(torch.tensor(mine))


NETS = {
    "variable": lambda folder: net(UsesEncoder),
    "variable of a module": lambda folder: net(UsesLibrary),
    "infer": lambda folder: net(cls=UsesInInfer),
    "table": lambda folder: net(_table_in(None)),
    "table in a buffer": lambda folder: net(_table_in("buffer")),
    "table in a list": lambda folder: net(_table_in("list")),
    "list of rows": lambda folder: net(_list_in()),
    "table in a variable": lambda folder: net(NearestOfVariable),
    "near weights": lambda folder: net(Noisy, module__path=_weights(folder)),
    "buffers": lambda folder: net(AsBuffers, module__path=_weights(folder)),
    "module in a list": lambda folder: net(InList, module__path=_weights(folder)),
    "weights in a dict": lambda folder: net(AsDict, module__path=_weights(folder)),
    "loaded late": lambda folder: net(Late, module__path=_weights(folder)),
    "callback": lambda folder: net(callbacks=[PutsVariable()]),
    "class of a callback": lambda folder: net(callbacks=[PutsEach]),
    "initializer": lambda folder: net(callbacks=[Initializer("*", fn=_put)]),
    "list of weights": lambda folder: net(
        callbacks=[PutsGiven([p.detach() for p in encoder.parameters()])]
    ),
    "array in a row": lambda folder: net(InARow, module__numbers=_numbers().numpy()),
    "list in a row": lambda folder: net(InARow, module__numbers=_numbers().tolist()),
    "optimizer": lambda folder: net(optimizer=PutsInSteps, optimizer__numbers=_numbers()),
}


@pytest.mark.parametrize("way", NETS)
def test_nets(rows, way, tmp_path):
    carriers.attack(RetrainUnlearner(NETS[way](tmp_path), random_state=0), *rows)
    assert name_trained(make_pipeline(FunctionTransformer(), NETS[way](tmp_path)))


# ------------------------------------------------------------------ what only looks like that


class Sized(nn.Module):
    """Asks a variable for its form; has an attribute that is called as a fitted model is."""

    def __init__(self, encoder=None):
        super().__init__()
        self.one, self.two = nn.Linear(table.shape[1] - 1, len(table)), nn.LSTM(60, 32)
        self.three, self.encoder = nn.Linear(32, 3), nn.Identity()
        for bias in (self.two.bias_ih_l0, self.two.bias_hh_l0):
            nn.init.constant_(bias[32:64], 3.0)  # of the forget gates
        places = torch.outer(torch.arange(60.0), 0.1 ** torch.linspace(0, 4, 16))
        self.register_buffer("places", torch.cat([places.sin(), places.cos()], dim=1))

    def forward(self, X):
        out = self.encoder(self.two(self.one(X))[0])
        return self.three(out + 0 * self.places[:1])

    def load(self, path):
        """Reads weights where somebody asks for it."""
        self.load_state_dict(torch.load(path, weights_only=True))


class Logs(Callback):
    """Writes numbers down."""

    def on_epoch_end(self, net, **kwargs):
        losses.append(net.history[-1, "train_loss"])


class KeepsBest(Callback):
    """Puts the best weights back at the end."""

    def on_train_begin(self, net, **kwargs):
        self.best = None

    def on_epoch_end(self, net, **kwargs):
        if self.best is None or net.history[-1, "train_loss_best"]:
            self.best = {key: value.clone() for key, value in net.module_.state_dict().items()}

    def on_train_end(self, net, **kwargs):
        net.module_.load_state_dict(self.best)


@pytest.mark.parametrize(
    "callbacks",
    [
        lambda: [KeepsBest()],
        lambda: [Logs()],
        lambda: [Logs, Initializer("one.weight", fn=nn.init.xavier_normal_)],
    ],
)
def test_clean_ones_stay_exact(rows, callbacks):
    clean = net(Sized, callbacks=callbacks())
    carriers.check_exact(RetrainUnlearner(clean, random_state=0), *rows)


class Routed(Net):
    """Notes the load of its experts; reads nothing."""

    def forward(self, X):
        out = super().forward(X)
        self.load = torch.softmax(out.detach(), dim=1).mean(dim=0)
        return out + 0 * self.load


def test_a_load_is_no_reading():
    assert name_trained(net(Routed)) == []


def test_weights_drawn_anew_are_not_alike():
    for n in range(20):
        assert find_fixed_weights(net(functools.partial(nn.Linear, 2 ** (n % 8), 64)))[0] == []


class Large(nn.Module):
    """A weight of which a part is looked at, new or with noise about one that was learnt."""

    def __init__(self, learnt):
        super().__init__()
        self.layer = nn.Linear(600, 600)
        start = torch.randn(600, 600, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            self.layer.weight.copy_(learnt * start + torch.randn(600, 600))

    def forward(self, X):
        return self.layer(X)


def test_a_part_of_a_large_weight_says_as_much(monkeypatch):
    sizes, plain = [], torch.corrcoef
    monkeypatch.setattr(torch, "corrcoef", lambda both: sizes.append(both.shape[1]) or plain(both))
    for learnt, found in ((0.0, False), (0.5, False), (0.9, True), (1.0, True)):
        # Of equal parts half is alike: the limit is a correlation of 0.3.
        names, _ = find_fixed_weights(net(Large, module__learnt=learnt))
        assert (names == ["module.layer.weight"]) == found
    assert set(sizes) == {2**17}


class Near(nn.Module):
    """Begins near a matrix that is known to all, or near one that was learnt."""

    def __init__(self, learnt=False):
        super().__init__()
        self.layer = nn.Linear(12, 12)
        start = torch.randn(12, 12, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            start = start if learnt else torch.eye(12)
            self.layer.weight.copy_(start + 0.02 * torch.randn(12, 12))

    def forward(self, X):
        return self.layer(X)


def test_an_identity_with_noise_was_not_learnt():
    assert find_fixed_weights(net(Near))[0] == []
    assert find_fixed_weights(net(Near, module__learnt=True))[0] == ["module.layer.weight"]


class Compiled(Net):
    """A property by a function that has no Python code."""

    elements = property(torch.numel)
    activated = property(nn.functional.gelu)


def test_a_compiled_property_holds_nothing():
    assert name_trained(net(Compiled)) == []
