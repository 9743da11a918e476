"""Randomness that is drawn from the user's seed and leaves the global generators alone."""

import random
from contextlib import contextmanager
from numbers import Integral

import numpy as np
import torch
from sklearn.utils import check_random_state


def draw_seed(random_state):
    """The seed of an estimator: an int stays itself, anything else is drawn from."""
    generator = check_random_state(random_state)  # refuses what is no seed
    if isinstance(random_state, Integral):
        return int(random_state)
    return int(generator.randint(2**31 - 1))


def derive_seed(seed, *path):
    """A seed of its own for each step (the k-th request, say)."""
    return int(np.random.SeedSequence([seed, *path]).generate_state(1)[0])


def seed_torch(seed):
    """``torch.manual_seed``, without what that does for devices that are not there.

    It takes a stack trace for each kind of them, lest the device be initialised later: most of a
    millisecond, and several times in a request.
    """
    kinds = torch.cuda, torch.xpu, torch.mtia, torch.backends.mps
    named = torch._C._get_privateuse1_backend_name() != "privateuseone"  # somebody's own kind
    if named or any(kind.is_available() for kind in kinds):
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(int(seed))


@contextmanager
def seeded(seed):
    """Seed torch, numpy and `random` inside the block; restore them after it.

    Augmentation in a user's data set may draw from any of the three.
    """
    numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        try:
            seed_torch(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
