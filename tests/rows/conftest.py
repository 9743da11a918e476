"""Fixtures for tests of rows."""

import numpy as np
import pytest

from tests.rows.changes import N


@pytest.fixture
def rows():
    """300 rows of 12 floats in three classes."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 12)).astype(np.float32), rng.integers(0, 3, N)
