"""AMUN: the nearest adversarial examples, what is trained on, and where it leads."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import softmax
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import AMUNUnlearner, MUMisUnlearner
from skunlearn.relabelling._moved_rows import nearest_adversarial
from skunlearn.utils import unlearner_tags
from tests.heart import check_nearer
from tests.small import FORGET

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
SEARCH = {"radius": 0.01, "steps": 50, "who": "it", "instead": "another"}


def linear(n_in=4, n_out=3, **params):
    """A linear net that takes one full-batch step an epoch."""
    given = {
        "module__in_features": n_in, "module__out_features": n_out, "batch_size": -1, "lr": 0.5,
        "criterion": nn.CrossEntropyLoss, "max_epochs": 40, "train_split": None, "verbose": 0,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, **(given | params))


def search(net, X, y, n_classes, **params):
    moved, named = nearest_adversarial(
        net, torch.from_numpy(X), torch.as_tensor(y), n_classes, **(SEARCH | params)
    )
    return moved.numpy(), named.numpy()


def test_examples_lie_within_a_step_behind_the_boundary():
    """In closed form on a linear net of two classes: |(w1 - w0)x + b1 - b0| / |w1 - w0|."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 6)).astype(np.float32)
    net = linear(6, 2).initialize()
    w, b = (p.detach().numpy() for p in net.module_.parameters())
    margin = X @ (w[1] - w[0]) + b[1] - b[0]
    y = (margin > 0).astype(int)
    moved, named = search(net, X, y, 2)
    away, nearest = np.linalg.norm(moved - X, axis=1), np.abs(margin) / np.linalg.norm(w[1] - w[0])
    assert (named == 1 - y).all()
    assert (net.module_(torch.from_numpy(moved)).argmax(1).numpy() == named).all()
    assert (away >= nearest - 1e-5).all()
    first = 0.01 * np.ptp(X) * 6**0.5
    assert (away <= nearest + 0.1 * np.maximum(2 * nearest, first) + 1e-5).all()


def test_a_row_that_the_net_misnames_is_its_own_example(data):
    X, y = data
    net = linear().fit(X, y)
    wrong = np.flatnonzero(net.predict(X) != y)
    other = (net.predict(X) + 1) % 3
    moved, named = search(net, X, other, 3)
    assert np.array_equal(moved, X)
    assert np.array_equal(named, net.predict(X))
    moved, named = search(net, X, y, 3)
    assert (named != y).all()
    changed = (moved != X).any(axis=1)
    assert np.array_equal(np.flatnonzero(~changed), wrong)


def test_rows_that_no_ball_leads_out_of_take_the_likeliest_other_class():
    net = linear(4, 3).initialize()
    with torch.no_grad():
        net.module_.weight.mul_(1e-12)
        net.module_.bias.copy_(torch.tensor([0.0, 3.0, 1.0]))
    X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    _, named = search(net, X, np.ones(5, int), 3, steps=2)
    assert (named == 2).all()
    _, named = search(net, X, np.ones(5, int), 3, steps=2, unseen=[2])
    assert (named == 0).all()


def test_nets_that_are_sure_and_rows_with_gaps_are_led_out_too():
    """Where p(y|x) is 1 in float32, −log p has no gradient; a missing value stays missing."""
    net = linear(4, 2).initialize()
    with torch.no_grad():
        net.module_.weight.mul_(1000)
    X = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    y = net.module_(torch.from_numpy(X)).argmax(1).numpy()
    moved, _ = search(net, X, y, 2)
    assert (net.module_(torch.from_numpy(moved)).argmax(1).numpy() == 1 - y).all()
    X[:, 0] = np.nan
    moved, _ = search(net, X, y, 2, steps=2)
    assert np.array_equal(np.isnan(moved), np.isnan(X))


def gradient(W, b, X, y):
    """Of the mean cross-entropy of a linear net."""
    errors = softmax(X @ W.T + b, axis=1) - np.eye(len(b))[y]
    return errors.T @ X / len(X), errors.mean(axis=0)


@pytest.mark.parametrize("originals", [False, True])
@pytest.mark.parametrize("share", [0.1, 0.4])
def test_one_step_is_that_of_the_formula(data, share, originals):
    """θ - η∇[(1 - s)·CE(D_r) + s·CE(x', y')], by numpy."""
    X, y = data
    given = {"share": share, "originals": originals, "max_epochs": 1, "schedule": "constant"}
    unlearner = AMUNUnlearner(linear(), lr=0.5, random_state=0, **given).fit(X, y)
    W, b = (p.detach().numpy().copy() for p in unlearner.estimator_.module_.parameters())
    moved, named = search(unlearner.estimator_, X[FORGET], y[FORGET], 3, radius=0.005)
    rows = np.arange(60) if originals else np.arange(6, 60)
    parts = zip(gradient(W, b, X[rows], y[rows]), gradient(W, b, moved, named), strict=True)
    steps = [(1 - share) * ours + share * theirs for ours, theirs in parts]
    unlearner.unlearn(indices=FORGET)
    after = [p.detach().numpy() for p in unlearner.estimator_.module_.parameters()]
    for old, new, step in zip((W, b), after, steps, strict=True):
        assert new == pytest.approx(old - 0.5 * step, abs=1e-5)
        assert np.abs(new - old).max() > 1e-4


def test_by_default_the_rate_is_thrice_the_nets_and_the_share_a_third(data):
    X, y = data
    by_default, given = (
        AMUNUnlearner(linear(), random_state=0, **params).fit(X, y).unlearn(indices=FORGET)
        for params in ({}, {"lr": 1.5, "share": 6 / 60 / 3})
    )
    ours, theirs = (u.estimator_.module_.weight.detach().numpy() for u in (by_default, given))
    assert ours == pytest.approx(theirs, abs=1e-6)


def test_without_retained_rows(data):
    """The same step on the examples alone, or with the forget rows; clipped and slower."""
    X, y = data
    for originals in (False, True):
        given = {"retained": False, "originals": originals, "max_epochs": 1, "lr": 0.5}
        unlearner = AMUNUnlearner(linear(), random_state=0, schedule="constant", **given).fit(X, y)
        assert not unlearner_tags(unlearner).needs_retain
        W, b = (p.detach().numpy().copy() for p in unlearner.estimator_.module_.parameters())
        moved, named = search(unlearner.estimator_, X[FORGET], y[FORGET], 3, radius=0.005)
        taught, own = gradient(W, b, moved, named), gradient(W, b, X[FORGET], y[FORGET])
        step = [(t + o) / 2 if originals else t for t, o in zip(taught, own, strict=True)]
        length = np.sqrt(sum(np.square(part).sum() for part in step))
        unlearner.unlearn(indices=FORGET)
        after = unlearner.estimator_.module_.weight.detach().numpy()
        assert after == pytest.approx(W - 0.5 * step[0] / max(length, 1), abs=1e-5)
    assert unlearner_tags(AMUNUnlearner(linear())).needs_retain


def test_a_single_class_and_regressions_are_refused(data):
    X, _ = data
    for cls in (AMUNUnlearner, MUMisUnlearner):
        with pytest.raises(ValueError, match="one class"):
            cls(linear(), random_state=0).fit(X, np.zeros(60, int))


@pytest.mark.parametrize("share, way", [(None, 0.3), (0.3, 0.5)])
def test_rows_known_by_heart_come_nearer_to_a_retrained_net(share, way):
    check_nearer(partial(AMUNUnlearner, share=share, random_state=0), way=way, moved=0.05)
