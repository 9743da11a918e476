"""Noisy steps of a net's training: clipping, noise, and no memory of what was before."""

import math

import torch
from skorch.callbacks import Callback

from skunlearn._torch.batches.device_rows import send_tensor
from skunlearn._torch.loop.fit_loop import StopTraining
from skunlearn._torch.loop.norms import NORMS
from skunlearn._torch.pieces import in_pieces


class Noise(Callback):
    """Makes a training the noisy steps of a plan, and ends it after them.

    Parameters
    ----------
    plan : ClippedGradients or ClippedWeights
    sigma : float
        Standard deviation of the noise of a step.
    seed : int
    """

    def __init__(self, plan, sigma, seed):
        self.plan, self.sigma = plan, sigma
        self.seed, self.generators = seed, {}

    def optimizer(self, net):
        """Steps x ← x − γ(g + λx), and nothing else that would remember earlier ones."""
        self.params = [p for _, p in net.get_all_learnable_params()]
        self.norms = [m for m in net.module_.modules() if isinstance(m, NORMS)]
        return torch.optim.SGD(self.params, lr=self.plan.rate, weight_decay=self.plan.decay)

    def on_train_begin(self, net, **kwargs):
        """Clip the weights, where the proof asks for that before the first step."""
        self.left = self.plan.steps
        with torch.no_grad():
            shorten(self.params, self.plan.start)

    def on_batch_begin(self, net, training=False, **kwargs):
        """Let the step depend on the weights and the batch alone."""
        forget_statistics(self.norms)

    def on_grad_computed(self, net, training=False, **kwargs):
        """Clip the gradient, where the proof asks for that."""
        if not training:
            return
        for p in self.params:  # without a gradient the decay would pass the weight by
            grad = torch.zeros_like(p) if p.grad is None else p.grad
            p.grad = grad.to_dense() if grad.is_sparse else grad
        shorten([p.grad for p in self.params], self.plan.gradient)

    @torch.no_grad()
    def on_batch_end(self, net, training=False, **kwargs):
        """Clip the weights, where the proof asks for that after every step, and add the noise."""
        if not training:
            return
        shorten(self.params, self.plan.weights)
        for p in self.params:
            p.add_(self._draw(p), alpha=self.sigma)
        self.left -= 1
        if self.left == 0:
            raise StopTraining

    def _draw(self, p):
        # On a GPU by the GPU: drawn on the processor, noise takes longer than all the rest.
        device = p.device if p.device.type == "cuda" else torch.device("cpu")
        if device not in self.generators:
            self.generators[device] = torch.Generator(device).manual_seed(self.seed)
        how = {"generator": self.generators[device], "dtype": p.dtype, "device": device}
        return send_tensor(torch.randn(p.shape, **how), p.device)


def shorten(tensors, length):
    """Scale tensors, taken as one vector, down to a length where they are longer."""
    if length == math.inf:
        return
    parts = (part for t in tensors for (part,) in in_pieces(t))  # of float64, twice as large
    norm = torch.stack([part.double().norm().to(tensors[0].device) for part in parts]).norm()
    factor = (length / norm).clamp(max=1.0)  # to ask whether they are would wait for the device
    for t in tensors:
        t.mul_(factor.to(t.device))


def forget_statistics(norms):
    """Let running statistics be those of layers that have seen no row."""
    for m in norms:
        m.reset_running_stats()
