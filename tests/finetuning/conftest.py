"""Rows that several files of this folder learn."""

import numpy as np
import pytest


@pytest.fixture
def unrelated():
    """Rows and labels that have nothing to do with each other."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(80, 6)).astype(np.float32)
    return X, rng.integers(0, 3, 80)


@pytest.fixture
def quadratic():
    """A linear regression, of which eight rows lie elsewhere."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 3))
    y = X @ [1.0, -2.0, 3.0] + rng.normal(size=40)
    y[:8] += 10
    return X, y
