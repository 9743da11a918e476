"""The net's own training loss of a batch, with sample weights where rows have them."""

import copy
import inspect

import torch
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from skorch.history import History

from skunlearn._torch.batches.training_batch import n_rows_in, part
from skunlearn._torch.loop.epoch_loop import DirectStep
from skunlearn._torch.parts.net_state import uncompiled
from skunlearn._torch.skorch_nets import lookalike

SKORCH_LOSSES = {
    cls.get_loss
    for cls in (NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor)
}
BY_CLASS = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)


def scratch_history(net):
    """A history like the net's, inside a batch: a ``get_loss`` may write into it at any time."""
    history = History(net.history)
    history.new_epoch()
    history.new_batch()
    return history


class TaskLoss:
    """What skorch would ask the net for: ``get_loss(y_pred, y_true, X=X, training=True)``.

    With weights it is the weighted mean of the losses of single rows (Σwℓ / Σw, or Σwℓ where the
    criterion sums), unless the net's own ``get_loss`` takes ``sample_weight`` itself.

    Parameters
    ----------
    net : skorch net, whose ``get_loss`` is the one of now, whatever replaces it later
    """

    def __init__(self, net):
        self._plain, self._criterion = net.get_loss, uncompiled(getattr(net, "criterion_", None))
        own = type(net).get_loss not in SKORCH_LOSSES or "get_loss" in vars(net)
        self._takes_weights = "sample_weight" in inspect.signature(self._plain).parameters
        self._by_row = None
        reduction = getattr(self._criterion, "reduction", None)
        torchs = type(self._criterion).__module__.startswith("torch.")
        if not own and torchs and reduction in ("mean", "sum"):
            criterion = copy.copy(self._criterion)
            criterion.reduction = "none"
            self._by_row = lookalike(net, criterion_=criterion).get_loss
        self._sums = reduction == "sum"
        self._direct = None if "get_loss" in vars(net) else DirectStep(net)

    def __call__(self, whole, y, X, weights=None):
        """Loss of a batch.

        Parameters
        ----------
        whole : all that the module returned
        y, X : targets and rows as the net's iterator gave them
        weights : tensor of shape (b,), or None
        """
        if weights is None:
            if self._direct is not None:
                return self._direct.get_loss(whole, y, X, of_class=True)
            return self._plain(whole, y, X=X, training=True)
        if self._takes_weights:
            return self._plain(whole, y, X=X, training=True, sample_weight=weights)
        if self._by_row is None:
            losses = self._one_by_one(whole, y, X)
            masses = torch.ones_like(losses)
        else:
            losses = self._by_row(whole, y, X=X, training=True)
            masses = self._masses(losses, y)
        w = weights.to(losses).view(-1, *[1] * (losses.ndim - 1))
        total = (w * losses).sum()
        tiny = torch.finfo(losses.dtype).tiny
        return total if self._sums else total / (w * masses).sum().clamp_min(tiny)

    def _one_by_one(self, whole, y, X):
        n = n_rows_in(X, y)
        return torch.stack(
            [
                self._plain(
                    part(whole, i, i + 1, n),
                    part(y, i, i + 1, n),
                    X=part(X, i, i + 1, n),
                    training=True,
                ).reshape(())
                for i in range(n)
            ]
        )

    def _masses(self, losses, y):
        """What each loss counts in the mean that the criterion takes: 1, or its class weight."""
        masses = torch.ones_like(losses)
        if not isinstance(self._criterion, BY_CLASS) or y.is_floating_point():
            return masses
        y, ignored = y.to(losses.device), self._criterion.ignore_index
        if self._criterion.weight is not None:
            weight = self._criterion.weight.to(losses)
            masses = weight[torch.where(y == ignored, 0, y)]
        return torch.where(y == ignored, torch.zeros_like(masses), masses)
