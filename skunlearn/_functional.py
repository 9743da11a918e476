"""A net's module and loss as functions of its weights, for derivatives of any kind."""

import copy
from contextlib import contextmanager

import numpy as np
import torch
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch.func import functional_call, hessian, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from skunlearn import _skorch
from skunlearn._linear_layers import copy_around
from skunlearn.exceptions import UnlearningError

_SKORCH_LOSSES = {
    cls.get_loss
    for cls in (NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor)
}
_BY_CLASS = (torch.nn.CrossEntropyLoss, torch.nn.NLLLoss)


class FunctionalNet:
    """The module and the criterion of a net as functions of its trainable weights.

    In evaluation mode, and on copies of the buffers: the net is not changed. A compiled module is
    taken as it was before, as derivatives of derivatives go through no compiled one. A module that
    returns probabilities for a likelihood of classes is read as one that returns logits, so that
    the Gauss–Newton matrix is the Fisher information whatever the module returns.

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
        net = _skorch.eager(net)
        self.module = module = copy_around(_skorch.plain_module(net))
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
        self._criterion, self._to_logits = _by_logits(net.criterion_)
        # What a user's own get_loss does with a batch is not known: it is asked row by row.
        plain = type(net).get_loss in _SKORCH_LOSSES
        kind = getattr(self._criterion, "reduction", None) if plain else None
        by_class = plain and isinstance(self._criterion, _BY_CLASS)
        self._weight = self._criterion.weight if by_class else None
        self.sums = kind == "sum"
        if self._weight is not None and kind == "mean":
            # The mean over a batch divides by the sum of its rows' weights: `masses`.
            self._criterion, kind = copy.copy(self._criterion), "sum"
            self._criterion.reduction = "sum"
        self._reduction = kind if type(self._criterion).__module__.startswith("torch.") else None

    def outputs(self, weights, x):
        """Raw outputs, or logits in place of probabilities, at ``weights`` (a dict)."""
        given = {**self._buffers, **weights}

        def module(*args, **kwargs):
            return functional_call(self.module, given, args, kwargs)

        with self._twice_differentiable():
            out = _skorch.infer(_skorch.lookalike(self._net, module_=module), x)
        out = self._to_logits(out)
        return out if out.dtype is torch.float64 else out.float()

    @contextmanager
    def _twice_differentiable(self):
        """Keep to kernels that have a second derivative; fused ones have only the first."""
        fused = (torch.backends.mkldnn, torch.backends.cudnn) if self._recurrent else ()
        before = [backend.enabled for backend in fused]
        try:
            for backend in fused:
                backend.enabled = False
            with sdpa_kernel(SDPBackend.MATH):
                yield
        finally:
            for backend, enabled in zip(fused, before):
                backend.enabled = enabled

    def loss(self, out, y):
        """Sum of the losses of a batch's rows."""
        if self._reduction == "mean":
            return len(y) * self._task(out, y)
        return self._task(out, y) if self._reduction == "sum" else self.row_losses(out, y).sum()

    def row_losses(self, out, y):
        """Loss of each row: that of a batch of one."""
        return vmap(lambda o, t: self._task(o[None], t[None]))(out, y.to(out.device))

    def curved(self, out, y, signs):
        """H½ ξ of each row, with H the Hessian of its loss by its outputs.

        Negative eigenvalues of H, which convex losses have none of, count as 0.

        Parameters
        ----------
        out : tensor of shape (b, ...)
        y : tensor of b targets
        signs : tensor of the shape of `out`
            ξ.
        """
        y = y.to(out.device)
        if isinstance(self._criterion, torch.nn.CrossEntropyLoss) and out.ndim == 2:
            # (√p ∘ I − p √pᵀ) is a square root of diag(p) − p pᵀ: no matrix is needed.
            p = out.softmax(dim=1)
            noise = p.sqrt() * signs - p * (p.sqrt() * signs).sum(1, keepdim=True)
            return noise * self._targets(y, out.shape[1]).sqrt()[:, None].to(out.dtype)
        bent = vmap(hessian(lambda o, t: self._task(o[None], t[None]).reshape(())))(out, y)
        width = out[0].numel()
        values, vectors = torch.linalg.eigh(bent.reshape(len(out), width, width))
        root = vectors * values.clamp_min(0).sqrt()[:, None, :]
        return (root @ signs.reshape(len(out), width, 1)).reshape(out.shape)

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

    def _task(self, out, y):
        return _skorch.lookalike(self._net, criterion_=self._criterion).get_loss(
            out, y.to(out.device), training=True
        )


_DECOUPLED = (torch.optim.AdamW,)


def _by_logits(criterion):
    """The criterion on logits in place of one on probabilities, and what makes logits of those."""
    if isinstance(criterion, torch.nn.NLLLoss):
        new = torch.nn.CrossEntropyLoss(
            criterion.weight, ignore_index=criterion.ignore_index, reduction=criterion.reduction
        )
        # skorch's convention: the module returns probabilities, and the net takes their log.
        return new, lambda p: torch.log(p + torch.finfo(p.dtype).eps)
    if isinstance(criterion, torch.nn.BCELoss):
        new = torch.nn.BCEWithLogitsLoss(criterion.weight, reduction=criterion.reduction)
        return new, lambda p: torch.logit(p, eps=torch.finfo(p.dtype).eps)
    return criterion, lambda out: out
