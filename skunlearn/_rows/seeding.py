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
_spare = []  # generators that numpy draws from inside of blocks within others
_NO_STATE = {"bit_generator": "MT19937", "state": None}


@contextmanager
def seeded(seed):
    """Seed torch, numpy and `random` inside the block; restore them after it.

    Augmentation in a user's data set may draw from any of the three. Blocks of several threads
    overlap, and each would bring back what another has seeded: the last one that is left restores
    what was before the first.

    To read and write numpy's state takes most of the time of entering and leaving. So only the
    first block does it; those within it let numpy draw from another generator meanwhile, and give
    back the normal number that it holds back of two.
    """
    global _inside, _before
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    # torch asks for accelerators first; its generator on the CPU is among those read here.
    forked = torch.random.fork_rng(devices=devices) if devices else nullcontext()
    with _lock:
        ours = torch.get_rng_state(), random.getstate(), np.random.get_bit_generator()
        lent = held = None
        if _inside:
            held = _carry_held()
            lent = _spare.pop() if _spare else np.random.MT19937()
            np.random.set_bit_generator(lent)
        else:
            _before = ours, np.random.get_state()  # noqa: NPY002
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
            of_torch, of_python, of_numpy = ours if _inside else _before[0]
            torch.set_rng_state(of_torch)
            random.setstate(of_python)
            np.random.set_bit_generator(of_numpy)
            if lent is not None:
                _spare.append(lent)
                _carry_held(held)
            if not _inside:
                np.random.set_state(_before[1])  # noqa: NPY002
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
