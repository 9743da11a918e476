"""What the methods do to a net around its optimizer's steps."""

from contextlib import contextmanager

import torch
from skorch.callbacks import Callback, GradientNormClipping

NORMS = (torch.nn.modules.batchnorm._BatchNorm,)


class FrozenWeights(Callback):
    """Keep single weights bitwise where they were.

    A gradient of zero does not: weight decay and momentum still move a weight. So after every
    step the frozen ones are put back, and their state in the optimizer is cleared.

    Parameters
    ----------
    free : dict of parameter to bool tensor of its shape
        True where the weight may move. Parameters that are not named are free.
    """

    def __init__(self, free):
        self.free = free

    def on_train_begin(self, net, **kwargs):
        """Note where the frozen weights are."""
        self.anchors_ = {p: p.detach().clone() for p in self.free}

    @torch.no_grad()
    def on_batch_end(self, net, training=False, **kwargs):
        """Put them back."""
        if not training:
            return
        for p, free in self.free.items():
            p.copy_(torch.where(free, p, self.anchors_[p]))
            for name in net._optimizers:
                for value in getattr(net, name + "_").state.get(p, {}).values():
                    if isinstance(value, torch.Tensor) and value.shape == p.shape:
                        value.mul_(free)

    def on_train_end(self, net, **kwargs):
        """Let go of the copies."""
        del self.anchors_


class ScaledGradients(Callback):
    """Scale gradients before every step.

    Parameters
    ----------
    scales : list of (parameter, tensor of its shape)
    """

    def __init__(self, scales):
        self.scales = scales

    @torch.no_grad()
    def on_grad_computed(self, net, training=False, **kwargs):
        """Scale them."""
        for p, scale in self.scales if training else ():
            if p.grad is not None:
                p.grad.mul_(scale)


@contextmanager
def normalisation(net, mode, modules=None):
    """Run batch normalisation in "train" or "eval" mode while the net trains.

    In training mode the statistics of the forget rows enter the running ones; "eval" leaves them
    alone. `modules` restricts it to some layers.
    """
    if mode == "train":
        yield
        return
    plain = net._set_training
    given = list(net.module_.modules()) if modules is None else list(modules)
    fixed = [m for m in given if isinstance(m, NORMS)]

    def set_training(training=True):
        plain(training)
        for module in fixed:
            module.eval()

    vars(net)["_set_training"] = set_training
    try:
        yield
    finally:
        del vars(net)["_set_training"]


@contextmanager
def only_trained(net, params):
    """Let only these parameters learn inside the block; the others stay bitwise."""
    chosen = {id(p) for p in params}
    before = [(p, p.requires_grad) for p in net.module_.parameters()]
    for p, learns in before:
        p.requires_grad_(learns and id(p) in chosen)
    try:
        yield
    finally:
        for p, learns in before:
            p.requires_grad_(learns)
            p.grad = None


def clipped(max_norm=1.0):
    """Callback that bounds the gradient of a batch.

    On forget rows alone, with the statistics of all rows, the net's own rate can be far too high.
    """
    return "skunlearn_clip", GradientNormClipping(max_norm)


def new_phase(net, **settings):
    """Give the net a new optimizer and settings: no momentum passes from one phase to the next."""
    vars(net).update(settings)
    net.initialize_optimizer()
