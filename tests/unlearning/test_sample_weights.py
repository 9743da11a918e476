"""``fit(X, y, sample_weight=...)``: in trainings, requests, files, searches, pipelines, caches."""

import json
import pickle

import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier
from skorch import NeuralNetClassifier
from torch import nn
from torch.utils.data import DataLoader, Subset, TensorDataset, default_collate

from skunlearn import (
    CertifiedRemovalUnlearner,
    FineTuneUnlearner,
    InfluenceUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from skunlearn._rows.views import Rows
from skunlearn._torch.loop.task_loss import TaskLoss
from skunlearn._unlearning.fitted import Fitted
from skunlearn._unlearning.row_reader import RowReader
from skunlearn.evaluation import audit
from skunlearn.exceptions import UnlearningError
from skunlearn.influence import InverseCurvature
from skunlearn.influence._curvature import Curvature
from skunlearn.influence._objective import Objective
from skunlearn.metrics import MIAScorer
from skunlearn.model_selection import ForgetSplit
from skunlearn.nets import BatchLoader, MicroBatches
from skunlearn.production import DeletionQueue, DeletionWorker
from skunlearn.shadow import ShadowModels
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.batch_tools import Plain, every_method, net, task, unlearner

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
FORGET = np.arange(6)


def weighted(n=60):
    X, y = task(n)
    return X, y, np.random.default_rng(1).uniform(0.1, 3, n)


def whole_batch(**params):
    return net(batch_size=-1, max_epochs=5, **params)


def same(a, b):
    return same_parameters(parameters(a.estimator_), parameters(b.estimator_))


# ------------------------------------------------------------------ what a net is trained on


def by_hand(X, y, w, epochs=5):
    torch.manual_seed(0)
    module = Plain()
    optimizer = torch.optim.SGD(module.parameters(), lr=0.05)
    for _ in range(epochs):
        optimizer.zero_grad()
        losses = nn.functional.cross_entropy(
            module(torch.from_numpy(X)), torch.from_numpy(y), reduction="none"
        )
        w_ = torch.from_numpy(w).float()
        ((w_ * losses).sum() / w_.sum()).backward()
        optimizer.step()
    return module


def test_a_net_is_trained_on_the_weighted_mean():
    X, y, w = weighted()
    fitted = RetrainUnlearner(whole_batch(), random_state=0).fit(X, y, sample_weight=w)
    expected = by_hand(X, y, w)
    ours = fitted.estimator_.module_
    for a, b in zip(ours.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    fitted.unlearn(indices=FORGET)  # with the weights of the rows that are left
    expected = by_hand(X[6:], y[6:], w[6:])
    ours = fitted.estimator_.module_
    for a, b in zip(ours.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(a, b)


CRITERIA = {
    "classes": nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5])),
    "smoothed": nn.CrossEntropyLoss(torch.tensor([1.0, 2.0, 0.5]), label_smoothing=0.1),
    "ignored": nn.CrossEntropyLoss(ignore_index=1),
    "summed": nn.CrossEntropyLoss(reduction="sum"),
    "margin": nn.MultiMarginLoss(),
}


class Given(nn.Module):
    """A criterion without torch's reductions."""

    def forward(self, out, y):
        return nn.functional.cross_entropy(out, y)


@pytest.mark.parametrize("criterion", [*CRITERIA.values(), Given()], ids=[*CRITERIA, "own"])
def test_equal_weights_change_nothing_and_whole_ones_repeat_rows(criterion):
    X, y, _ = weighted(20)
    fitted = net().initialize()
    fitted.criterion_ = criterion
    task_loss = TaskLoss(fitted)
    x, y = torch.from_numpy(X), torch.from_numpy(y)
    out = fitted.infer(x)
    plain = fitted.get_loss(out, y, X=x, training=True)
    twos = torch.full((20,), 2.0)
    factor = 2 if getattr(criterion, "reduction", "mean") == "sum" else 1
    torch.testing.assert_close(task_loss(out, y, x, twos), factor * plain)
    counts = torch.arange(20) % 3
    repeated = fitted.get_loss(out.repeat_interleave(counts, 0), y.repeat_interleave(counts))
    torch.testing.assert_close(task_loss(out, y, x, counts.float()), repeated)


class Takes(NeuralNetClassifier):
    """Handles weights itself."""

    given = []

    def get_loss(self, y_pred, y_true, X=None, training=False, sample_weight=None):
        if training:
            Takes.given.append(sample_weight)
        return super().get_loss(y_pred, y_true, X, training)


def test_a_net_that_takes_weights_is_given_them():
    X, y, w = weighted()
    Takes.given.clear()
    RetrainUnlearner(whole_batch(cls=Takes), random_state=0).fit(X, y, sample_weight=w)
    assert all(np.array_equal(given, w) for given in Takes.given)
    assert len(Takes.given) == 5


class Own(NeuralNetClassifier):
    def get_loss(self, y_pred, y_true, X=None, training=False):
        return super().get_loss(y_pred, y_true, X, training) + 0 * X.mean()


class Small(MicroBatches, NeuralNetClassifier):
    pass


class ByHand:
    def __init__(self, dataset, batch_size):
        self.dataset = dataset

    def __iter__(self):
        yield default_collate([self.dataset[i] for i in range(len(self.dataset))])


@pytest.mark.parametrize(
    "params",
    [
        {"cls": Own},
        {"cls": Small, "micro_batch_size": 7},
        {"iterator_train__collate_fn": default_collate},
        {"iterator_train": ByHand},
        {"iterator_train": BatchLoader, "iterator_train__prefetch": True},
        {"optimizer": torch.optim.LBFGS, "max_epochs": 1},
    ],
    ids=["get_loss", "micro batches", "loader", "own iterator", "prefetch", "closures"],
)
def test_ways_to_the_same_weights(params):
    X, y, w = weighted()
    plain = whole_batch()
    if "optimizer" in params:
        plain = whole_batch().set_params(**params, iterator_train__collate_fn=default_collate)
    ours = RetrainUnlearner(net(**{"batch_size": -1, "max_epochs": 5} | params), random_state=0)
    found = parameters(ours.fit(X, y, sample_weight=w).estimator_)
    wanted = parameters(RetrainUnlearner(plain, random_state=0).fit(X, y, w).estimator_)
    for key, value in wanted.items():
        np.testing.assert_allclose(found[key], value, atol=1e-5)
    bare = parameters(RetrainUnlearner(plain, random_state=0).fit(X, y).estimator_)
    assert not same_parameters(bare, wanted)


@every_method
def test_every_method_takes_them(name):
    """Constant weights change nothing but rounding; others lead elsewhere."""
    X, y, w = weighted()
    results = []
    for given in (None, np.full(60, 2.0), w):
        fitted = unlearner(name, net(max_epochs=3)).fit(X, y, sample_weight=given)
        fitted.unlearn(indices=FORGET)
        assert fitted.deletions_[0].get("weighted", False) == (given is not None)
        results.append(fitted.predict_proba(X))
    np.testing.assert_allclose(results[0], results[1], atol=1e-4)
    assert np.abs(results[0] - results[2]).max() > 1e-4


@every_method
def test_requests_use_them(name):
    """From the same model: only the request differs."""
    X, y, w = weighted()
    results = []
    for weights in (np.ones(60), w):
        fitted = unlearner(name, net(max_epochs=3)).fit(X, y, sample_weight=np.ones(60))
        fitted._record.weights = weights
        results.append(fitted.unlearn(indices=FORGET).predict_proba(X))
    differs = np.abs(results[0] - results[1]).max() > 1e-6
    assert differs, "the weights of the rows had no part in the request"


def test_unknown_rows_and_mixed_ones_have_no_weights():
    X, y, w = weighted(50)

    def mixup(items):
        x, y = default_collate(items)
        y = nn.functional.one_hot(y, 3).float()
        return (x + x.flip(0)) / 2, (y + y.flip(0)) / 2

    for params, reason in (
        ({"iterator_train__collate_fn": mixup}, "sample weights must know the rows"),
        ({"iterator_train": Hidden}, "does not tell"),
    ):
        with pytest.raises(UnlearningError, match=reason):
            RetrainUnlearner(net(**params), random_state=0).fit(X, y, sample_weight=w)


class Hidden:
    def __init__(self, dataset, batch_size):
        self.items = [dataset[i] for i in range(len(dataset))]

    def __iter__(self):
        yield default_collate(self.items)


def test_curvature_counts_rows_by_weight():
    """Whole weights are repeated rows."""
    X, y, _ = weighted(40)
    counts = np.arange(40) % 3 + 1
    model = RetrainUnlearner(net(max_epochs=5), random_state=0).fit(X, y).estimator_
    once = Rows(X, y, np.arange(40), weights=counts.astype(float))
    again = Rows(X, y, np.repeat(np.arange(40), counts))
    objective = Objective(model, 80, batch_size=16, seed=0)
    assert objective.mass(once) == objective.mass(again) == counts.sum()
    torch.testing.assert_close(
        objective.gradient(once), objective.gradient(again), rtol=1e-4, atol=1e-4
    )
    v = torch.randn(2, len(objective))
    found = objective.dots(once, v)
    np.testing.assert_allclose(found, objective.dots(Rows(X, y, np.arange(40)), v) * counts, 1e-4)

    for kind in ("gauss_newton", "hessian"):
        curvatures = [Curvature(objective, rows, kind=kind, damping=0.0) for rows in (once, again)]
        a, b = (curvature(v) for curvature in curvatures)
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("solver", ["cg", "exact", "kfac", "ekfac"])
def test_influence_counts_rows_by_weight(solver):
    X, y, _ = weighted(100)
    counts = np.arange(100) % 3 + 1
    model = RetrainUnlearner(net(max_epochs=5), random_state=0).fit(X, y).estimator_
    results = []
    for rows in (
        Rows(X, y, np.arange(100), weights=counts.astype(float)),
        Rows(X, y, np.repeat(np.arange(100), counts)),
    ):
        inverse = InverseCurvature(solver=solver, curvature_rows=None)
        worker = InfluenceUnlearner(net(), inverse=inverse, random_state=0)
        worker._check_parameters()
        worker._fitted = Fitted(0, None, RowReader(np.arange(3)), model=model)
        first = 6 if rows.weights is not None else counts[:6].sum()
        moved = worker._attempt(
            rows.take(np.arange(first, len(rows))), rows.take(np.arange(first)), 0
        )
        results.append(parameters(moved))
    start = parameters(model)
    scale = max(np.abs(v - start[k]).max() for k, v in results[0].items())
    # Kronecker factors are made with random signs, one for each row.
    share = 0.2 if "fac" in solver else 1e-3
    for key, value in results[0].items():
        np.testing.assert_allclose(value, results[1][key], atol=share * scale)


# ------------------------------------------------------------------ scikit-learn's estimators


@pytest.mark.parametrize(
    "estimator",
    [
        LogisticRegression(),
        DecisionTreeClassifier(max_depth=2),
        make_pipeline(StandardScaler(), LogisticRegression()),
        make_pipeline(StandardScaler(), make_pipeline("passthrough", LogisticRegression())),
        GridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
    ],
    ids=lambda e: type(e).__name__,
)
def test_estimators_are_given_them(estimator):
    X, y, w = weighted()
    fitted = RetrainUnlearner(estimator, random_state=0).fit(X, y, sample_weight=w)
    bare = RetrainUnlearner(estimator, random_state=0).fit(X, y)
    assert not np.array_equal(fitted.predict_proba(X), bare.predict_proba(X))
    again = RetrainUnlearner(estimator, random_state=0).fit(X[6:], y[6:], sample_weight=w[6:])
    assert np.array_equal(fitted.unlearn(indices=FORGET).predict_proba(X), again.predict_proba(X))


def test_estimators_that_take_none_say_so():
    X, y, w = weighted()
    for unlearner_ in (
        RetrainUnlearner(KNeighborsClassifier()),
        RetrainUnlearner(make_pipeline(StandardScaler(), KNeighborsClassifier())),
        ShardedUnlearner(KNeighborsClassifier()),
    ):
        with pytest.raises(TypeError, match=r"KNeighborsClassifier\.fit takes none"):
            unlearner_.fit(X, y, sample_weight=w)
    with pytest.raises(TypeError, match=r"NeuralNetClassifier\.fit takes none.*UnlearningPipeline"):
        RetrainUnlearner(make_pipeline(StandardScaler(), net())).fit(X, y, sample_weight=w)
    with pytest.raises(TypeError, match="sample_weight"):
        CertifiedRemovalUnlearner(LogisticRegression()).fit(X, y, sample_weight=w)


@pytest.mark.parametrize(
    "weights, error",
    [
        (np.ones(59), "one entry per row"),
        (np.ones((60, 1)), "one entry per row"),
        (np.full(60, -1.0), "must not be negative"),
        (np.full(60, np.nan), "NaN"),
        (np.zeros(60), "zero for every row"),
    ],
)
def test_bad_weights(weights, error):
    X, y, _ = weighted()
    fitted = RetrainUnlearner(LogisticRegression()).fit(X, y)
    before = fitted.estimator_
    with pytest.raises(ValueError, match=error):
        fitted.fit(X, y, sample_weight=weights)
    assert fitted.estimator_ is before


@pytest.mark.parametrize("recipe", [Ridge(), LinearRegression(), RidgeClassifier()], ids=repr)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_weighted_sums(recipe, fit_intercept):
    X, y, w = weighted()
    target = y if isinstance(recipe, RidgeClassifier) else X @ np.arange(12.0) + y
    recipe = recipe.set_params(fit_intercept=fit_intercept)
    fitted = RidgeUnlearner(recipe).fit(X.astype(float), target, sample_weight=w)
    for gone in (FORGET, np.arange(20, 25)):
        fitted.unlearn(indices=gone)
    kept = np.delete(np.arange(60), [*FORGET, *range(20, 25)])
    again = RetrainUnlearner(recipe).fit(X[kept].astype(float), target[kept], sample_weight=w[kept])
    np.testing.assert_allclose(fitted.estimator_.coef_, again.estimator_.coef_, rtol=1e-7)
    np.testing.assert_allclose(
        fitted.estimator_.intercept_, again.estimator_.intercept_, rtol=1e-7, atol=1e-12
    )


def test_weighted_sums_of_sparse_rows():
    sparse = pytest.importorskip("scipy.sparse")
    X, y, w = weighted()
    X = np.where(X > 0, X, 0).astype(float)
    dense, thin = (
        RidgeUnlearner(Ridge()).fit(rows, X[:, 0] + y, sample_weight=w).unlearn(indices=FORGET)
        for rows in (X, sparse.csr_matrix(X))
    )
    np.testing.assert_allclose(thin.estimator_.coef_, dense.estimator_.coef_, rtol=1e-8)


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
