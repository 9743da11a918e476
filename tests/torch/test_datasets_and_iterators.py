"""`unlearn` over torch data sets, custom data sets and iterators."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from skorch.dataset import Dataset
from torch import nn
from torch.utils.data import DataLoader, Subset

from skunlearn import (
    ForestUnlearner,
    RetrainUnlearner,
    ShardedUnlearner,
    SufficientStatisticsUnlearner,
    UnlearningPipeline,
)
from skunlearn.exceptions import UnknownRowsError
from skunlearn.utils._check_tools import Snapshot, generators, outcome, parameters, same_parameters
from tests.small import FORGET, as_dataset, methods, net, quiet


class Plain(nn.Module):
    """Not lazy: its first weights do not depend on what is drawn before the first batch."""

    def __init__(self, n_out):
        super().__init__()
        self.out = nn.Linear(4, n_out)

    def forward(self, X):
        return self.out(X)


@quiet
@methods
def test_datasets_by_position(data, cls):
    X, y = data
    whole = as_dataset(X, y)
    unlearner = cls(net(), random_state=0).fit(whole, ids=range(60))
    before = generators()
    unlearner.unlearn(indices=FORGET)
    assert generators() == before
    unlearner.unlearn(Subset(whole, [10, 11]))
    unlearner.unlearn(Subset(Subset(whole, list(range(20, 60))), torch.tensor([0])))
    unlearner.unlearn(ids=[30])
    gone = np.flatnonzero(~unlearner._record.retained).tolist()
    assert gone == [*FORGET, 10, 11, 20, 30]
    assert unlearner.predict(whole).shape == (60,)
    assert unlearner.score(whole) == unlearner.score(X, y)
    state = Snapshot(unlearner, X)
    for error, request in (
        (TypeError, X[:3]),
        (TypeError, Subset(as_dataset(X, y), [40])),
        (UnknownRowsError, Subset(whole, [40, 30])),
    ):
        with pytest.raises(error):
            unlearner.unlearn(request)
        state.check("a request to a Dataset")


@quiet
def test_dataset_equals_arrays_where_both_shuffle_alike(data):
    """DataLoader and our loader draw other orders, so the order is fixed here."""
    X, y = data
    fixed = net(iterator_train__shuffle=False).set_params(module=Plain, module__n_out=3)
    arrays = RetrainUnlearner(fixed, random_state=0).fit(X, y).unlearn(indices=FORGET)
    whole = RetrainUnlearner(fixed, random_state=0).fit(as_dataset(X, y)).unlearn(indices=FORGET)
    np.testing.assert_allclose(outcome(whole, X), outcome(arrays, X), rtol=1e-5)
    subset = Subset(as_dataset(np.vstack([X, X]), np.append(y, y)), range(60))
    part = RetrainUnlearner(fixed, random_state=0).fit(subset).unlearn(indices=FORGET)
    assert np.array_equal(outcome(part, X), outcome(whole, X))


class Noisy(torch.utils.data.Dataset):
    """Augments with all three global generators and gives labels as text."""

    def __init__(self, X, y):
        self.X, self.y = X, y

    def __len__(self):
        return len(self.X)

    def __getitem__(self, i):
        import random

        noise = torch.randn(4) * 0.01 + random.random() * 0.01 + np.random.rand() * 0.01  # noqa: NPY002
        return torch.from_numpy(self.X[i]) + noise, "abc"[self.y[i]]


@quiet
@methods
def test_datasets_that_draw_random_numbers_and_give_text_labels(data, cls):
    X, y = data
    before = generators()
    unlearner = cls(net(), random_state=0).fit(Noisy(X, y))
    assert generators() == before
    unlearner.unlearn(indices=FORGET)
    assert generators() == before
    assert unlearner.classes_.tolist() == ["a", "b", "c"]
    again = cls(net(), random_state=0).fit(Noisy(X, y)).unlearn(indices=FORGET)
    assert same_parameters(parameters(again.estimator_), parameters(unlearner.estimator_))


@quiet
def test_retained_rows_of_a_dataset_with_the_request(data):
    X, y = data
    whole = as_dataset(X, y + 1)  # labels 1..3 must be encoded, as in fit
    unlearner = RetrainUnlearner(net(max_epochs=40), random_state=0).fit(whole)
    kept = np.arange(6, 60)
    unlearner.unlearn(indices=FORGET, X_retain=Subset(whole, kept), y_retain=y[kept] + 1)
    assert unlearner.score(X[kept], y[kept] + 1) > 0.8


class Centred(Dataset):
    """A user's data set that takes statistics of all the rows it gets, and augments."""

    draws = 0

    def __init__(self, X, y=None):
        super().__init__(X, y)
        self.mean = np.asarray(X).mean(axis=0)

    def __getitem__(self, i):
        Centred.draws += 1
        x, y = super().__getitem__(i)
        return (x - self.mean).astype(np.float32), y


@quiet
@methods
def test_custom_dataset_classes_keep_working(data, cls):
    X, y = data
    unlearner = cls(net(dataset=Centred), random_state=0).fit(X, y)
    Centred.draws = 0
    unlearner.unlearn(X[FORGET])
    assert Centred.draws >= 54


def test_custom_dataset_classes_never_see_forgotten_rows(data):
    X, y = data
    other = X.copy()
    other[FORGET] += 100
    one = RetrainUnlearner(net(dataset=Centred), random_state=0).fit(X, y)
    two = RetrainUnlearner(net(dataset=Centred), random_state=0).fit(other, y)
    one.unlearn(indices=FORGET), two.unlearn(indices=FORGET)
    assert same_parameters(parameters(one.estimator_), parameters(two.estimator_))


class OwnLoader:
    def __init__(self, dataset, batch_size):
        self.loader = DataLoader(dataset, batch_size=batch_size, shuffle=False)

    def __iter__(self):
        return iter(self.loader)


@quiet
@methods
@pytest.mark.parametrize(
    "params",
    [
        {"iterator_train": OwnLoader},
        {"iterator_train__drop_last": True},
        {"iterator_train__num_workers": 1, "max_epochs": 1},
        {"batch_size": -1},
        {"iterator_train__batch_size": 7},
    ],
    ids=str,
)
def test_iterators(data, cls, params):
    X, y = data
    model = net(**params)
    if params.get("iterator_train") is OwnLoader:
        model = clone(model)
        del model.iterator_train__shuffle
        model._params_to_validate.discard("iterator_train__shuffle")
    unlearner = cls(model, random_state=0).fit(X, y).unlearn(X[FORGET])
    assert len(unlearner.estimator_.history) > 0
    again = cls(model, random_state=0).fit(X, y).unlearn(X[FORGET])
    assert same_parameters(parameters(again.estimator_), parameters(unlearner.estimator_))


def piped(*steps):
    names = [f"step{i}" for i in range(len(steps) - 1)]
    return UnlearningPipeline([*zip(names, steps), ("model", steps[-1])])


PASSES_ON = FunctionTransformer()
TAKE_ARRAYS = {
    "estimator (GaussianNB)": lambda: SufficientStatisticsUnlearner(GaussianNB()),
    "estimator (RandomForestClassifier)": lambda: ForestUnlearner(RandomForestClassifier(5)),
    "estimator (LogisticRegression)": lambda: ShardedUnlearner(LogisticRegression(), n_shards=2),
    "estimator__standardscaler (StandardScaler)": lambda: RetrainUnlearner(
        make_pipeline(StandardScaler(), LogisticRegression())
    ),
    "step0 (StandardScaler)": lambda: piped(StandardScaler(), RetrainUnlearner(net())),
    "step2 (StandardScaler)": lambda: piped(
        PASSES_ON,
        "passthrough",
        FrozenEstimator(StandardScaler().fit(np.eye(4))),
        RetrainUnlearner(net()),
    ),
}


@pytest.mark.parametrize("with_labels", [False, True])
@pytest.mark.parametrize("name", TAKE_ARRAYS)
def test_what_takes_arrays_says_so_of_a_dataset(data, name, with_labels):
    dataset = as_dataset(*data)
    given = (dataset, data[1]) if with_labels else (dataset,)
    with pytest.raises(TypeError) as caught:
        TAKE_ARRAYS[name]().fit(*given)
    said = str(caught.value)
    assert name in said
    read = said[said.index("map(") : said.index(", and flatten")]
    X, y = eval(read, {"np": np, "dataset": dataset})
    assert np.array_equal(X, data[0])
    assert np.array_equal(y, data[1])
    TAKE_ARRAYS[name]().fit(X, y).unlearn(indices=FORGET)


def as_tensor(dataset):
    return torch.stack([dataset[i][0] for i in range(len(dataset))])


@pytest.mark.parametrize(
    "step",
    ["passthrough", PASSES_ON, FunctionTransformer(as_tensor)],
    ids=["passthrough", "hands on", "as tensor"],
)
def test_steps_that_take_a_dataset_are_given_it(data, step):
    dataset = as_dataset(*data)
    pipeline = piped(step, RetrainUnlearner(net(), random_state=0))
    pipeline.fit(dataset, data[1]).unlearn(indices=FORGET)
    assert pipeline.predict(dataset).shape == (60,)
