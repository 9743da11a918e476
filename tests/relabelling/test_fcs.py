"""FCS: its three kinds of passes, and where they lead."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FCSUnlearner
from skunlearn.relabelling.fcs import spread
from skunlearn.utils import unlearner_tags
from tests.heart import check_nearer, noisy_digits, told_apart
from tests.small import FORGET, net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
KEPT = np.arange(6, 60)


def linear(**params):
    """A linear net without a bias that takes one full-batch step a pass."""
    given = {
        "module__in_features": 4, "module__out_features": 3, "module__bias": False, "lr": 0.1,
        "criterion": nn.CrossEntropyLoss, "max_epochs": 20, "batch_size": -1, "train_split": None,
        "verbose": 0,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, **(given | params))


def weight(unlearner):
    return unlearner.estimator_.module_.weight.detach().numpy().astype(np.float64)


def flat(W, X):
    """Gradient of the mean of KL(u ‖ p)."""
    return (softmax(X @ W.T, axis=1) - 1 / len(W)).T @ X / len(X)


def apart(W, X, others, temperature):
    """Gradient of the contrastive loss by W, the others' logits held fixed."""
    theirs = others @ W.T
    unit = temperature * np.mean(np.sum(theirs**2, axis=1))
    likeness = softmax(X @ W.T @ theirs.T / unit, axis=1)
    slopes = (likeness - 1 / len(others)) @ theirs / unit
    return slopes.T @ X / len(X)


def taught(W, X, y):
    """Gradient of the mean cross-entropy."""
    return (softmax(X @ W.T, axis=1) - np.eye(len(W))[y]).T @ X / len(X)


@pytest.mark.parametrize("uniform, contrast, temperature", [(2, 0.5, 1.15), (0, 3, 4), (5, 0, 1)])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_passes_are_those_of_the_formulas(data, uniform, contrast, temperature, momentum):
    """One pass for the uniform targets, then two rounds; no momentum runs from one to the next."""
    X, y = data
    unlearner = FCSUnlearner(
        linear(optimizer__momentum=momentum), uniform=uniform, contrast=contrast, max_norm=1e6,
        temperature=temperature, max_epochs=2, schedule="constant", random_state=0, lr=0.1,
    ).fit(X, y)  # fmt: skip
    start = W = weight(unlearner)
    W = W - 0.1 * uniform * flat(W, X[FORGET])
    for _ in range(2):
        W = W - 0.1 * contrast * apart(W, X[FORGET], X[KEPT], temperature)
        W = W - 0.1 * taught(W, X[KEPT], y[KEPT])
    after = weight(unlearner.unlearn(indices=FORGET))
    assert after == pytest.approx(W, abs=1e-5)
    assert np.abs(after - start).max() > 1e-2


def test_a_row_as_like_any_as_any_other_has_the_least_contrast():
    theirs = torch.tensor([[2.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    ours = torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    losses = spread(ours, theirs, 1.5)
    assert float(losses[0]) == pytest.approx(np.log(3))
    likeness = np.log(softmax(np.array([6.0, 1.0, -3.0]) / (1.5 * 2)))  # (4 + 1 + 1) / 3
    assert float(losses[1]) == pytest.approx(-likeness.mean())
    assert losses[1] > losses[0]
    # A net that is surer of all its rows has no other contrast.
    torch.testing.assert_close(spread(9 * ours, 9 * theirs, 1.5), losses)


@pytest.mark.parametrize("surer", [1.0, 30.0])
def test_the_contrast_takes_no_net_apart_for_being_sure(data, surer):
    """A pass of contrast alone moves outputs by as large a share of them."""
    X, y = data
    unlearner = FCSUnlearner(
        linear(), uniform=0.0, max_epochs=1, schedule="constant", lr=0.1, random_state=0
    ).fit(X, y)
    with torch.no_grad():
        unlearner.estimator_.module_.weight.mul_(surer)
    W = weight(unlearner)
    found = weight(unlearner.unlearn(indices=FORGET)) + 0.1 * taught(W, X[KEPT], y[KEPT])
    assert np.linalg.norm(found - W) < 0.1 * np.linalg.norm(W)


def test_gradients_on_forget_rows_are_clipped(data):
    X, y = data
    given = {"uniform": 1e4, "contrast": 0.0, "max_epochs": 1, "lr": 0.1, "random_state": 0}
    unlearner = FCSUnlearner(linear(), max_norm=2.0, schedule="constant", **given).fit(X, y)
    W = weight(unlearner)
    step = flat(W, X[FORGET])
    W = W - 0.2 * step / np.linalg.norm(step)
    W = W - 0.1 * taught(W, X[KEPT], y[KEPT])
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(W, abs=1e-4)


def test_labels_of_forget_rows_are_not_read(data):
    assert not unlearner_tags(FCSUnlearner).needs_labels
    X, y = data
    other = net().fit(X, y)
    wrong = y.copy()
    wrong[FORGET] = (y[FORGET] + 1) % 3
    found = [
        FCSUnlearner(FrozenEstimator(other), random_state=0).fit(X, labels).unlearn(indices=FORGET)
        for labels in (y, wrong)
    ]
    assert np.array_equal(*(unlearner.predict_proba(X) for unlearner in found))


def test_an_output_that_is_no_rows_class_is_taught_nothing(data):
    """Of five outputs three are classes: the divergence is over these alone."""
    X, y = data
    unlearner = FCSUnlearner(
        linear(module__out_features=5), uniform=1.0, contrast=0.0, max_epochs=1, random_state=0,
        schedule="constant", lr=0.1,
    ).fit(X, y)  # fmt: skip
    W = weight(unlearner)
    W = W - 0.1 * np.r_[flat(W[:3], X[FORGET]), np.zeros((2, 4))]
    W = W - 0.1 * taught(W, X[KEPT], y[KEPT])
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(W, abs=1e-5)


def test_rows_known_by_heart_come_nearer_to_a_retrained_net():
    check_nearer(partial(FCSUnlearner, random_state=0), way=0.3, moved=0.03)


def test_rows_known_by_heart_do_not_stand_out_by_entropy():
    """At the winner's contrast they are 0.04 below a retrained net's."""
    *_, forget, net, state, _, wanted = noisy_digits()
    X, y, unseen = noisy_digits()[:3]
    unlearner = FCSUnlearner(net, random_state=0)
    vars(unlearner).update(state)
    unlearner.unlearn(indices=forget)
    found = told_apart(unlearner, (X[forget], y[forget]), unseen)
    assert abs(found[1] - wanted[1]) < 0.02


def test_the_rate_is_three_times_that_of_the_net(data):
    X, y = data
    by_default, given = (
        weight(FCSUnlearner(linear(), lr=lr, random_state=0).fit(X, y).unlearn(indices=FORGET))
        for lr in (None, 0.3)
    )
    assert by_default == pytest.approx(given, abs=1e-6)
