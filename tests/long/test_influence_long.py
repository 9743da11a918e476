"""Influence functions on a net of eleven million weights."""

import copy
import warnings

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import InfluenceUnlearner
from skunlearn._rows.views import Rows
from skunlearn._torch.loop.norms import renew_statistics
from skunlearn.influence import InverseCurvature, influence
from skunlearn.nets import CIFARResNet18

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def trained():
    """A ResNet-18 that has learnt a few images of noise."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 3, 32, 32)).astype(np.float32)
    y = rng.integers(0, 3, 60)
    net = NeuralNetClassifier(
        CIFARResNet18, criterion=nn.CrossEntropyLoss, max_epochs=4, lr=0.01, batch_size=20,
        train_split=None, verbose=0,
    )  # fmt: skip
    torch.manual_seed(0)
    return (
        InfluenceUnlearner(net, inverse=InverseCurvature(curvature_rows=20), random_state=0).fit(
            X, y
        ),
        X,
        y,
    )


@pytest.mark.parametrize("solver", ["cg", "ekfac"])
def test_influence_of_rows(trained, solver):
    unlearner, X, y = trained
    given = {"tol": 0.3, "max_steps": 20} if solver == "cg" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        inverse = InverseCurvature(solver=solver, curvature_rows=20, damping=1.0, **given)
        found = influence(unlearner, X, y, X[:3], y[:3], inverse=inverse)
    assert found.shape == (3, 60)
    assert np.isfinite(found).all()
    # A row's own removal costs its own loss most.
    assert (found[np.arange(3), np.arange(3)] > np.quantile(found, 0.9, axis=1)).all()


def test_forgetting_does_not_wreck_the_net(trained):
    unlearner, X, y = trained
    unlearner.set_params(inverse__solver="ekfac")
    # Of statistics of twelve batches a quarter is of no row. A request takes them anew, which
    # lowers the losses of all rows, forgotten or not, and is no part of the step.
    start = copy.deepcopy(unlearner.estimator_)
    renew_statistics(start, Rows(X[2:], y[2:], np.arange(58)), 0)
    before = losses(start, X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unlearner.unlearn(indices=[0, 1])
    after = losses(unlearner.estimator_, X, y)
    assert after[:2].mean() > before[:2].mean() + 0.1
    assert after[2:].mean() < 1.1 * before[2:].mean()


def losses(net, X, y):
    with torch.no_grad():
        logits = net.module_.eval()(torch.as_tensor(X))
    return nn.functional.cross_entropy(logits, torch.as_tensor(y), reduction="none")
