"""The bound that keeps an ascent from running away."""

from collections import deque
from dataclasses import replace

import numpy as np
import torch
from skorch.callbacks import Callback

from skunlearn._rows.constraints import POSITIVE, StrOptions
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.loop.fit_loop import StopTraining
from skunlearn._torch.loop.learning_rates import mean_reach, scale_rates
from skunlearn._torch.loop.norms import FollowedStatistics
from skunlearn._torch.loop.optimizer_steps import clip_gradients, norms_at_rest
from skunlearn._torch.row_losses import Targets, guess_loss, labels_of, row_losses
from skunlearn.net_unlearner import NetUnlearner
from skunlearn.search_spaces import LogUniform

BOUND_CONSTRAINTS = {"bound": [StrOptions({"chance"}), POSITIVE], "max_norm": [POSITIVE]}
_FEW = 0.05  # share of rows that may still be known when an ascent ends
_ENOUGH = 200  # rows from which that share is told
_WAY = 15.0  # length that the steps on a class are to add up to, of gradients of one


class BoundedAscent:
    """Mixin of methods with the parameters `bound` and `max_norm`.

    Parameters
    ----------
    bound : "chance" or float, default="chance"
        Loss at which a row counts as forgotten: that of a model that has learnt nothing, ln C or
        the variance of the targets. Where a regression is trained with ``L1Loss``, ``SmoothL1Loss``
        or ``HuberLoss`` that is its loss, and its mean for a constant the loss of "chance".
    max_norm : float, default=1.0
        Length to which the gradient of a batch is clipped.
    """

    _faster = 15  # times the rate where running statistics follow the weights

    def _bound(self, retain):
        """Loss of a row above which it is left alone."""
        if self.bound not in ("chance", None):
            return float(self.bound)
        return guess_loss(self.estimator_, retain.y, self._row_reader.seen_classes)

    def _known_rows(self, net, forget, retain):
        return KnownRows(net, forget, self._bound(retain), self._classes, type(self).__name__)

    def _speed(self, retain, forget, norms):
        """Factor of a learning rate that nobody has set, on a net whose statistics follow it.

        These undo most of a step. For whole classes only: single rows of a class that stays would
        cost the others too much.
        """
        whole = self._whole_classes(retain, forget)
        return self._faster if self.lr is None and whole and norms else 1

    def _up_to(self, space):
        """The search space with room for the faster rate."""
        return space | {"lr": LogUniform(space["lr"].low, self._faster * space["lr"].high / 3)}


class ForgetOnly(BoundedAscent):
    """Mixin of methods that train on forget rows alone: small steps, until they are forgotten.

    Retained rows give normalisation layers their running statistics, and nothing else.
    """

    _lr_share = 0.03
    _promises = replace(NetUnlearner._promises, reads_retain_rows=False)

    def _run_on_forget(self, net, retain, forget, known, loss, callbacks=()):
        """Train on `forget` until hardly any of its rows is below the bound."""
        followed = FollowedStatistics(net, retain)
        speed = self._speed(retain, forget, followed.norms)
        scale_rates(net, max(speed, self._far_enough(net, retain, forget)))
        hung = [
            ("skunlearn_followed", followed),
            *callbacks,
            clip_gradients(self.max_norm),
            ("skunlearn_known", known),
        ]
        # The statistics of the forget rows alone are not those of the data.
        with norms_at_rest(net):
            self._run(net, forget, hung, loss=loss)

    def _far_enough(self, net, retain, forget):
        """Factor of a rate that nobody has set, where a class has few rows or passes.

        The run ends when the rows are forgotten. Steps that do not get there leave the class as it
        was, and the net's own rate is the most that it is known to bear.
        """
        if self.lr is not None or self.schedule == "net" or not self._whole_classes(retain, forget):
            return 1.0
        steps = net.max_epochs * max(1, n_batches(net, len(forget)))
        return float(np.clip(_WAY / (steps * mean_reach(net)), 1, 1 / self._lr_share))

    def _space(self):
        space = self._up_to(super()._space())
        most = space["lr"].high / (self._faster * self._lr_share)  # the net's own rate
        return space | {"lr": LogUniform(space["lr"].low, max(space["lr"].high, most))}

    def _usual_epochs(self, net):
        return net.max_epochs


class KnownRows(Callback):
    """Tells which rows of a batch are below the bound, and ends the run when hardly any is.

    Leaving single rows alone is not enough: momentum goes on when all of them are.

    Parameters
    ----------
    net : skorch net
    forget : Rows that are trained on
    bound : float
    classes : see `task_of`
    method : str, for messages
    """

    def __init__(self, net, forget, bound, classes, method):
        self.net, self.bound, self.classes, self.method = net, bound, classes, method
        self.targets, self.enough = Targets(net, forget), min(_ENOUGH, len(forget))

    def on_train_begin(self, net, **kwargs):
        """Forget an earlier run."""
        self.batches_ = deque()

    def labels(self, batch):
        """Class or target of each row."""
        return labels_of(batch, self.targets, self.classes, self.method)

    def losses(self, batch, out=None):
        """Loss of each row, and whether the row is still known; of its own output by default."""
        out = batch.out if out is None else out
        losses = row_losses(self.net, out, self.labels(batch), self.classes)
        known = losses.detach() < self.bound
        self.batches_.append((known.sum(), len(known)))
        return losses, known

    def known_share(self):
        """Share of the rows of the last batch that are known."""
        known, size = self.batches_[-1]
        return float(known) / size

    def on_batch_end(self, net, **kwargs):
        """End the run when few rows of the last batches are known."""
        while sum(size for _, size in self.batches_) - self.batches_[0][1] >= self.enough:
            self.batches_.popleft()
        size = sum(size for _, size in self.batches_)
        if size >= self.enough and sum(known for known, _ in self.batches_) <= _FEW * size:
            raise StopTraining


def bound_losses(losses, bound):
    """Losses that stop growing at the bound, and have no gradient beyond it."""
    return torch.clamp(losses, max=bound)
