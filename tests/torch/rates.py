"""Nets with rates of every kind, and a callback that notes what is in force."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback

from skunlearn._torch.loop.learning_rates import rates
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.utils import all_unlearners
from tests.small import FORGET, net

TRAINS = {
    name: cls
    for name, cls in all_unlearners(nets=True).items()
    if issubclass(cls, NetUnlearner) and "lr" in cls(net()).get_params()
}
# They change weights before they train.
EDITS = (
    "CFWUnlearner",
    "CTUnlearner",
    "EUkUnlearner",
    "KDEUnlearner",
    "MSGUnlearner",
    "NoTUnlearner",
    "NoisyFineTuneUnlearner",
    "PRMQUnlearner",
    "RNIUnlearner",
)
SHRINK = ("AutoUnlearner", "ShrinkPerturbUnlearner")
GROUPS = [("hidden.*", {"lr": 0.02}), ("out.bias", {"lr": 0.4})]


class TwoRates(NeuralNetClassifier):
    """Makes its optimizer itself, with rates that no parameter knows."""

    def initialize_optimizer(self):
        hidden, out = self.module_.hidden.parameters(), self.module_.out.parameters()
        self.optimizer_ = torch.optim.SGD(
            [{"params": list(hidden), "lr": 0.03}, {"params": list(out), "lr": 0.3}], lr=0.1
        )
        return self


def two_rates(**kwargs):
    params = net(**kwargs).get_params(deep=False)
    own = {k: v for k, v in params.items() if not k.startswith(("_", "optimizer"))}
    return TwoRates(**own)


RECIPES = {  # and the rate that `lr=` stands for
    "lr": (net(lr=0.05), 0.05),
    "optimizer__lr": (net(lr=0.01, optimizer__lr=0.2), 0.2),
    "groups": (net(lr=0.1, optimizer__param_groups=GROUPS), 0.1),
    "groups and optimizer__lr": (
        net(lr=0.01, optimizer__lr=0.1, optimizer__param_groups=GROUPS),
        0.1,
    ),
    "groups for all": (net(lr=0.01, optimizer__param_groups=[*GROUPS, ("*", {"lr": 0.2})]), 0.4),
    "own optimizer": (two_rates(lr=0.01), 0.3),
}
recipes = pytest.mark.parametrize("recipe", RECIPES)


class Rates(Callback):
    """Notes rates and batch sizes as the steps are taken."""

    seen, sizes = [], []

    def on_grad_computed(self, net, named_parameters, **kwargs):
        Rates.seen.append(rates(net))

    def on_batch_begin(self, net, batch=None, training=False, **kwargs):
        if training:
            Rates.sizes.append(len(batch[1]))


def watched(model, callbacks=()):
    return model.set_params(callbacks=[*callbacks, ("rates", Rates())])


def request(cls, model, X, y, **params):
    """The rates and batch sizes of a request, one entry a step."""
    unlearner = cls(watched(model), random_state=0, **params).fit(X, y)
    Rates.seen.clear()
    Rates.sizes.clear()
    unlearner.unlearn(indices=FORGET)
    return np.array(Rates.seen), list(Rates.sizes), unlearner


def fresh(recipe):
    model, main = RECIPES[recipe]
    own = rates(type(model)(**_params(model)).initialize())
    return type(model)(**_params(model)), main, np.array(own)


def _params(model):
    return {k: v for k, v in model.get_params(deep=False).items() if not k.startswith("_")}
