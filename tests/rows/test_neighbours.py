"""Labels of the nearest rows, whatever container holds the rows."""

import tracemalloc

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from torch.utils.data import TensorDataset

from skunlearn._rows.neighbours import find_contradicted, name_by_neighbours
from skunlearn._rows.views import Rows


def blobs(n=120):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    return (10 * np.eye(3, 4)[y] + rng.normal(size=(n, 4))).astype(np.float32), y


def view(X, y, index):
    return Rows(X, y, index)


@pytest.mark.parametrize(
    "kind",
    [
        np.asarray,
        torch.as_tensor,
        lambda X: torch.as_tensor(X).bfloat16(),
        pd.DataFrame,
        lambda X: X.reshape(-1, 2, 2),
        lambda X: TensorDataset(torch.as_tensor(X), torch.zeros(len(X))),
        lambda X: TensorDataset(torch.as_tensor(X).bfloat16(), torch.zeros(len(X))),
    ],
)
def test_neighbours_name_rows_of_any_container(kind):
    X, y = blobs()
    X, wrong = kind(X), y.copy()
    wrong[:10] = (wrong[:10] + 1) % 3
    asked, known = view(X, wrong, np.arange(20)), view(X, wrong, np.arange(20, 120))
    np.testing.assert_array_equal(name_by_neighbours(asked, known, 0), y[:20])
    # Among themselves: no row is its own neighbour, so that wrong labels stand alone.
    everywhere = view(X, wrong, np.arange(120))
    np.testing.assert_array_equal(name_by_neighbours(everywhere, None, 0), y)


def test_small_classes_are_named_by_fewer_neighbours():
    X = np.repeat(np.arange(30.0), 4)[:, None].astype(np.float32)
    y = np.repeat(np.arange(30), 4)
    np.testing.assert_array_equal(name_by_neighbours(view(X, y, np.arange(120)), None, 0), y)


def test_a_small_class_among_others_is_contradicted_but_not_rarely_named():
    """Of a class that is a twentieth of the rows, where it is a third of them; a stray one is."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2)).astype(np.float32)
    y = np.zeros(600, int)
    y[:30], X[:60] = 1, X[:60] / 10 + 8
    X[0] = 0.0
    asked, known = view(X, y, np.arange(10)), view(X, y, np.arange(10, 600))
    found, far = find_contradicted(asked, known, 0, rarely=False)
    assert found[0] == 0
    assert len(found) > 3
    (stray,), (near,) = find_contradicted(asked, known, 0)
    assert (stray, near) == (0, far[0])
    assert near == pytest.approx(np.linalg.norm(X[10:], axis=1).min(), abs=1e-3)
    X, y = blobs()
    few = view(X, y, np.arange(20))
    assert find_contradicted(few, few, 0) is None


def test_what_cannot_be_compared_has_no_neighbours(monkeypatch):
    X, y = blobs()
    few = view(X, y, np.arange(20)), view(X, y, np.arange(20, 60))
    assert name_by_neighbours(*few, 0) is None
    holes = X.copy()
    holes[3] = np.nan
    texts = np.array([["a word"]] * 120)
    kinds = holes, texts, {"a": X}, sparse.csr_matrix(X), X.astype(np.float64) * 1e300
    uneven = [(torch.zeros(1 + i % 2), 0) for i in range(120)]

    class Items(torch.utils.data.Dataset):
        def __init__(self, items):
            self.items = items

        def __len__(self):
            return 120

        def __getitem__(self, i):
            return self.items[i]

    loose = [(torch.as_tensor(row).to_sparse(), 0) for row in X]
    empty = [(torch.zeros(0), 0)] * 120
    for other in (*kinds, *map(Items, (uneven, loose, empty))):
        assert name_by_neighbours(view(other, y, np.arange(120)), None, 0) is None
    monkeypatch.setattr("skunlearn._rows.neighbours._ENTRIES", 100)
    for large in (X, TensorDataset(torch.as_tensor(X))):
        assert name_by_neighbours(view(large, y, np.arange(120)), None, 0) is None


def test_rows_that_are_too_large_are_not_taken():
    X = np.broadcast_to(np.float32(0), (3000, 20_000))
    rows = view(X, np.zeros(3000, int), np.arange(3000))
    tracemalloc.start()
    try:
        assert name_by_neighbours(rows.take(np.arange(5)), rows, 0) is None
        assert tracemalloc.get_traced_memory()[1] < 1e6  # two thousand of them take 160 MB
    finally:
        tracemalloc.stop()
