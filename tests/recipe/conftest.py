"""Rows that several files of this folder learn."""

import numpy as np
import pytest

from tests.carriers import N


@pytest.fixture
def unrelated():
    """Rows without a pattern."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 12)).astype(np.float32)
    return X, rng.integers(0, 3, N)
