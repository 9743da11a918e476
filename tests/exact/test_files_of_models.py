"""What `save` says to do with models that are no nets: it is done, and requests go on."""

import pickle

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skunlearn import (
    ForestUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)

N = 60


def encoded(model):
    """A model behind an encoder of the last column."""
    encoder = make_column_transformer((OneHotEncoder(), ["town"]), remainder="passthrough")
    return make_pipeline(encoder, model)


def boosted():
    return encoded(HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=3))


UNLEARNERS = {
    "retrained": lambda: RetrainUnlearner(encoded(LogisticRegression()), random_state=0),
    "shards": lambda: ShardedUnlearner(boosted(), n_shards=3, random_state=0),
    "ridge": lambda: RidgeUnlearner(Ridge()),
    "sums": lambda: SufficientStatisticsUnlearner(GaussianNB()),
    "forest": lambda: ForestUnlearner(RandomForestClassifier(5, max_samples=9), random_state=0),
}


@pytest.fixture(params=UNLEARNERS)
def unlearner(request):
    """Fitted on a frame, or on numbers, with a row forgotten."""
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N, 2)), columns=["age", "spent"])
    if request.param in ("retrained", "shards"):
        X = X.assign(town=rng.choice(["Oslo", "Rome"], N))
    new = UNLEARNERS[request.param]()
    return new.fit(X, np.arange(N) % 2, ids=range(N)).unlearn(ids=[3]), X


def test_it_says_how_and_pickles_go_on(unlearner, tmp_path):
    unlearner, X = unlearner
    with pytest.raises(TypeError, match=r"Pickle it.*estimator_"):
        unlearner.save(tmp_path / "model")
    joblib.dump(unlearner, tmp_path / "model")
    again = joblib.load(tmp_path / "model")
    assert again.unlearn(ids=[7]).deletions_[-1]["rows"] == 1
    assert np.array_equal(again.predict(X), unlearner.unlearn(ids=[7]).predict(X))


def test_a_pickle_without_rows_takes_them_back(unlearner):
    unlearner, X = unlearner
    unlearner.set_params(store_data=False)
    whole = pickle.dumps(unlearner)
    again = pickle.loads(whole)
    kept = np.delete(np.arange(N), 3)
    again.attach(X.iloc[kept], kept % 2)
    assert again.unlearn(ids=[7]).deletions_[-1]["rows"] == 1


def test_skops_holds_the_model_alone(unlearner, tmp_path):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    unlearner, X = unlearner
    skops.dump(unlearner.estimator_, tmp_path / "model.skops")
    trusted = skops.get_untrusted_types(file=tmp_path / "model.skops")
    model = skops.load(tmp_path / "model.skops", trusted=trusted)
    assert np.array_equal(model.predict(X), unlearner.estimator_.predict(X))


def test_a_pipeline_says_so_too(tmp_path):
    X = np.random.default_rng(0).normal(size=(N, 3))
    head = RetrainUnlearner(LogisticRegression(), random_state=0)
    pipeline = UnlearningPipeline([("scale", StandardScaler()), ("model", head)])
    pipeline.fit(X, np.arange(N) % 2)
    with pytest.raises(TypeError, match=r"Pickle it.*estimator_"):
        pipeline.save(tmp_path / "model")
    again = pickle.loads(pickle.dumps(pipeline)).unlearn(indices=[0])
    assert np.array_equal(again.predict(X), pipeline.unlearn(indices=[0]).predict(X))
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    model = make_pipeline(*[step for _, step in pipeline.steps[:-1]], pipeline[-1].estimator_)
    alone = skops.loads(skops.dumps(model))
    assert np.array_equal(alone.predict_proba(X), pipeline.predict_proba(X))
