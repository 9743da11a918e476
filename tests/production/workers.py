"""A worker that was started, and what is compared of it."""

import numpy as np

from skunlearn.production import DeletionWorker
from tests.production_task import IDS, make_unlearner, rows, state_of


def started(queue, kind="net", unlearner=None, **kwargs):
    X, y, X_test, y_test = rows()
    unlearner = make_unlearner(kind) if unlearner is None else unlearner
    return DeletionWorker(queue, unlearner, X_test, y_test, **kwargs).start(X, y, ids=IDS)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(state_of(a), state_of(b), strict=True))


def contents(folder):
    return b"".join(p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file())
