"""Gradients row by row: the same numbers from many rows at a time, or else one by one."""

import copy
import pickle
from weakref import WeakKeyDictionary

import numpy as np
import pytest
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.data import Dataset

from skunlearn import (
    FisherForgettingUnlearner,
    LFSSDUnlearner,
    ProximalUnlearner,
    PUMAUnlearner,
    SSDUnlearner,
)
from skunlearn._rows.views import Rows
from skunlearn._torch import inference
from skunlearn._torch.gradients import faster, fisher, row_gradients
from skunlearn._torch.gradients.fisher import gradient_sizes
from skunlearn.influence import InverseCurvature, _objective
from skunlearn.influence._objective import Objective
from tests.instances import ConvNet, make_net
from tests.row_nets import MLP, NETS, Remembering, vectors
from tests.small import quiet

CLASSES = np.arange(3)


@pytest.fixture
def taken(monkeypatch):
    """How rows were taken: together wherever possible, whatever the clock says."""
    made = []

    class Watched(row_gradients.RowGradients):
        def __init__(self, *args):
            super().__init__(*args)
            made.append(self)

    for module in (fisher, _objective):
        monkeypatch.setattr(module, "RowGradients", Watched)
        if hasattr(module, "choose_faster"):
            monkeypatch.setattr(
                module, "choose_faster", lambda owner, key, ways, device: next(iter(ways))
            )
    monkeypatch.setattr(
        row_gradients, "choose_faster", lambda owner, key, ways, device: next(iter(ways))
    )
    return made


def settled(module, cls=NeuralNetClassifier, criterion=nn.CrossEntropyLoss, **kwargs):
    """An initialised net of fixed weights, with running statistics that are not the first ones."""
    torch.manual_seed(0)
    made = module()
    for part in made.modules():
        if getattr(part, "running_mean", None) is not None:
            part.running_mean.uniform_(-1, 1)
            part.running_var.uniform_(0.5, 2)

    return cls(
        lambda: made, criterion=criterion, train_split=None, verbose=0, **kwargs
    ).initialize()


def view(X, y):
    return Rows(tree_map(lambda t: t.numpy(), X), y, np.arange(len(y)))


def log_p(net, batch):
    return inference.log_likelihoods(net, batch, CLASSES).sum()


def one_by_one(net, X, y, loss=log_p):
    """Mean squared gradients by the plainest way there is, in float64."""
    params = [p for p in net.module_.parameters() if p.requires_grad]
    total = [torch.zeros(p.shape, dtype=torch.float64) for p in params]
    net.module_.eval()
    for i in range(len(y)):
        x = tree_map(lambda t, i=i: t[i : i + 1].clone(), X)
        batch = x, torch.as_tensor(y[i : i + 1])
        grads = torch.autograd.grad(loss(net, batch), params, allow_unused=True)
        for sum_, g in zip(total, grads, strict=True):
            sum_ += 0 if g is None else g.double().square() / len(y)
    return params, total


def assert_near(found, expected, share):
    noise = 1e-12 * max(float(b.abs().max()) for b in expected)  # of gradients that are zero
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a.double(), b, rtol=0, atol=share * float(b.abs().max()) + noise)


@pytest.mark.parametrize("name", NETS)
def test_squares_are_those_of_single_rows(name, taken):
    module, X, together = NETS[name]
    n = len(tree_leaves(X)[0])
    y = np.arange(n) % 3
    net = settled(module)
    params, expected = one_by_one(net, X, y)
    found = gradient_sizes(net, view(X, y), params, log_p)
    # bfloat16 has eight bits, which single rows and many round on different ways to a sum.
    assert_near(found, expected, 0.03 if "bfloat16" in name else 1e-5)
    assert all(a.dtype == p.dtype for a, p in zip(found, params, strict=True))
    assert together in (None, taken[0].takes_together(None, ()))
    assert not any(part._forward_hooks for part in net.module_.modules()) or name in (
        "gained",
        "hooked",
        "scaled",
    )


def test_layers_are_taken_apart_where_they_are_all_there_is_to_a_gradient(taken):
    factored = {}
    for name in ("MLP", "CNN", "tied", "borrowed", "twice", "pieces", "half frozen", "hooked"):
        module, X, _ = NETS[name]
        y = np.arange(70) % 3
        net = settled(module)
        gradient_sizes(net, view(X, y), one_by_one(net, X, y)[0], log_p)
        factored[name] = sorted(taken[-1]._layers)
    assert factored == {
        "MLP": ["0", "2", "4"],
        "CNN": ["7", "9"],
        "tied": ["out"],
        "borrowed": ["out"],
        "twice": [],
        "pieces": ["out"],
        "half frozen": ["2", "4"],
        "hooked": [],
    }


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_squares_in_other_precisions(dtype, taken):
    X, y = vectors().to(dtype), np.arange(70) % 3
    net = settled(lambda: MLP().to(dtype))
    rows = Rows(X, y, np.arange(70))
    params, expected = one_by_one(net, X, y)
    found = gradient_sizes(net, rows, params, log_p)
    assert_near(found, expected, 1e-9 if dtype is torch.float64 else 0.03)
    assert {a.dtype for a in found} == {dtype}
    assert taken[0].takes_together(None, ())


@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_squares_of_other_likelihoods(kind, taken):
    X = vectors()
    if kind == "binary":
        cls, criterion, classes = NeuralNetBinaryClassifier, nn.BCEWithLogitsLoss, np.arange(2)
        module = lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0))  # noqa: E731
        y = (np.arange(70) % 2).astype(np.float32)
    else:
        cls, criterion, classes = NeuralNetRegressor, nn.MSELoss, None
        module = lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))  # noqa: E731
        y = np.sin(np.arange(140)).astype(np.float32).reshape(70, 2)
    net = settled(module, cls, criterion)

    def loss(net, batch):
        return inference.log_likelihoods(net, batch, classes).sum()

    params, expected = one_by_one(net, X, y, loss)
    assert_near(gradient_sizes(net, view(X, y), params, loss), expected, 1e-5)
    assert taken[0].takes_together(None, ())


def test_what_fails_half_way_goes_on_one_by_one(taken, monkeypatch):
    net, X, y = settled(MLP), vectors(), np.arange(70) % 3
    params, expected = one_by_one(net, X, y)
    plain, calls = row_gradients.vmap, []

    def scarce(function, **kwargs):
        calls.append(function)
        if len(calls) == 3:  # after the trial and the rows that it was about
            raise MemoryError
        return plain(function, **kwargs)

    monkeypatch.setattr(row_gradients, "vmap", scarce)
    assert_near(gradient_sizes(net, view(X, y), params, log_p), expected, 1e-5)
    assert len(calls) == 3
    assert not taken[0].takes_together(None, ())


class Lengths(Dataset):
    """Rows of several lengths, which make no batch."""

    def __len__(self):
        return 70

    def __getitem__(self, i):
        return torch.sin(torch.arange(6.0 + (i % 5 if i > 40 else 0)) + i), i % 3


class Averaging(MLP):
    def forward(self, x):
        return super().forward(x[:, :6] + x[:, 6:].sum())


def test_rows_that_make_no_batch(taken):
    net = settled(Averaging)
    rows = Rows(Lengths(), np.arange(70) % 3, np.arange(70))
    params = list(net.module_.parameters())
    total = [0.0] * len(params)
    for i in range(70):
        x, y = Lengths()[i]
        grads = torch.autograd.grad(log_p(net, (x[None], torch.tensor([y]))), params)
        total = [t + g.double().square() / 70 for t, g in zip(total, grads, strict=True)]
    assert_near(gradient_sizes(net, rows, params, log_p), total, 1e-5)


class Drawing(Dataset):
    """Other rows whenever they are asked for."""

    def __init__(self):
        self.generator = torch.Generator().manual_seed(3)

    def __len__(self):
        return 70

    def __getitem__(self, i):
        return torch.randn(6, generator=self.generator), i % 3


def test_rows_that_are_drawn_are_drawn_once_and_in_order(taken):
    net = settled(MLP)
    params = list(net.module_.parameters())
    found = gradient_sizes(net, Rows(Drawing(), np.arange(70) % 3, np.arange(70)), params, log_p)
    rows = Drawing()
    X = torch.stack([rows[i][0] for i in range(70)])
    assert_near(found, one_by_one(net, X, np.arange(70) % 3)[1], 1e-5)


def test_a_fault_of_a_row_is_told(taken):
    class Faulty(MLP):
        def forward(self, x):
            if x.shape[1] != 6:
                raise ValueError("six numbers a row")
            return super().forward(x)

    net = settled(Faulty)
    rows = view(vectors(width=7), np.arange(70) % 3)
    with pytest.raises(ValueError, match="six numbers a row"):
        gradient_sizes(net, rows, list(net.module_.parameters()), log_p)


def test_what_a_module_keeps_of_its_rows_is_no_wrapper(taken):
    net = settled(Remembering)
    net.module_(torch.zeros(1, 6))
    before = net.module_.seen
    y = np.arange(70) % 3
    gradient_sizes(net, view(vectors(), y), list(net.module_.parameters()), log_p)
    assert taken[0].takes_together(None, ())
    copy.deepcopy(net.module_.seen.detach())
    assert net.module_.seen.shape in {(1, 3), before.shape}


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that is made."""

    size = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for value in tree_leaves(out):
            if isinstance(value, torch.Tensor):
                self.size = max(self.size, value.numel())
        return out


class Wide(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Linear(6, 400), nn.ReLU(), nn.Linear(400, 50), nn.ReLU(), nn.Linear(50, 3)
        )


class WideConv(nn.Sequential):
    def __init__(self):
        super().__init__(
            nn.Conv2d(2, 40, 1), nn.ReLU(), nn.Conv2d(40, 40, 1), nn.Flatten(), nn.Linear(120, 3)
        )


def test_gradients_of_all_rows_are_never_held(taken, monkeypatch):
    y = np.arange(300) % 3
    for module, X, most in (
        (Wide, vectors(300), 300 * 400),  # factored: activations of a batch are the largest
        (WideConv, vectors(300).reshape(300, 2, 1, 3), 300 * 120),
    ):
        net = settled(module)
        params = list(net.module_.parameters())
        width = sum(p.numel() for p in params)
        monkeypatch.setattr(row_gradients, "_FLOATS", 10 * width)
        with Largest() as largest:
            gradient_sizes(net, view(X, y), params, log_p)
        assert taken[-1].takes_together(None, ())
        assert largest.size <= max(most, 10 * width) < 300 * width / 3


@pytest.mark.parametrize("name", ["MLP", "CNN", "Transformer", "tied", "twice", "writing", "LSTM"])
def test_products_with_gradients_are_those_of_single_rows(name, taken):
    module, X, together = NETS[name]
    net = settled(module)
    y = np.arange(70) % 3
    objective = Objective(net, 70, batch_size=40, seed=0)
    rows = view(X, y)
    expected = torch.stack([objective.gradient(rows.take([i]), penalised=False) for i in range(70)])
    found = objective.row_gradients(rows)
    atol = 1e-5 * float(expected.abs().max())
    np.testing.assert_allclose(found, expected, atol=atol)
    assert together in (None, taken[0].takes_together(None, ()))
    generator = torch.Generator().manual_seed(1)
    vectors = torch.randn(3, len(objective), generator=generator)
    for k in (1, 3):
        dots = objective.dots(rows, vectors[:k], penalised=False)
        wanted = (vectors[:k] @ expected.T).numpy()
        np.testing.assert_allclose(dots, wanted, atol=1e-5 * np.abs(wanted).max())


@quiet
@pytest.mark.parametrize(
    "cls, params",
    [
        (SSDUnlearner, {}),
        (LFSSDUnlearner, {}),
        (FisherForgettingUnlearner, {}),
        (ProximalUnlearner, {"norm": "fisher", "max_epochs": 2}),
        (
            PUMAUnlearner,
            {"inverse": InverseCurvature(solver="ekfac"), "criteria": ["retained", "classes"]},
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("module", ["mlp", "cnn"])
def test_methods_end_with_the_weights_that_rows_one_by_one_give(cls, params, module, taken):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(150, 36)).astype(np.float32)
    y = (X[:, :3] + 0.3 * rng.normal(size=(150, 3))).argmax(axis=1)
    kind = {"module": ConvNet} if module == "cnn" else {"module__hidden": 12}
    net = make_net(module__n_out=3, max_epochs=5).set_params(**kind)

    def weights():
        unlearner = (
            cls(net, random_state=0, **params).fit(X, y).unlearn(indices=y.nonzero()[0][:40])
        )
        return [p.detach().numpy() for p in unlearner.estimator_.module_.parameters()]

    fast = weights()
    assert any(each.takes_together(None, ()) for each in taken)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(row_gradients, "_FEW_ROWS", 10**9)
        taken.clear()
        slow = weights()
        assert not any(each.takes_together(None, ()) for each in taken)
    for a, b in zip(fast, slow, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-5 * max(1.0, np.abs(b).max()))


def test_the_faster_way_is_taken_and_remembered(monkeypatch):
    class Owner:
        pass

    clock = {"now": 0.0, "slow": 3.0, "fast": 1.0}
    runs = []
    monkeypatch.setattr(faster.time, "perf_counter", lambda: clock["now"])
    monkeypatch.setattr(faster.time, "process_time", lambda: clock["now"])

    def way(name):
        def run():
            runs.append(name)
            clock["now"] += clock[name]

        return run

    ways = {"slow": (way("slow"), 1), "fast": (way("fast"), 1)}
    assert faster.choose_faster(Owner, "a", ways, "cpu") == "fast"
    assert (
        faster.choose_faster(
            Owner, "b", {"slow": (way("slow"), 4), "fast": (way("fast"), 1)}, "cpu"
        )
        == "slow"
    )
    clock["slow"] = 1.1  # too near to tell: the first way, whatever noise says
    assert faster.choose_faster(Owner, "c", ways, "cpu") == "slow"
    clock["slow"] = 0.1
    runs.clear()
    assert faster.choose_faster(Owner, "a", ways, "cpu") == "fast"
    assert runs == []
    assert faster.choose_faster(Owner, "d", ways, "cpu") == "slow"
    assert runs.count("fast") == 1  # hopeless


@quiet
@pytest.mark.parametrize("moved_by", ["pickle", "file"])
def test_a_fitted_model_remembers_which_way_was_faster(moved_by, monkeypatch, tmp_path):
    """In other processes, too, where the clock may say otherwise."""
    asked, slow = [], {"together": 1.0, "one by one": 100.0}

    def time_once(run, device):
        asked.append(run)
        run()
        return slow["together" if len(asked) % 2 else "one by one"]

    def begin_a_process():
        asked.clear()
        monkeypatch.setattr(faster, "_CHOSEN", WeakKeyDictionary())

    monkeypatch.setattr(faster, "_REPEATS", 1)
    monkeypatch.setattr(faster, "_time", lambda run, device, limit: time_once(run, device))
    rng = np.random.default_rng(0)
    y = np.arange(120) % 3
    X = (rng.normal(size=(120, 4)) + y[:, None]).astype(np.float32)
    net = make_net(module__n_out=3, max_epochs=3, verbose=0)
    begin_a_process()
    unlearner = SSDUnlearner(net, random_state=0).fit(X, y)
    assert not asked
    before = copy.copy(unlearner)
    first = np.flatnonzero(y == 2)[:35]
    kept = np.setdiff1d(np.arange(120), first)
    unlearner.unlearn(indices=first)
    assert len(asked) == 2
    (way,) = unlearner._ways.values()
    assert way == "together"
    assert "_ways" not in vars(before)  # who has chosen nothing yet
    begin_a_process()
    if moved_by == "pickle":
        moved = pickle.loads(pickle.dumps(unlearner))
    else:
        unlearner.save(tmp_path / "model.safetensors")
        moved = (
            SSDUnlearner(net, random_state=0)
            .load(tmp_path / "model.safetensors")
            .attach(X[kept], y[kept])
        )
    slow.update({"together": 100.0, "one by one": 1.0})
    moved.unlearn(indices=np.flatnonzero(y == 1)[:35])
    assert not asked
    assert list(moved._ways.values()) == ["together"]
    moved.fit(X, y).unlearn(indices=np.flatnonzero(y == 2)[:35])  # another model
    assert len(asked) == 2
    assert list(moved._ways.values()) == ["one by one"]
