"""Fixtures for tests of augmented rows."""

import pytest

from tests.unlearning.augmented.datasets import N


@pytest.fixture
def rows(data):
    """Training rows, labels, and the same of unseen rows."""
    X, y = data
    return X[:N], y[:N], X[N:], y[N:]
