"""Randomness that is drawn from the user's seed and leaves the global generators alone."""

import random
import threading
from contextlib import contextmanager, nullcontext
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


_lock = threading.Lock()
_inside, _before = 0, None  # how many blocks are entered, and the generators before the first


def _read_generators():
    return torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002


def _restore(states):
    ours, numpy_state, python_state = states
    torch.set_rng_state(ours)
    np.random.set_state(numpy_state)  # noqa: NPY002
    random.setstate(python_state)


@contextmanager
def _left_alone():
    """Put the generators back when the last block is left.

    Blocks of several threads overlap, and each would bring back what another has seeded.
    """
    global _inside, _before
    with _lock:
        if not _inside:
            _before = _read_generators()
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                _restore(_before)
                _before = None


@contextmanager
def seeded(seed):
    """Seed torch, numpy and `random` inside the block; restore them after it.

    Augmentation in a user's data set may draw from any of the three.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    # torch asks for accelerators first; its generator on the CPU is among those read here.
    forked = torch.random.fork_rng(devices=devices) if devices else nullcontext()
    with _left_alone(), forked:
        states = _read_generators()
        try:
            seed_torch(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(int(seed))
            yield
        finally:
            _restore(states)
