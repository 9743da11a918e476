"""Frames of polars as rows: their columns go by name."""

import pickle

import numpy as np
import pytest
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from skunlearn._rows.containers import row_digests, take
from skunlearn.exceptions import UnknownRowsError
from skunlearn.metrics import MIAScorer
from skunlearn.production import DeletionQueue, DeletionWorker
from tests.small import net, quiet

pl = pytest.importorskip("polars", reason="needs polars: pip install polars")
if not hasattr(StandardScaler().fit(pl.DataFrame({"a": [0.0, 1.0]})), "feature_names_in_"):
    pytest.skip(
        "this scikit-learn does not read the names of this polars' columns",
        allow_module_level=True,
    )


def columns():
    return make_column_transformer(
        (StandardScaler(), ["b", "a"]), (OneHotEncoder(sparse_output=False), ["kind"])
    )


def tree():
    return make_pipeline(columns(), DecisionTreeClassifier(random_state=0))


METHODS = {
    "retrained": lambda: RetrainUnlearner(tree(), random_state=0),
    "sharded": lambda: ShardedUnlearner(tree(), n_shards=2, random_state=0),
    "pipeline": lambda: UnlearningPipeline(
        [("columns", columns()), ("model", RetrainUnlearner(DecisionTreeClassifier()))]
    ),
    "pipeline of a net": lambda: UnlearningPipeline(
        [("columns", columns()), ("model", FineTuneUnlearner(net(max_epochs=1)))]
    ),
}


@pytest.fixture
def frame(data):
    X, y = data
    kinds = np.array(["x", "y", "z"])[y]
    return pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": kinds, "count": np.arange(60)}), y


def gone(unlearner):
    return np.flatnonzero(~unlearner._record.retained).tolist()


@quiet
@pytest.mark.parametrize("method", METHODS)
def test_columns_by_name(frame, method):
    X, y = frame
    unlearner = METHODS[method]().fit(X, y, ids=pl.Series(range(100, 160)))
    unlearner.unlearn(X[[3, 7]])
    unlearner.unlearn(X.head(1), y[:1])
    unlearner.unlearn(ids=pl.Series([104]))
    unlearner.unlearn(indices=[5])
    assert gone(unlearner) == [0, 3, 4, 5, 7]
    assert unlearner.predict(X).shape == (60,)
    again = pickle.loads(pickle.dumps(unlearner)).unlearn(X[[9]])
    kept = np.setdiff1d(np.arange(60), gone(again))
    again.detach().attach(X[kept], y[kept])
    assert gone(again.unlearn(indices=[10])) == [0, 3, 4, 5, 7, 9, 10]
    with pytest.raises(UnknownRowsError):
        unlearner.unlearn(X[[6]].with_columns(a=9.0))
    with pytest.raises(ValueError, match=r"columns|feature names"):
        unlearner.unlearn(X[[6]].select("b", "a", "kind", "count"))
    with pytest.raises(TypeError, match="indices="):
        unlearner.unlearn(pl.Series([True] * 60))


@quiet
@pytest.mark.parametrize("method", METHODS)
def test_a_frame_that_is_given_a_column(frame, method):
    X, y = frame
    unlearner = METHODS[method]().fit(X, y)
    X.insert_column(0, pl.Series("pred", unlearner.predict(X)))
    unlearner.unlearn(indices=[3])
    unlearner.unlearn(X[[5]])
    assert gone(unlearner) == [3, 5]


@quiet
def test_nets_and_measures(frame):
    X, y = frame
    X = X.select("a", "b", "count")
    unlearner = FineTuneUnlearner(net(max_epochs=1), random_state=0).fit(X[:40], y[:40])
    assert unlearner.feature_names_in_.tolist() == ["a", "b", "count"]
    unlearner.unlearn(X[[2, 3]])
    assert gone(unlearner) == [2, 3]
    assert MIAScorer(match=None)(unlearner, X[40:], y[40:]) <= 0
    with pytest.raises(ValueError, match=r"row 1, column 0 \('a'\)"):
        unlearner.fit(X.with_columns(a=pl.Series([0.5, None] + [0.5] * 58)), y)


def test_a_worker(frame, tmp_path):
    X, y = frame
    queue = DeletionQueue(tmp_path, batch_size=1)
    worker = DeletionWorker(queue, RetrainUnlearner(tree()), X[40:], y[40:])
    worker.start(X[:40], y[:40], ids=range(40))
    queue.submit("a", ids=[3])
    worker.run_once()
    again = DeletionWorker(queue, RetrainUnlearner(tree()), X[40:], y[40:])
    order = np.random.default_rng(0).permutation(40)
    again.start(X[:40][order], y[:40][order], ids=order.tolist())
    assert len(again.unlearner._record) == 39


def test_digests_of_a_row_do_not_depend_on_other_rows():
    X = pl.DataFrame(
        {
            "whole": [1, 2, None],
            "real": [0.0, -0.0, None],
            "text": ["x", None, "z"],
            "list": [[1, 2], [], None],
            "day": pl.Series(["2024-01-01", None, "2024-01-03"]).str.to_date(),
            "kind": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
            "struct": [{"u": 1}, {"u": None}, {"u": 3}],
        }
    )
    whole = row_digests(X)
    assert len(np.unique(whole, axis=0)) == 3
    for i in range(3):
        assert np.array_equal(row_digests(take(X, np.array([i])))[0], whole[i])
    zeros = pl.DataFrame({"a": [0.0, -0.0]})
    assert len(np.unique(row_digests(zeros), axis=0)) == 1


def test_requests_of_another_dtype(frame):
    X, y = frame
    unlearner = RetrainUnlearner(tree()).fit(X, y)
    assert gone(unlearner.unlearn(X[[3]].cast({"count": pl.Float64}))) == [3]
    wrong = X[[4]].cast({"count": pl.Float64}).with_columns(pl.col("count") + 0.5)
    with pytest.raises(UnknownRowsError, match="hold values"):
        unlearner.unlearn(wrong)
