"""skorch's steps on one tensor, without asking of every batch what kind of thing it is."""

import torch
from skorch import NeuralNet, NeuralNetClassifier
from torch.optim import Optimizer


class DirectStep:
    """What a net's ``infer``, ``get_loss`` and optimizer do, sooner where that is skorch's own.

    On a small net skorch's questions about a batch (is it a mapping, a list, of another library?)
    and the notes for a profiler take a tenth of a step. Batches that are anything but tensors on
    the net's device, and nets with steps of their own, go the long way.

    Parameters
    ----------
    net : skorch net
    """

    def __init__(self, net):
        self._net = net
        # "cuda" is no tensor's device: that has a number.
        self._device = None if net.device is None else torch.empty(0, device=net.device).device
        self._infers = type(net).infer is NeuralNet.infer
        # skorch takes the log of what goes to a classifier's NLLLoss.
        logs = isinstance(getattr(net, "criterion_", None), torch.nn.NLLLoss)
        self._loses = type(net).get_loss is NeuralNet.get_loss or (
            type(net).get_loss is NeuralNetClassifier.get_loss and not logs
        )

    def infer(self, X):
        """``net.infer(X)``."""
        net = self._net
        if self._infers and "infer" not in vars(net) and self._is_at_home(X):
            return net.module_(X)
        return net.infer(X)

    def get_loss(self, out, y, X):
        """``net.get_loss(out, y, X=X, training=True)``."""
        if "get_loss" not in vars(self._net):
            return self.get_own_loss(out, y, X)
        return self._net.get_loss(out, y, X=X, training=True)

    def get_own_loss(self, out, y, X):
        """The same by the ``get_loss`` of the net's class, whatever replaces it on the net."""
        net = self._net
        if self._loses and self._is_at_home(y):
            return net.criterion_(out, y)
        return type(net).get_loss(net, out, y, X=X, training=True)

    def _is_at_home(self, value):
        return type(value) is torch.Tensor and (
            self._device is None or value.device == self._device
        )


def drop_gradients(optimizer):
    """``optimizer.zero_grad()``."""
    if type(optimizer).zero_grad is not Optimizer.zero_grad or "zero_grad" in vars(optimizer):
        optimizer.zero_grad()
        return
    for group in optimizer.param_groups:
        for p in group["params"]:
            p.grad = None
