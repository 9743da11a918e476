"""A net's module and loss as functions of its weights, for derivatives of any kind."""

import copy
from contextlib import contextmanager, nullcontext

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch.func import functional_call, hessian, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._pytree import tree_flatten, tree_unflatten

from skunlearn._torch import skorch_nets
from skunlearn._torch.batches.training_batch import main_output, part
from skunlearn._torch.gradients.linear_layers import copy_around
from skunlearn._torch.loop.task_loss import BY_CLASS, SKORCH_LOSSES, scratch_history
from skunlearn.exceptions import UnlearningError
from skunlearn.influence._switches import SharedSwitch


class FunctionalNet:
    """The module and the criterion of a net as functions of its trainable weights.

    In evaluation mode, and on copies of the buffers: the net is not changed. A compiled module is
    taken as it was before, as derivatives of derivatives go through no compiled one. A module that
    returns probabilities for a likelihood of classes is read as one that returns logits, so that
    the Gauss–Newton matrix is the Fisher information whatever the module returns. A ``get_loss``
    of the net's own is given what skorch would give it, all that the module returns.

    Parameters
    ----------
    net : skorch net

    Attributes
    ----------
    params : dict of str to parameter
        Those of the module that require a gradient.
    module : torch module
        A copy around the same parameters.
    """

    def __init__(self, net):
        net._set_training(False)
        net = skorch_nets.lookalike(skorch_nets.make_eager(net), history_=scratch_history(net))
        self.module = module = copy_around(skorch_nets.plain_module(net))
        for layer in module.modules():
            if isinstance(layer, torch.nn.Embedding | torch.nn.EmbeddingBag):
                layer.sparse = False  # its gradients are laid beside those of other weights
        self.params = {k: p for k, p in module.named_parameters() if p.requires_grad}
        if not self.params:
            raise UnlearningError("Every weight of the net is frozen: none requires a gradient.")
        dtypes = {p.dtype for p in self.params.values()}
        if len(dtypes) > 1 or not dtypes <= {torch.float32, torch.float64}:
            raise UnlearningError(
                "Curvature needs weights that are all float32 or all float64, got "
                f"{sorted(map(str, dtypes))}."
            )
        self._buffers = {k: b.clone() for k, b in module.named_buffers()}
        self._net = net
        self._recurrent = any(isinstance(m, torch.nn.RNNBase) for m in module.modules())
        # What a user's own get_loss does with a batch is not known: it is asked row by row.
        self._plain = plain = type(net).get_loss in SKORCH_LOSSES
        self._criterion, self._to_logits = net.criterion_, None
        if plain:
            self._criterion, self._to_logits = _by_logits(net)
        self._layout = None  # of several outputs in one tensor
        kind = getattr(self._criterion, "reduction", None) if plain else None
        by_class = plain and isinstance(self._criterion, BY_CLASS)
        self._weight = self._criterion.weight if by_class else None
        self.sums = kind == "sum"
        if self._weight is not None and kind == "mean":
            # The mean over a batch divides by the sum of its rows' weights: `masses`.
            self._criterion, kind = copy.copy(self._criterion), "sum"
            self._criterion.reduction = "sum"
        self._reduction = kind if type(self._criterion).__module__.startswith("torch.") else None

    def outputs(self, weights, x):
        """Raw outputs, or logits in place of probabilities, at ``weights`` (a dict).

        Several outputs are laid side by side in one tensor, for a loss of the net's own.
        """
        given = {**self._buffers, **weights}

        def module(*args, **kwargs):
            return functional_call(self.module, given, args, kwargs)

        net = skorch_nets.lookalike(self._net, module_=module)
        with _twice_differentiable(self._recurrent):
            out = net.infer(x)
            # A criterion of the user's own takes several outputs.
            self._plain = self._plain and isinstance(out, torch.Tensor)
            out = self._to_logits(out) if self._plain else out
        if not isinstance(out, torch.Tensor):
            out, self._layout = _side_by_side(out)
        return out if out.dtype is torch.float64 else out.float()

    def main(self, out):
        """Of what `outputs` returns, the part that predictions are made of."""
        return out if self._layout is None else main_output(_set_apart(out, self._layout))

    def loss(self, out, y, x, shares=None):
        """Sum of the losses of a batch's rows, each times its share if there are any."""
        if shares is not None:
            return shares @ self.row_losses(out, y, x)
        if self._reduction == "mean":
            return len(y) * self._task(out, y, x)
        if self._reduction == "sum":
            return self._task(out, y, x)
        return self.row_losses(out, y, x).sum()

    def row_losses(self, out, y, x):
        """Loss of each row: that of a batch of one."""
        y = y.to(out.device)
        if self._plain:
            return vmap(lambda o, t: self._task(o[None], t[None], None))(out, y)
        n = len(y)
        rows = (self._task(out[i : i + 1], y[i : i + 1], part(x, i, i + 1, n)) for i in range(n))
        return torch.stack([loss.reshape(()) for loss in rows])

    def curved(self, out, y, signs, x):
        """H½ ξ of each row, with H the Hessian of its loss by its outputs.

        Negative eigenvalues of H, which convex losses have none of, count as 0.

        Parameters
        ----------
        out : tensor of shape (b, ...)
        y : tensor of b targets
        signs : tensor of the shape of `out`
            ξ.
        x : the rows
        """
        y = y.to(out.device)
        if self._plain and isinstance(self._criterion, torch.nn.CrossEntropyLoss) and out.ndim == 2:
            # (√p ∘ I − p √pᵀ) is a square root of diag(p) − p pᵀ: no matrix is needed.
            p = out.softmax(dim=1)
            noise = p.sqrt() * signs - p * (p.sqrt() * signs).sum(1, keepdim=True)
            return noise * self._targets(y, out.shape[1]).sqrt()[:, None].to(out.dtype)
        if self._plain:
            of_row = hessian(lambda o, t: self._task(o[None], t[None], None).reshape(()))
            bent = vmap(of_row)(out, y)
        else:
            bent = torch.stack([self._bent(out, y, x, i) for i in range(len(out))])
        width = out[0].numel()
        values, vectors = torch.linalg.eigh(bent.reshape(len(out), width, width))
        root = vectors * values.clamp_min(0).sqrt()[:, None, :]
        return (root @ signs.reshape(len(out), width, 1)).reshape(out.shape)

    def _bent(self, out, y, x, i):
        row = part(x, i, i + 1, len(out))
        with torch.enable_grad():
            return torch.autograd.functional.hessian(
                lambda o: self._task(o[None], y[i : i + 1], row).reshape(()), out[i]
            )

    def _targets(self, y, n_classes):
        """Sum of the weighted target distribution of each row: 1 without class weights."""
        if self._weight is None:
            return torch.ones(len(y), device=y.device)
        smoothing = self._criterion.label_smoothing
        weight = self._weight.to(y.device)
        return (1 - smoothing) * weight[y] + smoothing * weight.mean()

    def masses(self, y):
        """What each row counts in the mean loss: 1, or the weight of its class.

        Parameters
        ----------
        y : ndarray of shape (n,), encoded

        Returns
        -------
        masses : ndarray of shape (n,), float64
        """
        if self._weight is None or self.sums:
            return np.ones(len(y))
        return self._weight.double().cpu().numpy()[y]

    def decays(self):
        """Weight decay of each trainable parameter, by name.

        The optimizer's, where it is the gradient of a penalty: decoupled decay (AdamW) is not.
        """
        found = {}
        for name in self._net._optimizers:
            optimizer = getattr(self._net, f"{name}_", None)
            for group in getattr(optimizer, "param_groups", ()):
                decoupled = group.get("decoupled_weight_decay", isinstance(optimizer, _DECOUPLED))
                for p in group["params"]:
                    found[id(p)] = 0.0 if decoupled else float(group.get("weight_decay", 0.0))
        return {name: found.get(id(p), 0.0) for name, p in self.params.items()}

    def _task(self, out, y, x):
        if not self._plain:
            whole = out if self._layout is None else _set_apart(out, self._layout)
            return self._net.get_loss(whole, y.to(out.device), X=x, training=True)
        return skorch_nets.lookalike(self._net, criterion_=self._criterion).get_loss(
            out, y.to(out.device), training=True
        )


@contextmanager
def _twice_differentiable(recurrent):
    """Keep to kernels that have a second derivative; fused ones have only the first."""
    with _UNFUSED if recurrent else nullcontext(), _PLAIN_ATTENTION:
        yield


@contextmanager
def _turn_off(backends):
    before = [backend.enabled for backend in backends]
    try:
        for backend in backends:
            backend.enabled = False
        yield
    finally:
        for backend, enabled in zip(backends, before):
            backend.enabled = enabled


_UNFUSED = SharedSwitch(lambda: _turn_off((torch.backends.mkldnn, torch.backends.cudnn)))
_PLAIN_ATTENTION = SharedSwitch(lambda: sdpa_kernel(SDPBackend.MATH))


def _side_by_side(out):
    """Several outputs as one tensor of shape (b, width), and how to tell them apart again.

    Outputs that are no floating-point rows are constants.
    """
    leaves, tree = tree_flatten(out)
    n = len(main_output(out))
    shapes = [leaf.shape[1:] if _is_rows(leaf, n) else None for leaf in leaves]
    fixed = [leaf if shape is None else None for leaf, shape in zip(leaves, shapes, strict=True)]
    rows = [leaf.reshape(n, -1) for leaf in leaves if _is_rows(leaf, n)]
    return torch.cat(rows, dim=1), (tree, shapes, fixed)


def _set_apart(out, layout):
    tree, shapes, fixed = layout
    parts = iter(out.split([shape.numel() for shape in shapes if shape is not None], dim=1))
    leaves = [
        leaf if shape is None else next(parts).reshape(len(out), *shape)
        for leaf, shape in zip(fixed, shapes, strict=True)
    ]
    return tree_unflatten(leaves, tree)


def _is_rows(leaf, n):
    return (
        isinstance(leaf, torch.Tensor)
        and leaf.is_floating_point()
        and leaf.ndim > 0
        and len(leaf) == n
    )


_DECOUPLED = (torch.optim.AdamW,)


def _by_logits(net):
    """The criterion on logits in place of one on probabilities, and what makes logits of those."""
    criterion = net.criterion_
    if isinstance(criterion, torch.nn.NLLLoss):
        new = torch.nn.CrossEntropyLoss(
            criterion.weight, ignore_index=criterion.ignore_index, reduction=criterion.reduction
        )
        if not isinstance(net, NeuralNetClassifier):
            return new, lambda log_p: log_p
        # skorch's convention: the module returns probabilities, and the net takes their log.
        return new, lambda p: torch.log(p + torch.finfo(p.dtype).eps)
    if isinstance(criterion, torch.nn.BCELoss):
        new = torch.nn.BCEWithLogitsLoss(criterion.weight, reduction=criterion.reduction)
        return new, lambda p: torch.logit(p, eps=torch.finfo(p.dtype).eps)
    return criterion, lambda out: out
