"""What from_torch takes a module for, by its loss and its outputs, and what it refuses."""

import copy
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from skorch import NeuralNet, NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    from_torch,
)
from skunlearn.evaluation import audit, compare
from skunlearn.metrics import MIAScorer
from tests.small import quiet
from tests.torch_loop import EPOCHS, Net, run, shift, trained

UNSEEN, FORGET = slice(300, 600), np.arange(10)


FACTORY = {"factory": Net, "module__width": 8}


@pytest.fixture(scope="module")
def parts():
    """A trained net and all that it was trained with."""
    return trained()


# ------------------------------------------------------------------ kinds of losses


ROWS = torch.randn(80, 5, generator=torch.Generator().manual_seed(0))


KINDS = {
    "classes": (NeuralNetClassifier, nn.CrossEntropyLoss(), 2, (ROWS[:, 0] > 0).long()),
    "function": (NeuralNetClassifier, F.cross_entropy, 2, (ROWS[:, 0] > 0).long()),
    "binary": (NeuralNetBinaryClassifier, nn.BCEWithLogitsLoss(), 1, (ROWS[:, :1] > 0).float()),
    "class of losses": (NeuralNetClassifier, nn.CrossEntropyLoss, 2, (ROWS[:, 0] > 0).long()),
    "labels": (NeuralNet, nn.BCEWithLogitsLoss(), 3, (ROWS[:, :3] > 0).float()),
    "squares": (NeuralNetRegressor, nn.MSELoss(), 1, ROWS[:, :1] - ROWS[:, 1:2]),
    "Huber": (NeuralNetRegressor, F.huber_loss, 1, ROWS[:, :1] - ROWS[:, 1:2]),
}


@quiet
@pytest.mark.parametrize("kind", KINDS)
def test_the_loss_says_which_net_it_is(kind):
    wanted, criterion, n_out, y = KINDS[kind]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, n_out))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    data = TensorDataset(ROWS, y)
    loader = torch.utils.data.DataLoader(data, 20, shuffle=True)
    loss = criterion() if isinstance(criterion, type) else criterion
    run(model, loader, loss, optimizer, epochs=20)
    net = from_torch(model, loader, criterion=criterion, optimizer=optimizer, max_epochs=20)
    assert type(net.estimator) is wanted
    flat = TensorDataset(ROWS, y.flatten() if n_out < 3 else y)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(flat).unlearn(indices=FORGET)
    assert unlearner.score(flat) > 0.8


@quiet
def test_an_item_that_cannot_be_read_is_one_label_and_fits_error():
    """Nor is more than the first read, or random numbers drawn."""

    class Breaks(Dataset):
        read = []

        def __len__(self):
            return 9

        def __getitem__(self, i):
            self.read.append(i)
            torch.rand(1)
            if i == 0:
                raise OSError("image0.png is gone")
            return ROWS[i], (ROWS[i, :3] > 0).float()

    model = nn.Linear(5, 3)
    recipe = {"criterion": nn.BCEWithLogitsLoss(), "optimizer": torch.optim.SGD, "max_epochs": 1}
    before = torch.get_rng_state()
    net = from_torch(model, DataLoader(Breaks(), 3), **recipe)
    assert torch.equal(torch.get_rng_state(), before)
    assert type(net.estimator) is NeuralNetBinaryClassifier
    assert Breaks.read == [0]
    with pytest.raises(OSError, match=r"image0\.png is gone"):
        FineTuneUnlearner(net).fit(Breaks())


def test_log_probabilities_stay_what_they_are():
    torch.manual_seed(0)
    y = (ROWS[:, 0] > 0).long()
    model = nn.Sequential(nn.Linear(5, 2), nn.LogSoftmax(dim=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    data = TensorDataset(ROWS, y)
    loader = torch.utils.data.DataLoader(data, 20)
    loss = nn.NLLLoss(weight=torch.tensor([1.0, 2.0]))
    run(model, loader, loss, optimizer)
    net = from_torch(model, loader, criterion=loss, optimizer=optimizer, max_epochs=EPOCHS)
    out = model(ROWS).detach()
    np.testing.assert_allclose(net.predict_proba(ROWS.numpy()), out.exp(), atol=1e-6)
    ours = net.estimator.get_loss(out, y, training=True)
    assert float(ours) == pytest.approx(float(loss(out, y)), abs=1e-6)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(data).unlearn(indices=FORGET)
    assert np.isfinite(unlearner.predict_proba(data)).all()


# ------------------------------------------------------------------ what is refused, and how


@pytest.mark.parametrize(
    "changed, error, words",
    [
        ({"module": Net}, TypeError, "must be a trained torch.nn.Module, got Net"),
        ({"module": Net().state_dict()}, TypeError, "build the module and load it"),
        ({"factory": Net(8)}, TypeError, "factory is a module instance"),
        ({"factory": Net, "module__width": 4}, ValueError, "factory builds another module"),
        ({"module__width": 8}, ValueError, "an argument of a factory="),
        ({"criterion": lambda a, b: a}, TypeError, "criterion must be a module or its class"),
        ({"optimizer": torch.nn.ReLU}, TypeError, "optimizer must be one of torch"),
        ({"max_epochs": 0}, ValueError, "max_epochs"),
        ({"scheduler": None}, ValueError, "rate was set by a scheduler. Pass scheduler="),
        ({"loader": None}, ValueError, "Pass batch_size="),
    ],
)
def test_what_is_wrong_is_said(parts, changed, error, words):
    with pytest.raises(error, match=re.escape(words)):
        from_torch(**(parts | changed))


@pytest.mark.parametrize("cls", [FineTuneUnlearner, RetrainUnlearner, ShardedUnlearner])
@pytest.mark.parametrize("module", [Net, Net(8)], ids=["class", "module"])
def test_a_bare_module_is_shown_the_way_in(parts, cls, module):
    with pytest.raises(TypeError, match=r"got the PyTorch module Net\. .*skunlearn\.from_torch"):
        cls(module).fit(parts["loader"].dataset)


def test_a_loader_is_no_data_set(parts):
    unlearner = FineTuneUnlearner(from_torch(**parts))
    with pytest.raises(TypeError, match=r"X is a DataLoader.*X\.dataset"):
        unlearner.fit(parts["loader"])


def test_a_factory_that_gives_the_trained_module_back(parts):
    for factory in (lambda: parts["module"], lambda: copy.deepcopy(parts["module"])):
        with pytest.raises(ValueError, match="gives back the weights"):
            from_torch(**parts, factory=factory)


@quiet
def test_a_factory_that_freezes_otherwise():
    parts = trained()
    parts["module"].conv.requires_grad_(False)
    with pytest.raises(ValueError, match=r"conv\.bias, conv\.weight are frozen, or learn"):
        from_torch(**parts, **FACTORY)

    def frozen():
        net = Net(8)
        net.conv.requires_grad_(False)
        return net

    net = from_torch(**parts, factory=frozen)
    unlearner = FineTuneUnlearner(net, random_state=0)
    unlearner.fit(parts["loader"].dataset, measure_on=shift)
    unlearner.unlearn(indices=FORGET)
    now = unlearner.estimator_.module_
    assert torch.equal(now.conv.weight, parts["module"].conv.weight)
    assert not torch.equal(now.out.weight, parts["module"].out.weight)


@quiet
def test_lazy_layers_and_wrappers():
    torch.manual_seed(0)
    y = (ROWS[:, 0] > 0).long()

    def build():
        return nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.LazyLinear(2))

    model = build()
    model(ROWS)
    data = TensorDataset(ROWS, y)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    how = {"criterion": nn.CrossEntropyLoss(), "optimizer": optimizer, "max_epochs": 2}
    for wrapped in (model, nn.DataParallel(model), torch.compile(model, backend="eager")):
        net = from_torch(wrapped, batch_size=20, **how, factory=build)
        assert list(net.estimator.module_.state_dict()) == list(model.state_dict())
        unlearner = RetrainUnlearner(net, random_state=0).fit(data).unlearn(indices=FORGET)
        assert unlearner.deletions_[0]["exact"]


# ------------------------------------------------------------------ one logit, in one column


class Columns(Dataset):
    """Rows that carry their 0 or 1 in a column, as binary cross-entropies of torch want them."""

    def __init__(self, n, seed, noise=0.0):
        X = np.random.default_rng(seed).normal(size=(n, 12))
        self.X = torch.tensor(X, dtype=torch.float32)
        self.y, self.noise = (self.X[:, :1] + self.X[:, 1:2] > 0).float(), noise

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        return self.X[i] + self.noise * torch.randn(12), self.y[i]


class OneLogit(nn.Module):
    """Returns shape (n, 1)."""

    def __init__(self):
        super().__init__()
        self.hidden, self.norm, self.out = nn.Linear(12, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)

    def forward(self, x):
        return self.out(self.norm(self.hidden(x)).relu())


def one_logit(data, num_workers=0):
    """A trained net of one logit, by parameter groups, with a schedule by batches."""
    torch.manual_seed(0)
    module, loss = OneLogit(), nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0]))
    groups = [
        {"params": module.hidden.parameters(), "lr": 0.01},
        {"params": [*module.norm.parameters(), *module.out.parameters()], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.003)
    loader = DataLoader(data, batch_size=32, shuffle=True, num_workers=num_workers)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, [0.02, 0.05], 15 * len(loader))
    for _ in range(15):
        for x, y in loader:
            optimizer.zero_grad()
            loss(module(x), y).backward()
            optimizer.step()
            schedule.step()
    return from_torch(
        module, loader, criterion=loss, optimizer=optimizer, scheduler=schedule, max_epochs=15,
        factory=OneLogit,
    )  # fmt: skip


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.long)])
def test_one_logit_in_a_column(workers):
    """Nothing is to be reshaped by hand, and nothing warned of that a loader gives."""
    train, unseen = Columns(128, 0, noise=0.05), Columns(100, 1)
    net = one_logit(train, workers)
    unlearner = RetrainUnlearner(net, random_state=0).fit(train, measure_on=Columns(128, 0))
    unlearner.unlearn(indices=range(20))
    assert unlearner.predict(unseen).shape == (100,)
    assert unlearner.score(unseen) > 0.75
    found = {
        MIAScorer().measure(unlearner, unseen, y).auc for y in (None, unseen.y, unseen.y[:, 0])
    }
    assert len(found) == 1
    assert audit(unlearner, unseen, retrained=None).verdicts
    if not workers:
        mask = np.arange(128) < 20
        report = compare(
            [FineTuneUnlearner(net, lr=0.02, random_state=0)],
            train,
            forget=mask,
            X_test=unseen,
            measure_on=Columns(128, 0),
        )
        assert report.verdicts
