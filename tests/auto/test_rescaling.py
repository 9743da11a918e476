"""The scale of the values of a regression, which a short training does not reach."""

import copy
import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import make_friedman1
from skorch import NeuralNetRegressor
from torch import nn

from skunlearn import AutoUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.parts.net_state import weights
from skunlearn.auto import auto_unlearner
from skunlearn.auto._rescaling import rescale
from skunlearn.exceptions import ModelDamagedWarning
from skunlearn.utils._check_tools import same_parameters
from tests.auto.digits import MLP, net


class HeadFirst(nn.Module):
    """The layer that makes the values stands first."""

    def __init__(self, n_out=2):
        super().__init__()
        self.head, self.first = nn.Linear(6, n_out), nn.Linear(4, 6)

    def forward(self, X):
        return self.head(torch.relu(self.first(X)))


class Squashed(HeadFirst):
    """No layer makes the values alone."""

    def forward(self, X):
        return torch.tanh(super().forward(X))


class Unbiased(HeadFirst):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 2, bias=False)


class Frozen(HeadFirst):
    def __init__(self):
        super().__init__()
        self.head.requires_grad_(False)


class Parametrised(HeadFirst):
    def __init__(self):
        super().__init__()
        nn.utils.parametrizations.weight_norm(self.head)


class Tied(nn.Module):
    """What is scaled at its end is scaled at its beginning too."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 4)
        self.last.weight = self.first.weight

    def forward(self, X):
        return self.last(torch.tanh(self.first(X)))[:, :2]


def built(module, **changed):
    torch.manual_seed(0)
    return net(NeuralNetRegressor, module=module, **changed).initialize()


def rows_of(model, factors, shifts, noise=0.1, n=200):
    """Rows whose targets are what the net says but for the scale."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 4)).astype(np.float32)
    said = model.predict(X)
    said = said + noise * said.std(axis=0) * rng.normal(size=said.shape)
    return Rows(X, (np.array(factors) * said + shifts).astype(np.float32), np.arange(n))


@pytest.mark.parametrize("criterion", [nn.MSELoss, nn.L1Loss, nn.HuberLoss])
def test_each_output_is_brought_to_its_scale(criterion):
    model = built(HeadFirst, criterion=criterion)
    rows = rows_of(model, [20.0, 0.5], [1e4, -3.0])
    found = rescale(model, rows)
    assert found == pytest.approx([20.0, 0.5], rel=0.05)
    wrong = np.square(model.predict(rows.X) - rows.y).mean(axis=0)
    assert (wrong < 0.02 * rows.y.var(axis=0)).all()


def test_a_net_is_not_turned_around():
    model = built(HeadFirst)
    rows = rows_of(model, [-20.0, 1.0], [50.0, 0.0])
    assert rescale(model, rows) == pytest.approx([0.1, 1.0], rel=0.05)
    assert model.predict(rows.X).mean(axis=0) == pytest.approx(rows.y.mean(axis=0), rel=1e-3)


def test_rows_count_by_their_weights():
    model = built(HeadFirst)
    rows, other = rows_of(model, [20.0, 5.0], 0.0), rows_of(model, [3.0, 1.0], 0.0)
    both = Rows(
        np.concatenate([rows.X, other.X]), np.concatenate([rows.y, other.y]), np.arange(400),
        weights=np.repeat([1.0, 1e-6], 200),
    )  # fmt: skip
    assert rescale(model, both) == pytest.approx([20.0, 5.0], rel=0.05)


@pytest.mark.parametrize("module", [Squashed, Unbiased, Frozen, Parametrised, Tied])
def test_where_no_layer_makes_the_values_nothing_is_done(module):
    model = built(module)
    rows, old = rows_of(model, [20.0, 20.0], 100.0), weights(model)
    assert rescale(model, rows) is None
    assert same_parameters(weights(model), old)


@pytest.mark.parametrize("kept", ["scale", "loss", "few", "diverged"])
def test_where_it_would_be_no_gain_nothing_is_done(kept):
    """Values on their scale; losses of other things; too few rows; a net that is lost."""
    model = built(HeadFirst, **({"criterion": nn.PoissonNLLLoss} if kept == "loss" else {}))
    factor = 1.0 if kept == "scale" else 20.0
    rows = rows_of(model, [factor, factor], 0.0, noise=0.5, n=9 if kept == "few" else 200)
    if kept == "diverged":
        nn.init.constant_(model.module_.head.bias, np.inf)
    old = weights(model)
    assert rescale(model, rows) is None
    assert same_parameters(weights(model), old)


@pytest.mark.parametrize(("scale", "shift"), [(80.0, 150.0), (1.0, 0.0)])
def test_targets_that_are_not_standardised_are_reached(scale, shift, monkeypatch):
    """A net for diabetes fell from an R² of .47 to one of -1.56."""
    X, y = make_friedman1(400, 10, noise=1.0, random_state=0)
    X = (X - 0.5).astype(np.float32)
    y = (scale * (y - y.mean()) / y.std() + shift).astype(np.float32)[:, None]
    model = NeuralNetRegressor(
        MLP, module__n_in=10, module__n_out=1, optimizer=torch.optim.Adam, lr=1e-3, max_epochs=60,
        batch_size=16, iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip
    auto = AutoUnlearner(model, random_state=0).fit(X[:200], y[:200])
    plain = copy.deepcopy(auto)
    before = auto.score(X[200:], y[200:])
    auto.unlearn(indices=np.arange(20))
    monkeypatch.setattr(auto_unlearner, "rescale", lambda net, retain: None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelDamagedWarning)
        plain.unlearn(indices=np.arange(20))
    ours, theirs = (one.score(X[200:], y[200:]) for one in (auto, plain))
    done = auto.deletions_[0]["auto"]
    assert ours > before - 0.1
    assert done["before"] is done["after"] is done["errors"] is None  # nobody has looked
    if scale > 1:
        assert len(done["scale"]) == 1
        assert ours > theirs + 0.2
    else:  # those that are stay as they were
        assert done["scale"] is None
        assert ours == theirs
