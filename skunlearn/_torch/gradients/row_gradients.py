"""Gradients of single rows: many rows at a time where a net allows it, else one by one."""

import warnings

import torch
from torch.func import grad, vmap
from torch.utils._pytree import tree_leaves, tree_map

from skunlearn._torch.batches import training_batch
from skunlearn._torch.gradients.faster import choose_faster
from skunlearn._torch.gradients.gradient_parts import Whole
from skunlearn._torch.gradients.linear_layers import find_linear_layers, tap

_MOST_ROWS = 512
_FEW_ROWS = 32  # on which ways are tried; fewer are taken one by one
_FLOATS = 2**24  # gradients of single rows that are held at a time, in numbers
_ACTIVATIONS = 2**22  # outputs of all layers that are held at a time, in numbers
_UNIT = 2**31  # bytes free on a GPU for each of which as many may be held
_LEAST_ROWS = 4
_NEAR = 0.05  # two ways differ by rounding alone, half-precision included, or by far more
_NOISE = 1e-6  # of a parameter that hardly matters, in units of all gradients


class RowGradients:
    """Gradients of the loss of each of some rows by the weights of a module.

    Many rows at a time are ``vmap(grad)``, which knows a row by itself: whatever a module does
    between the rows of a batch, or decides by their values, has no part in it. The gradient by the
    weights of a linear layer that sees one vector of each row is kept as the factors that the
    layer gives, and never made. Nets that vmap refuses, and those that it would slow down, are
    asked row by row. A few rows tell: both ways must agree on them, and are timed.

    Parameters
    ----------
    module : torch module in evaluation mode
        Hooks are put on it for a while; see `copy_around`.
    params : dict of str to parameter of `module`
        Those wanted; of the same names in `module`.
    loss : function of ``(weights, x, y)`` to a scalar tensor
        Loss of a batch of one row, with some of the weights, by name, in place of the module's.
    alone : function of ``(x, y)`` to a scalar tensor, default=None
        The same for the rows that are taken one by one; `loss` with the module's weights when None.
    """

    def __init__(self, module, params, loss, alone=None):
        self._module, self._params, self._loss = module, params, loss
        self._alone = alone or (lambda x, y: loss({}, x, y))
        self._together = None  # not decided: no batch was large enough to try
        self._layers, self._size = {}, 1

    def __call__(self, x, y):
        """Gradients of the rows of a batch, some rows at a time.

        Yields
        ------
        start, stop : int
            Rows of the batch.
        parts : dict of str to Whole or Factored
            By parameter; those that the loss does not depend on may be missing.
        """
        start, n, together = 0, len(y), self.takes_together(x, y)
        while start < n:
            stop = min(n, start + self._size) if together else start + 1
            some = (x, y) if n == 1 else cut((x, y), start, stop)
            parts = self._take_together(*some) if together else self._take_one(*some)
            if parts is None:
                together = self._together = False
                continue
            yield start, stop, parts
            del parts  # before the next are made
            start = stop

    def takes_together(self, x, y):
        """Whether the rows of this batch are taken many at a time."""
        if self._together is None and len(y) >= _FEW_ROWS:
            self._together = self._decide(x, y)
        return bool(self._together)

    # ------------------------------------------------------------------ two ways

    def _take_one(self, x, y):
        with torch.enable_grad():
            grads = torch.autograd.grad(
                self._alone(x, y), list(self._params.values()), allow_unused=True
            )
        named = zip(self._params, grads, strict=True)
        return {name: Whole(g.detach()[None]) for name, g in named if g is not None}

    def _take_together(self, x, y):
        """None where that is not possible."""
        try:
            with torch.no_grad(), warnings.catch_warnings():
                # Of operations that vmap takes one by one: the clock sees it.
                warnings.filterwarnings("ignore", message="There is a performance drop")
                return self._map_rows(x, y)
        except Exception:  # what is wrong with the rows themselves, one by one will say
            return None

    def _map_rows(self, x, y):
        layers = self._layers
        weights = {k: self._params[k].detach() for k in self._whole()}
        probes = {k: layer.make_probe() for k, layer in layers.items()}

        def loss(weights, probes, x, y):
            one = [tree_map(lambda value: value[None], rows) for rows in (x, y)]
            with tap(layers, probes) as inputs:
                return self._loss(weights, *one), inputs

        both = grad(loss, argnums=(0, 1), has_aux=True)
        (whole, outer), inner = vmap(both, in_dims=(None, None, 0, 0))(weights, probes, x, y)
        parts = {name: Whole(grads) for name, grads in whole.items()}
        for name, layer in layers.items():
            parts |= layer.make_parts(outer[name][:, 0], inner[name][:, 0])
        return parts

    def _whole(self):
        """Names of the parameters whose gradients are made."""
        apart = {k for layer in self._layers.values() for k in layer.weights}
        return [k for k in self._params if k not in apart]

    # ------------------------------------------------------------------ the choice

    def _decide(self, x, y):
        if not all(isinstance(v, torch.Tensor) for v in tree_leaves((x, y))):
            return False
        first = [cut((x, y), i, i + 1) for i in range(2)]
        try:
            layers, outputs = find_linear_layers(
                self._module, self._params.keys(), lambda: self._loss({}, *cut(first[0], 0, 1))
            )
        except Exception:  # see `_take_together`
            return False
        for self._layers in [layers, {}] if layers else [{}]:
            held = sum(self._params[k].numel() for k in self._whole())
            room = self._room()
            self._size = min(
                _MOST_ROWS, room * _FLOATS // max(1, held), room * _ACTIVATIONS // max(1, outputs)
            )
            few = min(self._size, _FEW_ROWS)
            if few < _LEAST_ROWS:
                continue
            some = cut((x, y), 0, few)
            parts = self._take_together(*cut(some, 0, few))
            if parts is not None and self._agrees(parts, first):
                return self._is_faster(some, first[0])
        return False

    def _room(self):
        device = next(iter(self._params.values())).device
        if device.type != "cuda":
            return 1
        return max(1, torch.cuda.mem_get_info(device)[0] // _UNIT)

    def _agrees(self, parts, first):
        for i, row in enumerate(first):
            alone = self._take_one(*cut(row, 0, 1))
            noise = _NOISE * sum(float(part.grads.float().norm()) for part in alone.values())
            for name, param in self._params.items():
                none = torch.zeros_like(param)
                expected = alone[name].grads[0] if name in alone else none
                part = parts.get(name, Whole(none.expand(i + 1, *none.shape)))
                if not part.is_near(i, expected, _NEAR, noise):
                    return False
            del alone, expected  # before the next is made, as large as the net
        return True

    def _is_faster(self, some, one):
        few = len(some[1])
        shapes = [tuple(v.shape[1:]) for v in tree_leaves(some)]
        shapes += [tuple(p.shape) for p in self._params.values()]
        device = next(iter(self._params.values())).device
        key = str((shapes, few, device, torch.get_num_threads()))
        ways = {
            "together": (lambda: self._take_together(*some), few),
            "one by one": (lambda: self._take_one(*one), 1),
        }
        return choose_faster(type(self._module), key, ways, device) == "together"


def cut(rows, start, stop):
    """Some of the rows ``(x, y)``, copied: a module may write to its input."""
    some = training_batch.part(rows, start, stop, len(rows[1]))
    return tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, some)
