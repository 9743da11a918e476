"""Curvature products, solvers and influence against dense algebra and other libraries."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.func import functional_call, hessian

from skunlearn import InfluenceUnlearner
from skunlearn._rows.views import Rows
from skunlearn.exceptions import UnlearningError
from skunlearn.influence import InverseCurvature, influence, projected_influence
from skunlearn.influence._curvature import Curvature
from skunlearn.influence._kronecker import Kronecker
from skunlearn.influence._objective import Objective
from skunlearn.influence._solvers import make_solver
from tests.instances import make_net

SOLVERS = ("cg", "lissa", "exact", "kfac", "ekfac")
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


@pytest.mark.parametrize("kind", ["gauss_newton", "hessian"])
@pytest.mark.parametrize("name", NETS)
def test_products_are_those_of_the_dense_matrix(name, kind):
    make, y, loss = NETS[name]
    net = make()
    _, curvature = built(net, y, kind=kind)
    matrix = dense(net, y, loss, kind)
    eye = torch.eye(len(matrix), dtype=torch.float64)
    np.testing.assert_allclose(curvature(eye), matrix, rtol=0, atol=1e-10)
    np.testing.assert_allclose(curvature(eye[2]), matrix[2], rtol=0, atol=1e-10)


def test_the_gauss_newton_matrix_of_probabilities_is_that_of_logits():
    logits = cross_entropy()
    softmax = settled(NeuralNetClassifier, mlp(3, nn.Softmax(dim=1)), X, Y)
    products = [built(net, Y, kind="gauss_newton")[1](torch.ones(31).double()) for net in
                (logits, softmax)]  # fmt: skip
    np.testing.assert_allclose(*products, atol=1e-9)


def test_damping_is_in_units_of_the_mean_eigenvalue():
    net = cross_entropy(optimizer__weight_decay=0.25)
    matrix = dense(net, Y, NETS["cross_entropy"][2], "gauss_newton")
    _, curvature = built(net, Y, damping=3.0)
    # The trace is an estimate from eight products.
    np.testing.assert_allclose(curvature.damping, 3 * torch.trace(matrix) / 31, rtol=0.5)
    np.testing.assert_allclose(curvature.shift, 0.25 + curvature.damping)


def test_weight_decay_counts_where_it_is_a_penalty():
    def decay(**kwargs):
        return Objective(cross_entropy(**kwargs), 12, batch_size=4, seed=0).decay

    assert (decay(optimizer__weight_decay=0.25) == 0.25).all()
    assert (decay(optimizer=torch.optim.AdamW, optimizer__weight_decay=0.25) == 0).all()
    # The loss of a batch of six rows is their sum, which the decay is not multiplied with.
    summed = decay(criterion__reduction="sum", batch_size=6, optimizer__weight_decay=0.25)
    np.testing.assert_allclose(summed, 0.25 / 6)


@pytest.mark.parametrize("name", NETS)
def test_gradients_are_those_of_the_loss(name):
    make, y, loss = NETS[name]
    net = make()
    net.optimizer_.param_groups[0]["weight_decay"] = 0.25
    objective = Objective(net, len(X), batch_size=5, seed=0)
    rows = Rows(X, y, np.arange(len(X)))
    value = loss(net.module_(torch.as_tensor(X)), torch.as_tensor(y))
    slope = torch.autograd.grad(value, list(net.module_.parameters()))
    plain = torch.cat([g.reshape(-1) for g in slope])
    mass = objective.mass(rows)
    np.testing.assert_allclose(objective.gradient(rows, penalised=False) / mass, plain, atol=1e-12)
    whole = plain + objective.decay * objective.theta
    np.testing.assert_allclose(objective.gradient(rows) / mass, whole, atol=1e-12)
    vectors = torch.as_tensor(fixed(3, 1000))[:, : len(objective)]
    np.testing.assert_allclose(
        objective.dots(rows, vectors).sum(1) / mass, (vectors @ whole).numpy(), atol=1e-10
    )
    # One vector and several go different ways.
    np.testing.assert_allclose(
        objective.dots(rows, vectors[:1]), objective.dots(rows, vectors)[:1], atol=1e-12
    )


@pytest.mark.parametrize("inverse", [
    InverseCurvature(solver="cg", tol=1e-10), InverseCurvature(solver="exact"),
    InverseCurvature(solver="lissa", max_steps=600, tol=0.05, batch_size=12),
    InverseCurvature(solver="cg", preconditioner="kfac", tol=1e-10),
    InverseCurvature(solver="cg", preconditioner="ekfac", tol=1e-10),
], ids=lambda s: f"{s.solver}-{s.preconditioner}")  # fmt: skip
def test_solvers_solve(inverse):
    net = cross_entropy(optimizer__weight_decay=0.1)
    objective, curvature = built(net, Y, kind="gauss_newton", damping=1.0)
    if inverse.solver == "lissa":
        objective.batch_size = 12  # of all rows, which leaves no noise
    vectors = torch.as_tensor(fixed(3, 31))
    vectors[1] = 0
    matrix = dense(net, Y, NETS["cross_entropy"][2], "gauss_newton") + torch.diag(curvature.shift)
    expected = torch.linalg.solve(matrix, vectors.T).T
    found = make_solver(curvature, inverse)(vectors)
    atol = 1e-6 * float(expected.abs().max()) if inverse.solver != "lissa" else 0.01
    np.testing.assert_allclose(found, expected, atol=atol)
    assert not found[1].any()


def test_kronecker_factors_are_exact_for_one_linear_layer():
    # Regression: the Hessian by the outputs is the identity, and the factors are all there is.
    net = settled(NeuralNetRegressor, nn.Linear(3, 2).double(), X, fixed(12, 2))
    _, curvature = built(net, fixed(12, 2), kind="gauss_newton", damping=0.3)
    eye = torch.eye(8, dtype=torch.float64)
    inverse = torch.linalg.inv(curvature(eye))
    kfac = Kronecker(curvature, corrected=False).solve(eye)
    # Signs of the two outputs are drawn, and correlate a little over twelve rows.
    assert (kfac - inverse).norm() < 0.3 * inverse.norm()
    exact = Kronecker(curvature, corrected=True)
    assert (exact.solve(eye) - inverse).norm() < 0.3 * inverse.norm()


def test_kronecker_factors_of_a_convolution_point_the_right_way():
    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Conv2d(1, 3, 3, padding="same", padding_mode="circular")
            self.second = nn.Conv2d(3, 2, 3, stride=2, padding=1, dilation=1)
            self.norm = nn.BatchNorm2d(2)
            self.out = nn.Linear(8, 3)

        def forward(self, x):
            x = self.norm(self.second(torch.tanh(self.first(x))))
            return self.out(x.flatten(1))

    images = fixed(60, 1, 4, 4).astype(np.float32)
    y = (np.arange(60) % 3).astype(np.int64)
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        Conv, criterion=nn.CrossEntropyLoss, lr=0.01, train_split=None, verbose=0
    ).fit(images, y)
    rows = images, y, images[:5], y[:5]
    exact = influence(net, *rows, inverse=InverseCurvature(solver="exact", damping=1.0))
    for solver in ("kfac", "ekfac"):
        found = influence(net, *rows, inverse=InverseCurvature(solver=solver, damping=1.0))
        assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.9


# pyDVL 0.10.0, DirectInfluence(module, cross_entropy, regularization=1.0) on the rows below.
PYDVL = np.array(
    [
        [0.14382522, -0.13445556, 0.12888948, 0.33409981, -0.6897433, -0.82440717,
         0.09029379, 0.05776711, -0.07120456, 0.45574399, -0.80021777, -0.51204677],
        [-0.63222978, 0.44124006, 0.43913942, -0.09963385, 0.11490067, 3.53836322,
         -0.73340513, -0.17764049, 0.03785869, -0.3901935, 0.53470445, 4.39262508],
    ]
)  # fmt: skip


@pytest.mark.parametrize("solver", ["cg", "exact"])
def test_influence_is_that_of_pydvl(solver):
    net = cross_entropy()
    net.optimizer_.param_groups[0]["weight_decay"] = 1.0
    test = fixed(2, 3, shift=1.0), np.array([0, 2])
    given = {"tol": 1e-10} if solver == "cg" else {}
    inverse = InverseCurvature(solver=solver, curvature="hessian", damping=0, batch_size=5, **given)
    found = influence(net, X, Y, *test, inverse=inverse)
    # Theirs is of adding a row to n times its weight, and leaves the penalty out of the rows.
    objective = Objective(net, 12, batch_size=5, seed=0)
    pulls = objective.row_gradients(Rows(*test, np.arange(2)))
    matrix = dense(net, Y, NETS["cross_entropy"][2], "hessian") + torch.eye(31)
    share = torch.linalg.solve(matrix, pulls.T).T @ objective.theta
    np.testing.assert_allclose(found * 12 - share.numpy()[:, None], PYDVL, atol=1e-6)


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


def test_influence_is_the_change_of_the_loss_when_a_row_leaves():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = (X @ rng.normal(size=(3, 3)) + rng.normal(size=(40, 3))).argmax(1)
    test = rng.normal(size=(4, 3)), np.array([0, 1, 2, 0])
    net = logistic(X, y, 0.1)
    found = influence(net, X, y, *test, inverse=UNDAMPED)

    def losses(net):
        logits = net.module_(torch.as_tensor(test[0]))
        return nn.functional.cross_entropy(logits, torch.as_tensor(test[1]), reduction="none")

    before = losses(net).detach().numpy()
    changes = [
        losses(logistic(np.delete(X, i, 0), np.delete(y, i), 0.1)).detach().numpy() - before
        for i in range(40)
    ]
    assert np.corrcoef(found.ravel(), np.transpose(changes).ravel())[0, 1] > 0.99
    # First order: the largest changes are a quarter larger.
    np.testing.assert_allclose(found, np.transpose(changes), atol=0.3 * np.abs(found).max())


def test_projected_influence_averages_influence():
    net = logistic(X, Y, 0.1)
    test = fixed(5, 3, shift=1.0), np.array([0, 2, 1, 1, 0])
    one_by_one = influence(net, X, Y, *test, inverse=UNDAMPED)
    psi = projected_influence(net, X, Y, criteria=[test, "classes"], inverse=UNDAMPED)
    np.testing.assert_allclose(psi[0], 12 * one_by_one.mean(0), atol=1e-10)
    assert psi.shape == (4, 12)
    own = influence(net, X, Y, X, Y, inverse=UNDAMPED)
    np.testing.assert_allclose(
        psi[1:], [12 * own[np.equal(Y, label)].mean(0) for label in range(3)], atol=1e-10
    )


def test_influence_takes_labels_of_an_unlearner(data):
    X, y = data
    names = np.array(["a", "b", "c"])[y]
    unlearner = InfluenceUnlearner(make_net(max_epochs=2), random_state=0).fit(X, names)
    found = influence(unlearner, X, names, X[:2], names[:2])
    np.testing.assert_allclose(
        found, influence(unlearner.estimator_, X, y, X[:2], y[:2]), rtol=1e-5, atol=1e-8
    )
    with pytest.raises(ValueError, match="y_test"):
        influence(unlearner, X, names, X[:2], ["a", "z"])


def test_recurrent_nets_and_attention_have_curvature():
    class Sequence(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.GRU(2, 4, batch_first=True)
            self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
            self.out = nn.Linear(4, 3)

        def forward(self, x):
            h, _ = self.cell(x)
            h, _ = self.attention(h, h, h, need_weights=False)
            return self.out(h.mean(1))

    rows = fixed(12, 5, 2).astype(np.float32)
    torch.manual_seed(0)
    net = NeuralNetClassifier(
        Sequence, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    ).fit(rows, Y)
    given = rows, Y, rows[:2], Y[:2]
    exact = influence(net, *given, inverse=InverseCurvature(solver="exact", damping=1.0))
    found = influence(net, *given, inverse=InverseCurvature(tol=1e-6, damping=1.0))
    np.testing.assert_allclose(found, exact, atol=1e-4 * np.abs(exact).max())


def test_a_layer_used_twice_has_no_kronecker_factors():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.own = nn.Linear(3, 3)

        def forward(self, x):
            return self.own(torch.tanh(self.own(x)))

    net = settled(NeuralNetClassifier, Twice().double(), X, Y, criterion=nn.CrossEntropyLoss)
    with pytest.raises(UnlearningError, match="used more than once"):
        influence(net, X, Y, X, Y, inverse=InverseCurvature(solver="ekfac"))


def test_what_cannot_be_solved_is_an_error():
    net = cross_entropy()
    with pytest.raises(UnlearningError, match="Hessian is not positive definite"):
        influence(net, X, Y, X, Y, inverse=InverseCurvature(curvature="hessian", damping=0))
    with pytest.raises(UnlearningError, match="Hessian is not positive definite"):
        influence(net, X, Y, X, Y, inverse=clone(UNDAMPED).set_params(curvature="hessian"))
    with pytest.raises(UnlearningError, match="not positive definite in the net's precision"):
        influence(net, X, Y, X, Y, inverse=UNDAMPED)
    with pytest.warns(ConvergenceWarning, match="residual"):
        influence(net, X, Y, X, Y, inverse=InverseCurvature(max_steps=2))
    with pytest.warns(ConvergenceWarning, match="residual"):
        influence(net, X, Y, X, Y, inverse=InverseCurvature(max_steps=2, solver="lissa"))
    with torch.no_grad():
        net.module_[2].bias[:] = torch.tensor([2000.0, 0, 0])
    with pytest.raises(UnlearningError, match="curvature of the loss is zero"):
        influence(net, X, Y, X, Y)


def test_a_dense_matrix_has_a_largest_size():
    wide = nn.Sequential(nn.Linear(3, 3000), nn.Linear(3000, 3)).double()
    net = settled(NeuralNetClassifier, wide, X, Y, criterion=nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match="P is 21003"):
        influence(net, X, Y, X, Y, inverse=InverseCurvature(solver="exact"))


@pytest.mark.parametrize("changed, error, message", [
    ({"solver": "newton"}, ValueError, "solver must be one of"),
    ({"curvature": "fisher"}, ValueError, "curvature must be one of"),
    ({"preconditioner": "diagonal"}, ValueError, "preconditioner must be one of"),
    ({"preconditioner": "kfac", "solver": "lissa"}, ValueError, "goes with solver='cg'"),
    ({"solver": "ekfac", "curvature": "hessian"}, ValueError, "approximate the Gauss–Newton"),
    ({"damping": -1}, ValueError, "damping"),
    ({"batch_size": 0}, ValueError, "batch_size"),
    ({"curvature_rows": 0}, ValueError, "curvature_rows"),
    ({"max_steps": 0}, ValueError, "max_steps"),
    ({"tol": 0}, ValueError, "tol"),
])  # fmt: skip
def test_settings_are_checked(changed, error, message):
    with pytest.raises(error, match=message):
        influence(cross_entropy(), X, Y, X, Y, inverse=InverseCurvature(**changed))


def test_rows_are_checked():
    net = cross_entropy()
    with pytest.raises(TypeError, match="fitted skorch net"):
        influence(LogisticRegression().fit(X, Y), X, Y, X, Y)
    with pytest.raises(ValueError, match="y_train is missing"):
        influence(net, X, None, X, Y)
    with pytest.raises(ValueError, match="column numbers"):
        influence(net, X, Y, X, np.array(["a", "b", "c"] * 4))
    with pytest.raises(ValueError, match="no rows"):
        influence(net, X, Y, X[:0], Y[:0])
    with pytest.raises(ValueError, match="12"):
        influence(net, X, Y[:5], X, Y)
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(ValueError, match="X_test"):
        influence(net, X, Y, bad, Y)


def test_nothing_of_the_net_is_changed():
    net = cross_entropy()
    before = {k: v.clone() for k, v in net.module_.state_dict().items()}
    grads = [p.grad.clone() for p in net.module_.parameters()]
    state = torch.get_rng_state()
    for solver in SOLVERS:
        tol = 0.9 if solver == "lissa" else None
        inverse = InverseCurvature(solver=solver, damping=1.0, max_steps=300, tol=tol)
        influence(net, X, Y, X[:2], Y[:2], inverse=inverse)
    assert all(torch.equal(v, before[k]) for k, v in net.module_.state_dict().items())
    assert all(torch.equal(p.grad, g) for p, g in zip(net.module_.parameters(), grads, strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert not net.module_._forward_hooks
