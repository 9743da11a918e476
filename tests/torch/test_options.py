"""Options of torch and skorch that a user's net may have, under every method."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import (
    BoundaryUnlearner,
    CTUnlearner,
    FineTuneUnlearner,
    ProximalUnlearner,
    RetrainUnlearner,
)
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._torch.embedding import embedding
from skunlearn._torch.net_layers import list_penalised_parameters
from skunlearn.influence import InverseCurvature, influence
from skunlearn.nets import Autocast, MicroBatches
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import outcome, parameters
from tests.instances import MLP, SETTINGS
from tests.small import FORGET, quiet

METHODS = all_unlearners(nets=True)

# Methods that look at parts of the module or ask it for derivatives, or one of those that do so in
# the same way; others train it, no more.
COMPILED = ("Amnesiac", "Boundary", "Proximal")  # influence has a test of its own


class Net(nn.Module):
    """Without lazy layers, whose first weights depend on what was drawn before."""

    def __init__(self, n_out=3):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.out = nn.Linear(16, n_out)

    def forward(self, X):
        X = self.norm(torch.relu(self.conv(X.reshape(-1, 1, 2, 2))))
        return self.out(X.flatten(1))


class SmallBatches(MicroBatches, NeuralNetClassifier):
    pass


def net(kind=NeuralNetClassifier, module=Net, **params):
    params = {"lr": 0.05, "max_epochs": 2, "batch_size": 16, "module__n_out": 3} | params
    return kind(
        module, criterion=nn.CrossEntropyLoss, iterator_train__shuffle=True, train_split=None,
        verbose=0, **params,
    )  # fmt: skip


def unlearned(name, net, X, y):
    own = {k: v for k, v in SETTINGS.get(name, {}).items() if k != "max_epochs"}
    return METHODS[name](net, random_state=0, **own).fit(X, y).unlearn(indices=FORGET)


@quiet
@pytest.mark.parametrize(
    "name",
    [
        n if n.removesuffix("Unlearner") in COMPILED else pytest.param(n, marks=pytest.mark.long)
        for n in METHODS
    ],
)
def test_compiled_nets(data, name):
    """With the eager backend the numbers are the same; the module is wrapped all the same."""
    X, y = data
    torch.compiler.reset()
    # A backward pass that was compiled, as inductor's is, has no derivative.
    twice = name in ("InfluenceUnlearner", "PUMAUnlearner")
    backend = "aot_eager" if twice else "eager"
    compiled = unlearned(name, net(compile=True, compile__backend=backend), X, y)
    plain = unlearned(name, net(), X, y)
    assert np.allclose(outcome(compiled, X), outcome(plain, X), atol=1e-4)
    if not twice:  # torch 2.5 cannot pickle what this backend makes
        again = pickle.loads(pickle.dumps(compiled))
        assert np.array_equal(outcome(again, X), outcome(compiled, X))


@quiet
def test_parts_of_compiled_nets_go_by_the_users_names(data):
    X, y = data
    torch.compiler.reset()
    made = net(compile=True, compile__backend="aot_eager", optimizer__weight_decay=0.01).fit(X, y)
    plain = skorch_nets.make_eager(made)
    rows = Rows(X, y, np.arange(60))
    assert skorch_nets.plain_module(made) is plain.module_
    kept = list_penalised_parameters(made, rows, ["conv.*", "head"])
    assert [id(p) for p in kept] == [id(p) for p in plain.module_.norm.parameters()]
    for solver in ("cg", "ekfac"):
        found, other = (
            influence(net, X, y, X[:3], y[:3], inverse=InverseCurvature(solver=solver))
            for net in (made, plain)
        )
        assert np.allclose(found, other)
    assert np.allclose(embedding(made, rows), embedding(plain, rows))
    unlearner = BoundaryUnlearner(FrozenEstimator(made), kind="expand", random_state=0).fit(X, y)
    unlearner.unlearn(indices=FORGET)
    assert unlearner.predict_proba(X).shape == (60, 3)
    mlp = net(module=MLP, compile=True, compile__backend="eager")
    with pytest.raises(ValueError, match="of which MLP has none"):
        CTUnlearner(mlp, random_state=0).fit(X, y)


@quiet
@pytest.mark.parametrize("name", ["ProximalUnlearner", "SalUnUnlearner", "SSDUnlearner"])
@pytest.mark.parametrize(
    "optimizer", [torch.optim.SGD, torch.optim.AdamW], ids=lambda optimizer: optimizer.__name__
)
@pytest.mark.parametrize("way", ["fused", "foreach"])
def test_fused_optimizers(data, name, optimizer, way):
    X, y = data
    lr = 0.05 if optimizer is torch.optim.SGD else 0.005
    runs = [
        unlearned(name, net(optimizer=optimizer, lr=lr, **{"optimizer__" + way: on}), X, y)
        for on in (True, False)
    ]
    assert runs[0].estimator_.optimizer_.defaults[way] is True
    assert np.allclose(outcome(runs[0], X), outcome(runs[1], X), atol=1e-4)


@quiet
@pytest.mark.parametrize("name", ["FineTuneUnlearner", "ProximalUnlearner", "SCRUBUnlearner"])
def test_micro_batches_add_up_to_the_batch(data, name):
    X, y = data
    params = {"module": MLP, "optimizer__momentum": 0.9}  # no batch normalisation
    whole = unlearned(name, net(**params), X, y)
    parts = unlearned(name, net(SmallBatches, micro_batch_size=5, **params), X, y)
    assert np.allclose(outcome(parts, X), outcome(whole, X), atol=1e-5)
    steps = len(parts.estimator_.history[-1]["batches"])
    assert steps == len(whole.estimator_.history[-1]["batches"])
    sizes = [b["train_batch_size"] for b in parts.estimator_.history[-1]["batches"]]
    assert sizes == [b["train_batch_size"] for b in whole.estimator_.history[-1]["batches"]]


def test_micro_batches_never_hold_more_rows():
    seen = []

    class Counting(MLP):
        def forward(self, X):
            seen.append(len(X))
            return super().forward(X)

    X, y = np.zeros((40, 4), np.float32), np.arange(40) % 3
    made = net(SmallBatches, Counting, micro_batch_size=6, batch_size=20).initialize()
    made.partial_fit(X, y)
    assert set(seen) == {6, 2}


@quiet
def test_autocast_computes_in_bfloat16_and_answers_in_float32(data):
    X, y = data
    inside = []

    class Watched(Net):
        def forward(self, X):
            out = super().forward(X)
            inside.append(out.dtype)
            return out

    recipe = net(module=Autocast, module__module=Watched, module__channels_last=True)
    for cls in (RetrainUnlearner, FineTuneUnlearner, ProximalUnlearner):
        inside.clear()
        made = cls(recipe, random_state=0).fit(X, y).unlearn(indices=FORGET)
        assert set(inside) == {torch.bfloat16}
        kinds = {w.dtype for w in parameters(made.estimator_).values() if w.ndim}
        assert kinds == {np.dtype("float32")}
        p = made.predict_proba(X)
        assert p.dtype == np.float32
        assert np.allclose(p.sum(axis=1), 1, atol=1e-5)
    weight = made.estimator_.module_.inner.conv.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
