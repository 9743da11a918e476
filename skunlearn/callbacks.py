"""Callbacks that the methods hang on a net for one training run."""

import torch
from skorch.callbacks import Callback
from skorch.dataset import get_len

from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.loop.fit_loop import StopTraining
from skunlearn._torch.loop.learning_rates import groups, step_gain
from skunlearn._torch.observation import observe
from skunlearn._torch.parts import net_state

__all__ = ["LinearDecay"]

_SMALL = 2**18  # bytes of weights, as much again of which is no burden


class LinearDecay(Callback):
    """Let every learning rate fall linearly to zero, batch by batch, over the whole run.

    Unlike torch's schedulers it needs no number of steps in advance, so that the same recipe
    fits a fold, all rows, and the rows that are left after a deletion.

    Parameters
    ----------
    warmup : float, default=0.0
        Share of the run in which the rates first rise from zero to their own values.

    Examples
    --------
    >>> from skorch import NeuralNetClassifier
    >>> from skunlearn.callbacks import LinearDecay
    >>> from skunlearn.nets import DigitsNet
    >>> net = NeuralNetClassifier(DigitsNet, callbacks=[("rate", LinearDecay(warmup=0.2))])
    """

    sets_learning_rate = True  # an unlearning under a schedule of its own leaves it out

    def __init__(self, warmup=0.0):
        self.warmup = warmup

    def on_train_begin(self, net, X=None, **kwargs):
        """Note the learning rates to start from, and count the batches to come."""
        if not 0 <= self.warmup < 1:
            raise ValueError(f"warmup must be in [0, 1), got {self.warmup!r}.")
        self.step_, self.n_steps_ = 0, net.max_epochs * n_batches(net, get_len(X))
        self.groups_ = [(group, group["lr"]) for group in groups(net)]

    def on_batch_begin(self, net, training=False, **kwargs):
        """Set the learning rate of this step."""
        if training:
            share = self.share_at(self.step_, self.n_steps_)
            for group, lr in self.groups_:
                group["lr"] = lr * share
            self.step_ += 1

    def share_at(self, step, n_steps):
        """The rate of a step, as a share of the rate to start from.

        Parameters
        ----------
        step : int, from 0
            Steps that were taken before this one.
        n_steps : int
            Steps in all; from this one on the share is 0.

        Returns
        -------
        share : float in [0, 1]
        """
        rising = (step + 1) / (self.warmup * n_steps) if self.warmup else 1.0
        return max(0.0, min(rising, (1 - step / n_steps) / (1 - self.warmup), 1.0))

    def on_train_end(self, net, **kwargs):
        """Leave the net with the rates that it came with."""
        for group, lr in self.groups_:
            group["lr"] = lr
        del self.groups_  # the optimizer's tensors are not ours to pickle


class ProximalStep(Callback):
    """Pull the weights towards an anchor after every optimizer step.

    The step θ ← (θ + ηλF θₐ) / (1 + ηλF) is the proximal operator of (λ/2) Σ Fᵢ (θᵢ − θₐᵢ)²,
    with η the group's learning rate, divided by 1 − momentum. Under SGD its fixed points are
    those of the penalised loss, and unlike the gradient λF(θ − θₐ) it is stable however large λ
    is.

    Parameters
    ----------
    anchors : dict of parameter to tensor
        θₐ of each penalised parameter.
    penalty : float
        λ.
    importance : dict of parameter to tensor, default=None
        F; None stands for ones.
    """

    def __init__(self, anchors, penalty, importance=None):
        self.anchors = anchors
        self.penalty = penalty
        self.importance = importance

    def on_train_begin(self, net, **kwargs):
        """Sort the penalised parameters by parameter group, each of which has its own rate."""
        self.plan_ = []
        for group in groups(net):
            params = [p for p in group["params"] if p in self.anchors]
            anchors = [self.anchors[p] for p in params]
            weights = self.importance and [self.importance[p] for p in params]
            if params:
                self.plan_.append((group, params, anchors, weights and _Shares(weights)))

    @torch.no_grad()
    def on_batch_end(self, net, training=False, **kwargs):
        """Take the proximal step."""
        if not training:
            return
        for group, params, anchors, weights in self.plan_:
            # Below the largest float32, so that a weight without importance stays free.
            pull = min(float(group["lr"]) * self.penalty * step_gain(group), 1e30)
            # p / (1 + p) as 1 / (1 + 1/p), which does not overflow for a huge p.
            if weights is None:
                torch._foreach_lerp_(params, anchors, 1 / (1 + 1 / pull) if pull else 0.0)
            else:
                torch._foreach_lerp_(params, anchors, weights.at(pull))


class _Shares:
    """p F / (1 + p F) of tensors F; small ones lie end to end, which takes half of the time.

    Parameters
    ----------
    weights : list of tensor
        F.
    """

    def __init__(self, weights):
        self.weights, self.flat = weights, None
        kinds = {(w.device, w.dtype, w.is_contiguous()) for w in weights}
        if (
            len(kinds) == 1
            and weights[0].is_contiguous()
            and sum(w.nbytes for w in weights) < _SMALL
        ):
            self.flat = torch.cat([w.reshape(-1) for w in weights])
            self.share = torch.empty_like(self.flat)
            parts = self.share.split([w.numel() for w in weights])
            self.parts = [part.view(w.shape) for part, w in zip(parts, weights, strict=True)]

    def at(self, pull):
        """Those of p, overwritten by the next."""
        if self.flat is not None:
            torch.mul(self.flat, pull, out=self.share)
            self.share.reciprocal_().add_(1.0).reciprocal_()
            return self.parts
        share = torch._foreach_mul(self.weights, pull)
        torch._foreach_reciprocal_(share)
        torch._foreach_add_(share, 1.0)
        torch._foreach_reciprocal_(share)
        return share


class HeldOutStopping(Callback):
    """Stop when the loss on held-out rows has not fallen for some epochs; keep the best weights.

    Parameters
    ----------
    rows : Rows
    classes : ndarray or None
    patience : int
    """

    def __init__(self, rows, classes, patience):
        self.rows = rows
        self.classes = classes
        self.patience = patience

    def on_train_begin(self, net, **kwargs):
        """Forget an earlier run."""
        self.best_loss_, self.best_weights_, self.misses_ = float("inf"), None, 0

    def on_epoch_end(self, net, **kwargs):
        """Judge the epoch."""
        loss = float(self.rows.shares() @ observe(net, self.rows, self.classes).losses())
        net.history.record("held_out_loss", loss)
        if loss < self.best_loss_:
            self.best_loss_, self.best_weights_, self.misses_ = loss, net_state.weights(net), 0
            return
        self.misses_ += 1
        if self.misses_ >= self.patience:
            raise StopTraining

    def on_train_end(self, net, **kwargs):
        """Go back to the best epoch."""
        if self.best_weights_ is not None:
            net_state.set_weights(net, self.best_weights_)


class MeanWeights(Callback):
    """End with the mean of the weights after every batch of the run.

    Running statistics of BatchNorm are averaged too; counters keep their last value.
    """

    def on_train_begin(self, net, **kwargs):
        """Forget an earlier run."""
        self.n_, self.live_, self.mean_ = 0, None, None

    @torch.no_grad()
    def on_batch_end(self, net, training=False, **kwargs):
        """Take the present weights into the mean."""
        if not training:
            return
        self.n_ += 1
        if self.mean_ is None:
            self.live_ = net_state.floating_state(net)  # changed in place by every batch
            self.mean_ = [value.clone() for value in self.live_]
        else:
            torch._foreach_lerp_(self.mean_, self.live_, 1 / self.n_)

    @torch.no_grad()
    def on_train_end(self, net, **kwargs):
        """Set the mean."""
        if self.mean_ is not None:
            torch._foreach_copy_(self.live_, self.mean_)
        self.live_ = self.mean_ = None
