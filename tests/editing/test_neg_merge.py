"""NegMerge: which elements are kept, at what scale, and where it leads."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.datasets import load_breast_cancer
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import scale
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skunlearn import NegMergeUnlearner
from skunlearn._torch import skorch_nets
from skunlearn.editing import neg_merge
from skunlearn.editing.neg_merge import Agreement
from skunlearn.utils import unlearner_tags
from tests.heart import check_nearer
from tests.instances import make_net
from tests.small import FORGET

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class TwoLayers(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Linear(30, 512), nn.ReLU(), nn.Linear(512, 2))


def linear(**params):
    """A linear net without a bias that takes one full-batch step an epoch."""
    given = {
        "module__in_features": 4, "module__out_features": 3, "module__bias": False, "lr": 0.5,
        "criterion": nn.CrossEntropyLoss, "max_epochs": 20, "batch_size": -1, "train_split": None,
        "verbose": 0,
    }  # fmt: skip
    return NeuralNetClassifier(nn.Linear, **(given | params))


def weight(unlearner):
    return unlearner.estimator_.module_.weight.detach().numpy().astype(np.float64)


def test_elements_of_one_sign_are_averaged_and_others_dropped():
    rng = np.random.default_rng(0)
    start = rng.normal(size=(5, 40)).astype(np.float32)
    vectors = rng.normal(size=(4, 5, 40)).astype(np.float32) + 1
    vectors[2, 0] = 0  # no sign at all
    agreed = Agreement([torch.from_numpy(start)])
    for vector in vectors:
        agreed.add([torch.from_numpy(start + vector)])
    same = (vectors > 0).all(axis=0) | (vectors < 0).all(axis=0)
    expected = np.where(same, vectors.mean(axis=0), 0)
    (found,) = agreed.mean()
    assert 0 < same.mean() < 1
    assert found.numpy() == pytest.approx(expected, abs=1e-5)
    assert not found[0].any()


def test_signs_that_part_and_meet_again_do_not_agree():
    """Nor does a weight that moves later than others, or that rests."""
    ways = torch.tensor(
        [[1.0, 1.0, 0.0, 0.0, 2.0], [-2.0, 0.0, 1.0, 0.0, 3.0], [5.0, 1.0, 1.0, 0.0, 4.0]]
    )
    agreed = Agreement([torch.zeros(5)])
    for way in ways:
        agreed.add([way])
    assert agreed.mean()[0].tolist() == [0.0, 0.0, 0.0, 0.0, 3.0]


def tuned(W, X, y, lr, steps):
    """Weights after steps on the whole set."""
    for _ in range(steps):
        errors = softmax(X @ W.T, axis=1) - np.eye(len(W))[y]
        W = W - lr * errors.T @ X / len(X)
    return W


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_the_edit_is_that_of_the_formula(data, scale):
    """θ - λ · mean τ where signs agree, with τ by numpy; retained rows are not read."""
    X, y = data
    shares = (0.1, 1.0, 60.0)
    unlearner = NegMergeUnlearner(
        linear(), rates=shares, scale=scale, max_norm=1e6, max_epochs=3, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    assert not unlearner_tags(unlearner).needs_retain
    W = weight(unlearner)
    ways = np.array([tuned(W, X[FORGET], y[FORGET], 0.5 * share, 3) - W for share in shares])
    same = np.abs(np.sign(ways).sum(axis=0)) == 3
    assert 0 < same.mean() < 1
    expected = W - scale * np.where(same, ways.mean(axis=0), 0)
    assert weight(unlearner.unlearn(indices=FORGET)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("keep", [0.8, 0.95, 1.0])
def test_the_largest_scale_that_keeps_a_share_of_the_accuracy(data, keep):
    X, y = data
    kept = np.arange(6, 60)
    given = {"keep": keep, "bound": 1e9, "random_state": 0}
    unlearner = NegMergeUnlearner(make_net(module__n_out=3), **given).fit(X, y)
    before = unlearner.score(X[kept], y[kept])
    unlearner.unlearn(indices=FORGET)
    assert unlearner.score(X[kept], y[kept]) >= keep * before
    gone = unlearner.deletions_[0]["measured"]["forget_after"]["loss"]
    assert gone > unlearner.deletions_[0]["measured"]["forget_before"]["loss"]
    least = NegMergeUnlearner(make_net(module__n_out=3), **(given | {"keep": 0.0})).fit(X, y)
    least.unlearn(indices=FORGET)
    assert gone < least.deletions_[0]["measured"]["forget_after"]["loss"]


def test_rows_are_forgotten_as_far_as_the_bound_and_classes_until_none_is_named(data):
    X, y = data
    given = {"keep": 0.0, "random_state": 0}
    unlearner = NegMergeUnlearner(make_net(module__n_out=3), bound=1.5, **given).fit(X, y)
    measured = unlearner.unlearn(indices=FORGET).deletions_[0]["measured"]
    assert measured["forget_before"]["loss"] < 1.0
    assert 1.2 < measured["forget_after"]["loss"] <= 1.5
    rows = np.flatnonzero(y == 1)
    unlearner = NegMergeUnlearner(make_net(module__n_out=3), bound=1e-9, **given).fit(X, y)
    assert unlearner.unlearn(indices=rows).score(X[rows], y[rows]) < 0.2


def test_the_accuracy_of_unseen_rows_is_kept_where_there_are_any():
    """A net that knows its rows by heart keeps them while it spoils others."""
    X, y = load_breast_cancer(return_X_y=True)
    rng = np.random.default_rng(0)
    order, wrong = rng.permutation(len(y)), rng.random(len(y)) < 0.15
    X = scale(X)[order].astype(np.float32)
    y = np.where(wrong, 1 - y[order], y[order])
    net = NeuralNetClassifier(
        TwoLayers, criterion=nn.CrossEntropyLoss, lr=0.05, optimizer__momentum=0.9, max_epochs=60,
        batch_size=32, iterator_train__shuffle=True, train_split=None, verbose=0,
    )  # fmt: skip
    n = 280
    blind = NegMergeUnlearner(net, keep=0.95, random_state=0).fit(X[:n], y[:n])
    seeing, few, whole = (copy.deepcopy(blind) for _ in range(3))
    judges, before = (X[n:], y[n:]), blind.score(X[n:], y[n:])
    blind.unlearn(indices=np.arange(40))
    seeing.unlearn(indices=np.arange(40), X_val=judges[0], y_val=judges[1])
    assert blind.score(*judges) < 0.95 * before <= seeing.score(*judges)
    few.unlearn(indices=np.arange(40), X_val=judges[0][:49], y_val=judges[1][:49])
    assert np.array_equal(few.predict_proba(X), blind.predict_proba(X))
    # Of a class that is gone unseen rows tell nothing: there are too few others.
    gone, rows = np.flatnonzero(y[:n] == 0), np.flatnonzero(y[n:] == 0)
    seen = []
    real = neg_merge.observe
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neg_merge, "observe", lambda *a: (seen.append(a[1].y), real(*a))[1])
        whole.unlearn(indices=gone, X_val=judges[0][rows], y_val=judges[1][rows])
    assert sorted(map(len, seen[:2])) == sorted([len(gone), n - len(gone)])


def test_copies_do_not_pile_up(data, monkeypatch):
    X, y = data
    made, copy_net = [], skorch_nets.copy_net
    unlearner = NegMergeUnlearner(make_net(module__n_out=3), repeats=4, random_state=0).fit(X, y)
    monkeypatch.setattr(
        skorch_nets, "copy_net", lambda *given, **more: made.append(1) or copy_net(*given, **more)
    )
    unlearner.unlearn(indices=FORGET)
    assert len(made) <= 3  # the request's, one to train, and what looks at it


@pytest.mark.parametrize("rates", [(), (0.0,), (1.0, float("inf")), 1.0, ("fast",)])
def test_rates_that_are_none_are_refused(data, rates):
    X, y = data
    with pytest.raises(ValueError, match="rates must be a tuple of positive numbers"):
        NegMergeUnlearner(linear(), rates=rates).fit(X, y)


def test_rows_known_by_heart_come_nearer_to_a_retrained_net():
    check_nearer(partial(NegMergeUnlearner, random_state=0), way=0.2, moved=0.02)


def test_what_a_callback_freezes_in_the_trainings_learns_afterwards():
    class Freezing(Callback):
        def on_epoch_end(self, net, **kwargs):
            net.module_.weight.requires_grad_(False)

    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)).astype(np.float32), np.arange(60) % 3
    net = linear(max_epochs=2).initialize().partial_fit(X, y)
    net.callbacks_ = [*net.callbacks_, ("freezing", Freezing())]
    net.callbacks = [("freezing", Freezing())]
    unlearner = NegMergeUnlearner(FrozenEstimator(net), scale=0.1, repeats=1, random_state=0)
    net.module_.weight.requires_grad_(True)
    before = net.module_.weight.detach().clone()
    unlearner.fit(X, y).unlearn(indices=range(6))
    assert unlearner.estimator_.module_.weight.requires_grad
    assert torch.equal(net.module_.weight, before)
