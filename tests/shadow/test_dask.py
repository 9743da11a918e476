"""Searches, shadow models and shards on a Dask cluster of two workers."""

import os

import joblib
import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.tree import DecisionTreeClassifier

from skunlearn import FineTuneUnlearner, ShardedUnlearner
from skunlearn.model_selection import ForgetSplit
from skunlearn.shadow import ShadowModels
from tests.distributed_tools import DiesOnce, scorer, small_net, task

distributed = pytest.importorskip("distributed", reason="dask[distributed] is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # of Dask and tornado, which are not ours


@pytest.fixture(scope="module")
def cluster():
    # What the documentation says, with an address that stays on this machine.
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def search(unlearner, grid):
    X, y, forget = task()
    found = GridSearchCV(
        unlearner,
        grid,
        cv=ForgetSplit(2, forget=forget, random_state=0),
        scoring=scorer(),
        error_score="raise",
    ).fit(X, y, forget=forget)
    return found.cv_results_["mean_test_score"]


def test_grid_search(cluster):
    unlearner = FineTuneUnlearner(small_net(), random_state=0)
    grid = {"max_epochs": [1, 2]}
    here = search(unlearner, grid)
    with joblib.parallel_config(backend="dask"):
        there = search(unlearner, grid)
    assert np.allclose(here, there)


def test_shards(cluster):
    X, y, _ = task()
    runs = []
    for backend in ("sequential", "dask"):
        with joblib.parallel_config(backend=backend):
            sharded = ShardedUnlearner(small_net(), n_shards=3, random_state=0).fit(X, y)
            runs.append(sharded.unlearn(indices=[0, 5]).predict_proba(X))
    assert np.array_equal(*runs)


def test_shadow_models(cluster):
    X, y, _ = task()
    runs = []
    for backend in ("sequential", "dask"):
        with joblib.parallel_config(backend=backend):
            shadows = ShadowModels(
                DecisionTreeClassifier(min_samples_leaf=3), n_models=6, random_state=0
            )
            runs.append(shadows.fit(X, y).margins_)
    assert np.array_equal(*runs)


def test_a_worker_that_dies_loses_nothing_finished(cluster, tmp_path):
    """Dask hands its work to another; the shadow models that were done are not trained again."""
    (tmp_path / "requests").mkdir()
    X, y, _ = task()
    dies = DiesOnce(
        DecisionTreeClassifier(random_state=0), folder=str(tmp_path / "requests"), random_state=0
    )
    candidates = np.arange(120) < 60
    options = {"n_models": 8, "random_state": 0}
    with joblib.parallel_config(backend="dask"):
        shadows = ShadowModels(dies, folder=tmp_path / "done", **options)
        shadows.fit(X, y, candidates=candidates)
    assert (tmp_path / "requests" / "died").exists()
    assert len(list((tmp_path / "done").glob("model-*.npy"))) == 8
    notes = [n for n in os.listdir(tmp_path / "requests") if n != "died"]
    # Each is trained once, but for what the dead worker had in its hands.
    assert 8 <= len(notes) <= 8 + 3
    calm = DiesOnce(
        DecisionTreeClassifier(random_state=0), folder=str(tmp_path / "requests"), random_state=0
    )
    again = ShadowModels(calm, **options).fit(X, y, candidates=candidates)
    assert np.array_equal(again.margins_, shadows.margins_)
