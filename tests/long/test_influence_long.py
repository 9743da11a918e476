"""Influence functions on a net of eleven million weights."""

import warnings

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from skunlearn import InfluenceUnlearner
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
    unlearner = trained[0].set_params(inverse__solver="ekfac")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        unlearner.unlearn(indices=[0, 1])
    measured = unlearner.deletions_[0]["measured"]
    assert measured["forget_after"]["loss"] > measured["forget_before"]["loss"]
    assert measured["retain_after"]["loss"] < 1.5 * measured["retain_before"]["loss"] + 0.1
