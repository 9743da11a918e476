"""One kind of net under one method: it works, or refuses in words."""

import copy
import os
import re
import traceback

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils._testing import ignore_warnings

import skunlearn
from skunlearn import RetrainUnlearner
from skunlearn.exceptions import UnlearningError
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import Snapshot, outcome, parameters, same_parameters
from tests.batch_tools import unlearner
from tests.kinds import KINDS, N

PACKAGE = os.path.dirname(skunlearn.__file__)
REQUESTS = [0, 1, 2, 3, 4], [7]


class Untouched:
    """A net as it was, to see later that it still is."""

    def __init__(self, net):
        self.net, self.held = net, dict(vars(net))
        self.callbacks = [(cb, copy.copy(vars(cb))) for cb in callbacks_of(net)]
        self.parameters = parameters(net) if net.initialized_ else None
        self.epochs = len(net.history) if net.initialized_ else None

    def check(self):
        """Raise AssertionError where it is not."""
        now = vars(self.net)
        assert now.keys() == self.held.keys()
        assert all(now[key] is value for key, value in self.held.items())
        for callback, held in self.callbacks:
            assert vars(callback).keys() == held.keys()
        if self.net.initialized_:
            assert same_parameters(parameters(self.net), self.parameters)
            assert len(self.net.history) == self.epochs


def callbacks_of(net):
    """Those that are instances."""
    given = [cb[1] if isinstance(cb, tuple) else cb for cb in net.callbacks or ()]
    return [cb for cb in given if not isinstance(cb, type)]


@ignore_warnings(category=UserWarning)
def cross(kind, method, folder, *, frozen):
    """Fit and forget twice, and look whether that went as it should."""
    make = KINDS[kind]
    net, X, y = make(folder)
    words = make.refused.get(method)
    frozen = frozen and "RetrainUnlearner" not in make.refused
    if frozen:
        net = RetrainUnlearner(net, random_state=0).fit(X, y, **make.fit).estimator_
        if y is not None and y.dtype.kind == "U":
            y = np.unique(y, return_inverse=True)[1]
    model = unlearner(method, FrozenEstimator(net) if frozen else net, max_epochs=1)
    before, fitted, refusal = Untouched(net), None, None
    try:
        model.fit(X, y, **make.fit)
        for rows in REQUESTS:
            fitted = Snapshot(model, X) if words else None
            model.unlearn(indices=rows)
            assert np.isfinite(np.asarray(outcome(model, X), dtype=float)).all()
    except Exception as error:
        refusal = error
    before.check()
    if words is not None:
        check_refusal(refusal, words)
        if fitted is not None:
            fitted.check("a refusal")
        return
    if refusal is not None:
        raise refusal
    assert [entry["rows"] for entry in model.deletions_] == [len(rows) for rows in REQUESTS]
    assert {entry["method"] for entry in model.deletions_} == {method}
    assert model._record.retained.sum() == N - sum(map(len, REQUESTS))


def check_refusal(error, words):
    """Raise AssertionError where an error is none of ours, or says something else."""
    assert isinstance(error, ValueError | TypeError | UnlearningError), repr(error)
    where = traceback.extract_tb(error.__traceback__)[-1]
    assert where.filename.startswith(PACKAGE), where
    assert re.search(words, str(error)), repr(error)


def starts_from_a_trained_net(method):
    """Whether the method takes a FrozenEstimator."""
    promises = all_unlearners()[method]._promises
    return not (promises.watches_training or promises.trains_from_scratch)
