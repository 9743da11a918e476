"""What a request holds of a net besides the net: nothing that it can do without."""

import gc
import weakref
from contextlib import suppress

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import (
    AmnesiacUnlearner,
    AMUNUnlearner,
    FineTuneUnlearner,
    InfluenceUnlearner,
    NegGradPlusUnlearner,
    PUMAUnlearner,
    SSDUnlearner,
    UAMUnlearner,
    UNSIRUnlearner,
)
from skunlearn._torch import pieces
from skunlearn._torch.loop import fit_loop
from skunlearn._torch.loop.epoch_loop import differentiate, sum_terms
from skunlearn._torch.parts.net_state import keep_weights, sharing_weights
from skunlearn._torch.pieces import in_pieces
from skunlearn._torch.skorch_nets import copy_net, copy_to_ask
from skunlearn.influence import InverseCurvature
from skunlearn.influence._editor import CurvatureEditor


class MLP(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))


class OwnSteps(NeuralNetClassifier):
    """A net whose steps are its own, so that skorch's loop runs."""

    def train_step(self, batch, **fit_params):
        return super().train_step(batch, **fit_params)


def make_net(kind=NeuralNetClassifier, module=MLP):
    return kind(
        module, criterion=nn.CrossEntropyLoss, lr=0.05, max_epochs=2, batch_size=32,
        optimizer__momentum=0.9, train_split=None, verbose=0,
    )  # fmt: skip


def make_rows(n=90):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    return (rng.normal(size=(n, 6)) + y[:, None]).astype(np.float32), y


@pytest.mark.parametrize(
    "method",
    [
        FineTuneUnlearner,
        SSDUnlearner,
        UAMUnlearner,
        lambda net, **kw: InfluenceUnlearner(net, inverse=InverseCurvature(max_steps=2), **kw),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_model_before_goes_with_its_request(method):
    """Not at some later collection of garbage: it knows the forgotten rows."""
    unlearner = method(make_net(), random_state=0).fit(*make_rows())
    before = weakref.ref(unlearner.estimator_.module_)
    gc.collect()
    gc.disable()
    try:
        unlearner.unlearn(indices=[3, 4])
        assert before() is None
    finally:
        gc.enable()


def test_a_watched_training_leaves_no_last_steps():
    """Momentum and gradients are sums over rows."""
    unlearner = AmnesiacUnlearner(make_net(), random_state=0)
    net = unlearner.fit(*make_rows(), sensitive=np.arange(90) < 3).estimator_
    assert not net.optimizer_.state
    assert all(p.grad is None for p in net.module_.parameters())


def test_nor_does_what_a_method_returns():
    """Who trains another net beside it would hold them too."""
    unlearner = FineTuneUnlearner(make_net(), random_state=0).fit(*make_rows())
    retain = unlearner._record.view(np.arange(3, 90))
    net = unlearner._attempt(retain, None, seed=0)
    assert net is not unlearner.estimator_
    assert not net.optimizer_.state
    assert all(p.grad is None for p in net.module_.parameters())


@pytest.mark.parametrize("small", [0, 2**18])
@pytest.mark.parametrize(
    ("method", "forget"),
    [(NegGradPlusUnlearner, [1, 2]), (AMUNUnlearner, [1, 2]), (UNSIRUnlearner, range(0, 90, 3))],
)
@pytest.mark.filterwarnings("ignore")
def test_terms_of_a_loss_are_the_loss(method, forget, small, monkeypatch):
    """Whether they are differentiated one after the other, or as a sum by skorch's own loop."""
    monkeypatch.setattr(fit_loop, "_SMALL", small)
    found = []
    for kind in (NeuralNetClassifier, OwnSteps):
        unlearner = method(make_net(kind), random_state=0, max_epochs=2).fit(*make_rows())
        net = unlearner.unlearn(indices=list(forget)).estimator_
        found.append((net.module_.state_dict(), net.history[:, "train_loss"]))
    for name, value in found[0][0].items():
        assert torch.equal(value, found[1][0][name]), name
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize(("small", "passes"), [(2**18, 1), (100, 2)])
@pytest.mark.filterwarnings("ignore")
def test_terms_are_differentiated_together_where_they_are_small(small, passes, monkeypatch):
    unlearner = NegGradPlusUnlearner(make_net(), random_state=0, max_epochs=1).fit(*make_rows())
    monkeypatch.setattr(fit_loop, "_SMALL", small)  # the weights take a few kB
    plain, made = torch.autograd.backward, []

    def note(*args, **kwargs):
        made.append(1)
        return plain(*args, **kwargs)

    monkeypatch.setattr(torch.autograd, "backward", note)
    unlearner.unlearn(indices=[1, 2])
    assert len(made) == 3 * passes  # batches of 32 in 88 rows


def hooked():
    module = MLP()
    # Half of what arrives at once: clipped twice it would be longer.
    module[0].weight.register_hook(lambda grad: grad.clamp(-1e-3, 1e-3))
    return module


@pytest.mark.filterwarnings("ignore")
def test_a_hook_sees_the_gradient_of_the_whole_loss():
    found = []
    for kind in (NeuralNetClassifier, OwnSteps):
        unlearner = NegGradPlusUnlearner(make_net(kind, hooked), random_state=0, max_epochs=2)
        net = unlearner.fit(*make_rows()).unlearn(indices=[1, 2]).estimator_
        found.append(net.module_[0].weight)
    assert torch.equal(*found)


def test_a_term_is_differentiated_before_the_next_is_made():
    weight = torch.ones(3, requires_grad=True)
    seen = []

    def terms():
        yield weight.sum()
        seen.append(weight.grad.clone())
        yield -2 * weight.sum()

    assert differentiate(terms()) == -3
    assert torch.equal(seen[0], torch.ones(3))
    assert torch.equal(weight.grad, -torch.ones(3))
    weight.grad = None
    assert sum_terms(terms_of(weight)) == -3


def terms_of(weight):
    yield weight.sum()
    yield -2 * weight.sum()


@pytest.mark.parametrize("shape", [(), (7,), (40, 3), (1, 50), (2, 3, 30)])
def test_pieces_are_views_of_all_of_it(shape, monkeypatch):
    monkeypatch.setattr(pieces, "_NUMBERS", 10)
    one, other = torch.zeros(shape), torch.arange(float(np.prod(shape))).reshape(shape)
    sizes = []
    for to, part in in_pieces(one, other):
        to.copy_(part)
        sizes.append(part.numel())
    assert torch.equal(one, other)
    assert len(sizes) == 1 or max(sizes) <= 10 or len(sizes) == max(shape)


def test_anchors_and_teachers_are_those_of_the_net_before():
    old = make_net().fit(*make_rows())
    net = copy_net(old)
    first, last = net.module_[0].weight, net.module_[3].weight
    with torch.no_grad():
        last.add_(1)
    kept = keep_weights([first, last], net, old)
    assert kept[first].data_ptr() == old.module_[0].weight.data_ptr()
    assert kept[last].data_ptr() not in (last.data_ptr(), old.module_[3].weight.data_ptr())
    assert torch.equal(kept[last], last)
    assert copy_to_ask(net, old).module_[0].weight is not old.module_[0].weight
    with torch.no_grad():
        last.copy_(old.module_[3].weight)
    teacher = copy_to_ask(net, old)
    assert teacher.module_[0].weight is old.module_[0].weight
    # What a pass of rows may write to is its own.
    assert teacher.module_ is not old.module_
    assert teacher.module_[1].running_mean is not old.module_[1].running_mean


class Striped(nn.Module):
    """Two weights in one piece of memory, as those of a recurrent net on a GPU."""

    def __init__(self):
        super().__init__()
        both = torch.randn(8)
        self.one, self.two = nn.Parameter(both[:4]), nn.Parameter(both[4:])

    def forward(self, X):
        return X[:, :3] * self.one[:3] + self.two[:3]


def places(net):
    return [p.data_ptr() for p in net.module_.parameters()]


@pytest.mark.parametrize("module", [MLP, Striped])
def test_weights_are_shared_for_a_while_and_never_written_to(module):
    old = make_net(module=module).initialize()
    net = copy_net(old)
    params, before = [*net.module_.parameters()], [p.clone() for p in old.module_.parameters()]
    moved = params[0]
    with torch.no_grad():
        moved.add_(1)
    with suppress(KeyError), sharing_weights(net, old):
        shared = [a == b for a, b in zip(places(net), places(old), strict=True)]
        raise KeyError
    assert shared == [False, *[module is MLP] * (len(params) - 1)]
    assert [*net.module_.parameters()] == params  # the optimizer knows them
    with torch.no_grad():
        for p in params:
            p.add_(1)
    for p, start in zip(old.module_.parameters(), before, strict=True):
        assert torch.equal(p, start)
    assert torch.equal(moved, before[0] + 1 + 1)


@pytest.mark.parametrize("method", [InfluenceUnlearner, PUMAUnlearner])
@pytest.mark.filterwarnings("ignore")
def test_steps_by_curvature_hold_one_net_while_they_solve(method, monkeypatch):
    unlearner = method(
        make_net(), inverse=InverseCurvature(max_steps=2), random_state=0
    ).fit(*make_rows())  # fmt: skip
    objective, seen = CurvatureEditor._objective, []

    def look(self, net, retain, forget):
        seen.append(places(net) == places(self.estimator_))
        return objective(self, net, retain, forget)

    monkeypatch.setattr(CurvatureEditor, "_objective", look)
    before = [p.clone() for p in unlearner.estimator_.module_.parameters()]
    old = unlearner.estimator_
    unlearner.unlearn(indices=[3, 4])
    assert seen == [True]
    assert all(map(torch.equal, before, old.module_.parameters()))
    assert not set(places(unlearner.estimator_)) & set(places(old))


@pytest.mark.filterwarnings("ignore")
def test_a_method_that_begins_again_holds_nothing_of_the_steps_before(monkeypatch):
    """Neither copies of the old weights nor momentum, each as large as the net."""
    attempt, begun = UNSIRUnlearner._impair_and_repair, []
    unlearner = UNSIRUnlearner(make_net(), random_state=0).fit(*make_rows())
    old = unlearner.estimator_.module_.state_dict()

    def note(self, net, *rest):
        state = net.module_.state_dict()
        same = all(torch.equal(value, old[key]) for key, value in state.items())
        gradients = [p.grad for p in net.module_.parameters() if p.grad is not None]
        begun.append((same, len(net.optimizer_.state), len(gradients)))
        attempt(self, net, *rest)

    looks = iter([0.5, 5.0, 5.0, 0.5])  # ruined, and again, and not
    monkeypatch.setattr(UNSIRUnlearner, "_look", lambda *given: next(looks))
    monkeypatch.setattr(UNSIRUnlearner, "_impair_and_repair", note)
    unlearner.unlearn(indices=np.flatnonzero(make_rows()[1] == 1))
    assert begun == [(True, 0, 0)] * 3
