"""Nets on another device: nothing lands on the wrong one, and no training step waits for it."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skunlearn import FineTuneUnlearner, UAMUnlearner, make_unlearner
from skunlearn.nets import BatchLoader
from skunlearn.relabelling import _moved_rows
from skunlearn.utils import all_unlearners
from tests.device_checks import check_attacks
from tests.far_device import FAR, FarTensor, far_device
from tests.instances import SETTINGS
from tests.small import quiet
from tests.turns import in_turns

pytestmark = quiet
N = 48
METHODS = all_unlearners(nets=True)


class Net(nn.Sequential):
    """A convolution, a norm and dropout before two layers."""

    def __init__(self):
        super().__init__(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(),
            nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3),
        )  # fmt: skip


def far_net(**kwargs):
    params = {
        "criterion": nn.CrossEntropyLoss, "lr": 0.05, "optimizer__momentum": 0.9, "max_epochs": 2,
        "batch_size": 16, "iterator_train__shuffle": True, "train_split": None, "verbose": 0,
        # As a GPU with room for the rows has them.
        "iterator_train": BatchLoader, "iterator_train__resident": True, "device": "lazy",
    }  # fmt: skip
    return NeuralNetClassifier(Net, **(params | kwargs))


@pytest.fixture
def rows():
    """48 images of 6 x 6 in three classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 1, 6, 6)).astype(np.float32), np.arange(N) % 3


def test_mixing_devices_raises():
    with far_device() as waits:
        far, near = torch.ones(3, device=FAR), torch.ones(3)
        assert isinstance(far, FarTensor)
        assert far.device == FAR
        assert (far + 1).sum().item() == 6
        assert dict(waits) == {"aten::_local_scalar_dense": 1}
        assert len(far[far > 0]) == 3
        assert waits["aten::index"] == 1
        waits.clear()
        with pytest.raises(RuntimeError, match="same device"):
            far + near
        with pytest.raises(RuntimeError, match="same device"):
            nn.Linear(3, 2).to(FAR)(near)
        assert torch.equal((far + near.to(FAR)).cpu(), near * 2)
        assert waits["aten::_to_copy"] == 1
    assert (torch.ones(3) + 1).device.type == "cpu"


@pytest.mark.parametrize("name", in_turns(METHODS, 0))
def test_methods_keep_to_the_device_of_the_net(rows, name):
    X, y = rows
    unlearner = METHODS[name](far_net(), random_state=0, **SETTINGS.get(name, {}))
    if "max_epochs" in unlearner.get_params(deep=False):
        unlearner.set_params(max_epochs=2)
    declared = {"forget": np.arange(N) < 6} if name == "AmnesiacUnlearner" else {}
    with far_device():
        unlearner.fit(X, y, **declared)
        if not declared:
            unlearner.unlearn(X[:6], y[:6])
        scores = unlearner.predict_proba(X)
        if name != "ShardedUnlearner":
            tensors = unlearner.estimator_.module_.state_dict().values()
            assert all(isinstance(t, FarTensor) for t in tensors)
    assert np.isfinite(scores).all()
    assert len(unlearner.deletions_) == 1


def test_nothing_is_left_out():
    assert {"AutoUnlearner", "PRMQUnlearner", "CoUnUnlearner"} < METHODS.keys()


def test_an_unlearner_that_is_chosen_keeps_to_the_device(rows):
    X, y = rows
    with far_device():
        unlearner = make_unlearner(far_net(), random_state=0)
        unlearner.fit(X, y).unlearn(X[:6], y[:6])
        tensors = unlearner.estimator_.module_.state_dict().values()
        assert all(isinstance(t, FarTensor) for t in tensors)
        assert np.isfinite(unlearner.predict_proba(X)).all()


def test_results_are_those_of_the_processor(rows):
    X, y = rows
    near = FineTuneUnlearner(far_net(device="cpu"), random_state=0).fit(X, y).unlearn(X[:6])
    with far_device():
        far = FineTuneUnlearner(far_net(), random_state=0).fit(X, y).unlearn(X[:6])
        assert np.allclose(near.predict_proba(X), far.predict_proba(X), atol=1e-6)
        losses = far.estimator_.history[:, "batches", :, "train_loss"]
    assert np.allclose(losses, near.estimator_.history[:, "batches", :, "train_loss"], atol=1e-6)


@pytest.mark.parametrize(
    "name",
    in_turns(
        [
            *("L1SparseUnlearner", "NegGradPlusUnlearner", "SalUnUnlearner", "SCRUBUnlearner"),
            *("FCSUnlearner", "JiTUnlearner", "MUMisUnlearner", "SFRonUnlearner"),
            *("PRMQUnlearner", "CoUnUnlearner"),
        ],
        1,
        every=2,
    ),
)
def test_no_step_of_a_training_waits_for_the_device(rows, name):
    X, y = rows
    found = []
    with far_device() as waits:
        unlearner = METHODS[name](far_net(max_epochs=1), max_epochs=2, random_state=0).fit(X, y)
        # Three steps an epoch, and eleven; only the first request looks at retained rows before it.
        for row, size in enumerate((16, 16, 4)):
            before = sum(waits.values())
            unlearner.set_params(batch_size=size).unlearn(indices=[row])
            found.append(sum(waits.values()) - before)
    assert abs(found[2] - found[1]) <= 2


def with_neighbours(net, steps):
    return UAMUnlearner(net, unlearner=FineTuneUnlearner(net, batch_size=48 // steps))


def with_noise(net, steps):
    how = {"noisy_steps": steps, "batch_size": 48 // steps, "weight_norm": 3.0}
    return METHODS["NoisyFineTuneUnlearner"](net, max_epochs=1, gradient_norm=0.1, **how)


def with_examples(net, steps):
    how = {"batch_size": 48 // steps, "radius": 100.0}  # they lie one step away
    return METHODS["AMUNUnlearner"](net, max_epochs=1, **how)


@pytest.mark.parametrize(
    "make",
    [
        with_neighbours,
        *(pytest.param(one, marks=pytest.mark.long) for one in (with_noise, with_examples)),
    ],
)
def test_no_step_of_a_method_with_settings_of_its_own_waits(rows, make):
    X, y = rows
    found = []
    with far_device() as waits:
        for steps in (3, 12):
            unlearner = make(far_net(max_epochs=1), steps).set_params(random_state=0)
            unlearner.fit(X, y).unlearn(indices=[0])
            before = sum(waits.values())
            unlearner.unlearn(indices=[1])
            found.append(sum(waits.values()) - before)
    assert abs(found[1] - found[0]) <= 2


def test_a_step_towards_an_example_waits_once(rows, monkeypatch):
    X, y = rows
    steps, climb = [], _moved_rows.climb
    monkeypatch.setattr(_moved_rows, "climb", lambda *args: steps.append(1) or climb(*args))
    unlearner = METHODS["AMUNUnlearner"](far_net(max_epochs=1), max_epochs=1, random_state=0)
    with far_device() as waits:
        unlearner.fit(X, y)
        before = waits.copy()
        unlearner.unlearn(indices=range(8))
    found = waits - before
    assert len(steps) > 20
    assert found["aten::nonzero"] == len(steps)
    assert found["aten::index"] + found["aten::_local_scalar_dense"] < 20


class Reader(Callback):
    """Notes the losses that it sees after each batch."""

    def on_train_begin(self, net, **kwargs):
        self.seen_ = []

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.seen_.append(net.history[-1, "batches", -1, "train_loss"])


def test_callbacks_that_read_losses_see_them_after_each_batch(rows):
    X, y = rows
    reader = Reader()
    net = far_net(device="cpu", callbacks=[("reader", reader)])
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y)
    losses = unlearner.estimator_.history[:, "batches", :, "train_loss"]
    seen = dict(unlearner.estimator_.callbacks_)["reader"].seen_
    assert seen == [loss for epoch in losses for loss in epoch]
    assert len(seen) == 6


def test_attacks_audits_shadow_models_and_influence(rows):
    with far_device():
        check_attacks(FineTuneUnlearner(far_net(), random_state=0), far_net(), *rows, 30)
