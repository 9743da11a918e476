"""Methods that edit weights, behind steps that are fitted anew without the forget rows."""

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from skunlearn import (
    LFSSDUnlearner,
    NegMergeUnlearner,
    RUMUnlearner,
    SSDUnlearner,
    UnlearningPipeline,
)
from tests.instances import make_net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def in_parts(net, **params):
    """SSD, which RUM hands the rows in two parts."""
    return RUMUnlearner(net, unlearners=[SSDUnlearner(net)] * 2, **params)


@pytest.mark.parametrize("cls", [SSDUnlearner, LFSSDUnlearner, NegMergeUnlearner, in_parts])
def test_a_class_is_forgotten_as_well_as_behind_steps_that_are_kept(cls):
    """Behind a scaler without them its rows lie further out, and a net that is sure of them has no
    gradient left there: nothing of what it holds would show."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 1000)
    X = 3 * rng.normal(size=(10, 20))[y] + 2 * rng.normal(size=(1000, 20))
    X, forget = X.astype(np.float32), np.flatnonzero(y == 1)
    steps = [("scale", StandardScaler()), ("net", cls(make_net(max_epochs=20), random_state=0))]
    pipeline = UnlearningPipeline(steps).fit(X, y)
    assert pipeline.score(X[forget], y[forget]) > 0.95
    pipeline.unlearn(indices=forget)
    kept = np.setdiff1d(np.arange(1000), forget)
    assert pipeline.score(X[forget], y[forget]) < 0.5
    assert pipeline.score(X[kept], y[kept]) > 0.95
    # And it is the new steps that it stands behind, and is judged behind.
    assert pipeline.named_steps["scale"].mean_ == pytest.approx(X[kept].mean(0), abs=1e-5)
    measured = pipeline.deletions_[0]["measured"]
    assert measured["forget_after"]["score"] == pytest.approx(pipeline.score(X[forget], y[forget]))
