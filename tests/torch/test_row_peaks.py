"""Peaks of a net at rows that it knows by heart, and none at rows that it has never seen."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_classification
from torch import nn

from skunlearn._rows.neighbours import find_contradicted
from skunlearn._rows.views import Rows
from skunlearn._torch import row_peaks
from tests.instances import make_net
from tests.small import as_dataset

CLASSES = np.arange(3)


def rows(X, y):
    return Rows(X, y, np.arange(len(y)))


def peaks(net, forget, retain):
    return row_peaks.measure_peaks(net, forget, retain, CLASSES, 0)


@pytest.fixture(scope="module")
def learnt():
    """A net that knows 400 rows by heart, a tenth with wrong labels; and 600 others."""
    X, y = make_classification(
        1000, 12, n_informative=8, n_redundant=0, n_classes=3, class_sep=1.5, random_state=0
    )
    wrong = np.random.default_rng(0).random(1000) < 0.1
    X, y = X.astype(np.float32), np.where(wrong, (y + 1) % 3, y)
    net = make_net(module__hidden=256, module__n_out=3, max_epochs=60, lr=0.1)
    net.fit(X[:400], y[:400])
    assert net.score(X[:400], y[:400]) > 0.98
    return net, X, y


def test_a_net_peaks_at_what_it_knows_by_heart(learnt):
    net, X, y = learnt
    retain = rows(X[100:400], y[100:400])
    for forget, known in ((slice(100), True), (slice(400, 1000), False)):
        found, asked = peaks(net, rows(X[forget], y[forget]), retain)
        assert len(found) == len(asked) >= row_peaks.FEWEST
        assert (row_peaks.level_beyond(found, 0.08) > 3) == known
        lonely = row_peaks.find_lonely(net, asked, retain, 0)
        assert lonely.shape == found.shape
        assert lonely.sum() > 0
        if not known:
            assert abs(found.mean()) < 0.05


@pytest.mark.parametrize("kind", ["tensors", "doubles", "data set"])
def test_rows_of_other_kinds_give_the_same(learnt, kind):
    net, X, y = learnt
    expected, _ = peaks(net, rows(X[:100], y[:100]), rows(X[100:400], y[100:400]))
    if kind == "data set":
        data = as_dataset(X[:400], y[:400])
    else:
        data = torch.from_numpy(X[:400]) if kind == "tensors" else X[:400].astype(np.float64)
    forget, retain = (Rows(data, y[:400], part) for part in np.split(np.arange(400), [100]))
    if kind == "doubles":  # which this net does not take
        net = make_net(module__hidden=256, module__n_out=3).initialize()
        net.module_.double()
        assert peaks(net, forget, retain)[0].shape == expected.shape
        return
    np.testing.assert_allclose(peaks(net, forget, retain)[0], expected, atol=1e-4)


@pytest.mark.parametrize("kind", ["whole numbers", "few", "agree", "items"])
def test_there_are_rows_of_which_nothing_is_said(learnt, kind):
    net, X, y = learnt
    forget, retain = rows(X[:100], y[:100]), rows(X[100:400], y[100:400])
    if kind == "whole numbers":
        forget, retain = (rows((10 * r.X).astype(int), r.y) for r in (forget, retain))
    elif kind == "few":
        forget = forget.take(np.arange(row_peaks.FEWEST - 1))
    elif kind == "agree":
        at = np.setdiff1d(np.arange(100), find_contradicted(forget, retain, 0)[0])
        forget = forget.take(at)
    else:
        forget, retain = (rows({"x": r.X, "z": r.X}, r.y) for r in (forget, retain))
    assert peaks(net, forget, retain) is None


def test_a_module_may_refuse_what_no_row_looks_like(learnt):
    """Rows between others may be out of range; and a layer may be called in any way."""
    net, X, y = learnt
    forget, retain = rows(X[:100], y[:100]), rows(X[100:400], y[100:400])
    asked = peaks(net, forget, retain)[1]
    for module in (OfWholes, ByName):
        odd = make_net(module__n_out=3).set_params(module=module).initialize()
        if module is OfWholes:
            whole = [rows(np.round(part.X), part.y) for part in (forget, retain)]
            assert peaks(odd, *whole) is None
        else:
            assert row_peaks.find_lonely(odd, asked, retain, 0) is None


class OfWholes(nn.Linear):
    def __init__(self, **_):
        super().__init__(12, 3)

    def forward(self, X):
        if (X.round() != X).any():
            raise ValueError("no whole numbers")
        return super().forward(X)


class ByName(nn.Module):
    def __init__(self, **_):
        super().__init__()
        self.last = nn.Linear(12, 3)

    def forward(self, X):
        return self.last(input=X)
