"""Weighted rows and a net for them."""

import numpy as np

from skunlearn.utils._check_tools import parameters, same_parameters
from tests.batch_tools import net, task

FORGET = np.arange(6)


def weighted(n=60):
    X, y = task(n)
    return X, y, np.random.default_rng(1).uniform(0.1, 3, n)


def whole_batch(**params):
    return net(batch_size=-1, max_epochs=5, **params)


def same(a, b):
    return same_parameters(parameters(a.estimator_), parameters(b.estimator_))
