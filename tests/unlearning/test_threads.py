"""Unlearners at work in several threads of one process."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import SSDUnlearner


class Fixed(nn.Sequential):
    """A net whose first weights are not drawn."""

    def __init__(self):
        super().__init__(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))
        for k, p in enumerate(self.parameters()):
            p.data = torch.sin(1.7 * torch.arange(p.numel()) + k).reshape(p.shape) / 3


@pytest.mark.filterwarnings("ignore")
def test_threads_share_nothing_but_the_generators():
    """What is drawn from these differs from run to run; what draws nothing is as it is alone."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(120, 6)).astype(np.float32), np.arange(120) % 3

    def work(seed):
        net = NeuralNetClassifier(
            Fixed, criterion=nn.CrossEntropyLoss, lr=0.1, max_epochs=5, batch_size=16,
            optimizer__momentum=0.9, train_split=None, verbose=0,
        )  # fmt: skip
        unlearner = SSDUnlearner(net, alpha=1.0, random_state=seed).fit(X + seed, y)
        forget = np.flatnonzero(y == 1)
        return [*unlearner.unlearn(indices=forget).estimator_.module_.parameters()]

    alone = [work(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(work, [0, 1, 2, 3] * 3))
    for ours, theirs in zip(together, alone * 3, strict=True):
        assert all(map(torch.equal, ours, theirs))
