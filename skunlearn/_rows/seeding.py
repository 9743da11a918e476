"""Randomness that is drawn from the user's seed and leaves the global generators alone."""

import random
import threading
from contextlib import contextmanager, nullcontext
from numbers import Integral
from types import SimpleNamespace

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
    there = torch.cuda.is_available() or torch.xpu.is_available()
    there = there or torch.mtia.is_available() or torch.backends.mps.is_available()
    named = torch._C._get_privateuse1_backend_name() != "privateuseone"  # somebody's own kind
    if named or there:
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(int(seed))


_lock = threading.Lock()
_inside, _before = 0, None  # how many blocks are entered, and the generators before the first
_spare = []  # generators that numpy draws from inside of blocks
_NO_STATE = {"bit_generator": "MT19937", "state": None}


@contextmanager
def seeded(seed):
    """Seed torch, numpy and `random` inside the block; restore them after it.

    Augmentation in a user's data set may draw from any of the three. Blocks of several threads
    overlap, and each would bring back what another has seeded: the last one that is left restores
    what was before the first.

    To read and write numpy's state would take most of the time of entering and leaving. So numpy
    draws from another generator meanwhile, and its own rests until the last block is left; the
    normal number that it holds back of two is kept beside it.
    """
    global _inside, _before
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    # torch asks for accelerators first; its generator on the CPU is among those read here.
    forked = torch.random.fork_rng(devices=devices) if devices else nullcontext()
    with _lock:
        ours = torch.get_rng_state(), random.getstate(), np.random.get_bit_generator()
        ours = *ours, _carry_held()
        if not _inside:
            _before = ours
        lent = _spare.pop() if _spare else np.random.MT19937()
        np.random.set_bit_generator(lent)
        _inside += 1
    try:
        with forked:
            seed_torch(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(int(seed))
            yield
    finally:
        with _lock:
            _inside -= 1
            of_torch, of_python, of_numpy, held = ours if _inside else _before
            torch.set_rng_state(of_torch)
            random.setstate(of_python)
            if not _inside or of_numpy is not _before[2]:  # else others would draw from it
                np.random.set_bit_generator(of_numpy)
                _carry_held(held)
                _spare.append(lent)
            if not _inside:
                _before = None


def _carry_held(given=None):
    """The part of numpy's state beside the generator, which is put in the place of it if `given`.

    It is part of no generator, and numpy reads and writes both together. So a generator stands in
    meanwhile of which there is nothing to read.
    """
    numpys = np.random.mtrand._rand
    own, numpys._bit_generator = numpys._bit_generator, SimpleNamespace(state=dict(_NO_STATE))
    try:
        if given is None:
            return np.random.get_state(legacy=False)  # noqa: NPY002
        np.random.set_state(given)  # noqa: NPY002
    finally:
        numpys._bit_generator = own
