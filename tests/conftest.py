"""Fixtures for all tests."""

import functools
import gc
import random

import numpy as np
import pytest

from tests.groups import group_of

# They hold no tests, and import what need not be installed.
collect_ignore_glob = ["fuzz*.py", "accelerate_script.py", "light"]


_SEED = 1_000_003  # none that a test gives as random_state, which would draw the same again


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """Thousands of modules and tests are made and kept: nothing to look for among them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


def pytest_collection_finish():
    """What was imported stays, and is not looked through again and again.

    Neither when garbage is collected, nor whenever scikit-learn clones an estimator, which reads
    the signature of its class: a twentieth of the time of all tests.
    """
    from sklearn.base import BaseEstimator

    names = BaseEstimator.__dict__["_get_param_names"].__func__
    BaseEstimator._get_param_names = classmethod(functools.cache(names))
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish():
    gc.unfreeze()  # Hypothesis, which may be imported now, asks who holds its generators
    result = yield
    gc.collect()
    gc.freeze()  # pytest goes on to look for garbage five times
    return result


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Tests go to processes by `group_of`."""
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            return group_of(nodeid)

    return ByGroup(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item):
    """A net without a seed is the same in every order of the tests, and in every process."""
    # Not above: the process that only deals out the tests would import torch before they begin.
    from skunlearn._rows.seeding import seed_torch

    seed_torch(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002
    random.seed(_SEED)


@pytest.fixture
def data():
    """Sixty rows of three classes without a pattern."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    return X, rng.integers(0, 3, 60)
