"""Rows that come in no order, so that a first fifth of them is as any."""

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_classification

from skunlearn._rows.order import is_in_no_order
from skunlearn._rows.views import Rows


def first_of(kinds, share=0.2):
    """The first rows of each class."""
    apart = np.zeros(len(kinds), dtype=bool)
    for kind in np.unique(kinds):
        here = np.flatnonzero(kinds == kind)
        apart[here[: int(share * len(here))]] = True
    return apart


def look(X, y):
    return is_in_no_order(Rows(X, y, np.arange(len(y))), first_of(y))


def table(seed, n=600):
    X, y = make_classification(n, 12, n_informative=6, n_classes=3, random_state=seed)
    return X.astype(np.float32), y


def test_rows_that_were_drawn_are():
    assert np.mean([look(*table(seed)) for seed in range(20)]) >= 0.95
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    assert look(X[order], y[order])


def test_so_are_those_that_lie_class_by_class():
    X, y = table(0)
    order = np.argsort(y, kind="stable")
    assert look(X[order], y[order])


@pytest.mark.parametrize("n", [600, 5000])
def test_those_that_drift_are_not(n):
    """By one standard deviation from the first to the last, in two of twelve features."""
    X, y = table(0, n)
    X[:, :2] += X[:, :2].std(axis=0) * np.linspace(0, 2, n, dtype=np.float32)[:, None]
    assert not look(X, y)


def test_nor_those_beside_others_like_them():
    X, y = load_digits(return_X_y=True)  # digits of one hand come one after another
    assert not look(X, y)
    X, y = (np.repeat(part, 2, axis=0) for part in table(0, 300))
    assert not look(X + np.random.default_rng(0).normal(size=X.shape, scale=0.01), y)


def test_nor_those_that_cannot_be_compared():
    X, y = table(0)
    assert not look(np.zeros_like(X), y)
    X[0] = np.nan
    assert not look(X, y)
    assert not look(X[:10], y[:10])


def test_of_numbers_of_any_size():
    """Squares of which overflow; what is said of rows does not hang on their unit."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 6)).astype(np.float32), rng.integers(0, 2, 300)
    sorted_ = np.argsort(X[:, 0])
    for unit in (1e-30, 1.0, 1e30):
        assert look(X * np.float32(unit), y)
        assert not look(X[sorted_] * np.float32(unit), y)
