"""A task of sixty rows, for tests of mechanics rather than of forgetting."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from tests.instances import NET_METHODS, make_net

FORGET = np.arange(6)
methods = pytest.mark.parametrize("cls", [cls for cls, _ in NET_METHODS.values()])
quiet = pytest.mark.filterwarnings("ignore::UserWarning")


def net(**kwargs):
    """A net for the fixture `data` of conftest.py."""
    return make_net(**({"module__n_out": 3, "max_epochs": 5, "batch_size": 16} | kwargs))


def as_dataset(X, y):
    """The rows as a torch Dataset."""
    return TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
