"""`unlearn` with every kind of net and callback."""

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    LRScheduler,
    TrainEndCheckpoint,
)
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn

from skunlearn import FineTuneUnlearner, ProximalUnlearner, RetrainUnlearner
from skunlearn.utils._check_tools import outcome, parameters, same_parameters
from tests.instances import make_binary_net, make_net, make_regressor_net
from tests.small import FORGET, methods, net, quiet


@quiet
@methods
@pytest.mark.parametrize("labels", [["no", "yes"], [1, 2], [False, True], [0.0, 5.0]])
def test_binary_nets(data, cls, labels):
    X, y = data
    y = np.array(labels)[y % 2]
    unlearner = cls(make_binary_net(max_epochs=5), random_state=0).fit(X, y)
    unlearner.unlearn(X[FORGET], y[FORGET])
    assert set(unlearner.predict(X)) <= set(labels)
    assert unlearner.predict_proba(X).shape == (60, 2)
    assert unlearner.score(X, y) > 0.5


@quiet
@methods
@pytest.mark.parametrize("shape", [(60,), (60, 1), (60, 2)])
def test_regressors(data, cls, shape):
    X, _ = data
    y = X.sum(axis=1)
    if len(shape) == 2:
        y = np.repeat(y[:, None], shape[1], axis=1)
    n_out = shape[1] if len(shape) == 2 else 1
    unlearner = cls(make_regressor_net(module__n_out=n_out), random_state=0)
    unlearner.fit(X, y)
    unlearner.unlearn(X[FORGET], y[FORGET])
    assert unlearner.predict(X).shape == shape
    assert unlearner.score(X, y) > 0.5


@quiet
@methods
def test_modules_with_more_outputs_than_classes(data, cls):
    X, y = data
    unlearner = cls(net(module__n_out=7), random_state=0).fit(X, y).unlearn(indices=FORGET)
    p = unlearner.predict_proba(X)
    assert p.shape == (60, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)


@quiet
def test_a_fold_without_a_class(data):
    X, y = data
    y = np.array(["ant", "bee", "cat"])[y]
    some = y != "bee"
    unlearner = FineTuneUnlearner(net(), random_state=0).fit(X[some], y[some])
    unlearner.unlearn(indices=[0])
    assert unlearner.classes_.tolist() == ["ant", "cat"]
    assert set(unlearner.predict(X)) <= {"ant", "cat"}


@quiet
def test_nets_with_classes_in_an_order_of_their_own(data):
    X, y = data
    labels = np.array(["c", "a", "b"])
    unlearner = FineTuneUnlearner(net(classes=labels.tolist(), max_epochs=30), random_state=0)
    unlearner.fit(X, labels[y]).unlearn(indices=FORGET)
    assert unlearner.classes_.tolist() == labels.tolist()
    assert unlearner.score(X, labels[y]) > 0.6
    assert np.mean(unlearner.predict_proba(X).argmax(axis=1) == y) > 0.6


class Greedy(NeuralNetClassifier):
    """A user's subclass with its own loss and step."""

    steps = 0

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return super().get_loss(y_pred, y_true, *args, **kwargs) * 2

    def train_step_single(self, batch, **fit_params):
        Greedy.steps += 1
        return super().train_step_single(batch, **fit_params)


@quiet
def test_overridden_methods_of_a_net_are_used(data):
    X, y = data
    params = net().get_params(deep=False)
    params = {k: v for k, v in params.items() if not k.startswith("_")}
    unlearner = ProximalUnlearner(
        Greedy(**params), softening="confidence", random_state=0, max_epochs=2
    ).fit(X, y)
    Greedy.steps = 0
    unlearner.unlearn(indices=FORGET)
    assert Greedy.steps == 2 * 4
    assert "get_loss" not in vars(unlearner.estimator_)
    plain = ProximalUnlearner(net(), softening="confidence", random_state=0, max_epochs=2)
    plain.fit(X, y).unlearn(indices=FORGET)
    assert not np.array_equal(outcome(plain, X), outcome(unlearner, X))


class InPlace(nn.Module):
    def __init__(self, n_out):
        super().__init__()
        self.out = nn.Linear(4, n_out)

    def forward(self, X):
        return self.out(torch.relu_(X))


@quiet
@pytest.mark.parametrize("container", [np.array, torch.from_numpy])
def test_modules_that_write_to_their_input_do_not_reach_the_rows(data, container):
    X, y = data
    given = container(X.copy())
    unlearner = FineTuneUnlearner(net(max_epochs=2).set_params(module=InPlace), random_state=0)
    unlearner.set_params(estimator__iterator_train__shuffle=False)
    unlearner.fit(given, y).unlearn(indices=FORGET)
    unlearner.predict(given)
    assert np.array_equal(np.asarray(given), X)
    unlearner.unlearn(X[[20]])


@quiet
def test_reversed_and_big_rows(data):
    X, y = data
    plain = FineTuneUnlearner(net(), random_state=0).fit(X[::-1].copy(), y[::-1])
    views = FineTuneUnlearner(net(), random_state=0).fit(X[::-1], y[::-1])
    assert np.array_equal(outcome(plain, X), outcome(views, X))


class Recorder(Callback):
    """Keeps what it sees, on the instance and on the class."""

    rates = []

    def on_train_begin(self, net, **kwargs):
        self.seen_ = 0

    def on_batch_end(self, net, training=False, **kwargs):
        self.seen_ += 1
        Recorder.rates.append(net.optimizer_.param_groups[0]["lr"])


@quiet
@methods
def test_the_users_callbacks_stay_as_they_are(data, cls):
    X, y = data
    own = Recorder()
    unlearner = cls(net(callbacks=[("own", own)]), random_state=0).fit(X, y)
    first = dict(unlearner.estimator_.callbacks_)["own"]
    seen = first.seen_
    unlearner.unlearn(indices=FORGET)
    assert not hasattr(own, "seen_")
    assert first.seen_ == seen > 0
    assert dict(unlearner.estimator_.callbacks_)["own"].seen_ > 0


@quiet
@pytest.mark.parametrize("schedule", ["linear", "constant", "net"])
def test_schedules(data, schedule):
    X, y = data
    scheduler = LRScheduler("StepLR", step_size=1, gamma=0.5)
    model = net(callbacks=[("rate", scheduler), ("own", Recorder())], lr=0.1)
    unlearner = FineTuneUnlearner(model, schedule=schedule, max_epochs=2, random_state=0)
    unlearner.fit(X, y)
    for _ in range(2):
        Recorder.rates.clear()
        unlearner.unlearn(indices=[len(unlearner.deletions_)])
        expected = {  # 59 and 58 rows make four batches
            "linear": 0.1 * (1 - np.arange(8) / 8),
            "constant": [0.1] * 8,
            "net": [0.1] * 4 + [0.05] * 4,
        }[schedule]
        np.testing.assert_allclose(Recorder.rates, expected, rtol=1e-6)
        names = [name for name, _ in unlearner.estimator_.callbacks_]
        assert not any(name.startswith("skunlearn") for name in names)


@quiet
@methods
def test_early_stopping_with_a_validation_set(data, cls):
    X, y = data
    valid = Dataset(X[:10] + 1, y[:10])
    stopping = EarlyStopping(patience=2, load_best=True, sink=lambda *_: None)
    model = net(
        callbacks=[("stop", stopping)], train_split=predefined_split(valid), max_epochs=50, lr=0.5
    )
    params = {} if cls is RetrainUnlearner else {"max_epochs": 50, "schedule": "constant"}
    unlearner = cls(model, random_state=0, **params).fit(X, y)
    assert len(unlearner.estimator_.history) < 50
    unlearner.unlearn(indices=FORGET)
    history = unlearner.estimator_.history
    assert len(history) < 50
    batches = history[-1]["batches"]
    assert sum(batch.get("train_batch_size", 0) for batch in batches) == 54


@quiet
@pytest.mark.parametrize("kind", [Checkpoint, TrainEndCheckpoint])
@methods
def test_checkpoints_neither_overwrite_nor_restore_the_original(data, cls, kind, tmp_path):
    X, y = data
    params = {"monitor": "train_loss_best", "load_best": True} if kind is Checkpoint else {}
    callback = kind(dirname=str(tmp_path / "cp"), **params)
    model = net(callbacks=[("cp", callback)], max_epochs=4)
    unlearner = cls(model, random_state=0).fit(X, y)
    files = {path.name: path.read_bytes() for path in (tmp_path / "cp").iterdir()}
    assert files
    original = parameters(unlearner.estimator_)
    unlearner.unlearn(indices=FORGET)
    assert {path.name: path.read_bytes() for path in (tmp_path / "cp").iterdir()} == files
    assert not same_parameters(parameters(unlearner.estimator_), original)
    if cls is RetrainUnlearner:
        expected = RetrainUnlearner(net(max_epochs=4), random_state=0).fit(X[6:], y[6:])
        if kind is TrainEndCheckpoint:
            assert same_parameters(
                parameters(unlearner.estimator_), parameters(expected.estimator_)
            )
    assert callback.dirname == str(tmp_path / "cp")


@quiet
@methods
def test_other_callbacks(data, cls):
    X, y = data
    callbacks = [
        ("freeze", Freezer("hidden.*")),
        ("auc", EpochScoring("roc_auc_ovr", on_train=True, name="auc")),
    ]
    unlearner = cls(net(callbacks=callbacks, max_epochs=4), random_state=0).fit(X, y)
    before = parameters(unlearner.estimator_)
    unlearner.unlearn(indices=FORGET)
    after = parameters(unlearner.estimator_)
    assert np.array_equal(before["module.hidden.weight"], after["module.hidden.weight"])
    assert not np.array_equal(before["module.out.weight"], after["module.out.weight"])
    assert 0 <= unlearner.estimator_.history[-1, "auc"] <= 1


@quiet
@methods
def test_disabled_callbacks(data, cls):
    X, y = data
    unlearner = cls(net(callbacks="disable"), random_state=0).fit(X, y).unlearn(indices=FORGET)
    assert unlearner.estimator_.callbacks_ == []


@quiet
def test_verbose_prints_epochs(data, capsys):
    X, y = data
    FineTuneUnlearner(net(), random_state=0).fit(X, y).unlearn(indices=FORGET)
    assert capsys.readouterr().out == ""
    unlearner = FineTuneUnlearner(net(), random_state=0, verbose=1).fit(X, y)
    assert "train_loss" in capsys.readouterr().out
    unlearner.unlearn(indices=FORGET)
    assert "train_loss" in capsys.readouterr().out


class Narrow(nn.Module):
    """Returns bfloat16, as a module under autocast does."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, X):
        with torch.autocast("cpu", torch.bfloat16):
            return self.out(X)


@quiet
def test_outputs_in_bfloat16():
    """Which numpy, and so skorch's own predict_proba, cannot hold."""
    X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    y = X[:, :3].argmax(axis=1)
    net = make_net(max_epochs=20).set_params(module=Narrow)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, y).unlearn(indices=[0, 1])
    p = unlearner.predict_proba(X)
    assert p.dtype == np.float32
    assert p.sum(axis=1) == pytest.approx(1, abs=0.02)
    assert unlearner.score(X, y) > 0.8
