"""Boundary shrink asks the original for the neighbour of a row once, where rows stay the same."""

import numpy as np
import pytest
import torch

import skunlearn.relabelling.boundary as boundary
from skunlearn import BoundaryUnlearner
from tests.small import as_dataset, net, quiet

pytestmark = quiet


@pytest.fixture
def asked(monkeypatch):
    """How many rows the original was asked about, each time."""
    plain, found = boundary.neighbouring_class, []

    def neighbouring_class(net, x, *args):
        found.append(len(x))
        return plain(net, x, *args)

    monkeypatch.setattr(boundary, "neighbouring_class", neighbouring_class)
    return found


def shrink(rows, forget, **params):
    unlearner = BoundaryUnlearner(net(), random_state=0, max_epochs=4, bound=100.0, **params)
    unlearner.fit(*rows).unlearn(indices=forget)
    return unlearner.estimator_.module_.state_dict()


def test_once_a_row_and_from_a_dataset_every_time(data, asked):
    X, y = data
    forget = np.flatnonzero(y == 0)
    shrink(data, forget, batch_size=8)
    assert sum(asked) == len(forget)
    asked.clear()
    shrink((as_dataset(X, y),), forget, batch_size=8)  # its items may be others each time
    assert sum(asked) == 4 * len(forget)


def test_the_weights_are_those_of_asking_every_time(data, asked, monkeypatch):
    forget = np.flatnonzero(data[1] == 0)
    once = shrink(data, forget, batch_size=60)
    assert len(asked) == 1
    monkeypatch.setattr(boundary, "gives_plain_rows", lambda net, rows: False)
    always = shrink(data, forget, batch_size=60)
    assert len(asked) == 5
    assert all(torch.equal(once[key], always[key]) for key in once)
