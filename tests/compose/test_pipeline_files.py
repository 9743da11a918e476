"""`save` and `load` of pipelines: the same pipeline again, and no code run on the way."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from skunlearn import (
    FineTuneUnlearner,
    PublicBackbone,
    RetrainUnlearner,
    UnlearningPipeline,
)
from skunlearn.exceptions import AlreadyForgottenError, DataNotStoredError, UnknownRowsError
from tests.instances import make_net, make_regressor_net
from tests.small import quiet

io = pytest.importorskip("skops.io", reason="the extra skops")
pytestmark = quiet
N = 60
GONE = np.arange(0, N, 7)
LEFT = np.setdiff1d(np.arange(N), GONE)


class AsFloats(StandardScaler):
    """A user's own step: what nets take."""

    def transform(self, X, copy=None):
        return super().transform(X, copy).astype(np.float32)


@pytest.fixture
def frame():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(N, 3)), columns=list("abc"))
    X.loc[::9, "b"] = np.nan
    X["word"] = rng.choice(["red", "blue"], N)
    X["kind"] = pd.Categorical(rng.choice(["s", "m", "l"], N), categories=["s", "m", "l"])
    X["day"] = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(N) % 5, unit="D")
    return X, rng.choice(["no", "yes"], N)


def columns():
    return make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), ["a", "b", "c"]),
        (OneHotEncoder(sparse_output=False), ["word"]),
        (OrdinalEncoder(), ["kind"]),
    )


def piped(*steps, net=None, **kwargs):
    net = net or make_net(module__n_out=2, max_epochs=4, batch_size=16)
    steps = [(f"step{i}", step) for i, step in enumerate(steps)]
    unlearner = RetrainUnlearner(net, random_state=0)
    return UnlearningPipeline([*steps, ("floats", AsFloats()), ("net", unlearner)], **kwargs)


@pytest.mark.parametrize("refit", [True, False])
def test_a_data_frame_user_saves_and_goes_on(frame, tmp_path, refit):
    X, y = frame
    pipeline = piped(columns(), refit_transformers=refit)
    pipeline.fit(X, y, ids=[f"id{i}" for i in range(N)]).unlearn(indices=GONE)
    pipeline.save(tmp_path / "model")
    blank = clone(pipeline)
    loaded = blank.load(tmp_path / "model")
    assert loaded is blank
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))
    assert list(loaded.classes_) == ["no", "yes"]
    assert loaded.deletions_ == pipeline.deletions_
    ours, theirs = (json.loads(p.certificate()) for p in (loaded, pipeline))
    assert ours == theirs
    # Requests are known by their contents, without a row at hand.
    with pytest.raises(AlreadyForgottenError):
        loaded.unlearn(X.iloc[GONE[:1]])
    with pytest.raises(DataNotStoredError):
        loaded.unlearn(X.iloc[LEFT[:1]])
    with pytest.raises(UnknownRowsError):
        loaded.unlearn(X.iloc[LEFT[:1]].assign(a=7.5))
    with pytest.raises(AlreadyForgottenError):
        loaded.attach(X, y)
    shuffled = np.random.default_rng(1).permutation(LEFT)
    loaded.attach(X.iloc[shuffled], y[shuffled])
    loaded.unlearn(ids=["id1"])
    pipeline.unlearn(ids=["id1"])
    np.testing.assert_allclose(
        loaded.predict_proba(X), pipeline.predict_proba(X), atol=0.2 if refit else 1e-6
    )
    assert [e["rows"] for e in loaded.deletions_] == [len(GONE), 1]


STEPS = {
    "words": lambda: TfidfVectorizer(),
    "components": lambda: PCA(2),
    "neighbours": lambda: KNNImputer(),
    "power": lambda: PowerTransformer(),
    "splines": lambda: SplineTransformer(n_knots=3),
    "bins": lambda: KBinsDiscretizer(3, encode="ordinal", strategy="uniform"),
    "target": lambda: TargetEncoder(),
    "union": lambda: FeatureUnion([("pca", PCA(2)), ("scale", StandardScaler())]),
    "function": lambda: FunctionTransformer(np.tanh),
    "lambda": lambda: FunctionTransformer(lambda X: X + 1),  # learns nothing, and is not written
    "skipped": lambda: "passthrough",
    "frozen": lambda: FrozenEstimator(StandardScaler().fit(np.eye(4))),
    "backbone": lambda: PublicBackbone(
        torch.nn.Linear(4, 3, dtype=torch.float64), trained_on="noise", declared_by="us"
    ),
}


class Dense(FunctionTransformer):
    def transform(self, X):
        return X.toarray() if hasattr(X, "toarray") else X


@pytest.mark.parametrize("name", STEPS)
def test_steps_of_many_kinds(name, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 4)), np.arange(N) % 2
    if name == "words":
        X = [f"a {w} word" for w in rng.choice(["good", "bad", "new"], N)]
    step = STEPS[name]()
    pipeline = piped(step, Dense()).fit(X, y)
    pipeline.unlearn(indices=[3, 4])
    pipeline.save(tmp_path / "model")
    loaded = clone(pipeline).load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict_proba(X), pipeline.predict_proba(X))
    assert loaded.certificate() == pipeline.certificate()
    rows = np.array(X, dtype=object if name == "words" else None)[np.delete(np.arange(N), [3, 4])]
    loaded.attach(rows, np.delete(y, [3, 4])).unlearn(indices=[5])
    assert len(loaded.deletions_) == 2


@pytest.mark.parametrize("kind", ["pandas", "polars", "series", "array"])
def test_the_form_of_rows_is_kept(kind, tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 3)), np.arange(N) % 2
    steps = []
    if kind == "pandas":
        X = pd.DataFrame(X, columns=[0, 1, "c"]).rename(columns=str)
    elif kind == "polars":
        polars = pytest.importorskip("polars")
        X = polars.DataFrame(X, schema=["a", "b", "c"])
        steps = [FunctionTransformer(lambda frame: frame.to_numpy())]
    elif kind == "series":
        X = pd.Series([f"{w} {i % 4}" for i, w in enumerate(rng.choice(["up", "down"], N))])
        steps = [TfidfVectorizer(token_pattern=r"\w+"), Dense()]
    pipeline = piped(*steps).fit(X, y)
    pipeline.save(tmp_path / "model")
    loaded = clone(pipeline).load(tmp_path / "model")
    like = loaded._record.like
    assert type(like) is type(X)
    one = X.iloc[:1] if kind in ("pandas", "series") else X[:1]
    with pytest.raises(DataNotStoredError):  # found, and not at hand
        loaded.unlearn(one)
    assert str(getattr(like, "dtypes", None)) == str(getattr(X[:0], "dtypes", None))


def test_regression_and_recorded_settings(tmp_path):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N, 3))
    unlearner = FineTuneUnlearner(make_regressor_net(max_epochs=3), max_epochs=1, random_state=0)
    steps = [("scale", AsFloats()), ("net", unlearner)]
    pipeline = UnlearningPipeline(steps).fit(X, X.sum(axis=1).astype(np.float32))
    pipeline.unlearn(indices=[0]).save(tmp_path / "model")
    loaded = UnlearningPipeline(steps).load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(X), pipeline.predict(X))


def test_no_byte_of_forgotten_rows_is_written(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 4)), np.arange(N) % 2
    X[7] = 1234.56789
    piped().fit(X, y).unlearn(indices=[7]).save(tmp_path / "model")
    assert X[7].tobytes() not in (tmp_path / "model").read_bytes()
    assert X[7, :1].tobytes() not in (tmp_path / "model").read_bytes()


class Spy(StandardScaler):
    """A step that the loading pipeline does not know."""


def test_what_is_not_trusted_is_not_loaded(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 4)), np.arange(N) % 2
    inner = make_pipeline(Spy())
    piped(inner).fit(X, y).save(tmp_path / "model")
    other = piped(make_pipeline(StandardScaler()))
    before = dict(vars(other))
    with pytest.raises(TypeError, match=r"names .*Spy, which reading it would call.*trusted=\["):
        other.load(tmp_path / "model")
    assert vars(other) == before
    loaded = other.load(tmp_path / "model", trusted=[f"{__name__}.Spy"])
    assert type(loaded.steps[0][1][0]) is Spy
    piped(inner).load(tmp_path / "model")  # its own steps it trusts


def named():
    """What a step with a lambda inside cannot be written with."""
    return FeatureUnion([("fitted", StandardScaler()), ("own", FunctionTransformer(lambda X: X))])


def test_what_cannot_be_written_is_named_and_no_file_is_left(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 4)), np.arange(N) % 2
    with pytest.raises(TypeError, match=r"'step0' \(FeatureUnion\) cannot be written.*pickle"):
        piped(named()).fit(X, y).save(tmp_path / "model")
    last = RetrainUnlearner(LogisticRegression())
    other = UnlearningPipeline([("scale", StandardScaler()), ("last", last)]).fit(X, y)
    with pytest.raises(TypeError, match=r"save writes skorch nets.*LogisticRegression"):
        other.save(tmp_path / "model")
    odd = pd.DataFrame(X, columns=pd.MultiIndex.from_product([["a", "b"], [0, 1]]))
    with pytest.raises(TypeError, match="names are text or numbers"):
        piped().fit(odd, y).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_files_of_other_pipelines(tmp_path):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 4)), np.arange(N) % 2
    pipeline = piped(PCA(2)).fit(X, y)
    pipeline.save(tmp_path / "model")
    with pytest.raises(ValueError, match=r"other steps: step0 \(PCA\).*step0 \(StandardScaler\)"):
        piped(StandardScaler()).load(tmp_path / "model")
    with pytest.raises(ValueError, match=r"was not written by RetrainUnlearner.save"):
        RetrainUnlearner(make_net(module__n_out=2)).load(tmp_path / "model")
    with pytest.raises(ValueError, match="does not fit the weights"):
        piped(PCA(2), net=make_net(module__n_out=3)).load(tmp_path / "model")
    wider = clone(pipeline).set_params(net=FineTuneUnlearner(make_net(module__n_out=2)))
    with pytest.raises(ValueError, match=r"was not written by FineTuneUnlearner.save"):
        wider.load(tmp_path / "model")
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(ValueError, match="not a safetensors file"):
        clone(pipeline).load(tmp_path / "junk")


def test_without_skops(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(N, 4)), np.arange(N) % 2
    monkeypatch.setitem(__import__("sys").modules, "skops", None)
    with pytest.raises(ImportError, match=r"skunlearn\[skops\]"):
        piped().fit(X, y).save(tmp_path / "model")
