"""Rates above the net's own, and where that is already the highest of a schedule."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import LRScheduler
from skorch.helper import predefined_split

from skunlearn import (
    AMUNUnlearner,
    FCSUnlearner,
    L1SparseUnlearner,
    NegGradPlusUnlearner,
    UNSIRUnlearner,
)
from skunlearn._torch.skorch_nets import has_schedule
from skunlearn.callbacks import LinearDecay
from skunlearn.exceptions import UnlearningError
from tests.small import net

FAST = [AMUNUnlearner, FCSUnlearner, L1SparseUnlearner, NegGradPlusUnlearner]
DECAY = LRScheduler(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")
@pytest.mark.parametrize("method", FAST)
@pytest.mark.parametrize(("callbacks", "share"), [(None, 3.0), ([("rate", LinearDecay())], 1.0)])
def test_three_times_the_nets_own_but_not_of_a_schedules_highest(method, callbacks, share):
    rates = {}

    class Watched(method):
        def _set_recipe(self, net):
            super()._set_recipe(net)
            rates["first"] = net.optimizer_.param_groups[0]["lr"]

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3
    model = net().set_params(lr=0.02, callbacks=callbacks)
    unlearner = Watched(model, random_state=0).fit(X, y)
    for rows in (np.arange(5), np.arange(5, 9)):  # a second request finds no schedule in its net
        unlearner.unlearn(indices=rows)
        assert rates["first"] == pytest.approx(0.02 * share)
    space = unlearner.search_space("grid", n_points=2)["lr"]
    assert space == pytest.approx([0.002 * share, 0.06 * share])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("given", "times"),
    [
        ({}, 5.0),  # three steps of 0.02 do not add up to 75
        ({"lr": 8.0}, 3.125),
        ({"lr": 200.0}, 0.2),
        ({"optimizer": torch.optim.Adam}, 3.0),  # whose steps are of another length
        ({"callbacks": [("rate", LinearDecay())]}, 3.0),  # the highest of many already
    ],
)
def test_unsir_takes_the_rate_at_which_its_noise_is_learnt(given, times):
    rates = []

    class Watched(UNSIRUnlearner):
        def _impair_and_repair(self, net, *args):
            rates.append(net.optimizer_.param_groups[0]["lr"])

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3
    model = plain_net(**{"lr": 0.02} | given)
    unlearner = Watched(model, random_state=0).fit(X, y)
    unlearner.unlearn(indices=np.flatnonzero(y == 1))
    assert rates[0] == pytest.approx(times * model.lr)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("ruins", ["diverges", "stays at chance"])
def test_unsir_begins_again_where_the_rate_was_too_high(ruins):
    tried = []

    class Fragile(UNSIRUnlearner):
        def _impair_and_repair(self, net, *args):
            weight = net.module_.weight
            tried.append((net.optimizer_.param_groups[0]["lr"], weight.detach().clone()))
            if tried[-1][0] > 0.03:
                with torch.no_grad():
                    weight.neg_()
                if ruins == "diverges":
                    raise UnlearningError("The training diverged")

    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    y = X[:, :3].argmax(axis=1)
    unlearner = Fragile(plain_net(lr=0.02).set_params(max_epochs=200), random_state=0).fit(X, y)
    unlearner.unlearn(indices=np.flatnonzero(y == 1))
    assert [rate for rate, _ in tried] == pytest.approx([0.1, 0.05, 0.025])
    assert all(torch.equal(weight, tried[0][1]) for _, weight in tried)  # from where it was


def plain_net(**kwargs):
    """One layer under SGD without momentum."""
    return NeuralNetClassifier(
        torch.nn.Linear, module__in_features=4, module__out_features=3, max_epochs=5, batch_size=16,
        criterion=torch.nn.CrossEntropyLoss, train_split=None, verbose=0, **kwargs,
    )  # fmt: skip


def test_what_sets_rates_is_found_in_every_form():
    with_rates = [[("rate", DECAY)], [DECAY], [LRScheduler], [("rate", LinearDecay)]]
    assert all(has_schedule(net().set_params(callbacks=given)) for given in with_rates)
    without = [None, [], "disable", [("split", predefined_split)]]
    assert not any(has_schedule(net().set_params(callbacks=given)) for given in without)
