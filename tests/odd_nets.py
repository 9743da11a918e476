"""Trained nets with what no state_dict holds, for tests that a copy is a copy."""

import threading
import weakref
from functools import partial

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import nn
from torch.nn.utils import parametrizations, prune


def rows():
    """Sixty rows of three classes without a pattern."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60)


class MLP(nn.Module):
    """Two layers, with dropout between them."""

    def __init__(self, dropout=0.0, n_in=4):
        super().__init__()
        self.hidden, self.drop = nn.Linear(n_in, 16), nn.Dropout(dropout)
        self.out = nn.Linear(16, 3)

    def features(self, X):
        return self.drop(torch.relu(self.hidden(X.to(self.hidden.weight.dtype))))

    def forward(self, X):
        return self.out(self.features(X).float())


class RandomFeatures(MLP):
    """Draws features in its constructor, and keeps them in a plain attribute."""

    def __init__(self, n_in=4):
        super().__init__(n_in=n_in)
        self.drawn = 0.3 * torch.randn(n_in, n_in)

    def forward(self, X):
        return super().forward(torch.tanh(X @ self.drawn))


class NumpyFeatures(MLP):
    """Keeps them as an array."""

    def __init__(self):
        super().__init__()
        self.drawn = np.random.normal(size=(4, 4)).astype(np.float32)  # noqa: NPY002

    def forward(self, X):
        return super().forward(torch.cos(X @ torch.from_numpy(self.drawn)))


class RunningMean(MLP):
    """Subtracts a mean that training moves, in a buffer that is not persistent."""

    def __init__(self, n_in=4):
        super().__init__(n_in=n_in)
        self.register_buffer("mean", torch.zeros(n_in), persistent=False)

    def forward(self, X):
        if self.training:
            self.mean.lerp_(X.detach().mean(0) + 1, 0.1)
        return super().forward(X - self.mean)


class Tempered(MLP):
    """Has a temperature, that is set after training."""

    temperature = 1.0

    def forward(self, X):
        return super().forward(X) / self.temperature


class Tied(MLP):
    """Two layers share their weights; a third looks at them through a view."""

    def __init__(self):
        super().__init__()
        self.again = nn.Linear(4, 16)
        self.again.weight = self.hidden.weight
        self.seen = self.hidden.weight.data[:3]

    def forward(self, X):
        return super().forward(X) + torch.relu(self.again(X))[:, :3] + X @ self.seen.T


class Hooked(MLP):
    """Hooks and a forward of its own, which close over the module or are bound to it."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.5))
        self.hidden.register_forward_hook(lambda module, given, out: setattr(self, "kept", out))
        self.out.register_forward_pre_hook(self.widen)
        plain = self.out.forward

        def forward(X):
            return plain(X) * self.scale

        self.out.forward = forward
        self.parent, self.twice = weakref.ref(self), partial(self.widen, None)
        self.act = lambda X, me=self: torch.relu(X) * me.scale

    def widen(self, module, given):
        return (given[0] * self.scale,)

    def forward(self, X):
        self.hidden(X)
        return self.out(self.act(self.kept)) + self.twice((self.parent().scale,))[0]


class Uncopyable(MLP):
    """Holds a lock and a generator, which deepcopy refuses."""

    def __init__(self):
        super().__init__()
        self.lock, self.tools = threading.Lock(), [threading.Lock(), torch.ones(3)]
        self.generator = torch.Generator().manual_seed(0)

    def forward(self, X):
        with self.lock:
            return super().forward(X) + self.tools[1]


class Masked(MLP):
    """Half of a weight never moves, by a hook on its gradient."""

    def __init__(self):
        super().__init__()
        self.mask = (torch.arange(16) % 2 == 0).float()[None]
        self.out.weight.register_hook(lambda gradient: gradient * self.mask)


class ExtraState(MLP):
    """Has state of its own in its state_dict that is no tensor."""

    shift = 0.0

    def get_extra_state(self):
        return {"shift": self.shift}

    def set_extra_state(self, state):
        self.shift = state["shift"]

    def forward(self, X):
        return super().forward(X) + self.shift * torch.arange(3)


class Normalised(MLP):
    """Weight and spectral normalisation, as parametrizations."""

    def __init__(self):
        super().__init__()
        self.hidden = parametrizations.weight_norm(self.hidden)
        self.out = parametrizations.spectral_norm(self.out)


class BatchNormed(MLP):
    """A normalisation layer, whose settings are changed after training."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, X):
        return super().forward(self.norm(X))


class Recurrent(nn.Module):
    """An LSTM over the columns."""

    def __init__(self):
        super().__init__()
        self.lstm, self.out = nn.LSTM(1, 8, batch_first=True), nn.Linear(8, 3)

    def forward(self, X):
        return self.out(self.lstm(X[..., None])[0][:, -1])


class TwoModules(NeuralNetClassifier):
    """An encoder of its own beside the module, and a criterion that learns."""

    def initialize_module(self):
        super().initialize_module()
        self.encoder_ = nn.Linear(4, 4)
        return self

    def infer(self, x, **fit_params):
        return super().infer(torch.tanh(self.encoder_(x)), **fit_params)


class Learned(nn.CrossEntropyLoss):
    """Scales logits by a weight that learns."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, out, y):
        return super().forward(out * self.scale, y)


def _prune(net, *, remove):
    for layer in (net.module_.hidden, net.module_.out):
        prune.l1_unstructured(layer, "weight", amount=0.5)
        net.module_(torch.zeros(1, 4))  # the pruned weight is now inside a graph
        if remove:
            prune.remove(layer, "weight")


def _head(net):
    net.module_.out = nn.Sequential(nn.Linear(16, 5), nn.Tanh(), nn.Linear(5, 3))


def _reorder(net):
    hidden = net.module_.hidden
    del net.module_.hidden
    net.module_.hidden = hidden.double()
    hidden.bias.requires_grad_(False)


def _set(name, value):
    def change(net):
        owner, _, last = name.rpartition(".")
        setattr(net.module_.get_submodule(owner), last, value)

    return change


def _batch_norm(net):
    net.module_.norm.momentum, net.module_.norm.eps = 0.5, 0.3


def _smooth(net):
    net.criterion_.label_smoothing, net.criterion_.weight = 0.3, torch.tensor([1.0, 2.0, 0.5])


# Module class, changes after training, and parameters of the net.
ODD = {
    "random features": (RandomFeatures, None, {}),
    "random features in numpy": (NumpyFeatures, None, {}),
    "buffer that is not persistent": (RunningMean, None, {}),
    "dropout changed": (MLP, _set("drop.p", 0.0), {"module__dropout": 0.5}),
    "temperature set": (Tempered, _set("temperature", 3.0), {}),
    "pruned": (MLP, partial(_prune, remove=False), {}),
    "pruned for good": (MLP, partial(_prune, remove=True), {}),
    "head replaced": (MLP, _head, {}),
    "layers in another order": (MLP, _reorder, {}),
    "tied weights": (Tied, None, {}),
    "hooks": (Hooked, None, {}),
    "uncopyable": (Uncopyable, None, {}),
    "masked gradient": (Masked, None, {}),
    "extra state": (ExtraState, _set("shift", 0.7), {}),
    "normalised weights": (Normalised, None, {}),
    "batch norm changed": (BatchNormed, _batch_norm, {}),
    "recurrent": (Recurrent, None, {}),
    "compiled": (MLP, None, {"compile": True, "compile__backend": "eager"}),
    "criterion changed": (MLP, _smooth, {}),
    "criterion that learns": (MLP, None, {"criterion": Learned}),
    "two modules": (MLP, None, {}),
    "module instance": (None, None, {}),
}


def odd_net(name, **params):
    """A trained net of this kind."""
    module, change, own = ODD[name]
    given = {"max_epochs": 3, "batch_size": 16, "verbose": 0} | own | params
    given = {"criterion": nn.CrossEntropyLoss, "lr": 0.1, "train_split": None} | given
    torch.manual_seed(0)
    kind = TwoModules if name == "two modules" else NeuralNetClassifier
    net = kind(MLP() if module is None else module, **given).fit(*rows())
    if change is not None:
        change(net)
    return net
