"""What the methods compute, and the traps of released code."""

import sys

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax
from sklearn.model_selection import RandomizedSearchCV, train_test_split
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skunlearn import (
    BoundaryUnlearner,
    CFkUnlearner,
    CoUnUnlearner,
    CTUnlearner,
    DELETEUnlearner,
    EUkUnlearner,
    FisherForgettingUnlearner,
    GradientAscentUnlearner,
    L1SparseUnlearner,
    MSGUnlearner,
    NegGradPlusUnlearner,
    NoTUnlearner,
    RandomLabelUnlearner,
    RetrainUnlearner,
    RUMUnlearner,
    SalUnUnlearner,
    SCRUBUnlearner,
    SSDUnlearner,
    UNSIRUnlearner,
)
from skunlearn._rows.views import Rows
from skunlearn._torch import inference, skorch_nets
from skunlearn._torch.loop import fit_loop
from skunlearn._torch.loop.optimizer_steps import FrozenWeights, largest
from skunlearn._torch.net_layers import last_layers
from skunlearn._torch.parts.tasks import Classes
from skunlearn.ascent._bound import KnownRows
from skunlearn.datasets import load_digits_images
from skunlearn.distillation._teacher import copied, untrained
from skunlearn.editing.ssd import dampen
from skunlearn.exceptions import (
    NotForgottenWarning,
    UnlearningError,
    UnsuitableMethodWarning,
)
from skunlearn.finetuning.coun import info_nce
from skunlearn.finetuning.l1_sparse import FadingL1
from skunlearn.model_selection import ForgetSplit
from skunlearn.nets import digits_classifier
from skunlearn.relabelling.boundary import neighbouring_class
from skunlearn.relabelling.salun import salient_weights
from skunlearn.utils import all_unlearners, unlearner_tags
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.instances import FOR_REGRESSION, SETTINGS, ConvNet, make_net, make_regressor_net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
FORGET = np.arange(12)


class Headed(nn.Module):
    """Two layers and a norm; the head is registered first."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 3)
        self.first = nn.Linear(4, 6)
        self.norm = nn.BatchNorm1d(6)

    def forward(self, X):
        return self.head(torch.relu(self.norm(self.first(X))))


def headed(**kwargs):
    params = {
        "criterion": nn.CrossEntropyLoss, "lr": 0.05, "optimizer__momentum": 0.9,
        "optimizer__weight_decay": 0.01, "max_epochs": 10, "batch_size": 16,
        "iterator_train__shuffle": True, "train_split": None,
    }  # fmt: skip
    return NeuralNetClassifier(Headed, **(params | kwargs))


def linear(**kwargs):
    """Multinomial logistic regression; its gradients are in closed form."""
    params = {
        "module__in_features": 4, "module__out_features": 3, "module__bias": False,
        "criterion": nn.CrossEntropyLoss, "lr": 0.1, "max_epochs": 20, "batch_size": -1,
        "train_split": None,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, **(params | kwargs))


def weights_of(unlearner):
    return parameters(unlearner.estimator_)


def weight(unlearner):
    return unlearner.estimator_.module_.weight.detach().numpy().astype(np.float64)


def gradient(W, X, y):
    """Of the mean cross-entropy of a linear net."""
    return (softmax(X @ W.T, axis=1) - np.eye(3)[y]).T @ X / len(y)


# ------------------------------------------------------------------ fine-tuning family


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
        return unlearner._adapted(net, Rows(X, y, np.arange(60)), list(net.module_.parameters()))

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


def test_ct_needs_convolutions(data):
    X, y = data
    unlearner = CTUnlearner(headed(), random_state=0).fit(X, y)
    before = weights_of(unlearner)
    with pytest.raises(UnlearningError, match="has none"):
        unlearner.unlearn(indices=FORGET)
    assert same_parameters(weights_of(unlearner), before)


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


# ------------------------------------------------------------------ ascent


def test_neggrad_plus_is_its_formula(data):
    """One whole-batch step on a linear net, in closed form."""
    X, y = data
    unlearner = NegGradPlusUnlearner(
        linear(), beta=0.7, bound=100.0, max_norm=1e9, lr=0.3, max_epochs=1, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    W = weight(unlearner)
    kept = np.setdiff1d(np.arange(60), FORGET)
    step = 0.7 * gradient(W, X[kept], y[kept]) - 0.3 * gradient(W, X[FORGET], y[FORGET])
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(W - 0.3 * step, abs=1e-6)


def test_ascent_is_its_formula_and_bounded(data):
    X, y = data
    given = {"max_norm": 1e9, "lr": 0.3, "max_epochs": 1, "schedule": "constant", "random_state": 0}
    unlearner = GradientAscentUnlearner(linear(), bound=100.0, **given).fit(X, y)
    W = weight(unlearner)
    step = gradient(W, X[FORGET], y[FORGET])
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(W + 0.3 * step, abs=1e-6)
    # Rows whose loss is beyond the bound are left alone.
    unlearner = GradientAscentUnlearner(linear(), bound=1e-6, **given).fit(X, y)
    assert np.array_equal(weight(unlearner.unlearn(indices=FORGET)), W.astype(np.float32))
    losses = -log_softmax(X @ W.T, axis=1)[np.arange(60), y][FORGET]
    middle = float(np.median(losses))
    unlearner = GradientAscentUnlearner(linear(), bound=middle, **given).fit(X, y)
    low = losses < middle
    step = gradient(W, X[FORGET][low], y[FORGET][low]) * low.mean()
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(W + 0.3 * step, abs=1e-6)


@pytest.mark.parametrize("max_norm, length", [(1e9, 1.0), (0.5, 0.5)])
def test_a_short_slope_of_a_whole_class_is_lengthened(data, max_norm, length):
    """A net that is sure of its rows has next to no gradient on them."""
    X, y = data
    rows = np.flatnonzero(y == 1)
    unlearner = GradientAscentUnlearner(
        linear(), bound=100.0, max_norm=max_norm, lr=0.3, max_epochs=1, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    W = weight(unlearner)
    step = gradient(W, X[rows], y[rows])
    assert np.linalg.norm(step) < length
    step *= length / np.linalg.norm(step)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(W + 0.3 * step, abs=1e-5)


def test_chance_bounds_a_long_ascent(data):
    """Without it the loss runs away; with it, it ends near ln 3."""
    X, y = data
    given = {"lr": 1.0, "max_epochs": 200, "schedule": "constant", "random_state": 0}
    unlearner = GradientAscentUnlearner(linear(), **given).fit(X, y).unlearn(indices=FORGET)
    assert unlearner.deletions_[0]["measured"]["forget_after"]["loss"] < 3
    wild = GradientAscentUnlearner(linear(), bound=1e9, **given).fit(X, y).unlearn(indices=FORGET)
    assert wild.deletions_[0]["measured"]["forget_after"]["loss"] > 10


@pytest.mark.parametrize("name", ["GradientAscentUnlearner", "DELETEUnlearner"])
def test_methods_on_forget_rows_alone_end_when_these_are_forgotten(data, name, monkeypatch):
    """Momentum would carry the weights on, although no row has a gradient any more."""
    X, y = data
    rows = np.flatnonzero(y == 1)
    cls, loss = all_unlearners()[name], {}
    for ends in (True, False):
        unlearner = cls(headed(), lr=0.05, max_epochs=40, random_state=0).fit(X, y)
        if not ends:
            monkeypatch.setattr(KnownRows, "on_batch_end", lambda self, net, **kwargs: None)
        unlearner.unlearn(indices=rows)
        loss[ends] = unlearner.deletions_[0]["measured"]["forget_after"]["loss"]
        assert (len(unlearner.estimator_.history) < 40) == ends
    assert np.log(3) - 0.3 < loss[True] < 0.8 * loss[False]
    assert cls(headed(max_epochs=7)).fit(X, y)._epochs() == 7


# ------------------------------------------------------------------ relabelling


class Labels(Callback):
    """Keeps the labels that each epoch trains on, by the places of their rows."""

    epochs = []

    def on_epoch_begin(self, net, **kwargs):
        Labels.epochs.append({})

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        Labels.epochs[-1].update(zip(batch.rows.tolist(), batch.y.tolist()))


def labels_of_epochs(X, y, **params):
    """What each epoch of the request trains on: retained rows first, then forget rows."""
    unlearner = RandomLabelUnlearner(
        linear(callbacks=[("labels", Labels())]), max_epochs=20, random_state=0, **params
    ).fit(X, y)
    Labels.epochs.clear()
    unlearner.unlearn(indices=FORGET)
    return [[epoch[place] for place in sorted(epoch)] for epoch in Labels.epochs]


def test_random_labels_exclude_the_true_one_and_are_drawn_anew(data):
    X, y = data
    table = np.array(labels_of_epochs(X, y))
    assert table.shape == (20, 60)
    assert (table[:, 48:] != y[FORGET]).all()
    assert (table[:, :48] == y[12:]).all()  # retained rows keep theirs
    assert len(np.unique(table[:, 48:], axis=0)) > 10
    once = np.array(labels_of_epochs(X, y, redraw=False))
    assert (once == once[0]).all()
    any_label = np.array(labels_of_epochs(X, y, exclude_true=False))
    assert (any_label[:, 48:] == y[FORGET]).any()
    in_turn = labels_of_epochs(X, y, order="sequential")
    assert (np.array(in_turn[::2]) != y[FORGET]).all()
    assert (np.array(in_turn[1::2]) == y[12:]).all()
    assert len(np.unique(in_turn[::2], axis=0)) > 10


@pytest.mark.parametrize("order", ["mixed", "sequential"])
def test_salun_freezes_bitwise(data, order):
    """Under momentum and weight decay, which move weights without any gradient."""
    X, y = data
    unlearner = SalUnUnlearner(headed(), share=0.3, order=order, lr=0.1, random_state=0).fit(X, y)
    before = weights_of(unlearner)
    after = weights_of(unlearner.unlearn(indices=FORGET))
    learnt = [name for name in before if "running" not in name and "num_batches" not in name]
    changed = sum((before[name] != after[name]).sum() for name in learnt)
    total = sum(before[name].size for name in learnt)
    assert 0.2 * total < changed <= round(0.3 * total)


def test_a_mask_on_gradients_alone_would_not_freeze(data):
    """The trap: what the callback puts back, weight decay has moved."""
    X, y = data
    for callback, same in ((True, True), (False, False)):
        net = headed(max_epochs=2).initialize()
        p = net.module_.first.weight
        start = p.detach().clone()
        p.register_hook(torch.zeros_like)
        frozen = [("frozen", FrozenWeights({p: torch.zeros_like(p, dtype=torch.bool)}))]
        fit_loop.train(net, Rows(X, y, np.arange(60)), callbacks=frozen if callback else [])
        assert torch.equal(p, start) == same


def test_saliency_is_ranked_over_all_weights_together(data):
    """Not by layer: a layer without gradient keeps all of its weights."""
    X, y = data
    unlearner = SalUnUnlearner(headed(), share=0.1, random_state=0).fit(X, y)
    with torch.no_grad():  # a head that answers nothing has no gradient below it
        unlearner.estimator_.module_.head.weight.zero_()
    net = skorch_nets.copy_net(unlearner.estimator_)
    masks = salient_weights(net, Rows(X, y, FORGET), 0.1, unlearner.classes_)
    named = {name: masks[p] for name, p in net.module_.named_parameters()}
    assert named["first.weight"].sum() == 0
    assert sum(int(m.sum()) for m in named.values()) == round(
        0.1 * sum(m.numel() for m in named.values())
    )


def test_neighbours_are_never_the_own_class(data):
    X, y = data
    net = linear().fit(X, y)
    net._set_training(False)
    x, own = torch.as_tensor(X), torch.as_tensor(y)
    found = neighbouring_class(net, x, own, 0.1, 3)
    assert (found != own).all()
    far = neighbouring_class(net, x, own, 10.0, 3)
    W = net.module_.weight.detach().numpy()
    p = softmax(X @ W.T, axis=1) - np.eye(3)[y]
    moved = X + 10 * (X.max() - X.min()) * np.sign(p @ W)
    z = moved @ W.T
    z[np.arange(60), y] = -np.inf
    assert np.array_equal(far.numpy(), z.argmax(axis=1))
    with pytest.raises(UnlearningError, match="floating-point"):
        neighbouring_class(net, x.long(), own, 0.1, 3)


def test_expanding_leaves_no_extra_output(data):
    """A released implementation kept it."""
    X, y = load_digits_images(return_X_y=True)
    X, y = X[:800], y[:800]
    net = digits_classifier(max_epochs=15)
    unlearner = BoundaryUnlearner(net, kind="expand", lr=0.02, max_epochs=12, random_state=0)
    unlearner.fit(X, y)
    assert np.mean(unlearner.predict(X[y == 8]) == 8) > 0.9
    before = weights_of(unlearner)
    unlearner.unlearn(indices=np.flatnonzero(y == 8))
    after = weights_of(unlearner)
    assert {k: v.shape for k, v in after.items()} == {k: v.shape for k, v in before.items()}
    assert not same_parameters(before, after)
    assert unlearner.predict_proba(X).shape == (800, 10)
    assert np.mean(unlearner.predict(X[y == 8]) == 8) < 0.1
    X, y = data
    net = NeuralNetClassifier(SoftmaxLast, criterion=nn.CrossEntropyLoss, train_split=None)
    unlearner = BoundaryUnlearner(net, kind="expand").fit(X, y)
    with pytest.raises(UnlearningError, match="must be linear"):
        unlearner.unlearn(indices=FORGET)


class SoftmaxLast(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(4, 3), nn.LayerNorm(3))


def test_unsir_needs_labels_only_and_floating_rows(data):
    X, y = data
    rows = np.flatnonzero(y == 1)
    unlearner = UNSIRUnlearner(headed(), max_epochs=4, random_state=0).fit(X, y)
    unlearner.unlearn(indices=rows)
    assert np.mean(unlearner.predict(X[rows]) == 1) < 0.9

    class Embeds(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(16, 3))

    net = NeuralNetClassifier(Embeds, criterion=nn.CrossEntropyLoss, train_split=None, max_epochs=1)
    with pytest.raises(UnlearningError, match="floating-point"):
        UNSIRUnlearner(net).fit(np.abs(X).astype(np.int64) % 10, y).unlearn(indices=rows)


# ------------------------------------------------------------------ distillation


def test_divergence_is_per_row():
    """Not divided by the number of classes, and multiplied by T²."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 9, 5))
    p, q = softmax(a / 4, axis=1), softmax(b / 4, axis=1)
    expected = 16 * (p * np.log(p / q)).sum(axis=1).mean()
    found = Classes(np.arange(5)).divergences(torch.tensor(a), torch.tensor(b), 4.0)
    assert float(found.mean()) == pytest.approx(expected, rel=1e-5)
    a[:, 0] = -np.inf  # a class that the teacher excludes
    p = softmax(a[:, 1:], axis=1)
    expected = (p * (np.log(p) - log_softmax(b, axis=1)[:, 1:])).sum(axis=1).mean()
    found = Classes(np.arange(5)).divergences(torch.tensor(a), torch.tensor(b))
    assert float(found.mean()) == pytest.approx(expected, rel=1e-5)


def test_teachers_share_no_weights(data):
    X, y = data
    net = headed().fit(X, y)
    x = torch.as_tensor(X)
    teacher, fresh = copied(net, np.arange(3)), untrained(net, np.arange(3))
    before = teacher(x).clone()
    with torch.no_grad():
        for p in net.module_.parameters():
            p.add_(1.0)
    assert torch.equal(teacher(x), before)
    assert not torch.equal(fresh(x), before)
    assert not teacher(x).requires_grad
    shared = {p.data_ptr() for p in net.module_.parameters()}
    assert not shared & {p.data_ptr() for p in teacher.net.module_.parameters()}


def test_delete_is_its_formula(data):
    """One whole-batch step on a linear net."""
    X, y = data
    rows = np.flatnonzero(y == 2)
    unlearner = DELETEUnlearner(
        linear(), bound=1e9, lr=0.5, max_epochs=1, schedule="constant", random_state=0
    ).fit(X, y)
    W = weight(unlearner)
    z = X[rows] @ W.T
    z[:, 2] = -np.inf
    step = (softmax(X[rows] @ W.T, axis=1) - softmax(z, axis=1)).T @ X[rows] / len(rows)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(W - 0.5 * step, abs=1e-6)


def test_scrub_rewinds_to_the_epoch_of_unseen_rows():
    X, y = load_digits_images(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    net = digits_classifier(max_epochs=15)
    found = {}
    for name, rewind in (("plain", None), ("rewound", (X_test, y_test))):
        unlearner = SCRUBUnlearner(net, lr=0.02, max_epochs=6, rewind=rewind, random_state=0)
        unlearner.fit(X, y).unlearn(indices=np.arange(60))
        gap = unlearner.score(X[:60], y[:60]) - unlearner.score(X_test, y_test)
        found[name] = abs(gap)
    assert found["rewound"] <= found["plain"]
    with pytest.raises(ValueError, match="pair"):
        SCRUBUnlearner(net, rewind=True).fit(X, y)
    with pytest.raises(ValueError, match="no row of the forget rows' classes"):
        SCRUBUnlearner(net, rewind=(X_test[y_test == 1], y_test[y_test == 1])).fit(
            X, y, forget=y == 0
        )


# ------------------------------------------------------------------ editing


def test_dampening_is_its_formula():
    p = [nn.Parameter(torch.tensor([1.0, 2.0, 3.0, 4.0]))]
    ours, everyone = [torch.tensor([1.0, 50.0, 10.0, 0.0])], [torch.tensor([1.0, 1.0, 1.0, 0.0])]
    dampen(p, ours, everyone, alpha=10.0, strength=5.0)
    # Only the second exceeds 10 times; it is multiplied by 5 · 1 / 50.
    assert torch.allclose(p[0], torch.tensor([1.0, 0.2, 3.0, 4.0]))


def test_importance_does_not_depend_on_the_batch_size(data):
    X, y = data
    rows = np.flatnonzero(y == 1)
    results = []
    for size in (4, 60):
        unlearner = SSDUnlearner(linear(batch_size=20), random_state=0).fit(X, y)
        unlearner.estimator_.set_params(batch_size=size)
        results.append(weight(unlearner.unlearn(indices=rows)))
    assert np.array_equal(*results)


def test_importance_is_the_mean_of_squares(data):
    X, y = data
    rows = np.flatnonzero(y == 1)
    unlearner = SSDUnlearner(linear(), alpha=1.2, random_state=0).fit(X, y)
    W = weight(unlearner)

    def importance(index):
        p = softmax(X[index] @ W.T, axis=1) - np.eye(3)[y[index]]
        return ((p[:, :, None] * X[index][:, None, :]) ** 2).mean(axis=0)

    f, d = importance(rows), importance(np.arange(60))
    expected = np.where(f > 1.2 * d, W * np.minimum(d / f, 1), W)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(expected, rel=1e-4)
    assert not np.array_equal(expected, W)


def test_fisher_noise_is_larger_where_the_rows_hold_less(data):
    X, y = data
    X = X * np.array([1, 1, 1, 0.01], dtype=np.float32)  # the last input hardly matters
    moved = []
    for seed in range(5):
        unlearner = FisherForgettingUnlearner(linear(), alpha=1e-4, random_state=seed).fit(X, y)
        W = weight(unlearner)
        moved.append(np.abs(weight(unlearner.unlearn(indices=FORGET)) - W).mean(axis=0))
    moved = np.mean(moved, axis=0)
    assert moved[3] > 3 * moved[:3].max()
    limit = FisherForgettingUnlearner(linear(), alpha=1e9, limit=0.1, random_state=0).fit(X, y)
    W = weight(limit)
    spread = (weight(limit.unlearn(indices=FORGET)) - W).std()
    assert spread == pytest.approx(0.1 * np.sqrt((W**2).mean()), rel=0.5)


# ------------------------------------------------------------------ RUM


def test_rum_hands_each_part_to_its_method(data, monkeypatch):
    X, y = data
    seen = []
    monkeypatch.setattr(
        CFkUnlearner, "_unlearn", lambda self, net, retain, forget: seen.append(forget.index)
    )
    unlearner = RUMUnlearner(headed(), unlearners=[CFkUnlearner(headed())] * 3, random_state=0).fit(
        X, y
    )
    p = unlearner.predict_proba(X)[FORGET, y[FORGET]]
    unlearner.unlearn(indices=FORGET)
    assert [len(part) for part in seen] == [4, 4, 4]
    assert np.array_equal(np.concatenate(seen), FORGET[np.argsort(-p, kind="stable")])
    for bad in ([], "all", [RetrainUnlearner(headed())]):
        with pytest.raises(TypeError, match="unlearners must"):
            RUMUnlearner(headed(), unlearners=bad).fit(X, y)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("count", [0, 1, 7, 23, 24])
def test_masks_of_the_largest_entries(count, dtype):
    rng = torch.Generator().manual_seed(0)
    values = [torch.randint(5, size, generator=rng).to(dtype) for size in ((3, 4), (12,))]
    whole = torch.cat([value.flatten() for value in values])
    wanted = torch.zeros(24, dtype=torch.bool)
    wanted[whole.argsort(descending=True, stable=True)[:count]] = True
    masks = largest(values, count)
    assert [mask.shape for mask in masks] == [(3, 4), (12,)]
    assert torch.equal(torch.cat([mask.flatten() for mask in masks]), wanted)


def test_memorisation_by_retraining(data):
    X, y = data
    unlearner = RUMUnlearner(headed(max_epochs=60), memorisation="retrain", random_state=0).fit(
        X, y
    )
    forget, retain = Rows(X, y, FORGET), Rows(X, y, np.arange(12, 60))
    never = RetrainUnlearner(headed(max_epochs=60), random_state=0).fit(X[12:], y[12:])
    rows = np.arange(12), y[FORGET]
    expected = unlearner.predict_proba(X[FORGET])[rows] - never.predict_proba(X[FORGET])[rows]
    assert unlearner._memorised(retain, forget) == pytest.approx(expected, abs=1e-5)


# ------------------------------------------------------------------ all methods


def test_tags():
    exact = {
        "ForestUnlearner",
        "RetrainUnlearner",
        "RidgeUnlearner",
        "ShardedUnlearner",
        "SufficientStatisticsUnlearner",
    }
    assert set(all_unlearners(exact=True)) == exact
    assert "DELETEUnlearner" in all_unlearners(class_only=True)
    assert not unlearner_tags(GradientAscentUnlearner).needs_retain
    assert unlearner_tags(SCRUBUnlearner).needs_forget
    assert not unlearner_tags(NoTUnlearner).needs_labels
    with pytest.raises(TypeError, match="unknown tags"):
        all_unlearners(fast=True)


@pytest.mark.parametrize("name", sorted(all_unlearners(nets=True)))
def test_search_spaces_hold_valid_settings(name):
    unlearner = all_unlearners()[name](make_net(), random_state=0)
    if not hasattr(unlearner, "search_space"):
        pytest.skip("there is nothing to tune")
    rng = np.random.RandomState(0)
    space = unlearner.search_space()
    for values in (space, unlearner.search_space("grid", n_points=3)):
        for key, choices in values.items():
            assert key in unlearner.get_params()
            picked = choices.rvs(size=5, random_state=rng) if hasattr(choices, "rvs") else choices
            for value in picked:
                unlearner.set_params(**{key: value})
                unlearner._check_parameters()
    with pytest.raises(ValueError, match="kind must be"):
        unlearner.search_space("all")


@pytest.mark.parametrize("name", sorted(all_unlearners(nets=True)))
def test_searches_look_around_the_defaults(name):
    unlearner = all_unlearners()[name](make_net(lr=0.1, max_epochs=30))
    if not hasattr(unlearner, "search_space"):
        pytest.skip("there is nothing to tune")
    space = unlearner.search_space()
    if "max_epochs" in space:
        low, high = space["max_epochs"].support()
        assert low < unlearner._epochs() < high
    if "lr" in space:
        low, high = space["lr"].support()
        assert low < 0.1 * unlearner._lr_share < high


def test_the_space_of_unsir_reaches_beyond_the_rate_of_the_net():
    """On nets trained at a low rate the default leaves the class, and so do smaller ones."""
    assert UNSIRUnlearner(make_net(lr=0.1)).search_space()["lr"].support()[1] >= 0.3


def test_optuna_takes_the_spaces():
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    space = SCRUBUnlearner(make_net()).search_space("optuna")
    assert space["alpha"] == optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)
    assert isinstance(space["max_epochs"], optuna.distributions.IntDistribution)


def test_without_optuna_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="pip install optuna"):
        SCRUBUnlearner(make_net()).search_space("optuna")


def test_search_spaces_work_in_a_search(data):
    X, y = data
    unlearner = NegGradPlusUnlearner(make_net(module__n_out=3, max_epochs=2), random_state=0)
    forget = np.arange(60) < 12
    search = RandomizedSearchCV(
        unlearner, unlearner.search_space(), n_iter=3, random_state=0,
        cv=ForgetSplit(2, forget=forget, random_state=0),
    )  # fmt: skip
    search.fit(X, y, forget=forget)
    assert 0.7 <= search.best_params_["beta"] <= 0.999


@pytest.mark.parametrize("name", sorted(all_unlearners(needs_forget=True, exact=False, nets=True)))
def test_rows_that_come_with_the_request(data, name):
    """Of an estimator that holds none; forget and retained rows lie in two containers."""
    X, y = data
    module = {"module": ConvNet} if name == "CTUnlearner" else {}
    net = make_net(max_epochs=3).set_params(**module)
    given = dict(SETTINGS.get(name, {}))
    if "max_epochs" in given:
        given["max_epochs"] = 1
    cls = all_unlearners()[name]
    whole = cls(net, random_state=0, **given).fit(X, y).unlearn(indices=FORGET)
    bare = cls(net, random_state=0, **given).fit(X, y).detach()
    bare.unlearn(X[:12], y[:12], X_retain=X[12:], y_retain=y[12:])
    assert bare.predict_proba(X) == pytest.approx(whole.predict_proba(X), abs=1e-5)


# One process trains the nets, not every one.
of_noisy = pytest.mark.xdist_group("noisy digits")


@pytest.fixture(scope="module")
def noisy():
    """Digits with a fifth of the labels wrong, a net that learns them by heart, a retrained one."""
    X, y = load_digits_images(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=0.4, stratify=y, random_state=0)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(y)) < 0.2, (y + rng.integers(1, 10, len(y))) % 10, y)
    forget = np.flatnonzero(rng.random(len(y)) < 0.2)
    net = digits_classifier(
        criterion__label_smoothing=0.0, optimizer__weight_decay=0.0, max_epochs=60
    )
    fitted = RetrainUnlearner(net, random_state=0).fit(X, y)
    state = {k: v for k, v in vars(fitted).items() if k not in fitted.get_params(deep=False)}
    original = fitted.score(X[forget], y[forget]), fitted.score(X_test, y_test)
    fitted.unlearn(indices=forget)
    return X, y, X_test, y_test, forget, net, state, original, fitted.score(X[forget], y[forget])


def by_cost(names):
    """Names of methods; those that take a tenth of a minute each are `long`."""
    slow = ("InfluenceUnlearner", "PUMAUnlearner")
    return [pytest.param(n, marks=pytest.mark.long) if n in slow else n for n in sorted(names)]


@of_noisy
@pytest.mark.parametrize("name", by_cost(all_unlearners(needs_retain=True, exact=False, nets=True)))
@pytest.mark.filterwarnings("always::UserWarning")
def test_defaults_work_or_say_so(noisy, name, recwarn):
    """Half of the way from original to retrained, without losing 3 points on unseen rows."""
    X, y, X_test, y_test, forget, net, state, original, retrained = noisy
    unlearner = all_unlearners()[name](net, random_state=0)
    if unlearner_tags(unlearner).watches_training:
        unlearner.fit(X, y, sensitive=np.isin(np.arange(len(y)), forget))
    else:
        vars(unlearner).update(state)
    unlearner.unlearn(indices=forget)
    way = (original[0] - unlearner.score(X[forget], y[forget])) / (original[0] - retrained)
    lost = original[1] - unlearner.score(X_test, y_test)
    warned = any(issubclass(w.category, UserWarning) for w in recwarn)
    assert warned or (way >= 0.5 and lost <= 0.03), (way, lost)


@of_noisy
def test_what_is_known_by_heart_is_announced(noisy):
    _, _, _, _, forget, net, state, _, _ = noisy
    unlearner = CFkUnlearner(net, random_state=0)
    vars(unlearner).update(state)
    with pytest.warns(NotForgottenWarning, match="still known by heart"):
        unlearner.unlearn(indices=forget)


@pytest.mark.parametrize("name", sorted(all_unlearners(class_only=True)))
def test_methods_for_classes_warn_on_single_rows(data, name):
    X, y = data
    unlearner = all_unlearners()[name](make_net(max_epochs=2), random_state=0).fit(X, y)
    with pytest.warns(UnsuitableMethodWarning, match="whole classes"):
        unlearner.unlearn(indices=FORGET)


@pytest.mark.parametrize("name", sorted(all_unlearners(nets=True, watches_training=False)))
def test_fewer_forget_rows_than_a_batch_when_the_last_one_is_dropped(data, name):
    X, y = data
    net = make_net(batch_size=20, max_epochs=2, iterator_train__drop_last=True)
    if name == "CTUnlearner":
        net.set_params(module=ConvNet)
    unlearner = all_unlearners()[name](net, random_state=0).fit(X, y)
    before = parameters(unlearner.estimator_)
    unlearner.unlearn(indices=FORGET)
    assert not same_parameters(parameters(unlearner.estimator_), before)


def test_classifier_methods_refuse_regressions():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)).astype(np.float32), rng.normal(size=40).astype(np.float32)
    for name in ("RandomLabelUnlearner", "BoundaryUnlearner", "RUMUnlearner"):
        assert name not in FOR_REGRESSION
        unlearner = all_unlearners()[name](make_regressor_net(max_epochs=1), random_state=0)
        with pytest.raises(UnlearningError, match="classifiers"):
            unlearner.fit(X, y).unlearn(indices=[0, 1])


def test_sequential_labels_and_new_phases(data):
    """No momentum passes from forget to retained rows."""
    X, y = data
    unlearner = RandomLabelUnlearner(
        headed(), order="sequential", max_epochs=2, random_state=0
    ).fit(X, y)
    unlearner.unlearn(indices=FORGET)
    assert len(unlearner.estimator_.history) == 4
    assert unlearner.estimator_.lr == 0.05
    assert unlearner.estimator_.max_epochs == 10
