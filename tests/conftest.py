"""Fixtures for all tests."""

import numpy as np
import pytest

# They hold no tests, and import what need not be installed.
collect_ignore_glob = ["fuzz*.py", "accelerate_script.py"]


@pytest.fixture
def data():
    """Sixty rows of three classes without a pattern."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4)).astype(np.float32)
    return X, rng.integers(0, 3, 60)
