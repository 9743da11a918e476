"""Callbacks that act at the beginning of a training."""

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch.callbacks import Callback, Freezer, Initializer, ParamMapper, Unfreezer

from skunlearn import CFkUnlearner, FineTuneUnlearner, RetrainUnlearner, RNIUnlearner
from skunlearn._torch.skorch_nets import copy_net
from skunlearn.evaluation import relearn_time, relearning_attack
from skunlearn.exceptions import UnlearningError
from skunlearn.utils._check_tools import Snapshot, parameters
from tests.small import FORGET, net, quiet
from tests.torch.callback_tools import methods, moved, ones, tiny

pytestmark = quiet


@methods
@pytest.mark.parametrize(
    "callback",
    [
        Initializer("*.weight", fn=ones),
        Initializer("*.weight", fn=ones, at=2),
        ParamMapper("*.weight", fn=ones, at=1),
    ],
    ids=["Initializer", "in the second epoch", "ParamMapper"],
)
def test_initialisers_act_in_trainings_from_scratch_only(data, cls, callback):
    X, y = data
    model = net(callbacks=[("init", callback)], max_epochs=3, lr=1e-9)
    unlearner = tiny(cls, model).fit(X, y)
    weight = unlearner.estimator_.module_.hidden.weight
    assert torch.allclose(weight, torch.ones_like(weight))
    with torch.no_grad():
        for p in unlearner.estimator_.module_.parameters():
            p.mul_(2)
    assert moved(unlearner) < 1e-4


def test_initialisers_act_again_where_a_training_is_from_scratch(data):
    X, y = data
    model = net(callbacks=[("init", Initializer("*.weight", fn=ones))], lr=1e-9)
    unlearner = RetrainUnlearner(model, random_state=0).fit(X, y).unlearn(indices=FORGET)
    weight = unlearner.estimator_.module_.hidden.weight
    assert torch.allclose(weight, torch.ones_like(weight))


class OwnStart(Callback):
    """A user's own initialisation, when a training or its first epoch begins."""

    def __init__(self, event="on_train_begin"):
        self.event = event

    def on_train_begin(self, net, **kwargs):
        if self.event == "on_train_begin":
            net.module_.load_state_dict(
                {k: torch.ones_like(v) for k, v in net.module_.state_dict().items()}
            )

    def on_epoch_begin(self, net, **kwargs):
        if self.event == "on_epoch_begin" and len(net.history) == 1:
            net.module_.apply(_reset)


def _reset(module):
    if isinstance(module, torch.nn.Linear):
        module.reset_parameters()


class BuildsAnew(Callback):
    """As skorch's documentation has it for input sizes: a module built anew."""

    def on_train_begin(self, net, **kwargs):
        net.set_params(module__hidden=7)


@methods
@pytest.mark.parametrize(
    "callback",
    [OwnStart(), OwnStart("on_epoch_begin"), BuildsAnew()],
    ids=["train", "epoch", "module"],
)
def test_a_users_own_initialisation_is_kept_out_of_requests(data, cls, callback):
    X, y = data
    model = net(callbacks=[("own", callback)], max_epochs=3)
    unlearner = tiny(cls, model).fit(X, y)
    assert moved(unlearner) < 1e-4
    if isinstance(callback, BuildsAnew):
        assert unlearner.estimator_.module_.hidden.out_features == 7


@pytest.mark.parametrize("cls", [CFkUnlearner, RNIUnlearner])
def test_layers_that_rested_while_others_learnt_learn_again(data, cls):
    X, y = data
    model = net(callbacks=[("own", OwnStart())], max_epochs=3)
    unlearner = cls(model, random_state=0).fit(X, y).unlearn(indices=FORGET)
    assert all(p.requires_grad for p in unlearner.estimator_.module_.parameters())


class GrowsAHead(Callback):
    """Puts a layer of another shape into the module."""

    def on_train_begin(self, net, **kwargs):
        net.module_.out = torch.nn.Sequential(net.module_.out, torch.nn.Linear(3, 3))


def test_layers_changed_at_the_beginning_of_a_request_are_an_error(data):
    X, y = data
    trained = net().fit(X, y)
    trained.set_params(callbacks=[("grow", GrowsAHead())])
    unlearner = FineTuneUnlearner(FrozenEstimator(trained), random_state=0).fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(UnlearningError, match="changed the net's layers at the beginning"):
        unlearner.unlearn(indices=FORGET)
    state.check("layers that grow")


def test_what_was_frozen_stays_frozen_and_what_thawed_learns(data):
    X, y = data
    callbacks = [
        ("freeze", Freezer(["hidden.*", "out.bias"])),
        ("thaw", Unfreezer("out.bias", at=3)),
    ]
    unlearner = FineTuneUnlearner(net(callbacks=callbacks), max_epochs=2, random_state=0)
    unlearner.fit(X, y)
    before = parameters(unlearner.estimator_)
    after = parameters(unlearner.unlearn(indices=FORGET).estimator_)
    assert np.array_equal(before["module.hidden.weight"], after["module.hidden.weight"])
    assert not np.array_equal(before["module.out.bias"], after["module.out.bias"])


def clamp(p):
    with torch.no_grad():
        p.clamp_(-0.1, 0.1)


def test_a_constraint_of_every_epoch_goes_on(data):
    X, y = data
    constraint = ParamMapper("*", fn=clamp, at=lambda net: True)
    model = net(callbacks=[("bound", constraint)], lr=0.5)
    unlearner = FineTuneUnlearner(model, max_epochs=3, random_state=0).fit(X, y)
    mappers = [cb for _, cb in copy_net(unlearner.estimator_).callbacks_]
    assert any(isinstance(cb, ParamMapper) for cb in mappers)
    before = parameters(unlearner.estimator_)
    assert max(np.abs(v).max() for v in before.values()) > 0.1  # after the last epoch's steps
    unlearner.unlearn(indices=FORGET)


def test_attacks_that_train_start_from_the_model_too(data):
    X, y = data
    model = net(callbacks=[("init", Initializer("*.weight", fn=ones))], max_epochs=20)
    unlearner = RetrainUnlearner(model, random_state=0).fit(X, y)
    models = {"original": unlearner.estimator_}
    models["retrained"] = unlearner.unlearn(indices=FORGET).estimator_
    found = relearning_attack(models, X[FORGET], y[FORGET], k=3, lr=1e-9, n_repeats=1)
    assert found["after"].tolist() == found["before"].tolist()
    table = relearn_time(models, X[FORGET], y[FORGET], lr=[1e-9], max_epochs=1)
    assert np.isinf(table["steps"]["retrained"]).all()
