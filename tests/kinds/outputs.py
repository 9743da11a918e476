"""What a net gives out, and the loss of it."""

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from tests.batch_tools import Plain
from tests.kinds.registry import NO_CLASSES, NO_LIKELIHOOD, classifier, kind, plain, refusals, rows
from tests.odd_nets import Learned
from tests.torch.test_own_losses import Checked, Named, OfMapping, Twofold


class Probabilities(Plain):
    """Ends in a softmax, as NLLLoss has it in skorch."""

    def forward(self, X):
        return super().forward(X).softmax(1)


class Focal(nn.Module):
    """A criterion of the user's own."""

    def forward(self, out, y):
        log_p = out.log_softmax(1).gather(1, y[:, None])[:, 0]
        return -((1 - log_p.exp()) ** 2 * log_p).mean()


class OfFirst(nn.CrossEntropyLoss):
    """Takes all that the module returns."""

    def forward(self, out, y):
        return super().forward(out[0], y) + 1e-3 * out[1].square().mean()


class Column(Plain):
    """One output, without a dimension of its own."""

    def __init__(self):
        super().__init__(n_out=1)

    def forward(self, X):
        return super().forward(X)[:, 0]


class TwoHeads(NeuralNetClassifier):
    """Trains a second output on a target that it makes from the rows."""

    def get_loss(self, y_pred, y_true, X=None, training=False):
        logits, features = y_pred
        return super().get_loss(logits, y_true) + (features.mean(1) - X.mean(1)).square().mean()


plain("tuple", Twofold, criterion=OfFirst)
plain("own get_loss", Twofold, cls=Checked)
plain("get_loss of two outputs", Twofold, cls=TwoHeads)
plain("mapping", Named, cls=OfMapping)
plain("probabilities", Probabilities, criterion=nn.NLLLoss)
plain("class weights", criterion__weight=torch.tensor([1.0, 2.0, 0.5]))
plain("label smoothing", criterion__label_smoothing=0.1)
plain("summed loss", criterion__reduction="sum", lr=0.005)
plain("own criterion", refused=NO_LIKELIHOOD, criterion=Focal)
plain("criterion that learns", criterion=Learned)
plain("more outputs than classes", module__n_out=5)


@kind("binary")
def binary(folder):
    X, y = rows()
    net = classifier(Column, cls=NeuralNetBinaryClassifier, criterion=nn.BCEWithLogitsLoss)
    return net, X, y % 2


@kind("regression", NO_CLASSES)
def regression(folder):
    X, _ = rows()
    net = classifier(cls=NeuralNetRegressor, criterion=nn.MSELoss, module__n_out=1)
    return net, X, X[:, :1] + 1


@kind(
    "multi-output regression",
    NO_CLASSES | NO_LIKELIHOOD | refusals("straight pieces", "Influence", "PUMA"),
)
def several_targets(folder):
    X, _ = rows()
    net = classifier(cls=NeuralNetRegressor, criterion=nn.L1Loss, module__n_out=3)
    return net, X, X[:, :3] + 1


@kind(
    "multi-label",
    refusals(
        "one class per row", "AMUN", "Boundary", "DELETE", "FCS", "MUMis", "PRMQ", "Potion", "UNSIR"
    ),
)
def multi_label(folder):
    X, _ = rows()
    net = classifier(cls=NeuralNet, criterion=nn.BCEWithLogitsLoss)
    return net, X, (X[:, :3] > 0).astype(np.float32)


class Aided(Plain):
    """Says something of the rows besides."""

    def __init__(self):
        super().__init__(n_out=2)

    def forward(self, X):
        out = super().forward(X)
        return out[:, :1], out[:, 1:]


class OfBoth(NeuralNetRegressor):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        said, aside = y_pred
        return nn.functional.smooth_l1_loss(said, y_true) + (aside - X[:, 3:4]).square().mean()


class Recorded(NeuralNetClassifier):
    """Writes into its history, and has a penalty on its weights."""

    def get_loss(self, *args, **kwargs):
        loss = super().get_loss(*args, **kwargs)
        self.history.record_batch("task", loss.item())
        return loss + 1e-3 * sum(p.abs().sum() for p in self.module_.parameters())


plain("get_loss that records", cls=Recorded)


@kind("regression with a second output", NO_CLASSES)
def aided(folder):
    X, _ = rows()
    net = classifier(Aided, cls=OfBoth, criterion=nn.MSELoss)
    return net, X, X[:, :1] + 1
