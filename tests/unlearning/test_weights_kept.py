"""Sample weights stay with their rows: in files, searches, pipelines, shards, caches."""

import json
import pickle

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader, Subset, TensorDataset

from skunlearn import FineTuneUnlearner, RetrainUnlearner, ShardedUnlearner, UnlearningPipeline
from skunlearn.evaluation import audit
from skunlearn.metrics import MIAScorer
from skunlearn.model_selection import ForgetSplit
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.shadow import ShadowModels
from skunlearn.utils._check_tools import parameters
from tests.batch_tools import net
from tests.unlearning.weighted import FORGET, same, weighted, whole_batch

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


# ------------------------------------------------------------------ kept with the rows


def test_kept_by_pickles_and_files(tmp_path):
    X, y, w = weighted()
    fitted = FineTuneUnlearner(net(), random_state=0).fit(X, y, sample_weight=w)
    fitted.unlearn(indices=FORGET)
    assert np.isnan(fitted._record.weights[FORGET]).all()  # nothing of what is forgotten
    assert "sample_weight" in json.loads(fitted.certificate())["notes"][0]
    expected = pickle.loads(pickle.dumps(fitted)).unlearn(indices=[10, 11])
    fitted.save(tmp_path / "model.safetensors")
    order = np.random.default_rng(0).permutation(np.arange(6, 60))
    loaded = FineTuneUnlearner(net(), random_state=0).load(tmp_path / "model.safetensors")
    loaded.attach(X[order], y[order])
    detached = pickle.loads(pickle.dumps(fitted)).detach().attach(X[order], y[order])
    np.testing.assert_array_equal(loaded._record.weights, fitted._record.weights)
    view = loaded._record.view(np.arange(6, 60))
    np.testing.assert_array_equal(view.weights, w[6:])
    for other in (loaded, detached, fitted):
        other.unlearn(indices=[10, 11])
        assert same(other, expected)


def test_rows_that_come_with_a_request_have_theirs():
    """Also where equal rows differ in weight, and in any order."""
    X, y, w = weighted()
    X[50], y[50] = X[20], y[20]
    held = FineTuneUnlearner(whole_batch(), random_state=0).fit(X, y, sample_weight=w)
    bare = FineTuneUnlearner(whole_batch(), random_state=0).fit(X, y, sample_weight=w).detach()
    held.unlearn(indices=FORGET)
    order = np.arange(59, 5, -1)
    order[[np.flatnonzero(order == 50)[0], np.flatnonzero(order == 20)[0]]] = [20, 50]
    bare.unlearn(X[FORGET], y[FORGET], X_retain=X[order], y_retain=y[order])
    np.testing.assert_allclose(bare.predict_proba(X), held.predict_proba(X), atol=1e-6)
    whole = TensorDataset(torch.from_numpy(X), torch.from_numpy(y))
    rows = FineTuneUnlearner(whole_batch(), random_state=0).fit(whole, sample_weight=w).detach()
    kept = np.arange(6, 60)
    rows.unlearn(indices=FORGET, X_retain=Subset(whole, kept), y_retain=y[kept])
    np.testing.assert_allclose(rows.predict_proba(X), held.predict_proba(X), atol=1e-5)


def test_part_of_the_key_of_caches(tmp_path):
    X, y, w = weighted()
    cached = {"memory": str(tmp_path), "random_state": 0}
    bare = RetrainUnlearner(net(), **cached).fit(X, y)
    fitted = RetrainUnlearner(net(), **cached).fit(X, y, sample_weight=w)
    other = RetrainUnlearner(net(), **cached).fit(X, y, sample_weight=w[::-1])
    assert not same(bare, fitted)
    assert not same(other, fitted)
    assert same(RetrainUnlearner(net(), **cached).fit(X, y, sample_weight=w), fitted)


# ------------------------------------------------------------------ scikit-learn's tools


class Noted(LogisticRegression):
    """Notes what it was trained with."""

    seen = []

    def fit(self, X, y, sample_weight=None):
        Noted.seen.append((np.asarray(X), sample_weight))
        return super().fit(X, y, sample_weight)


def right_weights(X, w):
    """Whether every training was given the weights of its rows."""
    place = {row.tobytes(): i for i, row in enumerate(X)}
    return all(
        np.array_equal(given, [w[place[row.tobytes()]] for row in rows])
        for rows, given in Noted.seen
    )


@pytest.mark.parametrize("routing", [False, True])
def test_sliced_by_searches(routing):
    X, y, w = weighted()
    mask = np.isin(np.arange(60), FORGET)
    Noted.seen.clear()
    model = RetrainUnlearner(Noted(), random_state=0)
    with config_context(enable_metadata_routing=routing):
        if routing:
            model.set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(
            model, {"estimator__C": [0.1, 1.0]}, cv=ForgetSplit(3, forget=mask, random_state=0),
            scoring={"forgetting": MIAScorer()}, refit=False,
        )  # fmt: skip
        search.fit(X, y, forget=mask, sample_weight=w)
        result = cross_validate(
            model, X, y, cv=ForgetSplit(3, forget=mask, random_state=0),
            params={"forget": mask, "sample_weight": w}, scoring=MIAScorer(reference="retrain"),
        )  # fmt: skip
    assert np.isfinite(search.cv_results_["mean_test_forgetting"]).all()
    assert np.isfinite(result["test_score"]).all()
    assert len(Noted.seen) >= 12 + 6
    assert right_weights(X, w)


@pytest.mark.parametrize("refit", [False, True])
def test_in_pipelines(refit, tmp_path):
    X, y, w = weighted()
    steps = [("scale", StandardScaler()), ("model", RetrainUnlearner(net(), random_state=0))]
    fitted = UnlearningPipeline(steps, refit_transformers=refit).fit(X, y, sample_weight=w)
    np.testing.assert_array_equal(fitted[-1]._record.weights, w)
    fitted.unlearn(indices=FORGET)
    if refit:
        again = UnlearningPipeline(steps).fit(X[6:], y[6:], sample_weight=w[6:])
        assert same(fitted[-1], again[-1])
    other = pickle.loads(pickle.dumps(fitted)).unlearn(indices=[10])
    given = fitted.detach().attach(X[6:], y[6:]).unlearn(indices=[10])
    assert same(given[-1], other[-1])
    plain = Pipeline(steps).fit(X, y, model__sample_weight=w)
    np.testing.assert_array_equal(plain[-1]._record.weights, w)
    named = UnlearningPipeline(steps).fit(X, y, model__sample_weight=w)
    np.testing.assert_array_equal(named._record.weights, w)


def test_in_pipelines_with_routing():
    X, y, w = weighted()
    with config_context(enable_metadata_routing=True):
        model = RetrainUnlearner(net(), random_state=0).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        fitted = UnlearningPipeline([("scale", scaler), ("model", model)])
        fitted.fit(X, y, sample_weight=w)
        np.testing.assert_array_equal(fitted[-1]._record.weights, w)
        asking = StandardScaler().set_fit_request(sample_weight=True)
        with pytest.raises(TypeError, match="would have to fit anew without them"):
            UnlearningPipeline([("scale", asking), ("model", model)]).fit(X, y, sample_weight=w)
        kept = UnlearningPipeline([("scale", asking), ("model", model)], refit_transformers=False)
        mean = kept.fit(X, y, sample_weight=w)[0].mean_
        np.testing.assert_allclose(mean, np.average(X, axis=0, weights=w), rtol=1e-5)


def test_in_shards():
    X, y, w = weighted()
    Noted.seen.clear()
    ShardedUnlearner(Noted(), n_shards=3, random_state=0).fit(X, y, sample_weight=w).unlearn(
        indices=FORGET
    )
    assert right_weights(X, w)
    model = ShardedUnlearner(net(), n_shards=3, n_slices=2, random_state=0)
    shards = model.fit(X, y, sample_weight=w).unlearn(indices=FORGET)
    again = ShardedUnlearner(net(), n_shards=3, n_slices=2, random_state=0)
    again.fit(X[6:], y[6:], sample_weight=w[6:])
    assert np.array_equal(shards.predict_proba(X), again.predict_proba(X))
    bare = ShardedUnlearner(net(), n_shards=3, n_slices=2, random_state=0).fit(X[6:], y[6:])
    assert not np.array_equal(shards.predict_proba(X), bare.predict_proba(X))


def test_references_and_shadow_models():
    X, y, w = weighted(80)
    Noted.seen.clear()
    fitted = RetrainUnlearner(Noted(), random_state=0).fit(X[:60], y[:60], sample_weight=w[:60])
    fitted.unlearn(indices=FORGET)
    audit(fitted, X[60:], y[60:], n_seeds=2)
    ShadowModels(Noted(), n_models=4, random_state=0).fit(X, y, sample_weight=w)
    assert len(Noted.seen) >= 2 + 1 + 4
    assert right_weights(X, w)
    shadows = ShadowModels(net(max_epochs=1), n_models=4, random_state=0)
    bare = shadows.fit(X, y).margins_
    assert not np.allclose(shadows.fit(X, y, sample_weight=w).margins_, bare, atol=1e-4)
    with pytest.raises(ValueError, match="sample weights"):
        shadows.set_params(backend="stacked").fit(X, y, sample_weight=w)


def test_after_a_restart_of_a_deletion_service(tmp_path):
    X, y, w = weighted(80)
    rows = X[:60], y[:60]

    def worker(recipe, folder):
        return DeletionWorker(DeletionQueue(folder, batch_size=1), recipe, X[60:], y[60:])

    for name, recipe in (
        ("net", FineTuneUnlearner(net(), random_state=0)),
        ("refit", RetrainUnlearner(Noted(), random_state=0)),
    ):
        Noted.seen.clear()
        folder = tmp_path / name
        first = worker(recipe, folder).start(*rows, w[:60])
        first.queue.submit("ticket", indices=[3])
        first.run_once()
        again = worker(recipe, folder).start(*rows, sample_weight=w[:60])
        kept = np.delete(w[:60], 3)
        weights = again.unlearner._record.weights
        np.testing.assert_array_equal(weights[~np.isnan(weights)], kept)
        assert right_weights(X, w)
        with pytest.raises(ValueError, match="the same rows, labels, sample weights"):
            worker(recipe, folder).start(*rows)
    trained = FineTuneUnlearner(net(), random_state=0).fit(*rows, sample_weight=w[:60])
    with pytest.raises(ValueError, match="sample_weight is not what"):
        worker(trained, tmp_path / "other").start(*rows)


def test_regressors():
    X, _, w = weighted()
    y = X.sum(axis=1)
    fitted = RetrainUnlearner(DummyRegressor()).fit(X, y, sample_weight=w)
    np.testing.assert_allclose(fitted.predict(X[:1]), np.average(y, weights=w), rtol=1e-5)


class Sampled(DataLoader):
    """Rows in the order of the data set, from the end."""

    def __init__(self, dataset, batch_size):
        super().__init__(dataset, sampler=range(len(dataset) - 1, -1, -1), batch_size=batch_size)


def test_weights_follow_the_rows_through_samplers():
    X, y, w = weighted()
    found = RetrainUnlearner(whole_batch(iterator_train=Sampled), random_state=0)
    found = parameters(found.fit(X, y, sample_weight=w).estimator_)
    wanted = parameters(RetrainUnlearner(whole_batch(), random_state=0).fit(X, y, w).estimator_)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, atol=1e-6)
