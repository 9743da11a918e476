"""Regression with targets of shape (n,) by modules that return (n,), as skorch takes them."""

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from skunlearn import RetrainUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.batches.net_rows import make_dataset
from skunlearn.utils import all_unlearners
from skunlearn.utils._check_tools import parameters
from tests.batch_tools import task, unlearner
from tests.instances import FOR_REGRESSION, make_regressor_net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
INFLUENCE = ("InfluenceUnlearner", "PUMAUnlearner", "ShardedUnlearner", "AmnesiacUnlearner")


def rows():
    X, _ = task(60)
    return X, X.sum(axis=1).astype(np.float32)


def flat(**params):
    return make_regressor_net(**{"module__squeeze": True, "max_epochs": 5} | params)


def test_the_model_is_that_of_skorch():
    """Not of n² pairs, which a loss of (n,) against (n, 1) would train on."""
    X, y = rows()
    ours = RetrainUnlearner(flat(iterator_train__shuffle=False), random_state=0).fit(X, y)
    alone = flat(iterator_train__shuffle=False, verbose=0)
    torch.manual_seed(0)
    alone.initialize()
    alone.infer(torch.from_numpy(X[:2]))  # gives the lazy layer its shape, as ours is given it
    alone.partial_fit(X, y)
    for a, b in zip(parameters(ours.estimator_).values(), parameters(alone).values(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert ours.predict(X).shape == (60,)
    assert ours.score(X, y) == pytest.approx(alone.score(X, y))


@pytest.mark.parametrize("name", [*FOR_REGRESSION, *INFLUENCE])
def test_methods(name):
    """The same model as with outputs of shape (n, 1), to rounding."""
    X, y = rows()
    results = []
    for squeeze in (False, True):
        fitted = unlearner(name, flat(module__squeeze=squeeze)).fit(X, y)
        fitted.unlearn(indices=np.arange(9))
        results.append(fitted.predict(X))
    np.testing.assert_allclose(*results, atol=1e-4)
    assert name in all_unlearners(nets=True)


def test_targets_have_the_shape_of_the_outputs():
    X, y = rows()
    for squeeze, shape in ((True, (60,)), (False, (60, 1))):
        net = flat(module__squeeze=squeeze)
        fitted = RetrainUnlearner(net, random_state=0).fit(X, y)
        assert make_dataset(fitted.estimator_, Rows(X, y, np.arange(60))).y.shape == shape
    fitted = RetrainUnlearner(flat(), random_state=0)
    fitted.fit(TensorDataset(torch.from_numpy(X), torch.from_numpy(y)))
    assert fitted.predict(X).shape == (60,)
    with pytest.raises(ValueError, match=r"shape \(n, 1\) or \(n,\) for these targets"):
        RetrainUnlearner(flat(module__squeeze=False, module__n_out=2)).fit(X, y)
