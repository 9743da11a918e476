"""Methods to train with callbacks, and a callback that stops them."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback

from skunlearn import (
    FineTuneUnlearner,
    NegGradPlusUnlearner,
    RandomLabelUnlearner,
    RUMUnlearner,
    SCRUBUnlearner,
    UNSIRUnlearner,
)
from skunlearn.utils._check_tools import parameters
from tests.small import FORGET

METHODS = (
    *(FineTuneUnlearner, NegGradPlusUnlearner, RandomLabelUnlearner, RUMUnlearner),
    *(SCRUBUnlearner, UNSIRUnlearner),
)

methods = pytest.mark.parametrize("cls", METHODS)


def ones(p):
    torch.nn.init.constant_(p, 1.0)


def tiny(cls, model, **params):
    """An unlearner whose steps are too short to move a weight far."""
    if cls is not RUMUnlearner:
        params = {"lr": 1e-9, "max_epochs": 2} | params
    else:
        params["unlearners"] = [tiny(FineTuneUnlearner, model)]
    return cls(model, random_state=0, **params)


def moved(unlearner):
    """Largest change of a weight by a request."""
    before = parameters(unlearner.estimator_)
    after = parameters(unlearner.unlearn(indices=FORGET).estimator_)
    return max(np.abs(before[key] - after[key]).max() for key in before)


class Stops(Callback):
    """Ends a training by KeyboardInterrupt, as skorch's EarlyStopping does."""

    log = []

    def __init__(self, event="on_epoch_end", at=2, how=None):
        self.event, self.at, self.how = event, at, how

    def initialize(self):
        self.count_, self.ended_ = 0, False
        return self

    def _tick(self, event):
        if event == self.event:
            self.count_ += 1
            if self.count_ == self.at:
                (_raise if self.how is None else self.how)()

    def on_train_end(self, net, **kwargs):
        self.ended_ = True
        Stops.log.append(len(net.history))

    def on_epoch_begin(self, net, **kwargs):
        self._tick("on_epoch_begin")

    def on_epoch_end(self, net, **kwargs):
        self._tick("on_epoch_end")

    def on_batch_begin(self, net, **kwargs):
        self._tick("on_batch_begin")

    def on_batch_end(self, net, **kwargs):
        self._tick("on_batch_end")

    def on_grad_computed(self, net, named_parameters, **kwargs):
        self._tick("on_grad_computed")


def _raise():
    raise KeyboardInterrupt


class Pressed(torch.nn.Module):
    """Is interrupted in the middle of a forward pass."""

    left = None

    def __init__(self, how):
        super().__init__()
        self.out, self.how = torch.nn.Linear(4, 3), how

    def forward(self, X):
        if Pressed.left is not None and self.training:
            Pressed.left -= 1
            if Pressed.left == 0:
                self.how()
        return self.out(X)
