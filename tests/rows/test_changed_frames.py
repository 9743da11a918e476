"""Data frames that are given a column, or changed, after `fit`."""

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    ShardedUnlearner,
    UnlearningPipeline,
)
from tests.rows.changes import ROUTES, N, knn, named
from tests.small import net, quiet


def frames(X, y):
    frame = pd.DataFrame(X[:, :4], columns=list("abcd"))
    return frame.assign(kind=np.array(["x", "y", "z"])[y])


FRAME_METHODS = {
    "retrained": lambda: RetrainUnlearner(tree_of_columns(), random_state=0),
    "pipeline": lambda: UnlearningPipeline(
        [("columns", columns()), ("model", RetrainUnlearner(DecisionTreeClassifier()))]
    ),
    "pipeline of a net": lambda: UnlearningPipeline(
        [("columns", columns()), ("model", FineTuneUnlearner(net(max_epochs=1)))]
    ),
    "sharded": lambda: ShardedUnlearner(tree_of_columns(), n_shards=2, random_state=0),
}


def columns():
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    return make_column_transformer((StandardScaler(), ["a", "c"]), (OneHotEncoder(), ["kind"]))


def tree_of_columns():
    return make_pipeline(columns(), DecisionTreeClassifier())


@quiet
@pytest.mark.parametrize("method", FRAME_METHODS)
def test_a_frame_that_is_given_a_column(rows, method):
    X, y = rows
    frame = frames(X, y)
    unlearner = FRAME_METHODS[method]().fit(frame, y, **named())
    frame["pred"] = unlearner.predict(frame)
    for request in ROUTES.values():
        row = next(iter(request.values()))
        unlearner.unlearn(**{key: row if key == "groups" else [row[0]] for key in request})
        unlearner = FRAME_METHODS[method]().fit(frame[list("abcd") + ["kind"]], y, **named())
    unlearner.unlearn(frame.iloc[:3])  # by content too
    assert unlearner.deletions_[-1]["rows"] == 3
    unlearner.unlearn(frame.iloc[[5]], y[[5]])
    again = pickle.loads(pickle.dumps(unlearner))
    again.unlearn(indices=[8])
    again.detach().attach(frame.drop(index=[0, 1, 2, 5, 8]), y[np.r_[3, 4, 6, 7, 9:N]])
    again.unlearn(indices=[9])


@quiet
@pytest.mark.parametrize("method", FRAME_METHODS)
@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.pop("b"),
        lambda frame: frame.insert(0, "new", 1.0),
        lambda frame: frame.drop(index=range(100, 200), inplace=True),
        lambda frame: frame.__setitem__("a", frame["a"] * 2),
        lambda frame: setattr(frame, "columns", list("vwxyz")),
    ],
    ids=["popped", "inserted", "rows dropped", "column replaced", "renamed"],
)
@pytest.mark.filterwarnings("ignore:The inplace keyword")
def test_what_happens_to_a_frame_does_not_happen_to_the_record(rows, method, change):
    X, y = rows
    frame = frames(X, y)
    whole = frame.copy()
    unlearner = FRAME_METHODS[method]().fit(frame, y)
    other = FRAME_METHODS[method]().fit(whole, y)
    if hasattr(unlearner, "random_state"):
        assert unlearner.random_state == other.random_state
    change(frame)
    unlearner.unlearn(indices=range(10))
    assert not unlearner._record.retained[:10].any()
    assert unlearner.predict(whole).shape == (N,)


def test_a_step_that_gives_its_frame_a_column(rows):
    """FunctionTransformer hands a function the caller's own frame."""

    def add(frame):
        frame["sum"] = frame["a"] + frame["b"]
        return frame

    frame = frames(*rows).drop(columns="kind")
    tree = RetrainUnlearner(DecisionTreeClassifier())
    steps = [("add", FunctionTransformer(add)), ("model", tree)]
    pipeline = UnlearningPipeline(steps).fit(frame, rows[1])
    assert pipeline.unlearn(frame.iloc[[3]]).deletions_[-1]["rows"] == 1
    assert pipeline.unlearn(indices=[4]).deletions_[-1]["rows"] == 1


@pytest.mark.parametrize("refit", [True, False])
def test_steps_that_write_to_the_rows_are_refused(rows, refit):
    X, y = rows
    steps = [("scale", StandardScaler(copy=False)), ("model", knn())]
    pipeline = UnlearningPipeline(steps, refit_transformers=refit)
    with pytest.raises(ValueError, match="changes the rows that it is given in place"):
        pipeline.fit(X.copy(), y)
    steps[0] = ("scale", StandardScaler())
    UnlearningPipeline(steps, refit_transformers=refit).fit(X, y).unlearn(X[:3])


def test_new_values_may_come_with_columns_of_later():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 2)), columns=["a", "b"])
    y = 2 * frame["a"].to_numpy()
    unlearner = RidgeUnlearner(Ridge()).fit(frame, y)
    new = frame.iloc[[3]].assign(a=1.0, c=5)
    unlearner.correct(X_old=frame.iloc[[3]], X_new=new, y_new=[2.0])
    corrected, y[3] = frame.copy(), 2.0
    corrected.loc[3, "a"] = 1.0
    assert unlearner.estimator_.coef_ == pytest.approx(Ridge().fit(corrected, y).coef_, rel=1e-9)
