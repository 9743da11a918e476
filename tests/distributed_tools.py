"""What workers of another process have to be able to import."""

import os
from pathlib import Path

import numpy as np
import torch
from torch import nn

from skunlearn import RetrainUnlearner
from skunlearn.metrics import RetainedScorer
from tests.instances import make_net


def task():
    """A hundred and twenty rows of two classes, and a mask of rows to forget."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(120, 4)).astype(np.float32)
    return X, (X[:, 0] + 0.3 * rng.normal(size=120) > 0).astype(int), np.arange(120) < 12


def small_net(**params):
    """A net that trains in a moment."""
    return make_net(**({"module__n_out": 2, "module__hidden": 8, "max_epochs": 3} | params))


class DiesOnce(RetrainUnlearner):
    """Ends its worker process without a word the first time that it is asked to forget.

    Parameters
    ----------
    estimator, random_state
    folder : str
        Where it notes each request.
    """

    def __init__(self, estimator, *, folder="", random_state=None, memory=None, store_data=True,
                 verbose=0):  # fmt: skip
        super().__init__(
            estimator,
            random_state=random_state,
            memory=memory,
            store_data=store_data,
            verbose=verbose,
        )
        self.folder = folder

    def _attempt(self, retain, forget, seed):
        folder = Path(self.folder)
        (folder / f"{os.getpid()}-{len(list(folder.iterdir()))}").touch()
        if len(list(folder.glob("*-2"))) and not (folder / "died").exists():
            (folder / "died").touch()
            os._exit(1)
        return super()._attempt(retain, forget, seed)


def scorer():
    """Accuracy on retained rows."""
    return RetainedScorer()


class Fixed(nn.Module):
    """A net without lazy layers, which DistributedDataParallel does not take."""

    def __init__(self):
        super().__init__()
        self.hidden, self.out = nn.Linear(4, 8), nn.Linear(8, 2)

    def forward(self, X):
        return self.out(torch.relu(self.hidden(X)))
