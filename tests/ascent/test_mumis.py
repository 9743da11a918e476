"""MU-Mis: gradients by the rows in closed form, the step, and where it leads."""

from functools import partial

import numpy as np
import pytest
import torch
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from torch import nn

from skunlearn import MUMisUnlearner, RetrainUnlearner
from skunlearn.ascent.mumis import OtherClasses, sensitivities
from skunlearn.exceptions import ClassForgottenWarning, UnlearningError
from tests.heart import check_nearer
from tests.instances import make_net, make_regressor_net
from tests.method_nets import FORGET, linear, weight
from tests.small import quiet

pytestmark = quiet


def task(n=400):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 8)).astype(np.float32)
    return X, X[:, :3].argmax(axis=1)


class Tanh(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.out = nn.Linear(5, 7), nn.Linear(7, 4)

    def forward(self, X):
        return self.out(torch.tanh(self.first(X)))


def test_sensitivities_are_those_of_the_jacobian_in_closed_form():
    """Of a hidden layer h = tanh(Ax + a): ∇ₓ f_c = Aᵀ (1 − h²) B_c; and by the weights too."""
    net = NeuralNetClassifier(Tanh, criterion=nn.CrossEntropyLoss).initialize()
    rng = np.random.default_rng(0)
    X = rng.normal(size=(6, 5)).astype(np.float32)
    columns = rng.integers(0, 4, (6, 2))
    module = net.module_
    A, a, B = (
        p.detach().double().numpy()
        for p in (module.first.weight, module.first.bias, module.out.weight)
    )
    slack = 1 - np.tanh(X @ A.T + a) ** 2
    slopes = np.einsum("nkh,nh,hd->nkd", B[columns], slack, A)
    found = sensitivities(net, torch.from_numpy(X), torch.from_numpy(columns), 4)
    assert found.detach().numpy() == pytest.approx((slopes**2).sum(2), rel=1e-4)
    # Of ‖Aᵀ D b‖², by b: 2 D A Aᵀ D b.
    (grad,) = torch.autograd.grad(found[:, 0].sum(), module.out.weight)
    expected = np.zeros_like(B)
    for d, c in zip(slack, columns[:, 0], strict=True):
        expected[c] += 2 * d * (A @ A.T @ (d * B[c]))
    assert grad.numpy() == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("bound", [100.0, "middle", 1e-6])
def test_a_step_is_that_of_the_formula(data, monkeypatch, bound):
    """On a linear net ‖∇ₓ f_c‖² is ‖W_c‖²; rows beyond the bound have no part."""
    X, y = data
    given = {"max_norm": 1e9, "lr": 0.3, "max_epochs": 1, "schedule": "constant", "random_state": 0}
    drawn, draw = [], OtherClasses.draw
    monkeypatch.setattr(
        OtherClasses, "draw", lambda self, y: drawn.append((y, draw(self, y))) or drawn[-1][1]
    )
    unlearner = MUMisUnlearner(linear(), **given).fit(X, y)
    W, Z = weight(unlearner), X[FORGET] @ weight(unlearner).T
    losses = np.log(np.exp(Z).sum(1)) - Z[np.arange(12), y[FORGET]]
    limit = float(np.median(losses)) if bound == "middle" else bound
    unlearner.set_params(bound=limit).unlearn(indices=FORGET)
    ((own, other),) = drawn
    assert sorted(own.tolist()) == sorted(y[FORGET].tolist())
    if bound != "middle":  # whose rows, in the order of the batch, are not known here
        step = np.zeros_like(W)
        for c, d in zip(own, other, strict=True):
            step[c] += 2 * W[c] / 12 * (limit > 1)
            step[d] -= 2 * W[d] / 12 * (limit > 1)
        assert weight(unlearner) == pytest.approx(W - 0.3 * step, abs=1e-5)
        assert np.array_equal(weight(unlearner), W) == (limit < 1)
    else:
        left = (W - weight(unlearner)) / (0.3 * 2 * W / 12)
        assert left == pytest.approx(np.round(left), abs=1e-3)  # whole rows, or none of them
        assert 0 < np.abs(left).max() <= (losses < limit).sum() + 1e-3


def test_the_other_class_is_any_but_the_rows_own():
    draws = OtherClasses([0, 2, 5, 6], seed=0)
    y = torch.tensor([0, 2, 5, 6]).repeat(3000)
    found = draws.draw(y)
    assert (found != y).all()
    counts = torch.stack([(found[y == 2] == c).float().mean() for c in (0, 5, 6)])
    assert counts.numpy() == pytest.approx(1 / 3, abs=0.04)
    assert set(found.tolist()) == {0, 2, 5, 6}
    assert torch.equal(found, OtherClasses([0, 2, 5, 6], seed=0).draw(y))
    with pytest.raises(UnlearningError, match="all rows are of one class"):
        OtherClasses([3], seed=0)


@pytest.mark.filterwarnings("ignore", category=ClassForgottenWarning)
def test_a_class_goes_towards_what_a_retrained_net_says_of_it_at_little_cost():
    X, y = task()
    gone = y == 2
    net = make_net(module__n_out=3)
    unlearner = MUMisUnlearner(net, random_state=0).fit(X, y)

    def sizes(p):
        own = -np.log(np.maximum(p[np.arange(gone.sum()), y[gone]], 1e-12)).mean()
        return own, -(p * np.log(np.maximum(p, 1e-12))).sum(1).mean()

    before, kept = sizes(unlearner.predict_proba(X[gone])), unlearner.score(X[~gone], y[~gone])
    other = RetrainUnlearner(net, random_state=1).fit(X, y).unlearn(indices=np.flatnonzero(gone))
    wanted = sizes(other.predict_proba(X[gone]))
    unlearner.unlearn(indices=np.flatnonzero(gone))
    for was, now, goal in zip(before, sizes(unlearner.predict_proba(X[gone])), wanted, strict=True):
        assert abs(now - goal) < abs(was - goal)
        assert (now - was) * (goal - was) > 0
    assert unlearner.score(X[gone], y[gone]) < 0.5
    assert unlearner.score(X[~gone], y[~gone]) > kept - 0.05
    # It ends when they are forgotten.
    faster = MUMisUnlearner(net, lr=0.2, random_state=0).fit(X, y)
    faster.unlearn(indices=np.flatnonzero(gone))
    assert len(faster.estimator_.history) < net.max_epochs
    assert faster.score(X[gone], y[gone]) < 0.1


def test_labels_are_read_and_retained_rows_are_not():
    X, y = task(200)
    unlearner = MUMisUnlearner(make_net(module__n_out=3, max_epochs=5), random_state=0)

    def weights(y_forget, X_retain):
        fitted = unlearner.fit(X, y)
        seen = fitted._record.view(np.arange(30)).relabel(y_forget)
        net = fitted._attempt(fitted._record.view(X_retain), seen, 0)
        return net.module_.out.weight.detach().numpy()

    same = weights(y[:30], np.arange(30, 200))
    assert np.array_equal(same, weights(y[:30], np.arange(100, 140)))
    assert not np.array_equal(same, weights((y[:30] + 1) % 3, np.arange(30, 200)))


def test_one_output_for_two_classes_is_flattened():
    """Of a linear net by a step along W itself, whatever the labels."""
    X, y = task(60)
    net = NeuralNetBinaryClassifier(
        nn.Linear, module__in_features=8, module__out_features=1, lr=0.1, max_epochs=3,
        batch_size=-1, train_split=None, verbose=0,
    )  # fmt: skip
    given = {"bound": 100.0, "max_norm": 1e9, "lr": 0.3, "max_epochs": 1, "schedule": "constant"}
    unlearner = MUMisUnlearner(net, random_state=0, **given).fit(X, y % 2)
    W = weight(unlearner)
    unlearner.unlearn(indices=FORGET)
    assert weight(unlearner) == pytest.approx(W - 0.3 * 2 * W, abs=1e-6)


def test_a_regression_is_refused(data):
    X, _ = data
    with pytest.raises(ValueError, match="for classifiers with one class per row"):
        MUMisUnlearner(make_regressor_net(max_epochs=1)).fit(X, X[:, 0])


def test_rows_known_by_heart_come_nearer_to_a_retrained_net():
    check_nearer(partial(MUMisUnlearner, lr=0.008, random_state=0), way=0.3, moved=0.05)
