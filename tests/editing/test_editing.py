"""Methods that edit weights: what they measure, and their settings on nets of any scale."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FisherForgettingUnlearner, LFSSDUnlearner, RetrainUnlearner
from skunlearn.exceptions import UnlearningError
from tests.instances import make_net
from tests.turns import crossed_in_turns

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def linear(**kwargs):
    params = {
        "module__in_features": 4, "module__out_features": 3, "module__bias": False,
        "criterion": nn.CrossEntropyLoss, "lr": 0.1, "max_epochs": 20, "batch_size": -1,
        "train_split": None, "verbose": 0,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, **(params | kwargs))


def weight(unlearner):
    return unlearner.estimator_.module_.weight.detach().numpy().astype(np.float64)


@pytest.mark.parametrize("importance, power", [("absolute", 1), ("squared", 2)])
def test_lfssd_measures_the_length_of_the_output(data, importance, power):
    """In closed form on a linear net: the derivative of ‖Wx‖² is 2Wxxᵀ."""
    X, y = data
    rows = np.flatnonzero(y == 1)
    unlearner = LFSSDUnlearner(linear(), importance=importance, alpha=1.1, random_state=0)
    W = weight(unlearner.fit(X, y))

    def mean(index):
        slopes = 2 * (X[index] @ W.T)[:, :, None] * X[index][:, None, :]
        return (np.abs(slopes) ** power).mean(axis=0)

    f, d = mean(rows), mean(np.arange(60))
    expected = np.where(f > 1.1 * d, W * np.minimum(d / f, 1), W)
    assert weight(unlearner.unlearn(indices=rows)) == pytest.approx(expected, rel=1e-4)
    assert not np.array_equal(expected, W)


def test_lfssd_takes_absolute_values_by_default(data):
    X, y = data
    rows = np.flatnonzero(y == 1)
    found = [
        LFSSDUnlearner(linear(), alpha=1.1, random_state=0, **given).fit(X, y)
        for given in ({}, {"importance": "absolute"}, {"importance": "squared"})
    ]
    found = [weight(unlearner.unlearn(indices=rows)) for unlearner in found]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])
    with pytest.raises(ValueError, match="importance must be"):
        LFSSDUnlearner(linear(), importance="cubed").fit(X, y)


@pytest.mark.parametrize(
    "seed, rows, importance",
    crossed_in_turns([0, 1], [31, 110], ["absolute", "squared"], every=3),
)
def test_lfssd_forgets_a_small_class(importance, rows, seed):
    """A class of 31 rows in a thousand: half of the largest ratio would be out of reach."""
    rng = np.random.default_rng(seed)
    y = np.r_[np.repeat(np.arange(9), 110), np.full(rows, 9)]
    X = (3 * rng.normal(size=(10, 20))[y] + rng.normal(size=(len(y), 20))).astype(np.float32)
    unlearner = LFSSDUnlearner(make_net(max_epochs=10), importance=importance, random_state=seed)
    forget, kept = np.flatnonzero(y == 9), np.flatnonzero(y != 9)
    unlearner.fit(X, y)
    assert unlearner.score(X[forget], y[forget]) > 0.9
    unlearner.unlearn(indices=forget)
    assert unlearner.score(X[forget], y[forget]) < 0.2
    assert unlearner.score(X[kept], y[kept]) > 0.9


def noise(unlearner, X, y):
    before = [p.detach().clone() for p in unlearner.fit(X, y).estimator_.module_.parameters()]
    after = unlearner.unlearn(indices=np.arange(6)).estimator_.module_.parameters()
    return float(torch.cat([(a - b).flatten() for a, b in zip(after, before, strict=True)]).std())


def test_fisher_noise_answers_to_alpha_on_a_net_that_knows_its_rows_by_heart(data):
    """Its Fisher information is nearly 0 throughout, so that every weight was at the limit."""
    X, y = data
    y = (X[:, 0] > 0).astype(int)
    net = make_net(module__n_out=2, max_epochs=400)
    fitted = RetrainUnlearner(net, random_state=0).fit(X, y)
    assert np.log(fitted.predict_proba(X)[np.arange(60), y]).mean() > -0.01
    moved = [
        noise(FisherForgettingUnlearner(net, alpha=alpha, random_state=0), X, y)
        for alpha in (1e-4, 1e-2, 1.0)
    ]
    assert moved[1] > 1.5 * moved[0]
    assert moved[2] > 1.5 * moved[1]
    low, high = FisherForgettingUnlearner(net).search_space("grid", n_points=2)["alpha"]
    assert low < 0.1 < high


def test_a_net_without_fisher_information_is_refused(data):
    X, y = data

    class Constant(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return 0 * self.weight + x[:, :3]

    net = make_net(max_epochs=1).set_params(module=Constant)
    unlearner = FisherForgettingUnlearner(net, random_state=0).fit(X, y)
    with pytest.raises(UnlearningError, match="Fisher information is zero"):
        unlearner.unlearn(indices=np.arange(6))
