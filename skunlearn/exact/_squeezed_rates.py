"""A recipe's learning rates over fewer epochs than it was made for."""

import torch
from skorch.callbacks import Callback, LRScheduler
from skorch.dataset import get_len
from torch.optim.lr_scheduler import ReduceLROnPlateau

from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.loop.learning_rates import groups, set_rates


class SqueezedRates(Callback):
    """Let the rates of the net's schedulers run their course in as many epochs as there are.

    Hang it after them: it sets the rate of each batch to that of the batch of the whole recipe at
    the same share of the way. `ReduceLROnPlateau`, whose course is not known, is left alone, as are
    rates that nobody changes.

    Parameters
    ----------
    epochs : int
        Of the recipe.
    """

    sets_learning_rate = True

    def __init__(self, epochs):
        self.epochs = epochs

    def on_train_begin(self, net, X=None, **kwargs):
        """Take down the course of the rates."""
        given = [cb for _, cb in net.callbacks_ if isinstance(cb, LRScheduler)]
        given = [cb for cb in given if cb.policy_ is not ReduceLROnPlateau]
        per_epoch = max(1, n_batches(net, get_len(X)))
        self.course_, self.step_ = None, 0
        self.n_steps_ = net.max_epochs * per_epoch
        if given and net.max_epochs < self.epochs:
            self.course_ = _course(net, given, self.epochs, per_epoch)

    def on_batch_begin(self, net, training=False, **kwargs):
        """Set the rates of this step."""
        if training and self.course_ is not None:
            place = int(self.step_ / self.n_steps_ * len(self.course_))
            set_rates(net, self.course_[min(place, len(self.course_) - 1)])
            self.step_ += 1

    def on_train_end(self, net, **kwargs):
        """Let go of the course."""
        del self.course_


def _course(net, schedulers, epochs, per_epoch):
    """Rates of all groups, one list for each batch of the whole recipe."""
    first = [group.get("initial_lr", group.get("lr")) for group in groups(net)]
    kinds = [
        {"params": [torch.zeros(1, requires_grad=True)], "lr": 1.0 if lr is None else float(lr)}
        for lr in first
    ]
    optimizer = torch.optim.SGD(kinds, lr=1.0, momentum=0.9)
    made = [
        (cb.policy_(optimizer, **{"last_epoch": -1} | cb.kwargs), cb.step_every)
        for cb in schedulers
    ]
    found = []
    optimizer.step()  # torch warns of a scheduler that steps first
    for _ in range(epochs):
        for _ in range(per_epoch):
            now = [float(group["lr"]) for group in optimizer.param_groups]
            found.append([None if lr is None else rate for lr, rate in zip(first, now)])
            if not _step(made, "batch"):
                return found
        if not _step(made, "epoch"):
            return found
    return found


def _step(made, when):
    """Whether the schedulers that step then go on; some refuse steps beyond those laid out."""
    try:
        for policy, every in made:
            if every == when:
                policy.step()
    except ValueError:
        return False
    return True
