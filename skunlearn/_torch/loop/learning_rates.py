"""Learning rates and batch sizes that are in force: by parameter group, whoever set them."""

import numpy as np
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, LRScheduler
from torch.optim.lr_scheduler import ReduceLROnPlateau

from skunlearn._rows.seeding import seeded
from skunlearn._torch import skorch_nets


def groups(net):
    """The parameter groups of all optimizers of an initialised net."""
    found = []
    for name in net._optimizers:
        found += getattr(net, name + "_").param_groups
    return found


def rates(net):
    """The learning rate of each group; None where an optimizer has none."""
    found = []
    for group in groups(net):
        rate = group.get("lr")
        found.append(None if rate is None else float(rate))
    return found


def set_rates(net, values, factor=1.0):
    """Set what `rates` returned, times `factor`."""
    for group, rate in zip(groups(net), values, strict=True):
        if rate is not None:
            old, rate = group["lr"], rate * factor
            # An optimizer that is compiled holds it in a tensor.
            group["lr"] = torch.full_like(old, rate) if isinstance(old, torch.Tensor) else rate


def scale_rates(net, factor):
    """Multiply the rate of every group."""
    set_rates(net, rates(net), factor)


def main_rate(net):
    """The rate for which ``lr=`` of an unlearner stands, of a net that has not been trained yet.

    It is that of the groups without a rate of their own (``optimizer__lr``, or else ``lr``), or
    the largest where each has its own.
    """
    found = [rate for rate in rates(net) if rate]
    optimizer = getattr(net, net._optimizers[0] + "_")
    if not found:
        raise ValueError(
            f"lr= would have no effect: {type(optimizer).__name__} has no learning rate, or one of "
            "zero. Leave it at None."
        )
    usual = optimizer.defaults.get("lr")
    return float(usual) if usual is not None and float(usual) in found else max(found)


def recipe_rate(net):
    """`main_rate` with which a training of the net begins, initialised or not."""
    plain = type(net).initialize_optimizer is NeuralNet.initialize_optimizer
    options = net.get_params_for("optimizer")
    if plain and "param_groups" not in options:
        return float(options.get("lr", net.lr))
    if net.initialized_:
        return main_rate(skorch_nets.copy_net(net))
    with seeded(0):
        return main_rate(skorch_nets.fresh_net(net, verbose=0))


def find_fixed_schedulers(net):
    """Schedulers of the net that set rates of their own, whatever those of the optimizer are."""
    found = [cb for _, cb in net.callbacks_ if isinstance(cb, LRScheduler)]
    return [scheduler for scheduler in found if not _follows(scheduler, rates(net))]


def refuse_fixed(schedulers):
    """Raise for ``lr=`` under such a scheduler."""
    policy = schedulers[0].policy_
    raise ValueError(
        f"lr= would have no effect: schedule='net' leaves the learning rate to "
        f"{getattr(policy, '__name__', policy)}, which sets rates of its own whatever those of "
        "the optimizer are. Use schedule='linear' or 'constant', or set the rates of the policy."
    )


class ScaledRates(Callback):
    """Scale the rates that such a scheduler sets, right after it has set them.

    Parameters
    ----------
    scheduler : LRScheduler, before this in the net's callbacks
    share : float
    """

    def __init__(self, scheduler, share):
        self.scheduler, self.share = scheduler, share

    def on_train_begin(self, net, **kwargs):
        """Scale the first."""
        scale_rates(net, self.share)

    def on_batch_end(self, net, training=False, **kwargs):
        """Scale that of the next batch."""
        if training and self.scheduler.step_every == "batch":
            scale_rates(net, self.share)

    def on_epoch_end(self, net, **kwargs):
        """Scale that of the next epoch."""
        if self.scheduler.step_every == "epoch":
            scale_rates(net, self.share)


def _follows(callback, given):
    """Whether a policy's first rates change with those of the optimizer."""
    kwargs = dict(callback.kwargs)
    if callback.policy_ is not ReduceLROnPlateau:
        kwargs.setdefault("last_epoch", -1)
    found = []
    for factor in (1.0, 2.0):
        with_rates = [
            {"params": [torch.zeros(1, requires_grad=True)], "lr": factor * (rate or 1.0)}
            for rate in given
        ]
        optimizer = torch.optim.SGD(with_rates, lr=1.0, momentum=0.9)
        try:
            callback.policy_(optimizer, **kwargs)
        except Exception:  # it is made for another optimizer, and nothing is known
            return True
        found.append([float(group["lr"]) for group in optimizer.param_groups])
    return found[0] != found[1]


def mean_reach(net):
    """How far one step with a gradient of one carries a weight, on average over the weights."""
    sizes = [sum(p.numel() for p in group["params"]) for group in groups(net)]
    steps = [(rate or 0.0) * step_gain(group) for rate, group in zip(rates(net), groups(net))]
    return float(np.average(steps, weights=sizes))


def step_gain(group):
    """Length of an optimizer's steps, in units of lr · gradient, when the gradient is constant.

    Momentum m adds up 1 / (1 − m) gradients. A pull without that factor would settle where
    (1 − m)λ, not λ, is the weight of the penalty.
    """
    return (1 - group.get("dampening", 0.0)) / (1 - (group.get("momentum") or 0.0))


def batch_size(net):
    """Rows in a training batch."""
    return net.get_params_for("iterator_train").get("batch_size", net.batch_size)


def set_batch_size(net, size):
    """Set it wherever the net takes it from."""
    vars(net)["batch_size"] = size
    if "iterator_train__batch_size" in vars(net):
        vars(net)["iterator_train__batch_size"] = size
