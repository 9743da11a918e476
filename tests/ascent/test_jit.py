"""JiT: flat outputs around the forget rows, without labels and without retained rows."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import JiTUnlearner, RetrainUnlearner
from skunlearn.ascent import jit
from skunlearn.exceptions import ClassForgottenWarning
from tests.instances import make_net
from tests.small import quiet

pytestmark = quiet


def task(n=200):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 8)).astype(np.float32)
    return X, X[:, :3].argmax(axis=1)


def test_a_step_is_that_of_the_formula():
    """One linear layer, one batch: Σ‖W ξ‖/‖ξ‖ by hand, with the draws of the method."""
    X, y = task()
    net = NeuralNetClassifier(
        nn.Linear, module__in_features=8, module__out_features=3, lr=0.1, max_epochs=3,
        criterion=nn.CrossEntropyLoss, batch_size=500, train_split=None, verbose=0,
    )  # fmt: skip
    settings = {"n_copies": 4, "noise": 0.3, "max_epochs": 1, "max_norm": 1e9}
    unlearner = JiTUnlearner(net, schedule="constant", random_state=0, **settings).fit(X, y)
    start = unlearner.estimator_.module_.weight.detach().clone()
    drawn, draw, asked, ask = [], torch.randn, [], jit.inference.infer

    def recorded(*args, **kwargs):
        drawn.append(draw(*args, **kwargs).double())
        return drawn[-1].float()

    def watched(net, x):
        asked.append(x.double())
        return ask(net, x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn", recorded)
        patch.setattr(jit.inference, "infer", watched)
        unlearner.unlearn(indices=np.arange(20))
    W = start.double().requires_grad_()
    spread = 0.3 * float(X[:20].std())
    rows = asked[0] - spread * drawn[0]  # in the order of the batch
    total = 0.0
    for noise, moved in zip(drawn, asked, strict=True):
        assert torch.allclose(moved, rows + spread * noise, atol=1e-5)
        gap = rows @ W.T - (moved @ W.T).detach()  # f(x + ξ) is held where it is
        total = total + (gap.norm(dim=1) / (spread * noise).norm(dim=1)).mean() / 4
    total.backward()
    assert len(drawn) == 4
    after = unlearner.estimator_.module_.weight.detach()
    assert torch.allclose(after.double(), start.double() - 0.1 * W.grad, atol=1e-5)


@pytest.mark.filterwarnings("ignore", category=ClassForgottenWarning)
def test_a_class_goes_towards_what_a_retrained_net_says_of_it():
    X, y = task(400)
    gone = y == 2
    net = make_net(module__n_out=3)
    unlearner = JiTUnlearner(net, max_epochs=3, random_state=0).fit(X, y)

    def sizes(p):
        own = -np.log(np.maximum(p[np.arange(gone.sum()), y[gone]], 1e-12)).mean()
        return own, -(p * np.log(np.maximum(p, 1e-12))).sum(1).mean()

    before = sizes(unlearner.predict_proba(X[gone]))
    other = RetrainUnlearner(net, random_state=1).fit(X, y).unlearn(indices=np.flatnonzero(gone))
    wanted = sizes(other.predict_proba(X[gone]))
    after = sizes(unlearner.unlearn(indices=np.flatnonzero(gone)).predict_proba(X[gone]))
    for was, now, goal in zip(before, after, wanted, strict=True):
        assert abs(now - goal) < abs(was - goal)
        assert (now - was) * (goal - was) > 0


def test_neither_labels_nor_retained_rows_are_read(monkeypatch):
    X, y = task()
    unlearner = JiTUnlearner(make_net(module__n_out=3), random_state=0)

    def weights(y_forget, X_retain):
        fitted = unlearner.fit(X, y)
        seen = fitted._record.view(np.arange(30)).relabel(y_forget)
        net = fitted._attempt(fitted._record.view(X_retain), seen, 0)
        return net.module_.out.weight.detach().numpy()

    same = weights(y[:30], np.arange(30, 200))
    assert np.array_equal(same, weights(np.zeros(30, dtype=y.dtype), np.arange(30, 200)))
    assert np.array_equal(same, weights(y[:30], np.arange(100, 110)))
