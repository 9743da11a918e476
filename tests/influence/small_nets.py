"""Small nets of every kind at a fixed point, and their curvature as a dense matrix."""

import numpy as np
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.func import functional_call, hessian

from skunlearn._rows.views import Rows
from skunlearn.influence import InverseCurvature
from skunlearn.influence._curvature import Curvature
from skunlearn.influence._objective import Objective

UNDAMPED = InverseCurvature(solver="exact", damping=0)


def fixed(*shape, shift=0.0):
    """Numbers that no generator is needed for."""
    return np.sin(1.7 * np.arange(np.prod(shape)) + shift).reshape(shape)


def settled(cls, module, X, y, **kwargs):
    """A net of fixed float64 weights that has seen `X`, but not learnt from it."""
    params = {"max_epochs": 1, "lr": 0.0, "train_split": None, "verbose": 0} | kwargs
    net = cls(module, **params).fit(X, y)
    with torch.no_grad():
        for k, p in enumerate(net.module_.parameters()):
            p.copy_(torch.as_tensor(fixed(*p.shape, shift=k)))
    return net


def mlp(n_out, *last):
    """3-4-n_out."""
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, n_out), *last).double()


X = fixed(12, 3)


Y = np.arange(12) % 3


CLASS_WEIGHT = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)


def cross_entropy(**kwargs):
    return settled(NeuralNetClassifier, mlp(3), X, Y, criterion=nn.CrossEntropyLoss, **kwargs)


def binary(**kwargs):
    net = mlp(1, nn.Flatten(0)).double()
    return settled(NeuralNetBinaryClassifier, net, X, (Y > 0).astype(float), **kwargs)


def regression(**kwargs):
    return settled(NeuralNetRegressor, mlp(1), X, fixed(12, 1, shift=3.0), **kwargs)


NETS = {
    "cross_entropy": (cross_entropy, Y, lambda out, y: nn.functional.cross_entropy(out, y)),
    "label_smoothing": (
        lambda: cross_entropy(criterion__label_smoothing=0.2),
        Y,
        lambda out, y: nn.functional.cross_entropy(out, y, label_smoothing=0.2),
    ),
    "class_weight": (
        lambda: cross_entropy(criterion__weight=CLASS_WEIGHT),
        Y,
        lambda out, y: nn.functional.cross_entropy(out, y, weight=CLASS_WEIGHT),
    ),
    "sum": (
        lambda: cross_entropy(criterion__reduction="sum"),
        Y,
        lambda out, y: nn.functional.cross_entropy(out, y),
    ),
    "binary": (
        binary,
        (Y > 0).astype(float),
        lambda out, y: nn.functional.binary_cross_entropy_with_logits(out, y),
    ),
    "regression": (
        regression,
        fixed(12, 1, shift=3.0),
        lambda out, y: nn.functional.mse_loss(out, y),
    ),
}


def dense(net, y, loss, kind):
    """The matrix by torch.func.hessian, of the loss by the weights or through the outputs."""
    params = dict(net.module_.named_parameters())
    sizes = [p.numel() for p in params.values()]
    flat = torch.cat([p.detach().reshape(-1) for p in params.values()])
    x, y = torch.as_tensor(X), torch.as_tensor(y)

    def outputs(theta):
        parts = theta.split(sizes)
        named = {k: v.view(p.shape) for v, (k, p) in zip(parts, params.items(), strict=True)}
        return functional_call(net.module_, named, (x,))

    if kind == "hessian":
        return hessian(lambda theta: loss(outputs(theta), y))(flat).detach()
    out = outputs(flat)
    J = torch.func.jacrev(outputs)(flat).reshape(out.numel(), -1)
    H = hessian(lambda o: loss(o, y))(out).reshape(out.numel(), out.numel())
    return (J.T @ H @ J).detach()


def built(net, y, **kwargs):
    """An objective over the rows, and its curvature."""
    objective = Objective(net, len(X), batch_size=5, seed=0)
    rows = Rows(X, y, np.arange(len(X)))
    return objective, Curvature(objective, rows, **({"kind": "hessian", "damping": 0} | kwargs))


def logistic(X, y, decay):
    """A linear softmax net at the minimum of mean loss + ½ decay ‖θ‖²."""
    n_out = int(y.max()) + 1
    net = settled(
        NeuralNetClassifier, nn.Linear(X.shape[1], n_out).double(), X, y,
        criterion=nn.CrossEntropyLoss, optimizer__weight_decay=decay,
    )  # fmt: skip
    x, t = torch.as_tensor(X), torch.as_tensor(y)
    params = list(net.module_.parameters())
    solver = torch.optim.LBFGS(
        params,
        max_iter=500,
        tolerance_grad=1e-13,
        tolerance_change=0,
        line_search_fn="strong_wolfe",
    )

    def closure():
        solver.zero_grad()
        penalty = sum(p.square().sum() for p in params) * decay / 2
        loss = nn.functional.cross_entropy(net.module_(x), t) + penalty
        loss.backward()
        return loss

    solver.step(closure)
    return net
