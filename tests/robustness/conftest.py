"""Fixtures for tests of robustness."""

import pytest

from skunlearn.forget_sets import random_forget_set
from tests.robustness.reports import make_rows, stress


@pytest.fixture(scope="module")
def rows():
    return make_rows()


@pytest.fixture(scope="module")
def frame(rows):
    sets = {"some": random_forget_set(rows[1], 20, random_state=0), "class": rows[1] == 5}
    return stress(rows, sets, ["gaussian_noise", "near forgotten"], n_seeds=2)
