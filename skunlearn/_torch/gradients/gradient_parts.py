"""Gradients of some rows by one parameter: whole, or as the factors that a linear layer gives."""

from skunlearn._torch.pieces import in_pieces


class Whole:
    """The gradients themselves.

    Parameters
    ----------
    grads : tensor of shape (n, ...), the parameter's
    """

    def __init__(self, grads):
        self.grads = grads

    def add_sizes(self, total, shares, squared):
        """Add Σ s g² over the rows, or Σ s |g|, to a tensor like the parameter."""
        if len(self.grads) == 1:
            share = float(shares[0])
            for sum_, grad in in_pieces(total, self.grads[0]):
                sum_.add_(_sizes(grad.to(total.dtype), squared), alpha=share)
        else:
            sizes = _sizes(self.grads.to(total.dtype), squared)
            total.view(-1).addmv_(_flat(sizes).T, shares.to(total.dtype))

    def dot(self, vectors):
        """gᵀ v of each of k vectors, of shape (k, ...), and each row: (k, n)."""
        return _flat(vectors) @ _flat(self.grads.to(vectors.dtype)).T  # of autocast

    def unfold(self):
        """The gradients, of shape (n, ...)."""
        return self.grads

    def is_near(self, row, grad, share, noise):
        """Whether that of one row is `grad`, up to a share of its length plus noise."""
        return bool((self.grads[row] - grad).float().norm() <= share * grad.float().norm() + noise)


class Factored:
    """Gradients g aᵀ by the weights of a linear layer that sees one vector of each row.

    Parameters
    ----------
    outer : tensor of shape (n, out)
        g, gradients at the layer's outputs.
    inner : tensor of shape (n, in)
        a, its inputs.
    """

    def __init__(self, outer, inner):
        self.outer, self.inner = outer, inner

    def add_sizes(self, total, shares, squared):
        """Add Σ s g² over the rows, or Σ s |g|, to a tensor like the parameter."""
        outer, inner = (_sizes(t.to(total.dtype), squared) for t in (self.outer, self.inner))
        total.addmm_((outer * shares.to(total.dtype)[:, None]).T, inner)

    def dot(self, vectors):
        """gᵀ v of each of k vectors, of shape (k, out, in), and each row: (k, n)."""
        outer, inner = (t.to(vectors.dtype) for t in (self.outer, self.inner))
        return ((inner @ vectors.mT) * outer).sum(dim=2)

    def unfold(self):
        """The gradients, of shape (n, out, in)."""
        return self.outer[:, :, None] * self.inner[:, None, :]

    def is_near(self, row, grad, share, noise):
        """Whether that of one row is `grad`, up to a share of its length plus noise."""
        # ‖g aᵀ − G‖² term by term: a large layer's gradient is not made for this.
        g, a, grad = (t.float() for t in (self.outer[row], self.inner[row], grad))
        size = grad.norm()
        apart = (g @ g) * (a @ a) - 2 * (g @ grad @ a) + size**2
        return bool(apart.clamp_min(0).sqrt() <= share * size + noise)


def _sizes(values, squared):
    return values.square() if squared else values.abs()


def _flat(stacked):
    return stacked.reshape(len(stacked), -1)  # flatten(1) refuses parameters that are a number
