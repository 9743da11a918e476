"""What modules write down while they train is named where a method keeps it."""

import json
import pickle

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner, RetrainUnlearner, RewindUnlearner, SSDUnlearner
from tests.odd_nets import MLP, NumpyFeatures, RandomFeatures, rows

GONE = np.arange(6)

pytestmark = [
    pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning"),
    pytest.mark.filterwarnings("ignore::skunlearn.exceptions.UnsuitableMethodWarning"),
]


class ListBank(MLP):
    """Keeps the batches that it has seen."""

    def __init__(self):
        super().__init__()
        self.kept = []

    def forward(self, X):
        if self.training:
            self.kept.append(X.detach().clone())
        return super().forward(X)


class DictBank(ListBank):
    """Keeps the bytes of rows."""

    def __init__(self):
        super().__init__()
        self.kept = {}

    def forward(self, X):
        if self.training:
            self.kept |= {row.detach().numpy().tobytes(): 1 for row in X}
        return MLP.forward(self, X)


class Prototype(MLP):
    """Keeps the mean of the last batch in a plain attribute."""

    def __init__(self):
        super().__init__()
        self.mean = torch.zeros(4)

    def forward(self, X):
        if self.training:
            self.mean = X.detach().mean(dim=0)
        return super().forward(X)


class Remembering(nn.CrossEntropyLoss):
    """Keeps what the last batch was told, in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("said", torch.zeros(3))

    def forward(self, out, y):
        if self.training:
            self.said.copy_(out.detach().mean(dim=0))
        return super().forward(out, y)


def net(module=MLP, **params):
    defaults = {"criterion": nn.CrossEntropyLoss, "lr": 0.1, "max_epochs": 2, "batch_size": 16}
    return NeuralNetClassifier(module, train_split=None, verbose=0, **(defaults | params))


WRITES = {
    "list": (lambda: net(ListBank), "module.kept"),
    "dict": (lambda: net(DictBank), "module.kept"),
    "attribute": (lambda: net(Prototype), "module.mean"),
    "criterion": (lambda: net(criterion=Remembering), "criterion.said"),
}


@pytest.mark.parametrize("way", WRITES)
@pytest.mark.parametrize("cls", [FineTuneUnlearner, SSDUnlearner])
def test_what_was_written_is_named(way, cls):
    X, y = rows()
    make, name = WRITES[way]
    unlearner = cls(make(), random_state=0).fit(X, y).unlearn(indices=GONE)
    assert unlearner.deletions_[0]["written_kept"] == [name]
    notes = json.loads(unlearner.certificate())["notes"]
    assert any(note.startswith(f"{name} was written to in the training") for note in notes)
    assert X[0].tobytes() in pickle.dumps(unlearner) or way in ("attribute", "criterion")


@pytest.mark.parametrize("way", ["list", "dict"])
def test_a_retraining_starts_it_anew(way):
    X, y = rows()
    unlearner = RetrainUnlearner(WRITES[way][0](), random_state=0).fit(X, y).unlearn(indices=GONE)
    assert "written_kept" not in unlearner.deletions_[0]
    assert X[0].tobytes() not in pickle.dumps(unlearner)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize(
    "make",
    [
        lambda: net(RandomFeatures),
        lambda: net(NumpyFeatures),
        lambda: net(criterion__weight=torch.ones(3)),
    ],
)
def test_what_a_constructor_draws_was_not_written(make, frozen):
    X, y = rows()
    made = FrozenEstimator(make().fit(X, y)) if frozen else make()
    unlearner = SSDUnlearner(made, random_state=0).fit(X, y).unlearn(indices=GONE)
    assert "written_kept" not in unlearner.deletions_[0]


class Shows(MLP):
    """Keeps what it computed of the last batch, to be looked at, and what it needs for a length."""

    def __init__(self):
        super().__init__()
        self.seen, self.places, self.last = {}, {}, None
        self.register_forward_hook(lambda module, args, out: self.seen.update(out=out.detach()))

    def forward(self, X):
        self.places.setdefault(X.shape[1], torch.arange(4.0))
        self.last = torch.softmax(X.detach(), dim=1)
        return super().forward(X)


class Last(nn.CrossEntropyLoss):
    """Keeps the losses of the last batch."""

    def forward(self, out, y):
        self.last = nn.functional.cross_entropy(out, y, reduction="none").detach()
        return self.last.mean() + super().forward(out, y)


@pytest.mark.parametrize("cls", [FineTuneUnlearner, SSDUnlearner])
def test_what_each_batch_replaces_was_not_written(cls):
    X, y = rows()
    unlearner = cls(net(Shows, criterion=Last), random_state=0).fit(X, y)
    unlearner.unlearn(indices=GONE)
    assert "written_kept" not in unlearner.deletions_[0]
    module = unlearner.estimator_.module_
    assert torch.equal(module.last[0], torch.as_tensor(X[len(GONE)]).softmax(0))  # of a kept row


class Quantised(nn.Module):
    """A quantised encoder, which keeps its weights in no tensor, before a scale that learns."""

    def __init__(self):
        super().__init__()
        plain = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 3))
        self.inner = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear}, dtype=torch.qint8)
        self.scale = nn.Parameter(torch.ones(3))

    def forward(self, X):
        return self.inner(X) * self.scale


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantised_layers(tmp_path):
    X, y = rows()
    unlearner = FineTuneUnlearner(net(Quantised), random_state=0).fit(X, y)
    unlearner.unlearn(indices=GONE)
    with pytest.warns(UserWarning, match="does not hold all of the net: layers"):
        unlearner.save(tmp_path / "model")
    with pytest.raises(RuntimeError, match=r"that is no tensor, as quantised layers do"):
        RewindUnlearner(net(Quantised), random_state=0).fit(X, y).unlearn(indices=GONE)


class WithLoss(MLP):
    """Returns a loss of its own beside the logits."""

    def forward(self, X):
        out = super().forward(X)
        return out, out.square().mean()


def test_a_single_number_beside_the_outputs():
    X, y = rows()
    with pytest.raises(ValueError, match="returns a single number beside"):
        FineTuneUnlearner(net(WithLoss), random_state=0).fit(X, y)
