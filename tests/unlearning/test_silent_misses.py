"""Requests that missed without a word, and nets trained anew, of which nothing is to be said."""

import json
import re
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits, make_classification
from sklearn.preprocessing import StandardScaler
from skorch.helper import predefined_split

from skunlearn import (
    AMUNUnlearner,
    BadTeacherUnlearner,
    CFkUnlearner,
    DELETEUnlearner,
    FineTuneUnlearner,
    GradientAscentUnlearner,
    NegMergeUnlearner,
    NetUnlearner,
    NoisyFineTuneUnlearner,
    NoTUnlearner,
    ProximalUnlearner,
    RandomLabelUnlearner,
    SalUnUnlearner,
    SSDUnlearner,
    UnlearningPipeline,
)
from skunlearn._recipe import training
from skunlearn._torch import skorch_nets
from skunlearn.datasets import load_digits_images
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning
from skunlearn.nets import digits_classifier
from tests.instances import make_net, make_regressor_net
from tests.small import as_dataset

quiet = pytest.mark.filterwarnings(
    *(
        f"ignore::skunlearn.exceptions.{name}"
        for name in ("ClassForgottenWarning", "ModelDamagedWarning", "UnsuitableMethodWarning")
    )
)
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::skunlearn.exceptions.{name}")
    for name in ("ClassForgottenWarning", "UnsuitableMethodWarning")
]


class TrainedAnew(NetUnlearner):
    """In truth a retraining, for all or some of the epochs, which promises nothing."""

    seed, share = 1, 1.0

    def _unlearn(self, net, retain, forget):
        recipe = skorch_nets.unwrap(self.estimator)
        epochs = max(1, round(self.share * recipe.max_epochs))
        return training.train(recipe, retain, self._classes, self.seed, epochs=epochs)


class Task:
    """A net with its rows, and what is to be forgotten."""

    def __init__(self, net, X, y, n, forget):
        self.net, self.X, self.y, self.forget = net, X[:n], y[:n], forget
        self.unseen = {"X_val": X[n:], "y_val": y[n:]}
        fitted = TrainedAnew(net, random_state=0).fit(self.X, self.y)
        own = fitted.get_params(deep=False)
        self.state = {k: v for k, v in vars(fitted).items() if k not in own}

    def net_proba(self):
        """What the net says of the label of each row."""
        p = self.state["_fitted"].model.predict_proba(self.X)
        return p[np.arange(len(self.y)), self.y]

    def forgotten(self, cls, unseen=False, **params):
        """An unlearner after the request, and what it said."""
        unlearner = cls(self.net, random_state=0, **params)
        vars(unlearner).update(self.state)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            unlearner.unlearn(indices=self.forget, **(self.unseen if unseen else {}))
        kinds = NotForgottenWarning, ModelDamagedWarning
        return unlearner, [str(w.message) for w in caught if issubclass(w.category, kinds)]


def shuffled(X, y):
    order = np.random.default_rng(0).permutation(len(y))
    return X[order], y[order]


@pytest.fixture(scope="module")
def one_class():
    """A class of the digits, and the net of the demonstration."""
    X, y = shuffled(*load_digits_images(return_X_y=True))
    return Task(digits_classifier(max_epochs=5), X, y, 1000, np.flatnonzero(y[:1000] == 1))


@pytest.fixture(scope="module")
def wrong():
    """Rows with a fifth of the labels wrong, which the net learns by heart."""
    X, y = shuffled(*load_digits(return_X_y=True))
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(y)) < 0.2, (y + rng.integers(1, 10, len(y))) % 10, y)
    net = make_net(module__hidden=512, max_epochs=60)
    return Task(net, (X / 16).astype(np.float32), y, 1000, rng.choice(1000, 100, replace=False))


# --------------------------------------------------------------------------- whole classes


@pytest.mark.parametrize(
    "cls, message",
    [
        (AMUNUnlearner, "still names"),  # 0.35 of the time
        (NegMergeUnlearner, "still names"),  # 0.21
        (BadTeacherUnlearner, "still names"),  # 0.03, which no retrained net does
        (RandomLabelUnlearner, "speak for their class"),  # named by nobody, and yet known
        pytest.param(SalUnUnlearner, "speak for their class", marks=pytest.mark.long),
    ],
)
def test_a_class_that_is_known_is_noticed(one_class, cls, message):
    _, said = one_class.forgotten(cls)
    assert len(said) == 1
    assert message in said[0]


@pytest.mark.parametrize(
    "task, seed, share, unseen",
    [
        ("one_class", 1, 1.0, True),
        ("one_class", 2, 1.0, False),
        pytest.param("one_class", 3, 0.2, False, marks=pytest.mark.long),
        ("wrong", 1, 1.0, True),
        ("wrong", 2, 0.4, False),
        pytest.param("wrong", 3, 0.1, True, marks=pytest.mark.long),
    ],
)
def test_nets_trained_anew_are_not_accused(request, task, seed, share, unseen, monkeypatch):
    monkeypatch.setattr(TrainedAnew, "seed", seed)
    monkeypatch.setattr(TrainedAnew, "share", share)
    unlearner, said = request.getfixturevalue(task).forgotten(TrainedAnew, unseen)
    assert [text for text in said if "points of accuracy" not in text] == []
    assert ("unseen" in unlearner.deletions_[0]) == unseen


def test_noise_that_destroys_is_said_of_a_proof_too(one_class):
    """The class is gone, as is proved, and so are 30 points of accuracy."""
    unlearner, said = one_class.forgotten(NoisyFineTuneUnlearner)
    assert len(said) == 1
    assert "cost the retained rows" in said[0]
    assert "larger epsilon" in said[0]
    assert unlearner.certificate()["guarantee"] == "(epsilon, delta)"


# --------------------------------------------------------------------------- rows


@pytest.mark.parametrize(
    "cls, share, unseen",
    [
        (RandomLabelUnlearner, 0.05, False),
        (RandomLabelUnlearner, 0.1, True),
        (SalUnUnlearner, 0.05, False),
        (SalUnUnlearner, 0.1, True),
        (RandomLabelUnlearner, 0.02, True),
        (RandomLabelUnlearner, 0.2, True),
        (SalUnUnlearner, 0.02, True),
        (SalUnUnlearner, 0.2, True),
    ],
)
def test_random_labels_at_small_rates_say_that_they_miss(wrong, cls, share, unseen):
    """The attack's AUC is 0.57 to 0.68 then, that of the original 0.67."""
    _, said = wrong.forgotten(cls, unseen, lr=share * wrong.net.lr)
    assert said
    assert "known by heart" in said[0] or "stand out" in said[0] or "rightly" in said[0]


def test_what_only_unseen_rows_can_tell_is_asked_of_them(wrong):
    unlearner, said = wrong.forgotten(FineTuneUnlearner)
    assert said == []
    entry = json.loads(unlearner.certificate())["deletions"][0]
    assert "rows that the model has never seen" in entry["not_looked_at"]
    unlearner, said = wrong.forgotten(FineTuneUnlearner, unseen=True)
    assert len(said) == 1
    assert "more of the forget rows are named rightly" in said[0]
    entry = json.loads(unlearner.certificate())["deletions"][0]
    assert "not_looked_at" not in entry
    found = entry["unseen"]
    name = "rightly named at equal confidence"
    assert found["rows"] > 700
    assert found["after"][name] > 0.5 * found["before"][name] > 2 * found["error"][name]
    assert entry["measured"]["unseen_after"]["score"] < entry["measured"]["retain_after"]["score"]


@pytest.mark.parametrize("cls", [NoTUnlearner, TrainedAnew])
def test_forgetting_what_was_known_by_heart_is_no_damage(wrong, cls, monkeypatch):
    """Retained rows lose ten points and more, rows that it has never seen gain."""
    monkeypatch.setattr(TrainedAnew, "share", 0.4)
    unlearner, said = wrong.forgotten(cls)
    assert len(said) == 1
    assert "retained rows" in said[0]
    assert "on those whose neighbours have the same label" in said[0]
    assert "X_val=" in said[0]
    measured = unlearner.deletions_[0]["measured"]
    lost = measured["retain_before"]["score"] - measured["retain_after"]["score"]
    agreed = int(re.search(r"and (\d+) on those", said[0])[1]) / 100
    assert lost > 0.1 > 0.05 > agreed
    unlearner, said = wrong.forgotten(cls, unseen=True)
    assert said == []
    measured = unlearner.deletions_[0]["measured"]
    assert measured["unseen_after"]["score"] > measured["unseen_before"]["score"]


def test_damage_that_is_none_of_wrong_labels_is_said_without_a_doubt(wrong):
    """Rows whose neighbours have the same label are lost as well: 33 points on unseen ones."""
    _, said = wrong.forgotten(GradientAscentUnlearner)
    assert len(said) == 1
    assert said[0].startswith("GradientAscentUnlearner cost the retained rows")
    assert "neighbours" not in said[0]


@pytest.mark.parametrize(
    "cls, params, advice",
    [
        (ProximalUnlearner, {}, "anchor=0.3 (a smaller penalty alone"),
        (ProximalUnlearner, {"anchor": 0.95, "max_epochs": 1}, "a smaller anchor="),
        (FineTuneUnlearner, {}, "more epochs or a larger learning rate"),
        (SSDUnlearner, {}, "stronger parameters"),
    ],
)
def test_the_advice_is_what_helps(wrong, cls, params, advice):
    """At the original weights no penalty forgets what is known by heart, 0 included."""
    _, said = wrong.forgotten(cls, unseen=True, **params)
    assert any(advice in text for text in said)


def test_the_advice_for_an_anchor_is_right(wrong):
    assert wrong.forgotten(ProximalUnlearner, unseen=True, penalty=0.0)[1]
    assert wrong.forgotten(ProximalUnlearner, unseen=True, anchor=0.3)[1] == []


def test_damage_to_unseen_rows_is_noticed(wrong):
    _, said = wrong.forgotten(DELETEUnlearner, unseen=True)
    assert "cost rows that it has never seen" in said[0]


def test_where_unseen_rows_are_known_as_well_nothing_is_remembered(monkeypatch):
    """As a retrained net is as sure of the digits, so that training rows alone cannot tell."""
    X, y = shuffled(*load_digits(return_X_y=True))
    net = make_net(module__hidden=128, max_epochs=40)
    task = Task(net, (X / 16).astype(np.float32), y, 1000, np.arange(100))
    for cls in (FineTuneUnlearner, TrainedAnew):
        for unseen in (True, False):  # neighbours name them as well as the net
            assert task.forgotten(cls, unseen)[1] == []


def test_of_rows_that_any_net_knows_a_small_rise_counts():
    """Their loss is 0.001 before, and 0.0017 in a net that has never seen them."""
    X, y = shuffled(*load_digits(return_X_y=True))
    net, X = make_net(module__hidden=128, max_epochs=20), (X / 16).astype(np.float32)
    losses = -np.log(Task(net, X, y, 1000, np.arange(2)).net_proba())
    easy = np.argsort(losses)[:100]
    unlearner, said = Task(net, X, y, 1000, easy).forgotten(TrainedAnew)
    measured = unlearner.deletions_[0]["measured"]
    before, after = (measured[f"forget_{key}"]["loss"] for key in ("before", "after"))
    assert before < after < before + 1e-3
    assert said == []


@pytest.mark.parametrize("seed", [1, 2])
def test_nets_trained_anew_on_a_table_are_not_accused(seed, monkeypatch):
    """They know half of the rows that they have never seen by heart; neighbours name 0.8 to 0.9."""
    X, y = make_classification(
        1500, 20, n_informative=10, n_redundant=0, n_classes=3, flip_y=0, random_state=seed
    )
    X = X.astype(np.float32)
    net = make_net(module__hidden=256, module__n_out=3, max_epochs=40)
    task = Task(net, X, y, 900, np.arange(100))
    assert task.forgotten(TrainedAnew)[1] == []
    assert len(task.forgotten(CFkUnlearner)[1]) == 1


# --------------------------------------------------------------------------- where rows come from


@quiet
def test_unseen_rows_of_a_predefined_split_are_asked(data):
    X, y = data
    split = predefined_split(as_dataset(X[30:], y[30:]))
    net = make_net(module__n_out=3, max_epochs=2, train_split=split)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X[:30], y[:30])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotForgottenWarning)
        unlearner.unlearn(indices=range(6))
    of_their_classes = np.isin(y[30:], y[:6])
    assert unlearner.deletions_[0]["unseen"]["rows"] == of_their_classes.sum() > 0


@quiet
@pytest.mark.parametrize("refit", [True, False])
def test_pipelines_show_unseen_rows_to_their_steps(data, refit):
    X, y = data
    net = make_net(module__n_out=3, max_epochs=2)
    steps = [("scale", StandardScaler()), ("net", FineTuneUnlearner(net, random_state=0))]
    pipeline = UnlearningPipeline(steps, refit_transformers=refit).fit(X[:30], y[:30])
    before = pipeline.score(X[30:], y[30:])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotForgottenWarning)
        pipeline.unlearn(indices=range(6), X_val=X[30:], y_val=y[30:])
    measured = pipeline.deletions_[0]["measured"]
    assert measured["unseen_before"]["score"] == before
    assert measured["unseen_after"]["score"] == pipeline.score(X[30:], y[30:])


@quiet
def test_regressions_are_attacked_by_their_error():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(160, 10)).astype(np.float32)
    y = rng.normal(size=160).astype(np.float32)
    net = make_regressor_net(module__hidden=256, max_epochs=100)
    unlearner = FineTuneUnlearner(net, random_state=0, max_epochs=1, lr=1e-4).fit(X[:80], y[:80])
    with pytest.warns(NotForgottenWarning) as caught:
        unlearner.unlearn(indices=range(20), X_val=X[80:], y_val=y[80:])
    assert len(caught) == 1
    found = unlearner.deletions_[0]["unseen"]
    assert found["rows"] == 80
    assert found["after"]["squared error"] > 0.3


def test_labels_that_fit_has_not_seen_are_left_out():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(90, 4)).astype(np.float32), np.arange(90) % 3
    unlearner = FineTuneUnlearner(make_net(module__n_out=3, max_epochs=2), random_state=0)
    unlearner.fit(X[:30], y[:30] % 2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotForgottenWarning)
        unlearner.unlearn(indices=range(6), X_val=X[30:], y_val=y[30:])
    assert unlearner.deletions_[0]["unseen"]["rows"] == 40
