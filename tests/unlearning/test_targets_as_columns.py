"""Targets of requests in the shapes that fit takes, and in no others."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeRegressor

from skunlearn import (
    FineTuneUnlearner,
    RetrainUnlearner,
    RidgeUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from tests.instances import make_regressor_net
from tests.small import net, quiet
from tests.turns import crossed_in_turns

pytestmark = quiet


def in_a_pipeline():
    tree = RetrainUnlearner(DecisionTreeRegressor(), random_state=0)
    return UnlearningPipeline([("scale", StandardScaler()), ("model", tree)])


MODELS = {
    "ridge": lambda: RidgeUnlearner(Ridge()),
    "pipeline": in_a_pipeline,
    "naive Bayes": lambda: SufficientStatisticsUnlearner(GaussianNB()),
    "classifier": lambda: FineTuneUnlearner(net(), max_epochs=1, random_state=0),
    "regressor": lambda: FineTuneUnlearner(make_regressor_net(), max_epochs=1, random_state=0),
}
CLASSIFY = ("naive Bayes", "classifier")
FORMS = {
    "column": lambda y: y[:, None],
    "frame": lambda y: pd.DataFrame({"target": y}),
    "series": lambda y: pd.Series(y, index=range(7, 7 + len(y))),
    "list of lists": lambda y: y[:, None].tolist(),
}


@pytest.fixture
def task(data, request):
    X, y = data
    values = X[:, 0] + np.arange(60, dtype=np.float32)
    return X, y if request.node.callspec.params["name"] in CLASSIFY else values


@pytest.mark.parametrize("name, form", crossed_in_turns(MODELS, FORMS, every=3))
def test_a_column_is_read_as_fit_reads_it(task, name, form):
    (X, y), cast = task, FORMS[form]
    at, left = [0, 1], np.arange(2, 60)

    def said(shape):
        fitted = [MODELS[name]().fit(X, shape(y)) for _ in range(4)]
        fitted[0].unlearn(X[at], shape(y[at]))
        fitted[1].correct(indices=at, y_new=shape(y[[2, 3]]))
        fitted[2].detach().attach(X[::-1].copy(), shape(y[::-1].copy())).unlearn(indices=at)
        given = {"X_retain": X[left], "y_retain": shape(y[left])}
        fitted[3].detach().unlearn(X[at], shape(y[at]), **given)
        return np.array([model.predict(X).ravel() for model in fitted])

    assert np.allclose(said(cast), said(np.array))


@pytest.mark.parametrize("name", MODELS)
def test_other_shapes_are_refused(task, name):
    X, y = task
    fitted, two = MODELS[name]().fit(X, y), np.column_stack([y, y])
    for request in (
        lambda: fitted.unlearn(X[:2], two[:2]),
        lambda: fitted.correct(indices=[0, 1], y_new=two[:2]),
        lambda: fitted.unlearn(indices=[0, 1], X_retain=X[2:], y_retain=two[2:]),
    ):
        with pytest.raises(ValueError, match=r"must have shape \(n,\).*got \(\d+, 2\)"):
            request()
    assert fitted.deletions_ == []


def test_targets_of_several_columns(data):
    X, _ = data
    fitted = RidgeUnlearner(Ridge()).fit(X, X[:, :3] + 1)
    with pytest.raises(ValueError, match=r"y_new must have shape \(n, 3\).*got \(2,\)"):
        fitted.correct(indices=[0, 1], y_new=[1.0, 2.0])
    fitted.correct(indices=[0, 1], y_new=np.ones((2, 3), dtype=np.float32))


@pytest.mark.parametrize("name", ["ridge", "pipeline", "regressor"])
def test_new_targets_are_numbers(task, name):
    X, y = task
    fitted = MODELS[name]().fit(X, y)
    for wrong in ([np.nan, 1.0], [1.0, np.inf]):
        with pytest.raises(ValueError, match="Input y_new contains"):
            fitted.correct(indices=[0, 1], y_new=wrong)
    for wrong in (["a", "b"], [None, {}]):
        with pytest.raises(ValueError, match="y_new must hold numbers"):
            fitted.correct(indices=[0, 1], y_new=wrong)
    with pytest.raises(ValueError, match="y_forget must hold numbers"):
        fitted.unlearn(X[:1], ["a"])
    assert fitted.deletions_ == []
