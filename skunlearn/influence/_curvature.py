"""The matrix that influence functions invert: curvature plus weight decay plus damping."""

import torch
from torch.autograd import grad

from skunlearn._rows.seeding import derive_seed
from skunlearn._torch.gradients.faster import time_once
from skunlearn._torch.parts.net_state import uncompiled
from skunlearn._torch.pieces import in_pieces
from skunlearn.exceptions import UnlearningError
from skunlearn.influence._objective import differentiate_along
from skunlearn.influence._pushing import choose_push, push_twice

_PROBES = 8  # products from which the trace is estimated
_POWERS = 20  # products from which the largest eigenvalue is estimated
_STRAIGHT = (
    torch.nn.L1Loss,
    torch.nn.HingeEmbeddingLoss,
    torch.nn.MarginRankingLoss,
    torch.nn.MultiLabelMarginLoss,
)


class Curvature:
    """H + damping · (tr G / P) · I, with H the curvature of an objective over some rows.

    Parameters
    ----------
    objective : Objective
    rows : Rows
        Over which the curvature of the loss is averaged.
    kind : {"gauss_newton", "hessian"}
        Of the loss; that of the penalty, weight decay, is always added.
    damping : float
        In units of the mean eigenvalue of the loss's Gauss–Newton matrix G, of those that need not
        be zero: as many as rows times outputs. A mean over more weights than that would vanish.

    Attributes
    ----------
    shift : tensor of shape (P,)
        Weight decay and damping: what is added to the diagonal.
    """

    def __init__(self, objective, rows, *, kind, damping):
        self.objective, self.rows, self.kind = objective, rows, kind
        self._seconds = self._push = None  # of a product; how J v is made
        self.damping = damping * self._mean_eigenvalue() if damping else 0.0
        decay = objective.decay
        if decay.stride(0) == 0:  # one number, that takes no memory as a vector
            self.shift = (decay[:1] + self.damping).expand_as(decay)
        else:
            self.shift = decay + self.damping

    def __call__(self, v, rows=None):
        """The matrix times a vector, or times those of a (k, P) tensor; of fewer rows if given."""
        rows = self.rows if rows is None else rows
        one = v.ndim == 2 and len(v) == 1  # of several vmap makes copies
        found = self._average(self.kind, v[0] if one else v, rows).view(v.shape)
        for part, shift, along in in_pieces(found, self.shift.expand_as(v), v):
            part.add_(shift * along)
        return found

    def time_product(self, vectors=None):
        """Seconds of a product with these vectors, or with one."""
        if vectors is None and self._seconds is not None:
            return self._seconds
        ones = self.objective.like.new_ones
        given = ones(len(self.objective)) if vectors is None else vectors
        return time_once(lambda: self(given), given.device)

    def _average(self, kind, v, rows):
        total = torch.zeros_like(v)
        given = ()
        if kind == "gauss_newton":
            if v.ndim == 1 and self._push is None:
                self._push = choose_push(self.objective, self.rows, v)
            given = (push_twice if v.ndim == 2 else self._push,)
        product = _gauss_newton if given else _hessian
        for x, y, w in self.objective.read_weighted_batches(rows):
            product(self.objective, x, y, w, v, total, *given)
        return total.div_(self.objective.mass(rows))

    def _mean_eigenvalue(self):
        """tr G / min(P, rows × outputs) by random signs: E[vᵀ G v] = tr G."""
        signs = self._signs(_PROBES)
        total, times = 0.0, []

        def probe(v):
            nonlocal total
            total += v @ self._average("gauss_newton", v, self.rows)

        for v in signs:
            times.append(time_once(lambda v=v: probe(v), v.device))
        self._seconds = min(times)
        rank = min(len(self.objective), len(self.rows) * self._n_outputs())
        mean = float(total) / (_PROBES * rank)
        if not mean > 0:
            criterion = uncompiled(self.objective.net.criterion_)
            dtype = self.objective.like.dtype
            if isinstance(criterion, _STRAIGHT):
                raise UnlearningError(
                    f"{type(criterion).__name__} is made of straight pieces, so that the curvature "
                    "of the loss is zero, and influence functions have nothing to work with. Train "
                    "with a smooth criterion (SmoothL1Loss, say), or use another method."
                )
            raise UnlearningError(
                "The curvature of the loss is zero: the net fits its rows so closely that none is "
                f"left in {dtype}. Influence functions have nothing to work with; train with "
                "weight decay or label smoothing, or use another method."
            )
        return mean

    @torch.no_grad()
    def _n_outputs(self):
        x, _, _ = next(self.objective.batches(self.rows.take(range(1))))
        return self.objective.f.outputs(self.objective.f.params, x)[0].numel()

    def largest_eigenvalue(self):
        """By power iteration, from below."""
        v = next(self._signs(1))
        for _ in range(_POWERS):
            size = v.norm()
            v = self(v / size)
        return float(v.norm())

    def _signs(self, k):
        generator = torch.Generator().manual_seed(derive_seed(self.objective.seed, 1))
        for _ in range(k):  # one at a time, which is as large as the weights
            row = torch.randint(0, 2, (len(self.objective),), generator=generator, dtype=torch.int8)
            yield row.to(self.objective.like).mul_(2).sub_(1)


# Plain double backward: on small nets 2.6 times as fast as torch.func's jvp of vjp, and it asks
# for no forward-mode derivatives, which some layers lack.


def _hessian(objective, x, y, w, v, total):
    """Add the product of the loss's Hessian with v to `total`."""
    with torch.enable_grad():
        leaves = objective.leaves()
        at = [*leaves.values()]
        loss = objective.f.loss(objective.f.outputs(leaves, x), y, x, w)
        slopes = grad(loss, at, create_graph=True, allow_unused=True)
        objective.add(
            total, differentiate_along(slopes, at, objective.weights(v), many=v.ndim == 2)
        )


def _gauss_newton(objective, x, y, w, v, total, push):
    """Add the product of the Gauss–Newton matrix with v to `total`; `push` makes J v."""
    many = v.ndim == 2
    with torch.enable_grad():
        leaves = objective.leaves()
        out, pushed = push(objective, leaves, x, v)
        at = out.detach().requires_grad_()
        slope = grad(objective.f.loss(at, y, x, w), at, create_graph=True)
        (bent,) = differentiate_along(slope, [at], {"": pushed}, many)
        if bent is None:  # of straight pieces
            return
        if many:
            objective.add(total, differentiate_along([out], [*leaves.values()], {"": bent}, many))
        elif out.requires_grad:
            # Gradients are added where they belong one by one, and never all held beside `total`.
            for name, part in objective.weights(total).items():
                leaves[name].grad = part
            torch.autograd.backward([out], [bent], inputs=[*leaves.values()])
