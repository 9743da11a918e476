"""Derivatives of a net's outputs along a direction of its weights: J v."""

import functools
import threading
import warnings

import torch
from torch.autograd import forward_ad, grad

from skunlearn.influence._objective import differentiate_along

_FEW = 8  # rows on which the ways are compared
_CLOSE = 1e-3  # of the length; rounding of float32 makes 1e-6
# torch has one level of forward mode for all threads. They cannot share it: as long as one is in
# it, all that another has computed there goes on being differentiated, behind its back.
_ALONE = threading.RLock()


def choose_push(objective, rows, v):
    """`push_forward` where it does what `push_twice` does for a vector, and that elsewhere.

    Forward mode takes 0.5 to 0.9 of the time and no graph of the gradients, which are as large as
    the net. Some layers lack it, and where a module calls a part of itself under ``no_grad`` it
    differentiates that too.
    """
    x, _, _ = next(objective.batches(rows.take(range(min(len(rows), _FEW)))))
    with torch.enable_grad():
        try:
            leaves = objective.leaves()
            out, ours = push_forward(objective, leaves, x, v)
            # A checkpoint runs its part again here, and finds it without forward mode.
            grad([out], [*leaves.values()], [ours], allow_unused=True)
        except RuntimeError:  # NotImplementedError is one
            return push_twice
        _, theirs = push_twice(objective, objective.leaves(), x, v)
    apart = torch.linalg.vector_norm(ours - theirs)
    close = bool(apart <= _CLOSE * torch.linalg.vector_norm(theirs))
    return push_forward if close else push_twice


def push_forward(objective, leaves, x, v):
    """Outputs at the weights `leaves` with their graph, and J v, by forward-mode derivatives.

    Parameters
    ----------
    objective : Objective
    leaves : dict of str to tensor
    x : rows of a batch
    v : tensor of shape (P,)

    Returns
    -------
    out : tensor of shape (b, ...)
    pushed : tensor of that shape
    """
    with _ALONE, forward_ad.dual_level():
        _load_rules()
        ways = {name: _alone(way) for name, way in objective.weights(v).items()}
        duals = {name: forward_ad.make_dual(leaf, ways[name]) for name, leaf in leaves.items()}
        out, pushed = forward_ad.unpack_dual(objective.f.outputs(duals, x))
    return out, torch.zeros_like(out) if pushed is None else pushed.detach()


@functools.cache
def _load_rules():
    """Let PyTorch load what forward mode needs, which warns of its own use of torch.jit."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`torch.jit.script", FutureWarning)
        forward_ad.make_dual(torch.zeros(()), torch.zeros(()))


def push_twice(objective, leaves, x, v):
    """The same by two derivatives backward, which every layer has; also for v of shape (k, P)."""
    out = objective.f.outputs(leaves, x)
    # J v is the derivative of uᵀ J v by u.
    u = torch.zeros_like(out, requires_grad=True)
    back = grad(out, [*leaves.values()], u, create_graph=True, allow_unused=True)
    (pushed,) = differentiate_along(back, [u], objective.weights(v), many=v.ndim == 2)
    return out, pushed


def _alone(part):
    """A part of a vector as a tensor that is no part of one, which `make_dual` would copy."""
    return torch.from_numpy(part.numpy()) if part.device.type == "cpu" else part
