"""Steps that make several inputs of a row, which reach the net by name."""

import numpy as np
import pandas as pd
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.helper import DataFrameTransformer

from skunlearn import FineTuneUnlearner, RetrainUnlearner, SSDUnlearner, UnlearningPipeline
from skunlearn.evaluation import audit
from skunlearn.exceptions import UnlearningError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
NAMES = np.array(["no", "yes"])


class TwoInputs(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.towns = torch.nn.Embedding(3, 4)
        self.head = torch.nn.Linear(6, 2)

    def forward(self, X, town):
        return self.head(torch.cat([X, self.towns(town)], dim=1))


class Wider(DataFrameTransformer):
    """Makes a column for each town that it has seen."""

    def fit(self, X, y=None):
        self.towns_ = sorted(set(X["town"]))
        return super().fit(X)

    def transform(self, X):
        made = super().transform(X)
        ones = [np.asarray(X["town"] == town) for town in self.towns_]
        return made | {"X": np.column_stack([made["X"], *ones]).astype(np.float32)}


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(90, 2)), columns=["a", "b"])
    X["town"] = pd.Categorical(np.array(["Ely", "Bath", "Wells"])[rng.integers(0, 3, 90)])
    return X, NAMES[(X["a"] > 0).astype(int)]


def make(cls, step=DataFrameTransformer, module=TwoInputs):
    net = NeuralNetClassifier(
        module,
        criterion=torch.nn.CrossEntropyLoss,
        max_epochs=5,
        lr=0.1,
        train_split=None,
        verbose=0,
    )
    return UnlearningPipeline([("inputs", step()), ("net", cls(net, random_state=0))])


@pytest.mark.parametrize("cls", [FineTuneUnlearner, RetrainUnlearner, SSDUnlearner])
def test_requests_go_through_a_step_that_makes_several_inputs(table, cls):
    X, y = table
    pipeline = make(cls).fit(X[:60], y[:60], ids=range(60))
    pipeline.unlearn(X[:3], y[:3], X_val=X[60:], y_val=y[60:]).unlearn(ids=[7, 8])
    assert [entry["rows"] for entry in pipeline.deletions_] == [3, 2]
    assert pipeline.deletions_[0]["transformers"]["refitted"] == ["inputs (DataFrameTransformer)"]
    assert set(pipeline.predict(X[60:])) <= set(NAMES)
    assert audit(pipeline, X[60:], y[60:], retrained="short").verdicts


def test_inputs_of_another_width_are_told(table):
    class Module(TwoInputs):
        def __init__(self):
            super().__init__()
            self.head = torch.nn.LazyLinear(2)

    X, y = table
    pipeline = make(FineTuneUnlearner, Wider, Module).fit(X, y)
    with pytest.raises(UnlearningError, match="the steps make other columns than before"):
        pipeline.unlearn(indices=np.flatnonzero(X["town"] == "Ely"))
    assert not pipeline.deletions_


def test_rows_that_correct_has_copied_are_to_be_brought_to_an_audit(table):
    X, y = table
    pipeline = make(FineTuneUnlearner).fit(X[:60], y[:60])
    pipeline.correct(indices=[3], y_new=NAMES[[int(y[3] == "no")]]).unlearn(indices=range(20, 40))
    with pytest.raises(ValueError, match=r"correct of all.*audit\(..., X_forget=, y_forget=\)"):
        audit(pipeline, X[60:], y[60:])
    brought = {"X_forget": X[20:40], "y_forget": y[20:40]}
    assert audit(pipeline, X[60:], y[60:], retrained=None, **brought).verdicts
