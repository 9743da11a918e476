"""KDE: both ends of the net anew, and the original's soft answers."""

from functools import partial

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor
from torch.nn.functional import cross_entropy, kl_div

from skunlearn import KDEUnlearner
from skunlearn.exceptions import UnlearningError
from tests.heart import check_nearer
from tests.small import quiet
from tests.winners import Two, flat, rows, two

pytestmark = quiet
GONE = list(range(9))


def unseen():
    X, y = rows()
    return (X + 0.3).astype(np.float32)[::-1], y[::-1]


def test_both_ends_are_drawn_anew_and_what_lies_between_stays():
    X, y = rows()
    unlearner = KDEUnlearner(two(), lr=1e-12, random_state=0).fit(X, y)
    before = flat(unlearner)
    after = flat(unlearner.unlearn(X[:9], y[:9]))
    for name in ("norm.weight", "norm.bias"):
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    for name, bound in (("first", 1 / np.sqrt(4)), ("out", 1 / np.sqrt(8))):  # of torch's start
        for kind in ("weight", "bias"):
            value = after[f"{name}.{kind}"]
            assert not np.allclose(value, before[f"{name}.{kind}"], atol=1e-3)
            assert np.abs(value).max() <= bound + 1e-6


def by_hand(module, teacher, batches, T, rate):
    """Steps on what the winner adds up: a cross-entropy, one to soft answers, and a divergence."""
    for X, y in batches:
        soft = teacher(X).div(T).softmax(1).detach()
        log_q = module(X).div(T).log_softmax(1)
        loss = kl_div(log_q, soft, reduction="batchmean")
        if y is None:
            loss = T**2 * loss
        else:
            loss = loss - (soft * log_q).sum(1).mean() + cross_entropy(module(X), y)
        grads = torch.autograd.grad(loss, list(module.parameters()))
        with torch.no_grad():
            for p, grad in zip(module.parameters(), grads, strict=True):
                p.sub_(rate * grad)
    return module


@pytest.mark.parametrize("given", [True, False])
def test_the_steps_are_those_of_the_winners_three_losses(given, monkeypatch):
    """Two passes of one batch each: over unseen rows first, where there are any."""
    X, y = rows()

    @torch.no_grad()
    def halve(self, net, retain):
        for p in net.module_.parameters():
            p.mul_(0.5)

    monkeypatch.setattr(KDEUnlearner, "_draw_anew", halve)
    unlearner = KDEUnlearner(
        two(batch_size=-1), lr=0.2, max_epochs=2, schedule="constant", random_state=0
    ).fit(X, y)
    module, teacher = Two(), Two()
    for net in (module, teacher):
        net.load_state_dict(unlearner.estimator_.module_.state_dict())
    with torch.no_grad():
        for p in module.parameters():
            p.mul_(0.5)
    kept = torch.tensor(X[9:]), torch.tensor(y[9:])
    first = (torch.tensor(unseen()[0].copy()), None) if given else kept
    wanted = by_hand(module, teacher, [first, kept], 5.0, 0.2)
    rest = dict(zip(("X_val", "y_val"), unseen(), strict=True)) if given else {}
    unlearner.unlearn(indices=GONE, **rest)
    for p, q in zip(unlearner.estimator_.module_.parameters(), wanted.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_unseen_rows_of_a_class_that_goes_are_left_out():
    """The original would teach the net what they are."""
    X, y = rows()
    of_class = y == 2
    said = []
    for given in ({}, {"X_val": X[of_class] + 0.3, "y_val": y[of_class]}):
        unlearner = KDEUnlearner(two(), max_epochs=6, random_state=0).fit(X, y)
        unlearner.unlearn(X[of_class], y[of_class], **given)
        said.append(unlearner.predict_proba(X))
    assert np.array_equal(*said)


def test_rows_known_by_heart_are_let_go_of():
    check_nearer(partial(KDEUnlearner, random_state=0), way=0.7, moved=None)


def test_frozen_layers_are_passed_over_and_said():
    X, y = rows()
    unlearner = KDEUnlearner(two(module__frozen=("first",)), random_state=0).fit(X, y)
    before, after = flat(unlearner), flat(unlearner.unlearn(indices=[0]))
    assert np.array_equal(before["first.weight"], after["first.weight"])
    assert not np.allclose(before["out.weight"], after["out.weight"])
    unlearner = KDEUnlearner(two(module__frozen=("first", "out")), random_state=0).fit(X, y)
    with pytest.raises(UnlearningError, match="can be initialised again"):
        unlearner.unlearn(indices=[0])


def test_regressions_learn_the_values_of_the_original():
    X, _ = rows()
    y = X @ np.array([[1.0], [-2.0], [0.5], [0.0]], dtype=np.float32)
    net = NeuralNetRegressor(
        Two, module__n_out=1, lr=0.05, max_epochs=60, train_split=None, verbose=0
    )
    unlearner = KDEUnlearner(net, random_state=0).fit(X, y)
    before = unlearner.predict(X)
    other = X + 0.1
    unlearner.unlearn(indices=GONE, X_val=other, y_val=y)
    assert 0 < np.abs(unlearner.predict(X) - before).mean() < 0.5 * np.abs(before).mean()


def test_the_users_net_is_left_as_it_was():
    X, y = rows()
    unlearner = KDEUnlearner(two(), random_state=0).fit(X, y)
    net, said = unlearner.estimator_, unlearner.predict_proba(X)
    unlearner.unlearn(indices=[0])
    assert np.array_equal(net.predict_proba(X), said)
