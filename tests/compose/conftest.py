"""Fixtures for tests of pipelines."""

import numpy as np
import pandas as pd
import pytest

from tests.compose.pipelines import GONE


@pytest.fixture
def frame(data):
    """Numbers with holes, a rare category that only forgotten rows have, and three classes."""
    X, y = data
    rng = np.random.default_rng(1)
    X = pd.DataFrame(X, columns=list("abcd"))
    X.loc[rng.integers(0, 60, 9), "a"] = np.nan
    X["town"] = np.array(["Ely", "Bath", "Wells"])[rng.integers(0, 3, 60)]
    X.loc[GONE[:2], "town"] = "Truro"
    return X, y
