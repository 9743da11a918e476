"""What a net knew by heart is no accuracy to keep, where neighbours say nothing of labels too.

Early-stopped nets know less of their own rows and more of others; nets with noise on their weights
know less of both.
"""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.datasets import (
    make_classification,
    make_friedman1,
    make_multilabel_classification,
)
from skorch import NeuralNet, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from skunlearn import FineTuneUnlearner, NetUnlearner
from skunlearn._recipe import training
from skunlearn._rows.neighbours import average_neighbours
from skunlearn._rows.views import Rows
from skunlearn._torch import skorch_nets
from skunlearn._unlearning.rules import _say_not_raised
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning

N, WORDS = 300, 12
CHOSEN = {"train_split": None, "verbose": 0, "batch_size": 32, "iterator_train__shuffle": True}


class Wide(nn.Sequential):
    def __init__(self, n_in, n_out):
        super().__init__(nn.Linear(n_in, 256), nn.ReLU(), nn.Linear(256, n_out))


class Next(nn.Module):
    """The word after eight others."""

    def __init__(self):
        super().__init__()
        self.embed, self.read = nn.Embedding(WORDS, 16), nn.GRU(16, 64, batch_first=True)
        self.out = nn.Linear(64, WORDS)

    def forward(self, X):
        return self.out(self.read(self.embed(X))[0][:, -1])


def noisy_values():
    X, y = make_friedman1(N + 500, 10, random_state=0)
    y = (y - y.mean()) / y.std() + np.random.default_rng(0).normal(size=len(y))
    net = NeuralNetRegressor(
        Wide, module__n_in=10, module__n_out=1, lr=0.05, max_epochs=150,
        optimizer__momentum=0.9, **CHOSEN,
    )  # fmt: skip
    return net, (4 * X - 2).astype(np.float32), y.astype(np.float32)[:, None]


def noisy_labels():
    X, y = make_multilabel_classification(N + 500, 20, n_classes=6, random_state=0)
    y ^= np.random.default_rng(0).random(y.shape) < 0.2
    net = NeuralNet(
        Wide, nn.BCEWithLogitsLoss, module__n_in=20, module__n_out=6, lr=0.3, max_epochs=80,
        optimizer__momentum=0.9, **CHOSEN,
    )  # fmt: skip
    return net, ((X - X.mean(0)) / X.std(0)).astype(np.float32), y


def words():
    rng = np.random.default_rng(0)
    chances, X = rng.dirichlet(np.full(WORDS, 0.3), WORDS), np.zeros((N + 500, 9), dtype=int)
    X[:, 0] = rng.integers(WORDS, size=len(X))
    for t in range(8):
        X[:, t + 1] = [rng.choice(WORDS, p=chances[word]) for word in X[:, t]]
    net = NeuralNetClassifier(
        Next, criterion=nn.CrossEntropyLoss, optimizer=torch.optim.Adam, lr=0.005, max_epochs=30,
        **CHOSEN,
    )  # fmt: skip
    return net, X[:, :-1], X[:, -1]


def wrong_classes():
    """Two fifths of them: with some of the wrong ones, neighbours agree by chance."""
    X, y = make_classification(
        N + 500, 20, n_informative=10, n_classes=5, flip_y=0.4, class_sep=1.5, random_state=0
    )
    net = NeuralNetClassifier(
        Wide, module__n_in=20, module__n_out=5, criterion=nn.CrossEntropyLoss, lr=0.05,
        max_epochs=60, optimizer__momentum=0.9, **CHOSEN,
    )  # fmt: skip
    return net, X.astype(np.float32), y


class Stopped(NetUnlearner):
    def _unlearn(self, net, retain, forget):
        recipe = skorch_nets.unwrap(self.estimator)
        epochs = recipe.max_epochs // 10
        return training.train(recipe, retain, self._classes, 1, epochs=epochs)


class Noised(NetUnlearner):
    def _unlearn(self, net, retain, forget):
        rng = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in net.module_.parameters():
                weight += 4 * weight.abs().mean() * torch.randn(weight.shape, generator=rng)
        return net


@pytest.mark.parametrize("task", [noisy_values, noisy_labels, words, wrong_classes])
def test_damage_is_asserted_where_it_is_none_of_that_alone(task):
    net, X, y = task()
    fitted = Stopped(net, random_state=0).fit(X[:N], y[:N])
    own = fitted.get_params(deep=False)
    state = {key: value for key, value in vars(fitted).items() if key not in own}
    before, found = fitted.score(X[N:], y[N:]), {}
    for cls in (Stopped, Noised):
        one = cls(net, random_state=0)
        vars(one).update(state)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            one.unlearn(indices=range(30))
        found[cls] = [str(w.message) for w in caught if w.category is ModelDamagedWarning]
        assert (one.score(X[N:], y[N:]) > before - 0.01) == (cls is Stopped)
    (doubted,), (asserted,) = found[Stopped], found[Noised]
    assert "which may all have been known by heart" in doubted
    assert "pass some as X_val=" in doubted
    assert "by heart" not in asserted


def test_neighbours_tell_values_and_labels():
    X = np.repeat(np.arange(10.0), 11)[:, None].astype(np.float32)
    for y in (X * 2, np.arange(5) < X):
        found = average_neighbours(Rows(X, y, np.arange(len(X))))
        assert np.allclose(found, y)
    assert average_neighbours(Rows(X[:40], X[:40], np.arange(40))) is None


@pytest.mark.parametrize(("n", "way"), [(3, "AutoUnlearner can tell, with X_val="), (9, "Unseen")])
def test_the_way_out_is_one(n, way):
    """No attack tells fewer than five rows from unseen ones, whoever brings some."""
    net, X, y = noisy_values()
    one = FineTuneUnlearner(net, lr=1e-9, max_epochs=1, random_state=0).fit(X[:N], y[:N])
    with pytest.warns(NotForgottenWarning) as caught:
        one.unlearn(indices=range(n))
    assert way in str(caught[0].message)


@pytest.mark.parametrize(("level", "little"), [(1.0, True), (0.5, False), (None, False)])
def test_a_row_that_neighbours_name_as_well_need_not_rise(level, little):
    """Nor does it in a net trained anew: of a digit the loss is next to nothing in both."""
    said = SimpleNamespace(forget_after=SimpleNamespace(y=np.zeros(1)))
    facts = SimpleNamespace(
        name="It", apart=None, change=said, losses=(0.01, 0.01), rose=False, plainly_alike=False,
        level_of_neighbours=level, may_know=lambda level: True,
        unlearner=SimpleNamespace(_advise_more=lambda: "more"),
    )  # fmt: skip
    text = _say_not_raised(facts)
    assert ("Retained neighbours name them as well, so that this may be little" in text) == little
