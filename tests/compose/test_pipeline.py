"""UnlearningPipeline: every step forgets, or the certificate says which does not."""

import functools
import json
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer, Normalizer, OneHotEncoder, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skunlearn import RetrainUnlearner, UnlearningPipeline
from skunlearn.exceptions import AlreadyForgottenError, DataNotStoredError
from tests.compose.pipelines import (
    GONE,
    LEFT,
    columns,
    first_columns,
    logistic,
    retrained_net,
    scaled,
    target_encoder,
)
from tests.small import net

# scikit-learn's own Pipeline fails these two: its fitted steps take the place of those passed in.
OF_PIPELINES = {
    "check_estimators_overwrite_params": "steps are replaced, as in Pipeline with memory=",
    "check_dont_overwrite_parameters": "steps are replaced, as in Pipeline with memory=",
}


@pytest.mark.parametrize("unlearner", [logistic(), retrained_net()], ids=["logistic", "net"])
@pytest.mark.parametrize(
    "encoder",
    [OneHotEncoder(sparse_output=False), target_encoder()],
    ids=["one-hot", "target"],
)
def test_refitted_pipelines_equal_those_that_never_saw_the_rows(frame, unlearner, encoder):
    X, y = frame
    pipeline = UnlearningPipeline([("columns", columns(encoder)), ("model", unlearner)])
    never = clone(pipeline).fit(X.iloc[LEFT], y[LEFT])
    pipeline.fit(X, y).unlearn(X.iloc[GONE[:4]]).unlearn(indices=GONE[4:])
    again = X.iloc[LEFT]
    assert np.array_equal(pipeline.predict_proba(again), never.predict_proba(again))
    assert np.array_equal(pipeline[:-1].transform(again), never[:-1].transform(again))
    certificate = json.loads(pipeline.certificate())
    assert certificate["guarantee"] == "retrained without the rows"
    assert certificate["notes"] == []
    inside = certificate["deletions"][-1]["transformers"]
    assert [name.partition(" ")[0] for name in inside["refitted"]] == [
        "columns__pipeline__simpleimputer",
        "columns__pipeline__standardscaler",
        f"columns__{type(encoder).__name__.lower()}",
    ]
    assert inside["stateless"] == ["columns__normalizer (Normalizer)"]
    assert inside["kept"] == inside["frozen"] == []


def test_fit_forget_equals_fit_and_unlearn(data):
    X, y = data
    at_once = scaled(retrained_net()).fit(X, y, forget=np.isin(np.arange(60), GONE))
    in_turn = scaled(retrained_net()).fit(X, y).unlearn(indices=GONE)
    assert np.array_equal(at_once.predict_proba(X), in_turn.predict_proba(X))
    assert at_once[0].mean_ == pytest.approx(X[LEFT].mean(axis=0))


def test_kept_transformers_are_named(data):
    X, y = data
    pipeline = scaled(refit_transformers=False).fit(X, y).unlearn(X[GONE])
    assert np.array_equal(pipeline[0].mean_, StandardScaler().fit(X).mean_)
    (entry,) = pipeline.deletions_
    assert entry["transformers"]["kept"] == ["scale (StandardScaler)"]
    assert not entry["exact"]
    certificate = json.loads(pipeline.certificate())
    assert certificate["guarantee"] == "none"
    (note,) = certificate["notes"]
    assert "scale (StandardScaler)" in note
    assert "still hold" in note
    # The unlearner behind it has done its part.
    model = RetrainUnlearner(GaussianNB(), random_state=0)
    kept = scaled(model, refit_transformers=False).fit(X, y).unlearn(indices=GONE)
    expected = GaussianNB().fit(StandardScaler().fit(X).transform(X)[LEFT], y[LEFT])
    assert np.array_equal(kept[-1].estimator_.theta_, expected.theta_)
    # A later request that fits the scaler anew clears it of the earlier rows too.
    kept.set_params(refit_transformers=True).unlearn(indices=[1])
    assert json.loads(kept.certificate())["notes"] == []
    assert np.array_equal(kept[0].mean_, StandardScaler().fit(X[LEFT[1:]]).mean_)


def test_kinds_of_transformers(data):
    X, y = data
    elsewhere = StandardScaler().fit(X)
    union = FeatureUnion([("pca", PCA(2)), ("unit", Normalizer())])
    steps = [
        ("frozen", FrozenEstimator(elsewhere)),
        ("free", FrozenEstimator(FunctionTransformer())),
        ("nothing", "passthrough"),
        ("union", union),
        ("model", logistic()),
    ]
    pipeline = UnlearningPipeline(steps).fit(X, y).unlearn(indices=[0])
    assert pipeline.deletions_[0]["transformers"] == {
        "refitted": ["union__pca (PCA)"],
        "kept": [],
        "frozen": ["frozen (StandardScaler)"],
        "stateless": ["free (FunctionTransformer)", "union__unit (Normalizer)"],
    }
    certificate = json.loads(pipeline.certificate())
    assert certificate["guarantee"] == "none"
    assert "frozen (StandardScaler) were fitted elsewhere" in certificate["notes"][0]
    assert pipeline[0].estimator is elsewhere
    stateless = UnlearningPipeline([("unit", Normalizer()), ("model", logistic())]).fit(X, y)
    stateless.unlearn(indices=[0])
    assert json.loads(stateless.certificate())["guarantee"] == "retrained without the rows"


class Unknown(TransformerMixin):
    """No scikit-learn estimator: nothing says that it learns nothing."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X

    def get_params(self, deep=True):
        return {}


@pytest.mark.filterwarnings("ignore::FutureWarning")  # scikit-learn's, of classes without tags
def test_what_says_nothing_of_itself_counts_as_fitted(data):
    X, y = data
    steps = [("what", Unknown()), ("model", logistic())]
    pipeline = UnlearningPipeline(steps).fit(X, y).unlearn(indices=[0])
    assert pipeline.deletions_[0]["transformers"]["refitted"] == ["what (Unknown)"]


def test_memory_is_named(data, tmp_path):
    pipeline = scaled(memory=str(tmp_path)).fit(*data).unlearn(indices=[0])
    assert "memory= cache" in json.loads(pipeline.certificate())["notes"][0]


def test_ways_of_naming_rows(data):
    X, y = data
    ids = [f"user-{i}" for i in range(60)]
    groups = np.where(np.isin(np.arange(60), GONE), "leaving", "staying")
    expected = scaled().fit(X[LEFT], y[LEFT]).predict_proba(X)
    for request in (
        {"indices": GONE},
        {"X_forget": X[GONE]},
        {"X_forget": X[GONE].tolist(), "y_forget": y[GONE]},
        {"ids": [ids[i] for i in GONE]},
        {"groups": "leaving"},
    ):
        pipeline = scaled().fit(X, y, ids=ids, groups=groups).unlearn(**request)
        assert np.array_equal(pipeline.predict_proba(X), expected), list(request)
        text = pipeline.certificate()
        assert "user-" not in text
        assert "leaving" not in text


def test_the_log_stands_for_rows_as_they_came(data, monkeypatch):
    X, y = data
    # Otherwise each fit draws a key of its own for the digests.
    monkeypatch.setattr("skunlearn._unlearning.certificate.deletion_log.secrets.token_bytes", bytes)
    (plain,) = logistic().fit(X, y).unlearn(X[GONE]).deletions_
    for refit in (True, False):
        (entry,) = scaled(refit_transformers=refit).fit(X, y).unlearn(X[GONE]).deletions_
        assert entry["identifiers_digest"] == plain["identifiers_digest"]


@pytest.mark.parametrize("kind", ["list", "array", "series"])
def test_texts(kind):
    texts = [f"{'good' if i % 2 else 'bad'} word{i % 5} only{i}" for i in range(20)]
    X = {"list": list, "array": np.array, "series": pd.Series}[kind](texts)
    y = np.arange(20) % 2
    pipeline = UnlearningPipeline([("words", TfidfVectorizer()), ("model", logistic())])
    pipeline.fit(X, y).unlearn(X[3:5])
    assert not {"only3", "only4"} & set(pipeline[0].vocabulary_)
    assert b"only4" not in pickle.dumps(pipeline)
    never = clone(pipeline).fit(texts[:3] + texts[5:], np.delete(y, [3, 4]))
    assert np.array_equal(pipeline.predict_proba(texts), never.predict_proba(texts))
    hashed = UnlearningPipeline(
        [("words", HashingVectorizer(n_features=64)), ("model", logistic())]
    )
    hashed.fit(X, y).unlearn(X[3:5])
    assert json.loads(hashed.certificate())["guarantee"] == "retrained without the rows"


def test_rows_that_only_look_alike_behind_the_steps_stay(data):
    X, y = data
    half = FunctionTransformer(first_columns)
    X[5, :2] = X[4, :2]
    pipeline = UnlearningPipeline([("half", half), ("model", logistic())]).fit(X, y)
    pipeline.unlearn(X[[4]])
    assert np.flatnonzero(~pipeline._record.retained).tolist() == [4]


def test_steps_need_not_repeat_their_bits(data):
    """A row alone goes through other kernels than a row among many."""
    X, y = data
    noisy = FunctionTransformer(functools.partial(jitter, np.random.default_rng(0)))
    pipeline = UnlearningPipeline([("noise", noisy), ("model", logistic())]).fit(X, y)
    pipeline.unlearn(X[[4]])
    assert np.flatnonzero(~pipeline._record.retained).tolist() == [4]


def jitter(rng, X):
    return X + 1e-9 * rng.normal(size=X.shape)


@pytest.mark.parametrize("refit", [True, False])
def test_without_rows(data, refit):
    X, y = data
    steps = [("scale", StandardScaler()), ("model", logistic().set_params(store_data=False))]
    pipeline = UnlearningPipeline(steps, refit_transformers=refit).fit(X, y).unlearn(indices=GONE)
    copy = pickle.loads(pickle.dumps(pipeline))
    assert copy._record._X is copy[-1]._record._X is None
    with pytest.raises(DataNotStoredError, match=r"attach\(X, y\)"):
        copy.unlearn(indices=[1])
    with pytest.raises(AlreadyForgottenError):
        copy.attach(X, y)
    expected = pickle.loads(pickle.dumps(pipeline.unlearn(indices=[1])))
    attached = pickle.loads(pickle.dumps(copy)).attach(X[LEFT[::-1]], y[LEFT[::-1]])
    attached.unlearn(indices=[1])
    assert attached.predict_proba(X) == pytest.approx(expected.predict_proba(X), abs=1e-4)
    kept = LEFT[1:]
    for request in ({"indices": [1]}, {"X_forget": X[[1]], "y_forget": y[[1]]}):
        given = pickle.loads(pickle.dumps(copy))
        given.unlearn(**request, X_retain=X[kept], y_retain=y[kept])
        assert given.predict_proba(X) == pytest.approx(expected.predict_proba(X))
        assert given._record._X is given[-1]._record._X is None
        assert np.flatnonzero(~given._record.retained).tolist() == sorted([*GONE, 1])
    with pytest.raises(AlreadyForgottenError):
        copy.unlearn(indices=[1], X_retain=X[kept - 1], y_retain=y[kept - 1])
    assert pipeline.detach()._record._X is None


def test_a_part_of_the_retained_rows(data):
    X, y = data
    part = LEFT[:30]
    pipeline = scaled().fit(X, y).unlearn(indices=GONE, X_retain=X[part], y_retain=y[part])
    assert pipeline[0].mean_ == pytest.approx(X[part].mean(axis=0))
    stored = pipeline[-1]._record._X
    assert stored == pytest.approx(pipeline[0].transform(X[LEFT]))
    pipeline.unlearn(indices=[1])
    expected = scaled().fit(X[LEFT[1:]], y[LEFT[1:]])
    assert np.array_equal(pipeline.predict_proba(X), expected.predict_proba(X))


def test_the_users_objects_are_left_alone(data):
    X, y = data
    scaler, unlearner = StandardScaler(), retrained_net()
    states = [set(vars(scaler)), set(vars(unlearner))]
    UnlearningPipeline([("scale", scaler), ("model", unlearner)]).fit(X, y).unlearn(indices=GONE)
    assert [set(vars(scaler)), set(vars(unlearner))] == states
    trained = net().fit(StandardScaler().fit_transform(X).astype(np.float32), y)
    frozen = RetrainUnlearner(FrozenEstimator(trained), random_state=0)
    pipeline = scaled(frozen).fit(X, y)
    assert pipeline[-1].estimator_ is not trained
    with pytest.raises(ValueError, match="clone around an already trained model"):
        clone(scaled(frozen)).fit(X, y)


def test_clone_params_output_and_slices(data):
    X, y = data
    pipeline = scaled(refit_transformers=False).set_output(transform="pandas").fit(X, y)
    pipeline.unlearn(indices=GONE)
    copy = clone(pipeline)
    assert not hasattr(copy, "_record")
    assert copy.get_params()["refit_transformers"] is False
    copy.set_params(scale__with_mean=False, model__estimator__C=0.1, refit_transformers=True)
    assert (copy[0].with_mean, copy[-1].estimator.C) == (False, 0.1)
    copy.fit(pd.DataFrame(X, columns=list("abcd")), y).unlearn(indices=GONE)
    assert copy.feature_names_in_.tolist() == list("abcd")
    assert copy[-1].feature_names_in_.tolist() == list("abcd")
    assert type(pipeline[:-1]) is Pipeline
    assert pipeline[-1] is pipeline["model"] is pipeline.named_steps["model"]
    assert "UnlearningPipeline" in repr(pipeline)
    html = pipeline._repr_html_()
    assert "StandardScaler" in html
    assert "RetrainUnlearner" in html
    scaled(refit_transformers=False).fit(X, y)
    with pytest.raises(ValueError, match="refit_transformers"):
        scaled(refit_transformers="yes").fit(X, y)


def test_regression(data):
    X, y = data
    pipeline = scaled(RetrainUnlearner(LinearRegression())).fit(X, y * 1.0).unlearn(indices=GONE)
    expected = LinearRegression().fit(X[LEFT], y[LEFT])
    assert pipeline.predict(X) == pytest.approx(expected.predict(X), abs=1e-5)
    assert pipeline.score(X, y) == pytest.approx(expected.score(X, y), abs=1e-5)


@parametrize_with_checks(
    [scaled(), scaled(RetrainUnlearner(LinearRegression(), random_state=0))],
    expected_failed_checks=lambda _: OF_PIPELINES,
)
def test_sklearn_checks(estimator, check):
    check(estimator)
