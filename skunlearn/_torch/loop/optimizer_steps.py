"""What the methods do to a net around its optimizer's steps."""

from contextlib import contextmanager

import numpy as np
import torch
from skorch.callbacks import Callback, GradientNormClipping

from skunlearn._torch.loop.learning_rates import rates, set_rates
from skunlearn._torch.loop.norms import NORMS
from skunlearn._torch.pieces import in_pieces

# Gradients that are clipped all at once.
_ALIKE = [(torch.Tensor, torch.strided, False, device) for device in ("cpu", "cuda")]


class FrozenWeights(Callback):
    """Keep single weights bitwise where they were.

    A gradient of zero does not: weight decay and momentum still move a weight. So after every
    step the frozen ones are put back, and their state in the optimizer is cleared.

    Parameters
    ----------
    free : dict of parameter to bool tensor of its shape
        True where the weight may move. Parameters that are not named are free.
    anchors : dict of parameter to tensor, or None
        Where the frozen ones are; None notes it when a training begins.
    """

    def __init__(self, free, anchors=None):
        self.free, self.anchors = free, anchors

    def on_train_begin(self, net, **kwargs):
        """Note where the frozen weights are."""
        self.anchors_ = self.anchors or {p: p.detach().clone() for p in self.free}

    @torch.no_grad()
    def on_batch_end(self, net, training=False, **kwargs):
        """Put them back."""
        if not training:
            return
        for p, free in self.free.items():
            torch.where(free, p, self.anchors_[p], out=p)
            for name in net._optimizers:
                for value in getattr(net, name + "_").state.get(p, {}).values():
                    if isinstance(value, torch.Tensor) and value.shape == p.shape:
                        for part, mask in in_pieces(value, free):
                            part.mul_(mask)

    def on_train_end(self, net, **kwargs):
        """Let go of the copies."""
        del self.anchors_


class DampedGradients(Callback):
    """Scale gradients down before every step, but for some weights.

    Parameters
    ----------
    factor : float
    spared : dict of parameter to bool tensor of its shape, or None to spare none of it
    """

    def __init__(self, factor, spared):
        self.factor, self.spared = factor, spared

    @torch.no_grad()
    def on_grad_computed(self, net, training=False, **kwargs):
        """Scale them."""
        for p, spared in self.spared.items() if training else ():
            if p.grad is None:
                continue
            if spared is None:
                p.grad.mul_(self.factor)
            else:
                for grad, free in in_pieces(p.grad, spared):
                    torch.where(free, grad, self.factor * grad, out=grad)


def largest(values, count):
    """Masks of the `count` largest entries of several tensors together, the first among equals.

    Sorting them would take three times the memory.
    """
    if count == 0:
        return [torch.zeros_like(value, dtype=torch.bool) for value in values]
    whole = torch.cat([value.flatten() for value in values]).cpu()
    whole = (whole if whole.dtype is torch.float64 else whole.float()).numpy()  # not bfloat16
    whole.partition(len(whole) - count)
    edge = torch.from_numpy(whole[len(whole) - count : len(whole) - count + 1])
    left = count - int(np.count_nonzero(whole[len(whole) - count :] > edge.numpy()))
    del whole
    masks = []
    for value in values:
        flat, limit = value.flatten(), edge.to(value.device)
        mask = flat > limit
        for part, chosen in in_pieces(flat, mask):
            ties = (part == limit).nonzero()[:left, 0]
            chosen[ties] = True
            left -= len(ties)
        masks.append(mask.view(value.shape))
    return masks


@contextmanager
def norms_at_rest(net, modules=None):
    """Keep layers with running statistics in evaluation mode while the net trains.

    In training mode the statistics of the forget rows would enter the running ones. `modules`
    restricts it to some layers.
    """
    plain = net._set_training
    given = modules
    if modules is None:
        given = [m for name in net._modules for m in getattr(net, name + "_").modules()]
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


def clip_gradients(max_norm=1.0):
    """Callback that bounds the gradient of a batch.

    On forget rows alone, with the statistics of all rows, the net's own rate can be far too high.
    """
    return "skunlearn_clip", _Clipping(max_norm)


class _Clipping(GradientNormClipping):
    """As skorch's, also of sparse gradients, of which torch 2.5 takes no norm.

    torch sorts gradients by device and dtype first, twice, which takes as long as the rest. Where
    they are of one kind it does with them what is done here.
    """

    def on_grad_computed(self, net, named_parameters, **kwargs):
        """Scale all gradients down to the length."""
        named = list(named_parameters)
        grads = [p.grad for _, p in named if p.grad is not None]
        kinds = {
            (type(g), g.layout, g.requires_grad, g.device.type, g.device, g.dtype) for g in grads
        }
        if len(kinds) == 1 and kinds.pop()[:4] in _ALIKE:
            length = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
            scale = (self.gradient_clip_value / (length + 1e-6)).clamp(max=1.0)
            torch._foreach_mul_(grads, scale)
            return
        if not any(grad.is_sparse for grad in grads):
            super().on_grad_computed(net, named, **kwargs)
            return
        values = [g.coalesce().values() if g.is_sparse else g for g in grads]
        length = torch.stack([value.norm() for value in values]).norm()
        for grad in grads:
            grad.mul_((self.gradient_clip_value / (length + 1e-6)).clamp(max=1.0))


def renew_optimizer(net):
    """Give the net, for a training of its own, a new optimizer with the rates of the old one.

    And a new history: a scheduler would take a long one for a training that goes on, and look for
    its first rates in the optimizer.
    """
    given = rates(net)
    net.initialize_optimizer()
    net.initialize_history()
    set_rates(net, given)
