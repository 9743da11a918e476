"""The objective that the training of a net has minimised, and its first derivatives."""

from contextlib import nullcontext

import numpy as np
import torch
from torch.utils._pytree import tree_leaves, tree_map

from skunlearn._rows.seeding import derive_seed, seeded
from skunlearn._rows.views import fill_weights
from skunlearn._torch.batches.batching import n_batches
from skunlearn._torch.batches.net_rows import make_reader
from skunlearn._torch.gradients.faster import choose_faster
from skunlearn._torch.gradients.row_gradients import RowGradients, cut
from skunlearn._torch.pieces import in_pieces
from skunlearn.influence._functional import FunctionalNet

_FEW = 32  # rows on which ways are timed


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
        self.net, self.batch_size, self.seed, self._collates = net, batch_size, seed, False
        self.f = f = FunctionalNet(net)
        # Of `self` it would hold what is as large as the net until a collection of garbage.
        self._by_row = RowGradients(
            f.module, f.params, lambda weights, x, y: f.row_losses(f.outputs(weights, x), y, x)[0]
        )
        params = f.params
        self._sizes = [p.numel() for p in params.values()]
        some = next(p for p in params.values() if p.numel())
        self.like = some.detach().reshape(-1)[:1]  # its dtype and device
        # The step of a summed loss is that of its mean at a rate as many times higher.
        scale = n_batches(net, n_rows) / n_rows if self.f.sums else 1.0
        decays = {name: scale * decay for name, decay in self.f.decays().items()}
        if len({decays[name] for name in params}) == 1:  # a vector that takes no memory
            decay = torch.full_like(self.like, decays[next(iter(params))])
            self.decay = decay.expand(sum(self._sizes))
        else:
            self.decay = torch.cat(
                [torch.full_like(p.detach().reshape(-1), decays[k]) for k, p in params.items()]
            )

    def __len__(self):
        return sum(self._sizes)

    @property
    def theta(self):
        """The weights in a flat vector, made when it is asked for."""
        return torch.cat([p.detach().reshape(-1) for p in self.f.params.values()])

    def weights(self, vectors):
        """A flat vector, or those of a (k, P) tensor, as the weights by name."""
        parts = zip(vectors.split(self._sizes, -1), self.f.params.items(), strict=True)
        return {name: part.reshape(part.shape[:-1] + p.shape) for part, (name, p) in parts}

    def leaves(self):
        """The net's own weights by name, to differentiate by.

        A flat vector in their place would be copied, and its gradients once more.
        """
        return {name: p.detach().requires_grad_() for name, p in self.f.params.items()}

    def add(self, total, grads):
        """Add gradients by the weights, in their order, to a flat vector or to those of (k, P).

        None stands for that of a weight that is not used.
        """
        for part, grad in zip(self.weights(total).values(), grads, strict=True):
            if grad is not None:
                part.add_(grad)

    def mass(self, rows):
        """Number of rows, or the sum of their class weights times their sample weights."""
        return float(fill_weights(rows) @ self.f.masses(rows.y))

    def batches(self, rows, cut=False):
        """Batches ``(x, y, positions)`` of `rows` in order, on the net's device.

        `cut` says that they are to be cut into rows. What a collate function of the user's makes
        cannot be (rows may lie in it end to end), and is made of one row each then.
        """
        data = make_reader(self.net, rows)
        self._collates = data.collate is not None
        size = 1 if cut and self._collates else self.batch_size
        for start in range(0, len(rows), size):
            positions = np.arange(start, min(start + size, len(rows)))
            with nullcontext() if data.base is None else seeded(derive_seed(self.seed, start)):
                batch = data.batch(positions)
            x, y = tree_map(self._to_device, batch)
            yield x, y, positions

    def read_weighted_batches(self, rows):
        """Batches ``(x, y, w)`` of `rows` in order, with their sample weights or None."""
        for x, y, positions in self.batches(rows):
            w = None
            if rows.weights is not None:
                w = torch.as_tensor(rows.weights[positions]).to(self.like)
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
        shares = shares * fill_weights(rows)
        total = self.like.new_zeros(len(self))
        for x, y, positions in self.batches(rows):
            s = torch.as_tensor(shares[positions], dtype=total.dtype, device=total.device)
            with torch.enable_grad():
                leaves = self.leaves()
                out = self.f.outputs(leaves, x)
                if losses is None:
                    loss = self.f.loss(out, y, x, s)
                else:
                    loss = s @ losses(self.f.main(out), y)
                self.add(total, torch.autograd.grad(loss, [*leaves.values()], allow_unused=True))
        if penalised:
            mass = float(shares @ self.f.masses(rows.y))
            for whole, p in self._beside_weights(total, self.decay):
                for sum_, decay, theta in in_pieces(*whole, p):
                    sum_ += mass * decay * theta
        return total

    def _beside_weights(self, *vectors):
        """The parts of flat vectors that belong to a weight, and that as a flat one, in turn."""
        parts = zip(*(vector.split(self._sizes, -1) for vector in vectors))
        for some, p in zip(parts, self.f.params.values(), strict=True):
            yield some, p.detach().reshape(-1)

    def row_gradients(self, rows):
        """∇ℓ(z) of every row, without the penalty: a tensor of shape (n, P)."""
        found = self.like.new_zeros(len(rows), len(self))
        for x, y, positions in self.batches(rows, cut=True):
            for start, stop, parts in self._by_row(x, y):
                some = found[positions[0] + start : positions[0] + stop]
                for name, columns in zip(self.f.params, some.split(self._sizes, 1), strict=True):
                    if name in parts:
                        columns.copy_(parts[name].unfold().reshape(columns.shape))
        if rows.weights is not None:
            found.mul_(torch.as_tensor(fill_weights(rows)).to(found)[:, None])
        return found

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
        take = None
        for x, y, positions in self.batches(rows):
            take = take or self._way_to_dots(x, y, vectors)
            found[:, positions] = take(x, y, vectors).double().cpu().numpy()
        if penalised:
            beside = self._beside_weights(vectors, self.decay)
            share = sum(some @ (decay * theta) for (some, decay), theta in beside)
            found += share.double().cpu().numpy()[:, None] * self.f.masses(rows.y)
        return found * fill_weights(rows)

    def _way_to_dots(self, x, y, vectors):
        """From gradients of single rows, whose time k hardly matters for, or without them."""
        if self._collates or not self._by_row.takes_together(x, y):
            return self._dots_along
        some = *cut((x, y), 0, _FEW), vectors
        ways = {
            way.__name__: (lambda way=way: way(*some), _FEW)
            for way in (self._dots_by_row, self._dots_along)
        }
        shapes = [tuple(v.shape[1:]) for v in tree_leaves((x, y))], tuple(vectors.shape)
        key = str((shapes, self._sizes, self.like.device, torch.get_num_threads()))
        return getattr(self, choose_faster(type(self.f.module), key, ways, self.like.device))

    def _dots_along(self, x, y, vectors):
        with torch.enable_grad():
            leaves = self.leaves()
            losses = self.f.row_losses(self.f.outputs(leaves, x), y, x)
            # The derivative of Σ u ∇ℓ(z)ᵀ v by u.
            u = torch.zeros_like(losses, requires_grad=True)
            slopes = torch.autograd.grad(
                losses, [*leaves.values()], u, create_graph=True, allow_unused=True
            )
            found = [differentiate_along(slopes, [u], self.weights(v))[0] for v in vectors]
        return torch.stack(found)

    def _dots_by_row(self, x, y, vectors):
        named = self.weights(vectors)
        found = vectors.new_zeros(len(vectors), len(y))
        for start, stop, parts in self._by_row(x, y):
            for name, part in parts.items():
                found[:, start:stop] += part.dot(named[name])
        return found


def differentiate_along(values, at, along, many=False):
    """Derivatives of Σ vᵀ values by the tensors `at`, or of each of many v.

    Parameters
    ----------
    values : sequence of tensor or None
        None, and one without a graph, adds nothing.
    at : list of tensor
    along : dict of str to tensor
        v, in the order of `values`; of many v with one more dimension in front.
    many : bool, default=False
        They go one after the other where vmap takes them not.

    Returns
    -------
    found : list of tensor or None
    """
    pairs = [(a, v) for a, v in zip(values, along.values(), strict=True) if a is not None]
    pairs = [(a, v) for a, v in pairs if a.requires_grad]
    if not pairs:
        return [None] * len(at)
    used, pushes = zip(*pairs)
    how = {"retain_graph": True, "allow_unused": True}
    try:
        return [*torch.autograd.grad(used, at, pushes, is_grads_batched=many, **how)]
    except RuntimeError:
        if not many:
            raise
        each = zip(*pushes, strict=True)
        found = [torch.autograd.grad(used, at, one, **how) for one in each]
        return [None if part[0] is None else torch.stack(part) for part in zip(*found)]
