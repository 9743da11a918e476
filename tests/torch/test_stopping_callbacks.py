"""Callbacks that stop a training."""

import signal

import numpy as np
import pytest
from sklearn.base import clone
from skorch.callbacks import EarlyStopping

from skunlearn import (
    FineTuneUnlearner,
    RandomLabelUnlearner,
    SCRUBUnlearner,
    ShardedUnlearner,
    UNSIRUnlearner,
)
from tests.small import FORGET, net, quiet
from tests.torch.callback_tools import Stops, methods, tiny

pytestmark = quiet


EVENTS = ("on_epoch_begin", "on_epoch_end", "on_batch_begin", "on_batch_end", "on_grad_computed")


@pytest.mark.parametrize("event", EVENTS)
@pytest.mark.parametrize("short", [True, False])
def test_a_callback_ends_trainings_in_good_order(data, event, short, monkeypatch):
    """In skunlearn's own loop and in skorch's."""
    X, y = data
    if not short:
        monkeypatch.setattr("skunlearn._torch.loop.epoch_loop.has_plain_steps", lambda net: False)
    model = net(callbacks=[("stop", Stops(event))], max_epochs=9)
    unlearner = FineTuneUnlearner(model, max_epochs=5, random_state=0)
    handler = signal.getsignal(signal.SIGINT)
    Stops.log.clear()
    unlearner.fit(X, y)
    assert len(unlearner.estimator_.history) <= 2
    unlearner.unlearn(indices=FORGET)
    assert len(Stops.log) == 2
    assert max(Stops.log) <= 2
    assert dict(unlearner.estimator_.callbacks_)["stop"].ended_
    assert len(unlearner.deletions_) == 1
    assert signal.getsignal(signal.SIGINT) is handler
    plain = clone(model).set_params(verbose=0).fit(X, y)
    assert len(plain.history) == len(unlearner.estimator_.history)


@methods
def test_every_method_takes_the_stop(data, cls):
    X, y = data
    unlearner = tiny(cls, net(callbacks=[("stop", Stops(at=1))])).fit(X, y)
    unlearner.unlearn(indices=FORGET)
    assert len(unlearner.deletions_) == 1


PHASED = {
    SCRUBUnlearner: ({"rewind": None}, 2),
    RandomLabelUnlearner: ({"order": "sequential"}, 2),
    UNSIRUnlearner: ({"impair_epochs": 2}, 3),
}


@pytest.mark.parametrize("cls", PHASED)
@pytest.mark.parametrize("event", ["on_epoch_end", "on_batch_end"])
def test_a_stop_ends_methods_of_several_phases_with_the_epoch(data, cls, event):
    X, y = data
    params, trainings = PHASED[cls]
    model = net(callbacks=[("stop", Stops(event, at=1))])
    unlearner = tiny(cls, model, max_epochs=6, **params).fit(X, y)
    Stops.log.clear()
    unlearner.unlearn(indices=np.flatnonzero(y == 0) if cls is UNSIRUnlearner else FORGET)
    assert len(Stops.log) == trainings


def test_shards_take_the_stop(data):
    X, y = data
    model = net(callbacks=[("stop", Stops(at=1))])
    ShardedUnlearner(model, n_shards=2, random_state=0).fit(X, y).unlearn(indices=FORGET)


def test_early_stopping_of_a_users_own_class(data):
    X, y = data

    class Mine(EarlyStopping):
        def on_epoch_end(self, net, **kwargs):
            self.misses_ = -5  # what it counts is its own business
            if len(net.history) == 2:
                raise KeyboardInterrupt

    model = net(callbacks=[("stop", Mine(monitor="train_loss"))], max_epochs=9)
    unlearner = FineTuneUnlearner(model, max_epochs=5, random_state=0).fit(X, y)
    unlearner.unlearn(indices=FORGET)
    assert len(unlearner.estimator_.history) == 2
