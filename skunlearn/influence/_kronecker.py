"""Kronecker-factored curvature of linear and convolutional layers."""

from collections import defaultdict

import torch
from torch import nn
from torch.nn.functional import unfold

from skunlearn._rows.seeding import derive_seed
from skunlearn.exceptions import UnlearningError

_FLOATS = 2**25  # gradients of single rows that are held at a time, in numbers


class Kronecker:
    """Gauss–Newton matrix, block by layer, as Kronecker products (K-FAC, EK-FAC).

    The block of a layer is A ⊗ S, second moments of its inputs and of the gradients at its
    outputs. EK-FAC keeps their eigenvectors and takes the second moments of the rows' gradients
    in that basis for eigenvalues. Gradients are those of random labels that the model itself
    believes in: Jᵀ H½ ξ with random signs ξ, where H is the Hessian of the loss by the outputs.

    Parameters
    ----------
    curvature : Curvature
    corrected : bool
        EK-FAC rather than K-FAC.
    """

    def __init__(self, curvature, *, corrected):
        self.curvature, self.objective = curvature, curvature.objective
        self.f = self.objective.f
        self.layers = _layers(self.f.module, self.f.params)
        if not self.layers:
            raise UnlearningError(NO_LAYER)
        self.mass = self.objective.mass(curvature.rows)
        factors = defaultdict(lambda: [0.0, 0.0])
        for name, a, g, w in self._moments(0):
            positions = a.shape[1]
            a = a if w is None else a * w.sqrt()[:, None, None]
            factors[name][0] += torch.einsum("bli,blj->ij", a, a) / self.mass
            factors[name][1] += torch.einsum("blo,blp->op", g, g) / (self.mass * positions)
        self.layers = {name: self.layers[name] for name in factors}  # those that were used
        self.bases, self.values = {}, {}
        for name, (inner, outer) in factors.items():
            (a, in_), (s, out) = (torch.linalg.eigh(m.double()) for m in (inner, outer))
            dtype = self.objective.like.dtype
            self.bases[name] = out.to(dtype), in_.to(dtype)
            self.values[name] = torch.outer(s.clamp_min(0), a.clamp_min(0)).to(dtype)
        if corrected:
            self._correct()

    def _correct(self):
        self.values = {name: torch.zeros_like(values) for name, values in self.values.items()}
        for name, a, g, _ in self._moments(1):
            out, in_ = self.bases[name]
            a, g = a @ in_, g @ out
            if a.shape[1] == 1:
                self.values[name] += g[:, 0].square().T @ a[:, 0].square() / self.mass
                continue
            step = max(1, _FLOATS // self.values[name].numel())
            for i in range(0, len(a), step):
                grads = g[i : i + step].mT @ a[i : i + step]
                self.values[name] += grads.square().sum(0) / self.mass

    def precondition(self, vectors):
        """`solve`, with the mean eigenvalue of the blocks for the weights of other layers."""
        total = sum(values.sum() for values in self.values.values())
        mean = total / sum(values.numel() for values in self.values.values())
        return self.solve(vectors, vectors / (mean + self.curvature.shift))

    def solve(self, vectors, others=None, overwrite=False):
        """(G + shift)⁻¹ v of each row of a (k, P) tensor; 0 for weights of other layers.

        It never writes to `vectors`, whatever `overwrite` allows.
        """
        found = torch.zeros_like(vectors) if others is None else others
        offsets = self._offsets()
        shift = self.curvature.shift
        for name, layer in self.layers.items():
            spans = [offsets[f"{name}.{k}" if name else k] for k in layer.own]
            parts = [
                vectors[:, start:stop].reshape(len(vectors), layer.n_out, -1)
                for start, stop in spans
            ]
            out, in_ = self.bases[name]
            added = torch.cat([shift[start:stop] for start, stop in spans]).mean()
            v = out.T @ torch.cat(parts, dim=2) @ in_
            v = out @ (v / (self.values[name] + added)) @ in_.T
            for part, (start, stop) in zip(v.split([p.shape[2] for p in parts], 2), spans):
                found[:, start:stop] = part.reshape(len(vectors), -1)
        return found

    def _offsets(self):
        found, start = {}, 0
        for key, p in self.f.params.items():
            found[key] = start, start + p.numel()
            start += p.numel()
        return found

    def _moments(self, seed):
        """Inputs (batch, positions, in) and gradients (batch, positions, out), layer by layer."""
        generator = torch.Generator().manual_seed(derive_seed(self.objective.seed, 2, seed))
        for x, y, w in self.objective.read_weighted_batches(self.curvature.rows):
            with _Tap(self.layers, self.objective.like) as tap, torch.enable_grad():
                out = self.f.outputs({}, x)
            signs = torch.randint(0, 2, out.shape, generator=generator, dtype=torch.int8)
            noise = self.f.curved(out.detach(), y, signs.to(out.device).to(out.dtype) * 2 - 1, x)
            if w is not None:
                noise = noise * w.sqrt().view(-1, *[1] * (noise.ndim - 1))
            grads = torch.autograd.grad(out, list(tap.probes.values()), noise)
            for name, g in zip(tap.probes, grads, strict=True):
                layer = self.layers[name]
                yield name, layer.inputs(tap.inputs[name]), layer.positions(g), w


class _Layer:
    """A linear or convolutional layer, of which some weights are trainable."""

    def __init__(self, module, own):
        self.module, self.own = module, own
        self.n_out = module.weight.shape[0]

    def inputs(self, x):
        """What each position of the output is a linear function of: (batch, positions, in)."""
        parts = []
        if isinstance(self.module, nn.Conv2d):
            x = _patches(self.module, x)
        else:
            x = x.reshape(len(x), -1, x.shape[-1])
        if "weight" in self.own:
            parts.append(x)
        if "bias" in self.own:
            parts.append(x.new_ones(*x.shape[:2], 1))
        return torch.cat(parts, dim=2)

    def positions(self, g):
        """Gradients at the outputs: (batch, positions, out)."""
        if isinstance(self.module, nn.Conv2d):
            return g.flatten(2).mT
        return g.reshape(len(g), -1, g.shape[-1])


NO_LAYER = "The net has no nn.Linear or nn.Conv2d layer to factorise. Use solver='cg'."


def is_factorised(layer):
    """Whether a layer has Kronecker factors."""
    return isinstance(layer, nn.Linear) or (isinstance(layer, nn.Conv2d) and layer.groups == 1)


def _layers(module, params):
    found = {}
    for name, layer in module.named_modules():
        prefix = f"{name}." if name else ""
        own = [k for k in ("weight", "bias") if prefix + k in params]
        if is_factorised(layer) and own:
            found[name] = _Layer(layer, own)
    return found


def _patches(conv, x):
    if isinstance(conv.padding, str) or conv.padding_mode != "zeros":
        x = nn.functional.pad(x, conv._reversed_padding_repeated_twice, **_padding_mode(conv))
        padding = 0
    else:
        padding = conv.padding
    return unfold(x, conv.kernel_size, conv.dilation, padding, conv.stride).mT


def _padding_mode(conv):
    return {} if conv.padding_mode == "zeros" else {"mode": conv.padding_mode}


class _Tap:
    """Record the inputs of layers, and give their outputs a summand to differentiate by."""

    # Not the outputs themselves: an in-place activation would overwrite them.
    def __init__(self, layers, like):
        self.layers, self.like = layers, like
        self.inputs, self.probes, self._handles = {}, {}, []

    def __enter__(self):
        for name, layer in self.layers.items():
            self._handles.append(layer.module.register_forward_hook(self._hook(name)))
        return self

    def __exit__(self, *_):
        for handle in self._handles:
            handle.remove()

    def _hook(self, name):
        def hook(module, inputs, output):
            if name in self.probes:
                raise UnlearningError(
                    f"The layer {name!r} is used more than once in a forward pass, which its "
                    "Kronecker factors cannot tell apart. Use solver='cg'."
                )
            self.inputs[name] = inputs[0].detach().clone()
            self.probes[name] = torch.zeros_like(output, requires_grad=True)
            return output + self.probes[name]

        return hook
