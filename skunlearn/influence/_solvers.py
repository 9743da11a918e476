"""Solutions of (H + shift) x = v, by iteration or factorisation."""

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from tqdm import tqdm

from skunlearn._rows import checking
from skunlearn._rows.seeding import derive_seed
from skunlearn.exceptions import UnlearningError
from skunlearn.influence._kronecker import Kronecker

_LARGEST = 10_000  # weights of a dense matrix: 800 MB in float64
_BLOCK, _FLOATS = 16, 2**21  # vectors that CG works on at a time, and numbers in them
COLUMNS = 64  # of the dense matrix made at a time
_TRIES = 10  # of LiSSA, at twice the scale each


def make_solver(curvature, inverse, verbose=0):
    """A function of a (k, P) tensor to the k solutions.

    With ``overwrite=True`` it may write to that tensor, which spares the memory of another.

    Parameters
    ----------
    curvature : Curvature
    inverse : InverseCurvature
    verbose : int, default=0
    """
    if inverse.solver == "exact":
        return _Exact(curvature)
    if inverse.solver in ("kfac", "ekfac"):
        return Kronecker(curvature, corrected=inverse.solver == "ekfac").solve
    return (_CG if inverse.solver == "cg" else _LiSSA)(curvature, inverse, verbose)


class _Exact:
    """Cholesky factor of the dense matrix, in float64."""

    def __init__(self, curvature):
        size = len(curvature.objective)
        if size > _LARGEST:
            raise ValueError(
                f"solver='exact' makes a matrix of P × P numbers, and P is {size} here; it is for "
                f"nets of at most {_LARGEST} weights. Use solver='cg' or solver='ekfac'."
            )
        eye = torch.eye(size, dtype=curvature.shift.dtype, device=curvature.shift.device)
        dense = torch.cat([curvature(part) for part in eye.split(COLUMNS)]).double()
        self.factor, failed = torch.linalg.cholesky_ex((dense + dense.T) / 2)
        if failed:
            raise _indefinite(curvature)

    def __call__(self, vectors, overwrite=False):
        return torch.cholesky_solve(vectors.double().T, self.factor).T.to(vectors.dtype)


class _CG:
    """Conjugate gradients on some vectors at a time.

    Those are one system, of a block diagonal matrix: every iteration takes one product with all
    of them, which on small nets costs hardly more than with one.
    """

    def __init__(self, curvature, inverse, verbose):
        self.curvature, self.inverse, self.verbose = curvature, inverse, verbose
        self.factors = None
        if inverse.preconditioner is not None:
            self.factors = Kronecker(curvature, corrected=inverse.preconditioner == "ekfac")

    def __call__(self, vectors, overwrite=False):
        found, worst = [], 0.0
        sizes = vectors.norm(dim=1)
        for part in vectors.split(max(1, min(_BLOCK, _FLOATS // vectors.shape[1]))):
            done = sum(map(len, found))
            title = f"cg, vectors {done + 1} to {done + len(part)}"
            # Of length one: squares of tiny gradients would underflow in float32.
            size = sizes[done : done + len(part), None]
            left = (part if overwrite else part.clone()).div_(size.where(size > 0, 1))
            with _show_bar(title, self.inverse, self.verbose) as progress:
                x, residual = self._solve(left, progress)
            found.append(x.mul_(size))
            worst = max(worst, residual)
        if worst:
            _not_converged(self.inverse, worst)
        return found[0] if len(found) == 1 else torch.cat(found)

    def _solve(self, left, progress):
        """Solutions by conjugate gradients, and the largest residual, or 0 where they converged.

        Four vectors as large as the net are held; `left`, the right-hand sides, becomes one.
        """
        x = torch.zeros_like(left)
        wanted = self.inverse._tolerance * float(left.norm())
        along = before = None
        for _ in range(self.inverse._most_steps):
            if float(left.norm()) <= wanted:
                return x, 0.0
            z = left if self.factors is None else self.factors.precondition(left)
            now = _dot(left, z)
            along = z.clone() if along is None else along.mul_(now / before).add_(z)
            product, before = self._product(along), now
            length = now / _dot(along, product)
            x.add_(along, alpha=length)
            left.sub_(product, alpha=length)
            del product, z
            progress.update()
        done = float(left.norm()) <= wanted
        return x, 0.0 if done else float(left.norm(dim=1).max())

    def _product(self, vectors):
        products = self.curvature(vectors)
        bends = torch.linalg.vecdot(vectors, products)
        if not bool(torch.isfinite(bends).all()):
            raise UnlearningError(
                "A product with the curvature holds NaN or infinity: the net's outputs or their "
                "derivatives do."
            )
        if bool(((bends <= 0) & (vectors != 0).any(1)).any()):
            raise _indefinite(self.curvature)
        return products


def _dot(a, b):
    return float(a.flatten() @ b.flatten())


class _LiSSA:
    """The Neumann series x ← v + (I − A/c) x with A of one random batch at a time."""

    def __init__(self, curvature, inverse, verbose):
        self.curvature, self.inverse, self.verbose = curvature, inverse, verbose
        # A batch bends more than the average of all of them.
        self.scale = 2 * curvature.largest_eigenvalue()

    def __call__(self, vectors, overwrite=False):
        size = vectors.norm(dim=1, keepdim=True).clamp_min(torch.finfo(vectors.dtype).tiny)
        target = vectors / size
        for _ in range(_TRIES):
            x = self._series(target)
            if x is not None:
                break
            self.scale *= 2
        else:
            raise _indefinite(self.curvature)
        left = self.curvature(x) - target
        worst = float(left.norm(dim=1).max())
        if worst > self.inverse._tolerance:
            _not_converged(self.inverse, worst)
        return x * size

    def _series(self, target):
        objective, rows = self.curvature.objective, self.curvature.rows
        rng = np.random.default_rng(derive_seed(objective.seed, 3))
        x = target / self.scale
        order = np.empty(0, dtype=np.intp)
        with _show_bar("lissa", self.inverse, self.verbose) as progress:
            for _ in range(self.inverse._most_steps):
                if len(order) == 0:
                    order = rng.permutation(len(rows))
                batch, order = (
                    rows.take(np.sort(order[: objective.batch_size])),
                    order[objective.batch_size :],
                )
                x = x + (target - self.curvature(x, batch)) / self.scale
                length = float(x.norm(dim=1).max())
                # Past the solution's largest possible length the series diverges.
                if not length * float(self.curvature.shift.min()) <= 2:
                    return None
                progress.update()
        return x


def _show_bar(title, inverse, verbose):
    """A bar of the iterations, of which there may be fewer."""
    return tqdm(total=inverse._most_steps, desc=title, disable=not verbose)


def _indefinite(curvature):
    if curvature.kind == "hessian":
        return UnlearningError(
            "The Hessian is not positive definite: the net is at no minimum of its loss. Use "
            "curvature='gauss_newton', which always is, a larger damping, or train for longer."
        )
    return UnlearningError(
        "The Gauss–Newton matrix is not positive definite in the net's precision. Use a larger "
        "damping, or a net of float64 weights."
    )


def _not_converged(inverse, residual):
    checking.warn(
        f"solver={inverse.solver!r} stopped after {inverse._most_steps} iterations with a relative "
        f"residual of {residual:.1g}, where {inverse._tolerance:.1g} was asked for. Raise "
        "max_steps, damping or tol, or use preconditioner='ekfac' or another solver.",
        ConvergenceWarning,
    )
