"""Curvature products and solvers against dense algebra."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from skorch import NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.utils.checkpoint import checkpoint

from skunlearn._rows.views import Rows
from skunlearn.exceptions import UnlearningError
from skunlearn.influence import InverseCurvature, influence
from skunlearn.influence._curvature import Curvature
from skunlearn.influence._kronecker import Kronecker
from skunlearn.influence._objective import Objective
from skunlearn.influence._pushing import push_forward
from skunlearn.influence._solvers import make_solver
from tests.influence.small_nets import (
    NETS,
    UNDAMPED,
    X,
    Y,
    built,
    cross_entropy,
    dense,
    fixed,
    mlp,
    settled,
)

SOLVERS = ("cg", "lissa", "exact", "kfac", "ekfac")


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
    solve = make_solver(curvature, inverse)
    found = solve(vectors)
    atol = 1e-6 * float(expected.abs().max()) if inverse.solver != "lissa" else 0.01
    np.testing.assert_allclose(found, expected, atol=atol)
    assert not found[1].any()
    assert not solve(torch.zeros_like(vectors[:1])).any()


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


class Picky(torch.autograd.Function):
    """A square whose gradient looks at what it is given, which no vmap can do."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 2 * x * grad if bool(grad.isfinite().all()) else grad


@pytest.mark.parametrize("kind", ["gauss_newton", "hessian"])
def test_vectors_that_cannot_be_taken_together_are_taken_one_by_one(kind):
    class Layer(nn.Module):
        def __init__(self, of):
            super().__init__()
            self.of = of

        def forward(self, x):
            return self.of(x)

    products = []
    for of in (Picky.apply, torch.square):
        module = nn.Sequential(nn.Linear(3, 4), Layer(of), nn.Linear(4, 3)).double()
        net = settled(NeuralNetClassifier, module, X, Y, criterion=nn.CrossEntropyLoss)
        curvature = built(net, Y, kind=kind)[1]
        products.append(curvature(torch.eye(len(curvature.shift)).double()))
    np.testing.assert_allclose(*products, rtol=0, atol=1e-10)
    assert float(products[0].abs().max()) > 1e-3


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


class Halved(torch.autograd.Function):
    """Has no forward-mode derivative."""

    @staticmethod
    def forward(ctx, x):
        return x / 2

    @staticmethod
    def backward(ctx, grad):
        return grad / 2


class Odd(nn.Module):
    """A first layer that the second sees without a graph, through `Halved` or a checkpoint."""

    def __init__(self, way):
        super().__init__()
        self.none = nn.Parameter(torch.empty(0))
        self.way, self.first, self.last = way, nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        if self.way == "plain":
            return self.last(torch.tanh(self.first(x)))
        if self.way == "checkpoint":  # which goes back over the layer when forward mode is left
            made = checkpoint(lambda x: torch.tanh(self.first(x)), x, use_reentrant=False)
            return self.last(made)
        if self.way == "function":
            return self.last(Halved.apply(torch.tanh(self.first(x))))
        with torch.no_grad():
            h = torch.tanh(self.first(x))
        return self.last(h)


@pytest.mark.parametrize("way", ["plain", "function", "no_grad", "checkpoint"])
def test_products_are_alike_however_jacobians_are_multiplied(way):
    """Forward mode where it gives what reverse mode gives, and reverse mode elsewhere."""
    net = NeuralNetClassifier(
        Odd, module__way=way, criterion=nn.CrossEntropyLoss, train_split=None, verbose=0
    ).initialize()
    X = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
    y = np.arange(30) % 3
    objective = Objective(net, len(y), batch_size=7, seed=0)
    curvature = Curvature(objective, Rows(X, y, np.arange(len(y))), kind="gauss_newton", damping=0)
    v = torch.from_numpy(np.random.default_rng(1).normal(size=len(objective)).astype(np.float32))
    found = curvature(v)
    assert (curvature._push is push_forward) == (way == "plain")
    # Of two vectors both go through reverse mode.
    torch.testing.assert_close(found, curvature(torch.stack([v, v]))[0], rtol=1e-4, atol=1e-7)
    assert found.any()


def test_products_in_threads_wait_for_each_other():
    """torch refuses two levels of forward mode at a time, in threads too."""
    net = cross_entropy()
    _, curvature = built(net, Y, kind="gauss_newton")
    v = torch.ones(31).double()
    wanted = curvature(v)
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: curvature(v), range(40)):
            assert torch.equal(found, wanted)


@pytest.mark.long
def test_a_first_request_warns_of_nothing_that_pytorch_does_inside():
    """Forward mode loads rules that PyTorch makes by its deprecated torch.jit."""
    code = (
        "import warnings; import skorch, torch; warnings.simplefilter('error')\n"
        "from skunlearn.datasets import load_digits_images\n"
        "from skunlearn import InfluenceUnlearner\n"
        "from skunlearn.nets import digits_classifier\n"
        "X, y = load_digits_images(return_X_y=True)\n"
        "unlearner = InfluenceUnlearner(digits_classifier(max_epochs=12), random_state=0)\n"
        "warnings.simplefilter('ignore', UserWarning)\n"
        "unlearner.fit(X[:300], y[:300]).unlearn(indices=[0])\n"
        "assert 'torch._decomp.decompositions_for_jvp' in __import__('sys').modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
