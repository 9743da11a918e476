"""What AutoUnlearner does when it fails, and what it spends."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit

from skunlearn import AutoUnlearner, RetrainUnlearner
from skunlearn.auto._adapting import Adapting
from skunlearn.auto._judge import Judge
from skunlearn.auto._keeping import Keeping
from skunlearn.auto._settling import Confidence
from skunlearn.exceptions import NotForgottenWarning, UnlearningError
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.auto.digits import damaged, net, small, unsure


@pytest.fixture
def failing(monkeypatch):
    monkeypatch.setattr(Judge, "differences", lambda judge, seen: {"loss": 0.5})
    monkeypatch.setattr(Judge, "remembered", lambda judge, differences: differences)
    X, y, X_unseen, y_unseen = small()
    request = {"indices": np.arange(20), "X_val": X_unseen, "y_val": y_unseen}
    auto = AutoUnlearner(unsure(), random_state=0).fit(X, y)
    return auto, request, X, y


def test_failure_is_announced(failing):
    auto, request, *_ = failing
    with pytest.warns(NotForgottenWarning, match=r"the AUC by loss is \+0\.500 away"):
        auto.unlearn(**request)
    assert min(auto.deletions_[0]["auto"]["shares"]) >= 0.12 - 1e-4


def test_a_class_that_lower_logits_alone_keep_from_being_named_is_not_forgotten(monkeypatch):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    auto = AutoUnlearner(net(module__hidden=64, max_epochs=20), random_state=0, lr=1e-6)
    auto.fit(X[:1000], y[:1000])
    monkeypatch.setattr(Keeping, "choose", lambda *given: 1.0)
    monkeypatch.setattr(Confidence, "agrees", lambda *given: False)
    monkeypatch.setattr(Adapting, "on_epoch_end", lambda *given, **more: None)
    with pytest.warns() as caught:
        auto.unlearn(indices=np.flatnonzero(y[:1000] == 3), X_val=X[1000:], y_val=y[1000:])
    assert auto.deletions_[0]["auto"]["after"]["named"] == 0
    said = [str(w.message) for w in caught if w.category is NotForgottenWarning]
    assert any("the share of forget rows named rightly is +" in text for text in said)


def test_failure_raises(failing):
    auto, request, *_ = failing
    before = parameters(auto.estimator_)
    with pytest.raises(UnlearningError, match="Try a larger budget"):
        auto.set_params(on_failure="raise").unlearn(**request)
    assert same_parameters(parameters(auto.estimator_), before)
    assert auto.deletions_ == []
    assert "_auto" not in vars(auto)
    assert auto._removal is None


def test_failure_retrains(failing):
    auto, request, X, y = failing
    auto.set_params(on_failure="retrain").unlearn(**request)
    again = RetrainUnlearner(unsure(), random_state=0).fit(X, y)
    again.unlearn(indices=np.arange(20))
    assert same_parameters(parameters(auto.estimator_), parameters(again.estimator_))
    assert auto.deletions_[0]["auto"]["retrained"]
    assert len(auto.estimator_.history) == 20


@pytest.mark.parametrize(
    "params, message",
    [
        ({"budget": 0}, "budget"),
        ({"budget": 1.5}, "budget"),
        ({"target": 0}, "target"),
        ({"on_failure": "ignore"}, "on_failure must be"),
    ],
)
def test_bad_parameters(params, message):
    X, y, *_ = small()
    with pytest.raises(ValueError, match=message):
        AutoUnlearner(net(), **params).fit(X, y)


@pytest.mark.parametrize(
    "epochs, budget, total",
    [
        *((3, 0.35, 3), (20, 0.35, 7), (100, 0.1, 10), (1, 1.0, 1)),
        pytest.param(40, 0.35, 10, marks=pytest.mark.long),
        pytest.param(100, 0.35, 17, marks=pytest.mark.long),
    ],
)
@damaged
@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
def test_epochs_of_a_budget(epochs, budget, total):
    X, y, X_unseen, y_unseen = small(40)
    model = net(max_epochs=epochs, batch_size=2, lr=0.001)
    auto = AutoUnlearner(model, budget=budget, random_state=0).fit(X, y)
    auto.unlearn(indices=np.arange(10), X_val=X_unseen, y_val=y_unseen)
    done = auto.deletions_[0]["auto"]
    assert done["epochs"] + done["reference_epochs"] == total


@pytest.mark.parametrize(("epochs", "batch_size"), [(5, 32), (20, 128), (3, 8)])
def test_a_training_of_few_steps_is_done_anew(epochs, batch_size):
    """A third of them leaves shrunk weights untrained: it cost up to 50 points of accuracy."""
    X, y = load_digits(return_X_y=True)
    X, y = (X / 16).astype(np.float32), y
    recipe = net(max_epochs=epochs, batch_size=batch_size, lr=0.02)
    auto = AutoUnlearner(recipe, random_state=0).fit(X[:256], y[:256])
    before = auto.score(X[400:], y[400:])
    forget = {"indices": np.arange(25)}
    auto.unlearn(
        **forget, X_val=X[256:400], y_val=y[256:400]
    )  # no warning, which would be an error
    again = RetrainUnlearner(recipe, random_state=0).fit(X[:256], y[:256]).unlearn(**forget)
    assert same_parameters(parameters(auto.estimator_), parameters(again.estimator_))
    assert auto.score(X[400:], y[400:]) > before - 0.08
    done = auto.deletions_[0]["auto"]
    assert (done["retrained"], done["epochs"], done["shares"]) == (True, epochs, [])


@damaged
def test_more_steps_in_fewer_epochs_are_within_the_budget():
    X, y, *_ = small()
    auto = AutoUnlearner(net(max_epochs=5, batch_size=2, lr=0.001), random_state=0).fit(X, y)
    done = auto.unlearn(indices=np.arange(20)).deletions_[0]["auto"]
    # 50 steps an epoch, of which two would be too few.
    assert (done["epochs"], done["retrained"]) == (3, False)


def test_a_training_that_ended_early_is_the_one_that_counts():
    """A third of the epochs that it might have had took more than half of its time."""
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    model = net(
        module__hidden=64, lr=0.01, max_epochs=200, train_split=ValidSplit(5),
        callbacks=[("stopping", EarlyStopping(patience=3))],
    )  # fmt: skip
    auto = AutoUnlearner(model, random_state=0).fit(X[:1200], y[:1200])
    epochs = len(auto.estimator_.history)
    assert 30 < epochs < 150
    for k in range(2):  # of the second request the net's history says nothing more
        auto.unlearn(indices=np.arange(50 * k, 50 * k + 50), X_val=X[1200:], y_val=y[1200:])
        done = auto.deletions_[k]["auto"]
        assert done["recipe_epochs"] == epochs
        assert done["epochs"] + done["reference_epochs"] <= 0.35 * epochs
