"""PRMQ: all but the largest weights anew, and as unsure as before."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from skorch import NeuralNetClassifier
from torch import nn
from torch.distributions import Categorical

from skunlearn import FineTuneUnlearner, PRMQUnlearner, RetrainUnlearner
from skunlearn.exceptions import UnlearningError
from tests.heart import check_nearer
from tests.instances import make_net
from tests.small import quiet

pytestmark = quiet


class Two(nn.Module):
    def __init__(self, learns=True):
        super().__init__()
        self.first, self.norm = nn.Linear(4, 8), nn.LayerNorm(8)
        self.out = nn.Linear(8, 3)
        if not learns:
            self.first.requires_grad_(False)
            self.out.requires_grad_(False)

    def forward(self, X):
        return self.out(torch.relu(self.norm(self.first(X))))


def two(**params):
    params = {"criterion": nn.CrossEntropyLoss, "lr": 0.1, "max_epochs": 20} | params
    return NeuralNetClassifier(Two, train_split=None, verbose=0, **params)


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 90)
    return (np.eye(3, 4)[y] + rng.normal(size=(90, 4))).astype(np.float32), y


def flat(model):
    """The two weights, and the two biases behind them."""
    layers = model.module_.first, model.module_.out
    parts = [layer.weight.flatten() for layer in layers] + [layer.bias for layer in layers]
    return torch.cat(parts).detach().numpy()


@pytest.mark.parametrize("share", [0.0, 0.25, 0.9, 1.0])
def test_the_smallest_weights_of_all_layers_are_drawn_anew(rows, share):
    X, y = rows
    unlearner = PRMQUnlearner(two(), share=share, lr=1e-12, random_state=0).fit(X, y)
    before, biases = flat(unlearner.estimator_), unlearner.estimator_.module_.norm.bias.detach()
    after = flat(unlearner.unlearn(X[:9], y[:9]).estimator_)
    anew = np.abs(before - after) > 1e-6
    assert anew.sum() == round(share * len(before))
    if 0 < share < 1:
        assert np.abs(before[anew]).max() <= np.abs(before[~anew]).min()
    weights, anew = slice(32 + 24), anew & (np.abs(after) > 1e-9)
    bounds = np.repeat([1 / np.sqrt(4), 1 / np.sqrt(8)], [32, 24])  # of torch's own start
    assert (np.abs(after[weights]) <= bounds)[anew[weights]].all()
    assert not anew[32 + 24 :].any()  # biases among them are nothing
    np.testing.assert_allclose(unlearner.estimator_.module_.norm.bias.detach(), biases, atol=1e-6)


def test_nets_are_as_unsure_of_retained_rows_as_they_were(rows):
    X, y = rows
    gaps = []
    for weight in (0.0, 5.0):
        unlearner = PRMQUnlearner(two(), entropy=weight, share=0.5, max_epochs=40, random_state=0)
        unlearner.fit(X, y)
        before = entropy(unlearner.predict_proba(X[9:]), axis=1)
        unlearner.unlearn(X[:9], y[:9])
        gaps.append(np.abs(entropy(unlearner.predict_proba(X[9:]), axis=1) - before).mean())
    assert gaps[1] < 0.5 * gaps[0]


@pytest.mark.parametrize("weight", [1.0, 7.0])
def test_steps_are_those_of_the_formula(rows, monkeypatch, weight):
    """CE + λ · mean (H(p) − H(p_o))² of the retained rows, twice, from weights that are halved."""
    X, y = rows

    @torch.no_grad()
    def halve(self, net, retain):
        for p in net.module_.parameters():
            p.mul_(0.5)

    monkeypatch.setattr(PRMQUnlearner, "_draw_anew", halve)
    unlearner = PRMQUnlearner(
        two(batch_size=-1), entropy=weight, lr=0.2, max_epochs=2, schedule="constant",
        random_state=0,
    ).fit(X, y)  # fmt: skip
    module, original = Two(), Two()
    for net in (module, original):
        net.load_state_dict(unlearner.estimator_.module_.state_dict())
    halve(None, SimpleNamespace(module_=module), None)
    kept, own = torch.tensor(X[9:]), torch.tensor(y[9:])

    def unsure(net):
        return Categorical(logits=net(kept)).entropy()

    for _ in range(2):
        loss = nn.functional.cross_entropy(module(kept), own)
        loss = loss + weight * ((unsure(module) - unsure(original).detach()) ** 2).mean()
        grads = torch.autograd.grad(loss, list(module.parameters()))
        with torch.no_grad():
            for p, grad in zip(module.parameters(), grads, strict=True):
                p.sub_(0.2 * grad)
    unlearner.unlearn(X[:9], y[:9])
    found = unlearner.estimator_.module_.parameters()
    for p, q in zip(found, module.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6)


def test_without_both_parts_it_is_fine_tuning(rows):
    X, y = rows
    plain, bare = (
        method(two(), max_epochs=3, random_state=0, **params).fit(X, y).unlearn(indices=[0, 1])
        for method, params in ((FineTuneUnlearner, {}), (PRMQUnlearner, {"share": 0, "entropy": 0}))
    )
    np.testing.assert_allclose(flat(bare.estimator_), flat(plain.estimator_), rtol=1e-6)


def test_rows_known_by_heart_are_let_go_of():
    check_nearer(partial(PRMQUnlearner, random_state=0), way=0.7, moved=None)


def test_frozen_layers_are_said(rows):
    X, y = rows
    unlearner = PRMQUnlearner(two(module__learns=False), random_state=0).fit(X, y)
    with pytest.raises(UnlearningError, match="none learns"):
        unlearner.unlearn(indices=[0])


def test_several_labels_and_regressions_are_refused():
    with pytest.raises((TypeError, ValueError)):
        PRMQUnlearner(make_net(criterion=nn.MSELoss)).fit(np.eye(4), np.arange(4.0) / 3)


def test_forget_rows_may_be_gone(rows):
    X, y = rows
    trained = RetrainUnlearner(two(), random_state=0).fit(X, y).estimator_
    unlearner = PRMQUnlearner(two(), random_state=0).fit(X, y, ids=range(90))
    assert trained is not None
    unlearner.detach()
    unlearner.unlearn(ids=[3], X_retain=np.delete(X, 3, 0), y_retain=np.delete(y, 3))
    assert unlearner.deletions_[0]["rows"] == 1
