"""Linear layers that see one vector of each row: their inputs, and gradients at their outputs."""

from collections import Counter
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.functional import linear
from torch.utils._pytree import tree_leaves

from skunlearn._torch.gradients.gradient_parts import Factored, Whole
from skunlearn._torch.parts.copying import deep_copy


def copy_around(module):
    """A copy of a module around the same parameters.

    What a forward pass writes to the module, a hidden state say, stays out of the original.
    """
    held = tree_leaves([list(vars(part).values()) for part in module.modules()])
    tensors = [t for t in held if isinstance(t, torch.Tensor)]
    # What came out of a forward pass cannot be copied, and need not be.
    kept = [t for t in tensors if isinstance(t, nn.Parameter) or not t.is_leaf]
    try:
        return deep_copy({"module": module}, {id(t): t for t in kept})["module"]
    except TypeError:  # it cannot be copied by any means
        return module


class TappedLinear:
    """A linear layer whose gradients by weight and bias are made of its inputs and outputs.

    Parameters
    ----------
    name : str
        Of the module.
    module : nn.Linear
    wanted : set of str
        Names of the parameters that gradients are wanted by.
    """

    def __init__(self, name, module, wanted):
        prefix = f"{name}." if name else ""
        self.module = module
        self.weights = {
            prefix + k: p for k, p in module.named_parameters(recurse=False) if prefix + k in wanted
        }
        self._weight, self._bias = prefix + "weight", prefix + "bias"
        self.dtype, self._calls = None, 0

    def is_alone(self, inputs, output):
        """Note a call on one row; whether it is the first, of one vector."""
        self._calls += 1
        self.dtype, width = output.dtype, self.module.in_features
        return self._calls == 1 and len(inputs) == 1 and inputs[0].shape == (1, width)

    def make_probe(self):
        """What is added to the output, to differentiate by."""
        weight = self.module.weight
        return torch.zeros(1, len(weight), dtype=self.dtype, device=weight.device)

    def make_parts(self, outer, inner):
        """Gradients by the wanted parameters, of rows of gradients and inputs."""
        made = {self._weight: Factored(outer, inner), self._bias: Whole(outer)}
        return {name: part for name, part in made.items() if name in self.weights}


def find_linear_layers(module, wanted, ask):
    """Linear layers of a module that see one vector of each row, once, and own their weights.

    Parameters
    ----------
    module : torch module
    wanted : set of str
        Names of parameters.
    ask : function without arguments to a scalar tensor
        Loss of one row.

    Returns
    -------
    layers : dict of str to TappedLinear
    outputs : int
        Numbers that all layers together put out for the row.
    """
    shared = Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))
    layers = {}
    for name, part in module.named_modules():
        # Pruned or normalised, a layer makes its weight of parameters of other names.
        owned = dict(part.named_parameters(recurse=False))
        plain = type(part) is nn.Linear and owned.keys() <= {"weight", "bias"}
        if plain and all(shared[id(p)] == 1 for p in owned.values()):
            layer = TappedLinear(name, part, wanted)
            layers |= {name: layer} if layer.weights else {}
    unfit, outputs = set(), [0]

    def watch(name):
        def hook(part, inputs, output):
            outputs[0] += output.numel() if isinstance(output, torch.Tensor) else 0
            if name not in layers:
                return None
            if not layers[name].is_alone(inputs, output):
                unfit.add(name)
                return None
            bias = None if part.bias is None else part.bias.detach()
            return linear(inputs[0], part.weight.detach(), bias)

        return hook

    leaves = {name: part for name, part in module.named_modules() if not list(part.children())}
    with _hooked(leaves, watch), torch.enable_grad():
        loss = ask()
    # Weights that the loss depends on without their layer have more of a gradient than it gives.
    for name, layer in layers.items():
        if name not in unfit and loss.requires_grad:
            owned = list(layer.weights.values())
            grads = torch.autograd.grad(loss, owned, retain_graph=True, allow_unused=True)
            unfit |= {name} if any(g is not None for g in grads) else set()
    fit = {k: la for k, la in layers.items() if k not in unfit and la.dtype is not None}
    return fit, outputs[0]


@contextmanager
def tap(layers, probes):
    """Add probes to the layers' outputs; yields their inputs, by name."""
    inputs = {}

    def listen(name):
        def hook(part, given, output):
            if name in inputs:
                raise RuntimeError(f"{name} is called twice")
            inputs[name] = given[0].clone()  # what comes after may write to it
            return output + probes[name]

        return hook

    with _hooked({name: layer.module for name, layer in layers.items()}, listen):
        yield inputs


@contextmanager
def _hooked(modules, make):
    handles = [module.register_forward_hook(make(name)) for name, module in modules.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
