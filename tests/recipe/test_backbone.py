"""PublicBackbone: what is declared of it, by whom, and that requests never call it."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from skunlearn import (
    CertifiedRemovalUnlearner,
    ForestUnlearner,
    PublicBackbone,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from skunlearn.exceptions import DataNotStoredError
from skunlearn.production import DeletionQueue, DeletionWorker
from tests.instances import make_net
from tests.small import as_dataset

GONE = np.array([3, 17, 40])
KEPT = np.setdiff1d(np.arange(60), GONE)


class Features(nn.Module):
    """Counts the rows that it is shown; batch normalisation shows whether it is evaluated."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU())
        self.seen = 0

    def forward(self, x):
        self.seen += len(x)
        return self.body(x).reshape(len(x), 2, 4)


def backbone(module=None, **params):
    params = {"trained_on": "made-up data", "declared_by": "A. Nother"} | params
    return PublicBackbone(module or Features(), **params)


def pipeline(*steps, head=None, module=None):
    named = [(f"step{i}", step) for i, step in enumerate(steps)]
    head = head or RidgeUnlearner(RidgeClassifier())
    return UnlearningPipeline([("features", backbone(module)), *named, ("head", head)])


def test_features_of_a_module(data):
    X, _ = data
    module = Features()
    module.train()
    with torch.no_grad():
        expected = module.eval().body(torch.as_tensor(X)).numpy()
    module.train()
    step = backbone(module, batch_size=7)
    for given in (X, X.astype(np.float64), torch.as_tensor(X), X.tolist(), pd.DataFrame(X)):
        features = step.transform(given)
        assert features.dtype == np.float32
        assert features == pytest.approx(expected, abs=1e-6)
    assert step.transform(sparse.csr_matrix(X)) == pytest.approx(expected, abs=1e-6)
    assert module.training  # as it was
    assert module.body[1].num_batches_tracked == 0  # no statistics were moved
    doubled = backbone(module, preprocess=lambda x: 2 * x).transform(X)
    assert doubled == pytest.approx(step.transform(2 * X), abs=1e-6)


def test_doubles_stay_doubles(data):
    """As far as the exact head behind them; a net behind them has its own precision."""
    X, y = data
    rows, module = X.astype(np.float64), Features().double()
    with torch.no_grad():
        expected = module.eval().body(torch.as_tensor(rows)).numpy()
    features = backbone(module).transform(rows)
    assert features.dtype == np.float64
    assert np.array_equal(features, expected)
    assert backbone(Features().bfloat16()).transform(rows).dtype == np.float32
    targets = expected @ np.arange(8.0)
    ridge = pipeline(module=module, head=RidgeUnlearner(Ridge())).fit(rows, targets)
    ridge.unlearn(indices=GONE)
    again = Ridge().fit(expected[KEPT], targets[KEPT])
    assert ridge[-1].estimator_.coef_ == pytest.approx(again.coef_, rel=1e-9)
    net = make_net().set_params(module=nn.Linear, module__in_features=8, module__out_features=3)
    deep = pipeline(module=module, head=RetrainUnlearner(net)).fit(rows, y)
    assert deep.unlearn(indices=GONE).predict_proba(rows).dtype == np.float32


def test_other_kinds_of_backbones(data):
    X, _ = data
    pca = PCA(2).fit(X[:30])
    assert np.array_equal(backbone(pca).transform(X), pca.transform(X))

    class Encoder:
        def encode(self, rows):
            return np.array([[len(row), row.count("a")] for row in rows])

    texts = ["banana", "kiwi", "apple"]
    found = backbone(Encoder(), batch_size=2).transform(texts)
    assert found.tolist() == [[6, 3], [4, 0], [5, 1]]


@pytest.mark.parametrize(
    "head",
    [
        RidgeUnlearner(RidgeClassifier()),
        ForestUnlearner(RandomForestClassifier(10), random_state=0),
        ShardedUnlearner(DecisionTreeClassifier(), random_state=0),
        RetrainUnlearner(LogisticRegression(), random_state=0),
    ],
    ids=lambda head: type(head).__name__,
)
def test_requests_do_not_call_it(data, head):
    X, y = data
    module = Features()
    fitted = pipeline(head=head, module=module).fit(X, y)
    assert module.seen == 60
    fitted.unlearn(indices=GONE[:1]).unlearn(X[GONE[1:]])
    assert module.seen == 60
    certificate = json.loads(fitted.certificate())
    assert certificate["guarantee"] == fitted[-1]._make_promises().guarantee
    (declared,) = certificate["declared"]
    assert declared["step"] == "features (PublicBackbone)"
    assert declared["trained_on"] == "made-up data"
    assert declared["declared_by"] == "A. Nother"
    assert len(declared["sha256"]) == 64
    assert "declared to hold no training row" in certificate["notes"][0]
    assert "Declared by: A. Nother." in certificate["notes"][0]
    (entry, _) = fitted.deletions_
    assert entry["exact"]
    assert entry["transformers"]["declared"] == ["features (PublicBackbone)"]
    assert entry["transformers"]["frozen"] == entry["transformers"]["stateless"] == []
    if not isinstance(head, ForestUnlearner):  # whose draws are its own
        never = clone(fitted).fit(X[KEPT], y[KEPT])
        assert fitted.predict(X).tolist() == never.predict(X).tolist()


def test_a_certified_head(data):
    X, y = data
    head = CertifiedRemovalUnlearner(LogisticRegression(C=0.01), random_state=0)
    fitted = pipeline(head=head).fit(X, y > 0).unlearn(indices=GONE)
    assert json.loads(fitted.certificate())["guarantee"] == "(epsilon, delta)"


def test_steps_behind_it_are_fitted_anew_from_features_that_are_held(data):
    X, y = data
    module = Features()
    head = RetrainUnlearner(LogisticRegression(), random_state=0)
    fitted = pipeline(StandardScaler(), PCA(2), head=head, module=module).fit(X, y)
    assert module.seen == 60
    fitted.unlearn(indices=GONE[:1]).unlearn(X[GONE[1:]])
    assert module.seen == 60
    inside = fitted.deletions_[0]["transformers"]
    assert inside["refitted"] == ["step0 (StandardScaler)", "step1 (PCA)"]
    assert inside["subtracted"] == ["step0 (StandardScaler)"]
    never = clone(fitted).fit(X[KEPT], y[KEPT])
    assert fitted.predict_proba(X) == pytest.approx(never.predict_proba(X), rel=1e-5)
    assert fitted.steps[0][1].module is module
    # What is held is without the rows, and goes along with the record.
    assert len(fitted._held.X) == 57
    copy = pickle.loads(pickle.dumps(fitted))
    copy.unlearn(indices=[1])
    assert copy[0].module.seen == module.seen
    assert fitted.detach()._held is None
    with pytest.raises(DataNotStoredError):
        fitted.unlearn(indices=[1])
    fitted.attach(X[KEPT], y[KEPT])
    seen = module.seen
    fitted.unlearn(indices=[1])
    assert module.seen == seen
    assert fitted.predict_proba(X) == pytest.approx(copy.predict_proba(X), rel=1e-5)


def test_faults_leave_what_is_held(data, monkeypatch):
    X, y = data
    head = RetrainUnlearner(LogisticRegression(), random_state=0)
    fitted = pipeline(StandardScaler(), head=head).fit(X, y)
    before = dict(vars(fitted))

    def interrupt(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(RetrainUnlearner, "_attempt", interrupt)
        with pytest.raises(KeyboardInterrupt):
            fitted.unlearn(indices=[0])
    assert vars(fitted) == before
    fitted.unlearn(indices=[0])
    steps = fitted.steps
    with pytest.raises(TypeError, match="changes the number of rows"):
        fitted.set_params(step0=Resampler()).fit(X, y)
    assert fitted.steps != steps  # set_params is the user's own doing
    with monkeypatch.context() as patch:
        patch.setattr(RetrainUnlearner, "fit", interrupt)
        other = clone(fitted).set_params(step0=StandardScaler())
        with pytest.raises(KeyboardInterrupt):
            other.fit(X, y)
    assert len(other.steps) == 3


class Resampler(StandardScaler):
    """Changes rows, as imbalanced-learn's samplers do."""

    def fit_resample(self, X, y):
        return X, y


def test_a_backbone_that_changes_ends_the_guarantee(data):
    X, y = data
    module = Features()
    fitted = pipeline(module=module).fit(X, y).unlearn(indices=GONE)
    with torch.no_grad():
        module.body[0].weight[0, 0] += 1
    certificate = json.loads(fitted.certificate())
    assert certificate["guarantee"] == "none"
    assert "has changed since fit" in certificate["notes"][1]
    first, second = backbone(PCA(2).fit(X)), backbone(PCA(2).fit(X + 1))
    assert first.declaration()["sha256"] != second.declaration()["sha256"]
    assert first.declaration() == backbone(PCA(2).fit(X)).declaration()


def test_what_is_merely_frozen_is_not_declared(data):
    X, y = data
    frozen = FrozenEstimator(PCA(2).fit(X))
    head = RidgeUnlearner(RidgeClassifier())
    fitted = UnlearningPipeline([("pca", frozen), ("head", head)]).fit(X, y).unlearn(indices=GONE)
    certificate = json.loads(fitted.certificate())
    assert certificate["guarantee"] == "none"
    assert "declared" not in certificate
    # A declared step next to one that was fitted elsewhere does not speak for it.
    inner = make_pipeline(backbone(), StandardScaler()).fit(X, y)
    mixed = UnlearningPipeline([("both", FrozenEstimator(inner)), ("head", head)]).fit(X, y)
    assert mixed.unlearn(indices=GONE).deletions_[0]["transformers"]["frozen"]
    assert json.loads(mixed.certificate())["guarantee"] == "none"
    # One inside a union is named as well, and the union's other step is fitted anew.
    union = FeatureUnion([("deep", backbone()), ("scale", StandardScaler())])
    model = RetrainUnlearner(LogisticRegression(), random_state=0)
    fitted = UnlearningPipeline([("in", union), ("model", model)]).fit(X, y).unlearn(indices=GONE)
    inside = fitted.deletions_[0]["transformers"]
    assert inside["declared"] == ["in__deep (PublicBackbone)"]
    assert inside["refitted"] == ["in__scale (StandardScaler)"]
    certificate = json.loads(fitted.certificate())
    assert certificate["guarantee"] == "retrained without the rows"
    assert certificate["declared"][0]["step"] == "in__deep (PublicBackbone)"


def test_elsewhere_it_is_named(data):
    """Nobody but UnlearningPipeline quotes the declaration, so nobody else claims anything."""
    X, y = data
    around = RetrainUnlearner(make_pipeline(backbone(), LogisticRegression()), random_state=0)
    certificate = json.loads(around.fit(X, y).unlearn(indices=GONE).certificate())
    assert certificate["guarantee"] == "none"
    assert "a PublicBackbone, declared to hold no training row" in certificate["notes"][0]
    # scikit-learn's own Pipeline: the certificate is about the model behind it, and says so.
    plain = make_pipeline(backbone(), RidgeUnlearner(RidgeClassifier())).fit(X, y)
    certificate = json.loads(plain[-1].unlearn(indices=GONE).certificate())
    assert "publicbackbone (PublicBackbone) of a Pipeline in front" in certificate["notes"][0]


def test_searches_and_queues(data, tmp_path):
    X, y = data
    search = GridSearchCV(pipeline(), {"head__estimator__alpha": [1e-3, 1e3]}, cv=2)
    search.fit(X, y, forget=np.isin(np.arange(60), GONE))
    assert search.best_estimator_.deletions_[0]["rows"] == 3
    assert search.best_estimator_[0].module is search.estimator.steps[0][1].module
    queue = DeletionQueue(tmp_path, batch_size=1)
    worker = DeletionWorker(queue, pipeline(), X[50:], y[50:]).start(X[:50], y[:50], ids=range(50))
    queue.submit("ticket", ids=[17, 18])
    assert worker.run_once()["audit"]["rows"] == 2


def test_images_go_through_a_reshaping_step(data):
    X, y = data
    first = FunctionTransformer(lambda X: X.reshape(len(X), 1, 2, 2))
    module = nn.Sequential(nn.Conv2d(1, 3, 2), nn.Flatten())
    steps = [("image", first), ("features", backbone(module)), ("scale", StandardScaler())]
    head = RetrainUnlearner(LogisticRegression(), random_state=0)
    fitted = UnlearningPipeline([*steps, ("head", head)]).fit(X, y)
    assert fitted._constant == 2
    fitted.unlearn(indices=GONE)
    never = clone(fitted).fit(X[KEPT], y[KEPT])
    assert fitted.predict_proba(X) == pytest.approx(never.predict_proba(X), rel=1e-5)


@pytest.mark.parametrize(
    "params, error, message",
    [
        ({"trained_on": ""}, ValueError, "trained_on must be a text"),
        ({"declared_by": None}, ValueError, "declared_by must be a text"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"module": Features}, TypeError, "module must be a torch module"),
        ({"module": object()}, TypeError, "module must be a torch module"),
    ],
)
def test_refusals(data, params, error, message):
    X, y = data
    with pytest.raises(error, match=message):
        backbone(**params).fit(X, y)


def test_rows_that_it_cannot_take(data):
    X, y = data
    for rows in (as_dataset(X, y), {"a": X}):
        with pytest.raises(TypeError, match="takes arrays, tensors"):
            backbone().transform(rows)
    with pytest.raises(TypeError, match="are no numbers"):
        backbone().transform(np.array(["a", "b"]))
