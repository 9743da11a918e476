"""A class for each position is refused, and what the error advises works as it is written."""

import re

import numpy as np
import pytest
import torch
from skorch import NeuralNet, NeuralNetClassifier
from torch import nn

from skunlearn import FineTuneUnlearner

K = 3


class Segmenter(nn.Module):
    """Logits of shape (n, K, 4, 4)."""

    def __init__(self, flat=False):
        super().__init__()
        self.net, self.flat = (
            nn.Sequential(nn.Conv2d(1, 16, 1), nn.ReLU(), nn.Conv2d(16, K, 1)),
            flat,
        )

    def forward(self, X):
        out = self.net(X)
        return out.flatten(1) if self.flat else out


class Tagger(nn.Module):
    """Logits of shape (n, 6, K) flattened, or as torch's loss takes them."""

    def __init__(self, flat=False):
        super().__init__()
        self.net, self.flat = nn.Sequential(nn.Embedding(12, 16), nn.Linear(16, K)), flat

    def forward(self, X):
        out = self.net(X)
        return out.flatten(1) if self.flat else out.movedim(2, 1)


def segments(rng):
    X = rng.normal(size=(120, 1, 4, 4)).astype(np.float32)
    return X, np.digitize(X[:, 0], [-0.5, 0.5])


def tags(rng):
    X = rng.integers(0, 12, size=(120, 6))
    return X, X % K


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("module", "task", "axis"), [(Segmenter, segments, 1), (Tagger, tags, -1)])
def test_the_advice_for_several_positions_works(module, task, axis):
    X, y = task(np.random.default_rng(0))
    recipe = {"optimizer": torch.optim.Adam, "lr": 0.05, "max_epochs": 30, "verbose": 0}
    net = NeuralNetClassifier(module, criterion=nn.CrossEntropyLoss, train_split=None, **recipe)
    with pytest.raises(ValueError, match="Or pass a label for each class and position") as raised:
        FineTuneUnlearner(net).fit(X, y)
    formulas = re.findall(r"y = (np\.\S.*?reshape\(len\(y\), -1\))", str(raised.value))
    assert len(formulas) == 2
    hot = eval(formulas[axis == -1], {"np": np, "y": y, "k": K})
    net = NeuralNet(
        module, module__flat=True, criterion=nn.BCEWithLogitsLoss, train_split=None, **recipe
    )
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, hot).unlearn(indices=range(10))
    p = unlearner.predict_proba(X)
    shape = (len(y), K, *y.shape[1:]) if axis == 1 else (*y.shape, K)
    assert (p.reshape(shape).argmax(axis) == y).mean() > 0.9
