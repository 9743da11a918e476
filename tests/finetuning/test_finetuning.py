"""What methods that train on compute: frozen layers, sparse weights, disturbed weights."""

import itertools

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, EpochScoring, Freezer
from torch import nn

from skunlearn import (
    CFkUnlearner,
    CFWUnlearner,
    CoUnUnlearner,
    CTUnlearner,
    EUkUnlearner,
    L1SparseUnlearner,
    MSGUnlearner,
    NoTUnlearner,
    ShrinkPerturbUnlearner,
)
from skunlearn._rows.views import Rows
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.loop import fit_loop
from skunlearn._torch.net_layers import last_layers
from skunlearn.exceptions import UnlearningError
from skunlearn.finetuning.coun import info_nce
from skunlearn.finetuning.l1_sparse import FadingL1
from skunlearn.utils._check_tools import same_parameters
from tests.method_nets import FORGET, gradient, headed, linear, weight, weights_of
from tests.winners import Two, two

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_layers_are_counted_in_the_order_of_the_forward_pass(data):
    X, y = data
    net = headed().fit(X, y)
    rows = Rows(X, y, np.arange(60))
    module = net.module_
    assert last_layers(net, rows, 1) == [module.head]
    assert last_layers(net, rows, 2) == [module.first, module.norm, module.head]
    with pytest.raises(ValueError, match="has 2 layers with weights"):
        CFkUnlearner(headed(), k=3, random_state=0).fit(X, y).unlearn(indices=FORGET)


@pytest.mark.parametrize("cls", [CFkUnlearner, EUkUnlearner])
def test_frozen_layers_stay_bitwise(data, cls):
    """Weights under momentum and weight decay; running statistics are taken anew at the end."""
    X, y = data
    unlearner = cls(headed(), k=1, lr=0.1, random_state=0).fit(X, y)
    before = weights_of(unlearner)
    after = weights_of(unlearner.unlearn(indices=FORGET))
    for name in before:
        same = np.array_equal(before[name], after[name])
        assert same == ("head" not in name and "running" not in name and "num_" not in name), name
    assert all(p.requires_grad for p in unlearner.estimator_.module_.parameters())
    moved = weights_of(cls(headed(), k=2, random_state=0).fit(X, y).unlearn(indices=FORGET))
    name = "module.norm.running_mean"
    assert not np.array_equal(moved[name], before[name])


def test_eu_k_owes_nothing_to_the_old_head(data):
    X, y = data
    results = []
    for noise in (0.0, 5.0):
        unlearner = EUkUnlearner(headed(), k=1, random_state=0).fit(X, y)
        with torch.no_grad():
            unlearner.estimator_.module_.head.weight.add_(noise)
        results.append(weights_of(unlearner.unlearn(indices=FORGET)))
    assert same_parameters(*results)
    assert len(unlearner.estimator_.history) == 10  # the net's own number of epochs


def test_eu_k_draws_half_of_the_layers_anew(data):
    X, y = data
    module = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4)), nn.Linear(4, 3))
    params = {"criterion": nn.CrossEntropyLoss, "max_epochs": 1, "train_split": None}
    net = NeuralNetClassifier(module, **params).fit(X, y)
    rows, names = Rows(X, y, np.arange(60)), []
    for frozen in (None, "2", "3", "4"):
        if frozen is not None:
            net.module_.get_submodule(frozen).requires_grad_(False)
        drawn = EUkUnlearner(net)._list_layers(net, rows)
        names.append([k for k, m in net.module_.named_children() if m in drawn])
    assert names == [["2", "3", "4"], ["3", "4"], ["4"], ["4"]]


def test_eu_k_draws_two_layers_anew_where_that_can_be(data):
    X, y = data

    def moved(net):
        unlearner = EUkUnlearner(FrozenEstimator(net), max_epochs=1, random_state=0).fit(X, y)
        before = weights_of(unlearner)
        after = weights_of(unlearner.unlearn(indices=FORGET))
        return {name for name in before if not np.array_equal(before[name], after[name])}

    net = headed().fit(X, y)
    assert {"module.first.weight", "module.head.weight"} <= moved(net)
    net.module_.first.requires_grad_(False)
    names = moved(net)
    assert "module.first.weight" not in names
    assert "module.head.weight" in names
    assert "module.weight" in moved(linear().fit(X, y))


def test_l1_fades_linearly():
    """Without any other gradient a weight shrinks by lr · γ · Σ (1 − t/E), step by step."""
    X, y = np.zeros((20, 4), np.float32), np.arange(20) % 3
    net = linear(max_epochs=4, batch_size=10).initialize()
    with torch.no_grad():  # none so small that it would cross zero
        net.module_.weight.copy_(torch.linspace(-1, 1, 12).view(3, 4))
    start = net.module_.weight.detach().clone()
    l1 = FadingL1([net.module_.weight], 0.01)
    fit_loop.train(net, Rows(X, y, np.arange(20)), callbacks=[("l1", l1)])
    shrunk = 0.1 * 0.01 * 2 * (1 + 0.75 + 0.5 + 0.25)
    expected = start - shrunk * start.sign()
    assert torch.allclose(net.module_.weight, expected, atol=1e-7)


def test_l1_adapts_to_the_recipe(data):
    """Half the learning rate, or half the epochs, asks for twice the γ."""
    X, y = data

    def gamma(**kwargs):
        unlearner = L1SparseUnlearner(linear(), **kwargs).fit(X, y)
        net = skorch_nets.copy_net(
            unlearner.estimator_, lr=unlearner.lr, max_epochs=unlearner.max_epochs
        )
        return unlearner._adapt(net, Rows(X, y, np.arange(60)), list(net.module_.parameters()))

    base = gamma(lr=0.1, max_epochs=8, random_state=0)
    assert gamma(lr=0.05, max_epochs=8, random_state=0) == pytest.approx(2 * base)
    assert gamma(lr=0.1, max_epochs=4, random_state=0) == pytest.approx(2 * base)


def test_sparse_weights(data):
    X, y = data
    size = {}
    for gamma in (0.0, 0.1):
        unlearner = L1SparseUnlearner(linear(), gamma=gamma, random_state=0).fit(X, y)
        size[gamma] = np.abs(weight(unlearner.unlearn(indices=FORGET))).sum()
    assert size[0.1] < size[0.0]


class Watch(nn.Module):
    """A convolution before a linear layer, the latter registered first."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(8, 3)
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.one = nn.Conv2d(2, 2, 1)

    def forward(self, X):
        return self.out(self.one(self.conv(X.reshape(-1, 1, 2, 2))).flatten(1))


@pytest.mark.parametrize("cls", [NoTUnlearner, CTUnlearner])
def test_disturbed_weights(data, cls):
    """At a rate of nothing, what is left is the disturbance."""
    X, y = data
    net = NeuralNetClassifier(Watch, criterion=nn.CrossEntropyLoss, lr=0.1, train_split=None)
    unlearner = cls(net, lr=1e-12, random_state=0).fit(X, y)
    before = weights_of(unlearner)
    after = weights_of(unlearner.unlearn(indices=FORGET))
    kernel = before["module.conv.weight"]
    expected = -kernel if cls is NoTUnlearner else kernel.transpose(0, 1, 3, 2)
    assert after["module.conv.weight"] == pytest.approx(expected, abs=1e-6)
    for name in ("module.one.weight", "module.out.weight", "module.conv.bias"):
        assert after[name] == pytest.approx(before[name], abs=1e-6)


@pytest.mark.parametrize("cls", [NoTUnlearner, CTUnlearner])
@pytest.mark.parametrize("epochs, taken, rate", [(15, 6, 0.05), (5, 2, 0.05), (30, 6, 0.1)])
def test_a_short_recipe_is_trained_back_at_half_its_rate(data, cls, epochs, taken, rate):
    X, y = data
    recipe = NeuralNetClassifier(
        Watch, criterion=nn.CrossEntropyLoss, max_epochs=epochs, lr=0.1, train_split=None, verbose=0
    )

    def forgotten(**given):
        unlearner = cls(recipe, random_state=0, **given).fit(X, y).unlearn(indices=FORGET)
        return unlearner.predict_proba(X)

    by_default = forgotten()
    assert np.array_equal(by_default, forgotten(lr=rate, max_epochs=taken))
    assert not np.array_equal(by_default, forgotten(lr=2 * rate))


class Unequal(Watch):
    """Kernels that a transposition does not fit, or does not change."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, (1, 3), padding=(0, 1))


class LazyKernels(Watch):
    """The kernels' sizes are known before any row."""

    def __init__(self):
        super().__init__()
        self.conv = nn.LazyConv2d(2, 3, padding=1)


def watch(module, **params):
    return NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, max_epochs=1, train_split=None, verbose=0, **params
    )


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("make", [headed, lambda: watch(Unequal)])
def test_ct_says_before_the_training_that_a_net_has_no_kernels(data, make, frozen):
    X, y = data
    seen = []
    net = make().set_params(
        callbacks=[EpochScoring(lambda *given: seen.append(1) or 0.0, on_train=True)]
    )
    if frozen:
        net = FrozenEstimator(net.fit(X, y))
        seen.clear()
    unlearner = CTUnlearner(net, random_state=0)
    with pytest.raises(ValueError, match=r"has none. Use another method"):
        unlearner.fit(X, y)
    assert not seen
    assert not hasattr(unlearner, "estimator_")


def test_ct_says_at_the_request_that_no_kernel_learns(data):
    """Callbacks may freeze and unfreeze them at any time."""
    X, y = data
    unlearner = CTUnlearner(watch(LazyKernels, callbacks=[Freezer("conv.*")]), random_state=0)
    before = weights_of(unlearner.fit(X, y))
    with pytest.raises(UnlearningError, match=r"that learn.* has none"):
        unlearner.unlearn(indices=FORGET)
    assert same_parameters(weights_of(unlearner), before)
    CTUnlearner(watch(LazyKernels), random_state=0).fit(X, y).unlearn(indices=FORGET)


def test_msg_renews_the_smallest_gradients(data):
    X, y = data
    unlearner = MSGUnlearner(headed(), share=0.25, lr=1e-12, random_state=0).fit(X, y)
    before = weights_of(unlearner)
    rows = [Rows(X, y, np.setdiff1d(np.arange(60), FORGET)), Rows(X, y, FORGET)]
    net = skorch_nets.copy_net(unlearner.estimator_)
    params = [net.module_.first.weight, net.module_.head.weight]
    ours, theirs = (
        inference.loss_gradient(net, r, params, unlearner.classes_)
        for r in (rows[0].sample(12, 0), rows[1])
    )
    after = weights_of(unlearner.unlearn(indices=FORGET))
    for name, a, b in zip(("first", "head"), ours, theirs, strict=True):
        changed = np.abs(after[f"module.{name}.weight"] - before[f"module.{name}.weight"]) > 1e-6
        assert changed.sum() == round(0.25 * changed.size)
        size = (a - b).abs().numpy()
        assert size[changed].max() <= size[~changed].min()


def test_msg_moves_what_it_did_not_draw_anew_at_a_tenth_of_the_rate(data):
    """One step on the retained rows from where it begins."""
    X, y = data
    begun = []

    class Look(Callback):
        def on_epoch_begin(self, net, **kwargs):
            begun.append(net.module_.weight.detach().numpy().astype(np.float64))

    unlearner = MSGUnlearner(
        linear(callbacks=[("look", Look())]), share=0.4, lr=0.5, max_epochs=1,
        schedule="constant", random_state=0,
    ).fit(X, y)  # fmt: skip
    before = weight(unlearner)
    begun.clear()
    unlearner.unlearn(indices=FORGET)
    (W,) = begun
    assert (before != W).sum() == round(0.4 * 12)
    step = gradient(W, X[12:], y[12:]) * np.where(before != W, 1, 0.1)
    assert weight(unlearner) == pytest.approx(W - 0.5 * step, abs=1e-6)


def test_coun_is_its_formula(data):
    """CE + λ · InfoNCE of what enters the last layer, of two views of the retained rows."""
    X, y = data
    views = [(lambda x: x + 0.5), (lambda x: 0.7 * x - 0.2)]
    unlearner = CoUnUnlearner(
        two(batch_size=-1), augment=lambda x: views[next(turns) % 2](x), strength=3.0,
        temperature=0.2, lr=0.3, max_epochs=2, schedule="constant", random_state=0,
    ).fit(X, y)  # fmt: skip
    turns, module = itertools.count(), Two()
    module.load_state_dict(unlearner.estimator_.module_.state_dict())
    rows, labels = torch.tensor(X[12:]), torch.tensor(y[12:])
    for _ in range(2):
        a, b = (torch.relu(module.norm(module.first(view(rows)))) for view in views)
        likeness = nn.functional.cosine_similarity(a[:, None], b[None], dim=2) / 0.2
        own = [likeness.log_softmax(dim).diagonal().mean() for dim in (0, 1)]
        loss = nn.functional.cross_entropy(module(rows), labels) - 3.0 * sum(own) / 2
        grads = torch.autograd.grad(loss, list(module.parameters()))
        with torch.no_grad():
            for p, grad in zip(module.parameters(), grads, strict=True):
                p.sub_(0.3 * grad)
    found = unlearner.unlearn(indices=FORGET).estimator_.module_.parameters()
    for p, q in zip(found, module.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "cls", [CFWUnlearner, CTUnlearner, EUkUnlearner, NoTUnlearner, ShrinkPerturbUnlearner]
)
def test_what_was_disturbed_is_trained_on_the_retained_rows(data, cls):
    """By a step down the mean of their loss, whatever the disturbance."""
    X, y = data
    begun = []

    class Look(Callback):
        def on_epoch_begin(self, net, **kwargs):
            begun.append({name: v.clone() for name, v in net.module_.state_dict().items()})

    net = NeuralNetClassifier(
        Watch, criterion=nn.CrossEntropyLoss, max_epochs=5, lr=0.1, train_split=None, verbose=0,
        batch_size=-1, callbacks=[("look", Look())],
    )  # fmt: skip
    more = {"late_noise": 0} if cls is CFWUnlearner else {}
    unlearner = cls(net, lr=0.3, max_epochs=1, schedule="constant", random_state=0, **more)
    unlearner.fit(X, y)
    before = weights_of(unlearner)
    begun.clear()
    unlearner.unlearn(indices=FORGET)
    module = Watch()
    module.load_state_dict(begun[-1])
    assert not np.allclose(module.conv.weight.detach(), before["module.conv.weight"]) or (
        cls is EUkUnlearner
    )
    loss = nn.functional.cross_entropy(module(torch.tensor(X[12:])), torch.tensor(y[12:]))
    named = dict(module.named_parameters())
    grads = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
    for name, p in unlearner.estimator_.module_.named_parameters():
        step = 0.0 if cls is EUkUnlearner and name.startswith("conv") else 0.3 * grads[name]
        torch.testing.assert_close(p, named[name] - step, rtol=1e-4, atol=1e-6)


def test_info_nce_is_its_formula():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 7, 5))
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b)]
    likeness = unit[0] @ unit[1].T / 0.2
    expected = -np.mean([np.diag(log_softmax(s, axis=1)).mean() for s in (likeness, likeness.T)])
    found = float(info_nce(torch.tensor(a), torch.tensor(b), 0.2))
    assert found == pytest.approx(expected, rel=1e-5)


def test_coun_takes_an_augmentation(data):
    X, y = data
    calls = []

    def augment(x):
        calls.append(len(x))
        return x + 0.1

    CoUnUnlearner(headed(), augment=augment, max_epochs=1, random_state=0).fit(X, y).unlearn(
        indices=FORGET
    )
    assert sum(calls) == 2 * 48
    with pytest.raises(TypeError, match="callable"):
        CoUnUnlearner(headed(), augment=3).fit(X, y)


def record_gradients(apart, monkeypatch, data, freeze):
    """Gradients of the first steps of CoUn, of its terms apart or of their sum."""
    X, y = data
    seen = []

    class Look(Callback):
        def on_grad_computed(self, net, named_parameters, **kwargs):
            seen.append([p.grad.clone() for _, p in named_parameters if p.grad is not None])

    net = headed(callbacks=[("look", Look)])
    unlearner = CoUnUnlearner(net, strength=2.0, max_epochs=1, lr=1e-9, random_state=0).fit(X, y)
    for name, p in unlearner.estimator_.module_.named_parameters():
        p.requires_grad_(not name.startswith(freeze))
    seen.clear()
    with monkeypatch.context() as patch:
        patch.setattr(fit_loop, "takes_terms", lambda net: apart)
        patch.setattr(fit_loop, "_SMALL", 0)
        unlearner.unlearn(indices=FORGET)
    return seen


@pytest.mark.parametrize("freeze", [(), ("first", "norm")], ids=["none", "features"])
def test_terms_of_coun_apart_have_the_gradient_of_their_sum(data, monkeypatch, freeze):
    apart, whole = (record_gradients(way, monkeypatch, data, freeze) for way in (True, False))
    assert apart
    assert len(apart) == len(whole)
    for ours, theirs in zip(apart, whole, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
