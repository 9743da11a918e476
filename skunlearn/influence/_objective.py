"""The objective that the training of a net has minimised, and its first derivatives."""

from contextlib import nullcontext

import numpy as np
import torch
from torch.func import grad, vmap
from torch.utils._pytree import tree_map

from skunlearn._batching import n_batches
from skunlearn._functional import FunctionalNet
from skunlearn._net_rows import reader
from skunlearn._seeding import derive_seed, seeded

_FLOATS = 2**24  # gradients of single rows that are held at a time, in numbers


class Objective:
    """Mean loss of some rows plus the penalty of the optimizer's weight decay.

    The loss of a row includes the penalty: (1/n) Σ ℓ(z), with ℓ(z) that of the criterion plus
    ½ Σ wd θ². Removing a row from the sum then removes its share of the penalty, which the mean
    over fewer rows gives back. With class weights, n is the sum of the rows' weights.

    Vectors are flat tensors of P numbers on the net's device, one per trainable weight.

    Parameters
    ----------
    net : skorch net
    n_rows : int
        Number of rows that the net was trained on.
    batch_size : int
        Rows at a time; results do not depend on it, but for rounding.
    seed : int
        Of random augmentation in a user's data set, equal in every pass over the rows.
    """

    def __init__(self, net, n_rows, *, batch_size, seed):
        self.net, self.batch_size, self.seed = net, batch_size, seed
        self.f = FunctionalNet(net)
        self._by_row = True
        params = self.f.params
        self._sizes = [p.numel() for p in params.values()]
        self.theta = torch.cat([p.detach().reshape(-1) for p in params.values()])
        # The step of a summed loss is that of its mean at a rate as many times higher.
        scale = n_batches(net, n_rows) / n_rows if self.f.sums else 1.0
        decays = self.f.decays()
        self.decay = torch.cat(
            [torch.full_like(p.detach().reshape(-1), scale * decays[k]) for k, p in params.items()]
        )

    def __len__(self):
        return len(self.theta)

    def weights(self, vector):
        """A flat vector as the weights by name."""
        parts = vector.split(self._sizes)
        return {k: v.view(p.shape) for v, (k, p) in zip(parts, self.f.params.items(), strict=True)}

    def mass(self, rows):
        """Number of rows, or the sum of their class weights times their sample weights."""
        return float(_weights(rows) @ self.f.masses(rows.y))

    def batches(self, rows):
        """Batches ``(x, y, positions)`` of `rows` in order, on the net's device."""
        data = reader(self.net, rows)
        for start in range(0, len(rows), self.batch_size):
            positions = np.arange(start, min(start + self.batch_size, len(rows)))
            with nullcontext() if data.base is None else seeded(derive_seed(self.seed, start)):
                batch = data.batch(positions)
            x, y = tree_map(self._to_device, batch)
            yield x, y, positions

    def weighted_batches(self, rows):
        """Batches ``(x, y, w)`` of `rows` in order, with their sample weights or None."""
        for x, y, positions in self.batches(rows):
            w = None
            if rows.weights is not None:
                w = torch.as_tensor(rows.weights[positions]).to(self.theta)
            yield x, y, w

    def _to_device(self, value):
        return value.to(self.net.device) if isinstance(value, torch.Tensor) else value

    def gradient(self, rows, shares=None, *, penalised=True, losses=None):
        """Σ s ∇ℓ(z) over `rows`; a row's loss is times its sample weight, here and below.

        Parameters
        ----------
        rows : Rows
        shares : ndarray of shape (n,), default=None
            s of each row; 1 when None.
        penalised : bool, default=True
            Whether ℓ includes the penalty.
        losses : callable, default=None
            ``losses(out, y)`` in place of the net's own, of shape (n,).
        """
        shares = np.ones(len(rows)) if shares is None else np.asarray(shares, dtype=np.float64)
        shares = shares * _weights(rows)
        total = torch.zeros_like(self.theta)
        for x, y, positions in self.batches(rows):
            s = torch.as_tensor(shares[positions], dtype=self.theta.dtype, device=total.device)
            with torch.enable_grad():
                theta = self.theta.detach().requires_grad_()
                out = self.f.outputs(self.weights(theta), x)
                if losses is None:
                    loss = self.f.loss(out, y, x, s)
                else:
                    loss = s @ losses(self.f.main(out), y)
                total += torch.autograd.grad(loss, theta)[0]
        if penalised:
            total += float(shares @ self.f.masses(rows.y)) * self.decay * self.theta
        return total

    def row_gradients(self, rows):
        """∇ℓ(z) of every row, without the penalty: a tensor of shape (n, P)."""
        return torch.stack(
            [self.gradient(rows.take([i]), penalised=False) for i in range(len(rows))]
        )

    def dots(self, rows, vectors, *, penalised=True):
        """∇ℓ(z)ᵀ v for every row z and vector v.

        Parameters
        ----------
        rows : Rows
        vectors : tensor of shape (k, P)

        Returns
        -------
        dots : ndarray of shape (k, n), float64
        """
        found = np.empty((len(vectors), len(rows)))
        by_row = self._by_row and len(vectors) > 1
        for x, y, positions in self.batches(rows):
            dots = self._dots_by_row(x, y, vectors) if by_row else None
            if dots is None:
                by_row, dots = False, self._dots_along(x, y, vectors)
            found[:, positions] = dots.double().cpu().numpy()
        if penalised:
            share = (vectors @ (self.decay * self.theta)).double().cpu().numpy()
            found += share[:, None] * self.f.masses(rows.y)
        return found * _weights(rows)

    def _dots_along(self, x, y, vectors):
        with torch.enable_grad():
            theta = self.theta.detach().requires_grad_()
            losses = self.f.row_losses(self.f.outputs(self.weights(theta), x), y, x)
            # The derivative of Σ u ∇ℓ(z)ᵀ v by u.
            u = torch.zeros_like(losses, requires_grad=True)
            (slope,) = torch.autograd.grad(losses, theta, u, create_graph=True)
            found = [torch.autograd.grad(slope, u, v, retain_graph=True)[0] for v in vectors]
        return torch.stack(found)

    def _dots_by_row(self, x, y, vectors):
        """From gradients of single rows, whose time k hardly matters for; None without them."""

        def loss(theta, x, y):
            x = tree_map(lambda value: value[None], x)
            return self.f.loss(self.f.outputs(self.weights(theta), x), y[None], x)

        chunk = max(1, _FLOATS // len(self))
        gradients = vmap(grad(loss), in_dims=(None, 0, 0))
        try:
            found = [
                vectors @ gradients(self.theta, _part(x, i, chunk), y[i : i + chunk]).T
                for i in range(0, len(y), chunk)
            ]
        except (RuntimeError, ValueError):  # vmap knows no recurrent layer, for one
            self._by_row = False
            return None
        return torch.cat(found, dim=1)


def _weights(rows):
    return np.ones(len(rows)) if rows.weights is None else rows.weights


def _part(x, start, size):
    return tree_map(lambda value: value[start : start + size], x)
