"""Fixtures for tests of production."""

import pytest

from skunlearn.production import DeletionQueue


@pytest.fixture
def queue(tmp_path):
    return DeletionQueue(tmp_path / "queue", batch_size=2)
