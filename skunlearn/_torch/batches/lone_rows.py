"""Batches of one row, of which batch normalisation can take no statistics."""

from contextlib import contextmanager

import torch

from skunlearn._torch.skorch_nets import overridden

_NORMS = (torch.nn.modules.batchnorm._BatchNorm,)


@contextmanager
def lone_row(net, batch):
    """Let batch normalisation use its running statistics where a channel has a single value.

    PyTorch refuses that. A single image has many values in each channel, and is left alone.
    Nothing changes for a batch of several rows.
    """
    if batch.n_rows != 1 or not any(True for _ in _norms(net)):
        yield
        return
    if any(hasattr(getattr(net, f"{name}_"), "_orig_mod") for name in net._modules):
        # Hooks on the parts of a compiled module are not called for sure.
        plain = net._set_training

        def set_training(training=True):
            plain(training)
            for norm in _norms(net):
                norm.eval()

        with overridden(net, _set_training=set_training):
            net._set_training(net.module_.training)
            yield
        net._set_training(net.module_.training)
        return
    resting = []

    def rest(norm, inputs):
        if norm.training and not has_spread(inputs[0]):
            norm.training = False
            resting.append(norm)

    def wake(norm, inputs, out):
        if norm in resting:
            resting.remove(norm)
            norm.training = True

    hooks = [
        hook
        for norm in _norms(net)
        for hook in (norm.register_forward_pre_hook(rest), norm.register_forward_hook(wake))
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def has_spread(x):
    """Whether what enters a normalisation layer has more than one value in each channel."""
    return x.ndim < 2 or x.numel() != x.shape[1]


def _norms(net):
    for name in net._modules:
        yield from (m for m in getattr(net, f"{name}_").modules() if isinstance(m, _NORMS))
