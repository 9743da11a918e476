"""RNI: weights picked at random get noise and are trained alone."""

from functools import partial

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback
from torch import nn

from skunlearn import RNIUnlearner
from skunlearn.exceptions import UnlearningError
from tests.heart import check_nearer
from tests.small import quiet
from tests.winners import flat, rows, two

pytestmark = quiet
WEIGHTS = {"first.weight", "first.bias", "out.weight", "out.bias"}
NORM = {"norm.weight", "norm.bias"}


class Watch(Callback):
    """Notes the parameters before and after each epoch."""

    seen = []

    def _note(self, net):
        named = net.module_.named_parameters()
        return {name: p.detach().numpy().copy() for name, p in named}

    def on_epoch_begin(self, net, **kwargs):
        Watch.seen.append([self._note(net)])

    def on_epoch_end(self, net, **kwargs):
        Watch.seen[-1].append(self._note(net))


def watched(**params):
    """Parameters before and after every epoch of a request; what was before and is after it."""
    X, y = rows()
    net = two(callbacks=[("watch", Watch())])
    unlearner = RNIUnlearner(net, random_state=0, **params).fit(X, y)
    before = flat(unlearner)
    Watch.seen.clear()
    unlearner.unlearn(indices=[0, 1])
    return list(Watch.seen), before, flat(unlearner)


def moved(pair):
    return {name for name in pair[0] if not np.array_equal(pair[0][name], pair[1][name])}


@pytest.mark.parametrize("share, count", [(0.01, 1), (0.5, 2), (1.0, 4)])
def test_what_a_pass_picks_is_trained_with_the_norms_and_the_rest_rests(share, count):
    epochs, _, _ = watched(share=share, max_epochs=9)
    assert len(epochs) == 9
    for pair in epochs[:5]:
        assert moved(pair) >= NORM
        assert len(moved(pair) & WEIGHTS) == count
    if count == 1:
        assert len({frozenset(moved(pair)) for pair in epochs[:5]}) > 1  # other ones each time
    for pair in epochs[5:]:
        assert moved(pair) == WEIGHTS | NORM


@pytest.mark.parametrize("epochs, turns", [(1, 0), (2, 1), (3, 2), (9, 5), (18, 10)])
def test_the_last_passes_train_all(epochs, turns):
    seen, _, _ = watched(share=0.01, max_epochs=epochs)
    whole = [moved(pair) == WEIGHTS | NORM for pair in seen]
    assert whole == [False] * turns + [True] * (epochs - turns)


def test_noise_comes_to_what_is_picked_but_not_before_the_first_pass():
    epochs, before, _ = watched(share=0.5, noisy_share=1.0, max_epochs=9)
    noisy = [moved((epochs[i][1], epochs[i + 1][0])) for i in range(8)]
    assert moved((before, epochs[0][0])) == {"out.weight", "out.bias"}  # drawn anew
    assert noisy[:4] == [moved(pair) & WEIGHTS for pair in epochs[1:5]]
    assert not any(noisy[4:])


def test_noise_is_of_the_size_of_the_tensor():
    torch.manual_seed(0)
    old = [0.05 * torch.randn(200, 300), 3 + 7 * torch.randn(5000), torch.zeros(4)]
    new = [p.clone() for p in old]
    RNIUnlearner(two())._add_noise(new, 2.0)
    for p, q in zip(old[:2], new, strict=False):
        wanted = 4 * float(p.square().mean())
        assert float((q - p).square().mean()) == pytest.approx(wanted, rel=0.05)
    assert torch.equal(new[2], old[2])


def test_noise_falls_over_the_passes_that_pick(monkeypatch):
    X, y = rows()
    added = []
    monkeypatch.setattr(RNIUnlearner, "_add_noise", lambda self, w, noise, *_: added.append(noise))
    unlearner = RNIUnlearner(two(), noise=3.0, max_epochs=9, random_state=0).fit(X, y)
    unlearner.unlearn(indices=[0, 1])
    assert added == pytest.approx([3.0, 2.25, 1.5, 0.75])


@pytest.mark.parametrize("share, count", [(0.0, 0), (0.5, 1), (1.0, 2)])
def test_a_share_of_the_picked_gets_noise(share, count):
    epochs, _, _ = watched(share=0.5, noisy_share=share, max_epochs=9)
    noisy = [len(moved((epochs[i][1], epochs[i + 1][0]))) for i in range(8)]
    assert noisy == [count] * 4 + [0] * 4


def test_the_head_begins_anew():
    _, before, _ = watched(max_epochs=1)
    first = Watch.seen[0][0]
    assert not np.allclose(first["out.weight"], before["out.weight"], atol=1e-3)
    assert np.abs(first["out.weight"]).max() <= 1 / np.sqrt(8)  # of torch's own start
    assert np.array_equal(first["first.weight"], before["first.weight"])


def test_seeds_pick_and_add():
    X, y = rows()
    said = []
    for seed in (0, 0, 1):
        unlearner = RNIUnlearner(two(), max_epochs=5, random_state=seed).fit(X, y)
        said.append(unlearner.unlearn(indices=[0]).predict_proba(X))
    assert np.array_equal(said[0], said[1])
    assert not np.allclose(said[0], said[2], atol=1e-3)


def test_rows_known_by_heart_are_let_go_of():
    check_nearer(partial(RNIUnlearner, random_state=0), way=0.6, moved=None)


def test_frozen_layers_stay_and_are_said():
    X, y = rows()
    unlearner = RNIUnlearner(two(module__frozen=("first",)), random_state=0).fit(X, y)
    before, after = flat(unlearner), flat(unlearner.unlearn(indices=[0]))
    assert np.array_equal(before["first.weight"], after["first.weight"])
    assert not np.allclose(before["out.weight"], after["out.weight"])
    unlearner = RNIUnlearner(two(module__frozen=("first", "out")), random_state=0).fit(X, y)
    with pytest.raises(UnlearningError, match="none that learns"):
        unlearner.unlearn(indices=[0])


def test_weights_learn_again_after_it():
    """Nothing of a request is left frozen."""
    X, y = rows()
    unlearner = RNIUnlearner(two(), max_epochs=3, random_state=0).fit(X, y).unlearn(indices=[0])
    assert all(p.requires_grad for p in unlearner.estimator_.module_.parameters())
    assert torch.is_grad_enabled()


class Words(nn.Module):
    """A mean of looked up vectors, among which padding is zero."""

    def __init__(self, kind=nn.Embedding):
        super().__init__()
        more = {"mode": "sum"} if kind is nn.EmbeddingBag else {}
        self.table, self.out = kind(6, 4, padding_idx=0, **more), nn.Linear(4, 3)

    def forward(self, X):
        found = self.table(X)
        return self.out(found.mean(dim=1) if found.ndim == 3 else found)


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_padding_gets_no_noise(kind):
    """No gradient reaches its row, which would keep the noise for good."""
    rng = np.random.default_rng(0)
    X, y = rng.integers(0, 6, size=(40, 3)), rng.integers(0, 3, 40)
    params = {"criterion": nn.CrossEntropyLoss, "train_split": None, "verbose": 0}
    net = NeuralNetClassifier(Words, module__kind=kind, max_epochs=2, **params)
    unlearner = RNIUnlearner(net, share=1.0, noisy_share=1.0, max_epochs=9, random_state=0)
    before = flat(unlearner.fit(X, y))["table.weight"]
    after = flat(unlearner.unlearn(indices=[0, 1]))["table.weight"]
    assert not after[0].any()
    assert (np.abs(after - before)[1:] > 1e-3).any(axis=1).all()
