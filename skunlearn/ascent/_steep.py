"""A slope to climb for nets that are sure of their rows."""

import torch
from skorch.callbacks import Callback

_MOST = 0.5  # share of a batch's rows: while more of them are known, its gradient is lengthened


class SteepGradients(Callback):
    """Lengthen short gradients of batches of which most rows are known.

    The gradient of log p(y|x) falls with 1 - p(y|x): a net that is sure of its rows has next to
    none on them, and an ascent would end where it began.

    Parameters
    ----------
    known : KnownRows, which counts them
    max_norm : float
        Length to which gradients are clipped; 1 where that is more.
    """

    def __init__(self, known, max_norm):
        self.known, self.length = known, min(max_norm, 1.0)

    @torch.no_grad()
    def on_grad_computed(self, net, named_parameters, training=False, **kwargs):
        """Lengthen them."""
        if not training or self.known.known_share() <= _MOST:
            return
        grads = [p.grad for _, p in named_parameters if p.grad is not None]
        values = [g.coalesce().values() if g.is_sparse else g for g in grads]
        length = torch.stack([value.norm() for value in values]).norm()
        if 0 < length < self.length:
            for grad in grads:
                grad.mul_(self.length / length)
