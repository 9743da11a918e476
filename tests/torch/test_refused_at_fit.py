"""What a net's layers and outputs tell before its training is said then, and not at a request."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from skorch.callbacks import EpochScoring
from torch import nn

from skunlearn import (
    BoundaryUnlearner,
    FineTuneUnlearner,
    InfluenceUnlearner,
    NoTUnlearner,
    PUMAUnlearner,
    SSDUnlearner,
)
from skunlearn.influence import InverseCurvature
from tests.instances import make_binary_net
from tests.small import quiet

N = 40


def net(module, **params):
    return NeuralNetClassifier(
        module, criterion=nn.CrossEntropyLoss, max_epochs=1, train_split=None, verbose=0, **params
    )


def words():
    """Rows of five words, whose first tells the class."""
    X = np.random.default_rng(0).integers(0, 20, (N, 5))
    return X, X[:, 0] % 3


class Votes(nn.Module):
    """Each word has a say of each class: no layer is linear or a convolution."""

    def __init__(self):
        super().__init__()
        self.say = nn.Embedding(20, 3)

    def forward(self, X):
        return self.say(X).sum(1)


@quiet
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    "cls, settings, said",
    [
        (NoTUnlearner, {}, "Votes has none that learns: it has no such layer. Use another"),
        (BoundaryUnlearner, {"kind": "expand"}, "there is none. Use kind='shrink'"),
        (InfluenceUnlearner, {"inverse": InverseCurvature(solver="kfac")}, "Use solver='cg'"),
        (PUMAUnlearner, {"inverse": InverseCurvature(preconditioner="ekfac")}, "solver='cg'"),
    ],
)
def test_a_layer_that_is_missing(cls, settings, said, frozen):
    X, y = words()
    trained = []
    estimator = net(
        Votes, callbacks=[EpochScoring(lambda *given: trained.append(1) or 0.0, on_train=True)]
    )
    if frozen:
        estimator = FrozenEstimator(estimator.fit(X, y))
        trained.clear()
    with pytest.raises(ValueError, match=said):
        cls(estimator, random_state=0, **settings).fit(X, y)
    assert not trained
    FineTuneUnlearner(estimator, random_state=0).fit(X, y).unlearn(indices=range(3))
    assert trained  # as the look at it would be seen


def test_one_output_cannot_be_expanded():
    X = np.random.default_rng(0).normal(size=(N, 4)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int)
    with pytest.raises(ValueError, match=r"one output per class; it has one\. Use kind='shrink'"):
        BoundaryUnlearner(make_binary_net(max_epochs=1), kind="expand").fit(X, y)


@dataclass
class Said:
    """As the objects of transformers and others."""

    logits: torch.Tensor


class Object(Votes):
    """Returns its logits in something."""

    form = staticmethod(Said)

    def forward(self, X):
        return self.form(super().forward(X))


class Mapping(Object):
    form = staticmethod(lambda logits: {"logits": logits})


class Several(Object):
    form = staticmethod(lambda logits: (logits, logits))


class Finds(NeuralNetClassifier):
    """Knows where they are."""

    def get_loss(self, y_pred, y_true, **kwargs):
        logits = y_pred["logits"] if isinstance(y_pred, dict) else y_pred[0]
        return super().get_loss(logits, y_true, **kwargs)


@quiet
@pytest.mark.parametrize("cls", [FineTuneUnlearner, SSDUnlearner])
@pytest.mark.parametrize("module", [Object, Mapping, Several])
def test_outputs_that_the_loss_does_not_take(module, cls):
    X, y = words()
    trained = net(module).initialize()  # its own loop would find the logits
    for estimator in (net(module), FrozenEstimator(trained)):
        with pytest.raises(TypeError, match=r"takes a tensor, and the module returns a \w+\. Let"):
            cls(estimator, random_state=0).fit(X, y)
    if module is Object:  # which skorch has no predictions of
        return
    finds = Finds(module, criterion=nn.CrossEntropyLoss, max_epochs=1, train_split=None, verbose=0)
    cls(finds, random_state=0).fit(X, y).unlearn(indices=range(3))
