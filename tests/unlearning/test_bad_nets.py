"""Nets and parameters that no method can work with are refused, and the error says what to do."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.cluster import KMeans
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNet, NeuralNetClassifier
from skorch.callbacks import LoadInitState
from skorch.dataset import ValidSplit
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

from skunlearn import FineTuneUnlearner, ProximalUnlearner, RetrainUnlearner
from skunlearn.utils._check_tools import Snapshot
from tests.instances import MLP, make_net, make_regressor_net

N = 30


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 4)).astype(np.float32), np.arange(N) % 3


def test_unfitted_nets(data):
    X, y = data
    bare = RetrainUnlearner(make_net(module__n_out=3, max_epochs=2), random_state=0)
    with pytest.raises(NotFittedError):
        bare.unlearn(X[:2])
    with pytest.raises(NotFittedError):
        FineTuneUnlearner(FrozenEstimator(make_net())).fit(X, y)
    with pytest.raises(NotFittedError):
        RetrainUnlearner(FrozenEstimator(LogisticRegression())).fit(X, y)
    for act in ("predict", "score", "attach"):
        with pytest.raises(NotFittedError):
            getattr(bare, act)(X)
    for act in ("certificate", "detach"):
        with pytest.raises(NotFittedError):
            getattr(bare, act)()


@pytest.mark.parametrize(
    "net, error, message",
    [
        (make_net(train_split=ValidSplit(31)), ValueError, "train_split.*30.*predefined_split"),
        (make_net(train_split=lambda data, y: ([1, 2], [3])), ValueError, "train_split.*Subset"),
        (
            NeuralNetClassifier(MLP(), train_split=None),
            TypeError,
            "instance.*FrozenEstimator",
        ),
        (make_net(callbacks=[LoadInitState(None)]), ValueError, "LoadInitState"),
        (make_net(iterator_train__sampler=[1, 2]), ValueError, "iterator_train__sampler"),
        (make_net(module__n_out=2), ValueError, "3 classes.*2 outputs"),
        (make_regressor_net(module__n_out=2), ValueError, r"shape \(n, 1\).*got \(n, 2\)"),
        (nn.Linear(4, 2), TypeError, "skorch"),
        ("net", TypeError, "skorch"),
    ],
)
@pytest.mark.parametrize("cls", [RetrainUnlearner, FineTuneUnlearner])
def test_bad_nets(data, net, error, message, cls):
    with pytest.raises(error, match=f"(?s){message}"):
        cls(net).fit(*data)


SAMPLERS = [
    {"iterator_train__sampler": RandomSampler(range(N))},
    {"iterator_train__batch_sampler": BatchSampler(RandomSampler(range(N)), 16, False)},
    {"iterator_train": functools.partial(DataLoader, sampler=RandomSampler(range(N)))},
]


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize(
    "around",
    [
        lambda net: make_pipeline(StandardScaler(), net),
        lambda net: VotingClassifier([("net", net)]),
        lambda net: make_pipeline(StandardScaler(), make_pipeline(StandardScaler(), net)),
    ],
)
def test_fixed_samplers_are_refused_inside_estimators_too(data, sampler, around):
    estimator = around(make_net(module__n_out=3, **sampler))
    with pytest.raises(ValueError, match=r"estimator__.*sampler is made for a fixed set of rows"):
        RetrainUnlearner(estimator).fit(*data)
    with pytest.raises(ValueError, match="sampler is made for a fixed set of rows"):
        RetrainUnlearner(make_net(module__n_out=3, **sampler)).fit(*data)


PARAMETERS = [
    {"lr": 0},
    {"lr": -1.0},
    {"lr": np.nan},
    {"max_epochs": 0},
    {"max_epochs": 1.5},
    {"batch_size": 0},
    {"schedule": "cosine"},
    {"validation_fraction": 1.0},
    {"n_iter_no_change": 0},
    {"penalty": -0.1},
    {"penalty": np.inf},
    {"penalty": "much"},
    {"norm": "l1"},
    {"fisher_rows": 0},
    {"softening": "dropout"},
    {"softening_strength": -1},
]


@pytest.mark.parametrize("params", PARAMETERS, ids=str)
def test_bad_parameters(data, params):
    name = next(iter(params))
    with pytest.raises((ValueError, TypeError), match=name):
        ProximalUnlearner(make_net(max_epochs=2), **params).fit(*data)


@pytest.mark.parametrize("seed", ["zero", -1, 1.5])
def test_bad_seeds(data, seed):
    with pytest.raises(ValueError, match=r"[sS]eed"):
        RetrainUnlearner(make_net(max_epochs=1), random_state=seed).fit(*data)


def test_linear_models_need_retraining():
    with pytest.raises(TypeError, match="RetrainUnlearner"):
        ProximalUnlearner(LogisticRegression()).fit(np.eye(4), [0, 1, 0, 1])
    with pytest.raises(TypeError, match="classifier or regressor"):
        RetrainUnlearner(KMeans()).fit(np.eye(4), [0, 1, 0, 1])


def test_hold_out_needs_rows_on_both_sides(data):
    X, y = data
    unlearner = FineTuneUnlearner(
        make_net(max_epochs=2), early_stopping=True, validation_fraction=0.01
    ).fit(X, y)
    state = Snapshot(unlearner, X)
    with pytest.raises(ValueError, match="validation_fraction"):
        unlearner.unlearn(indices=[1])
    state.check("a hold-out of nothing")


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["a", None, "b", "a"] * 5, dtype=object),
        pd.Series([0, pd.NA, 1, 1] * 5, dtype="Int64"),
        pd.Series(["a", np.nan, "b", "a"] * 5, dtype="category"),
        np.array([0.0, np.nan, 1.0, 1.0] * 5),
    ],
)
def test_rows_without_a_label_are_counted(labels):
    X = np.arange(20.0)[:, None]
    with pytest.raises(ValueError, match=r"y contains NaN: 5 of 20 rows.* the first is row 1"):
        RetrainUnlearner(LogisticRegression()).fit(X, labels)


@pytest.mark.parametrize("cls", [LogisticRegression, NeuralNetClassifier])
@pytest.mark.parametrize("method", [RetrainUnlearner, FineTuneUnlearner])
def test_a_class_is_no_estimator(data, cls, method):
    with pytest.raises(TypeError, match=rf"got the class {cls.__name__}: pass {cls.__name__}\("):
        method(cls).fit(*data)


class Conv(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 2), nn.Flatten(), nn.Linear(2, 3))

    def forward(self, X):
        return self.layers(X)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8])
def test_whole_numbers_that_layers_do_not_take(data, dtype):
    X, y = (10 * np.abs(data[0])).astype(dtype), data[1]
    said = r"does not take whole numbers, and X holds them: pass X.astype\(\"float32\"\)"
    flat = NeuralNetClassifier(
        nn.Linear, criterion=nn.CrossEntropyLoss, module__in_features=4, module__out_features=3
    )
    image = NeuralNetClassifier(Conv, criterion=nn.CrossEntropyLoss)
    for net, rows in ((flat, X), (image, X.reshape(-1, 1, 2, 2))):
        with pytest.raises(TypeError, match=said):
            RetrainUnlearner(net).fit(rows, y)


@pytest.mark.parametrize(
    "around, advice",
    [
        (
            make_pipeline(StandardScaler(), make_net()),
            r"Pipeline around one.*UnlearningPipeline\(\[\.\.\., \('net', FineTuneUnlearner\(net\)",
        ),
        (
            TransformedTargetRegressor(make_regressor_net()),
            r"around one.*\(regressor=FineTuneUnlearner\(net\)\), or use RetrainUnlearner",
        ),
        (LogisticRegression(), "got LogisticRegression. Wrap the PyTorch module"),
    ],
)
def test_a_net_inside_another_estimator(data, around, advice):
    with pytest.raises(TypeError, match=advice):
        FineTuneUnlearner(around).fit(*data)


class Segmenter(nn.Module):
    """A number for each pixel."""

    def __init__(self, flat):
        super().__init__()
        self.conv, self.flat = nn.Conv2d(1, 1, 3, padding=1), flat

    def forward(self, X):
        out = self.conv(X)
        return out.flatten(1) if self.flat else out


def test_a_target_for_each_pixel():
    """It goes flattened, as the error says."""
    X = np.random.default_rng(0).normal(size=(N, 1, 4, 4)).astype(np.float32)
    y = (X > 0).astype(int)
    net = NeuralNet(Segmenter, criterion=nn.BCEWithLogitsLoss, module__flat=True, verbose=0)
    net.set_params(max_epochs=1, train_split=None)
    rows = TensorDataset(torch.as_tensor(X), torch.as_tensor(y))
    for given in ((X, y), (X, y[:, 0]), (rows,)):
        with pytest.raises(ValueError, match=r"each of several positions.*reshape.*\(n, 16\)"):
            RetrainUnlearner(net).fit(*given)
    unlearner = RetrainUnlearner(net, random_state=0).fit(X, y.reshape(N, -1))
    assert unlearner.unlearn(indices=[3]).predict(X).shape == (N, 16)


class Tagger(nn.Module):
    """Logits of three classes for each of four tokens, of shape (n, 3, 4), flattened."""

    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(9, 8), nn.Linear(8, 3)

    def forward(self, X):
        return self.out(self.words(X)).transpose(1, 2).flatten(1)


def test_a_class_for_each_token_goes_as_labels():
    """As the error writes it out."""
    X = np.random.default_rng(0).integers(0, 9, (N, 4))
    y, k = X % 3, 3
    net = NeuralNet(Tagger, criterion=nn.BCEWithLogitsLoss, optimizer=torch.optim.Adam)
    net.set_params(lr=0.1, max_epochs=30, train_split=None, verbose=0)
    classes = clone(net).set_params(criterion=nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match="label for each class and position: y = ") as caught:
        RetrainUnlearner(classes).fit(X, y)
    code = str(caught.value).split("position: y = ")[1].split(", of k classes")[0]
    hot = eval(code, {"np": np, "y": y, "k": k})
    unlearner = RetrainUnlearner(net, random_state=0).fit(X, hot)
    unlearner.unlearn(indices=[3])
    assert unlearner.score(X, hot) > 0.9
    said = unlearner.predict(X).reshape(N, k, 4)
    np.testing.assert_array_equal(said.argmax(axis=1), y)


def test_an_autoencoder_without_targets(data):
    with pytest.raises(ValueError, match=r"requires y to be passed.*rows: fit\(X, X\)"):
        RetrainUnlearner(make_regressor_net()).fit(data[0])


def test_one_output_for_two_classes(data):
    X, y = data
    net = make_net(module__n_out=1).set_params(criterion=nn.CrossEntropyLoss)
    with pytest.raises(ValueError, match=r"returns 1 output per row.*NeuralNetBinaryClassifier"):
        FineTuneUnlearner(net).fit(X, y % 2)


class Answer(dict):
    """What a module of transformers returns, in short."""


class Answering(nn.Linear):
    def forward(self, X):
        return Answer(logits=super().forward(X))


def test_an_output_that_the_loss_does_not_take_is_told_by_fit(data):
    net = NeuralNetClassifier(
        Answering, module__in_features=4, module__out_features=3, verbose=0, train_split=None
    ).set_params(criterion=nn.CrossEntropyLoss)
    with pytest.raises(TypeError, match=r"module returns a Answer.*return the logits"):
        FineTuneUnlearner(net).fit(*data)


class LogProbabilities(nn.Linear):
    def forward(self, X):
        return super().forward(X).log_softmax(-1)


class Probabilities(nn.Linear):
    def forward(self, X):
        return super().forward(X).softmax(-1)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("module", [nn.Linear, LogProbabilities, Probabilities])
def test_no_probabilities_for_the_loss_that_skorch_takes_by_default(data, module, trained):
    """skorch takes their log, and trains on a loss that is NaN without a word."""
    X, y = data
    net = NeuralNetClassifier(
        module, module__in_features=4, module__out_features=3, verbose=0, train_split=None
    )
    estimator = FrozenEstimator(net.fit(X, y)) if trained else net
    if module is Probabilities:
        FineTuneUnlearner(estimator).fit(X, y)
        return
    with pytest.raises(ValueError, match=r"no probabilities.*criterion=torch.nn.CrossEntropyLoss"):
        FineTuneUnlearner(estimator).fit(X, y)
    with pytest.raises(ValueError, match="no probabilities"):
        FineTuneUnlearner(net).fit(X, y)


def test_weights_that_are_no_numbers_are_not_taken_for_logits(data):
    X, y = data
    net = NeuralNetClassifier(
        Probabilities, module__in_features=4, module__out_features=3, verbose=0, train_split=None
    ).fit(X, y)
    with torch.no_grad():
        net.module_.weight.fill_(torch.nan)
    FineTuneUnlearner(FrozenEstimator(net)).fit(X, y)  # whatever else is said of them


def test_a_net_that_makes_probabilities_itself_is_left_alone(data):
    class Own(NeuralNetClassifier):
        def get_loss(self, y_pred, y_true, *args, **kwargs):
            return nn.functional.nll_loss(y_pred, y_true)

    X, y = data
    net = Own(LogProbabilities, module__in_features=4, module__out_features=3, verbose=0)
    FineTuneUnlearner(net).fit(X, y)
