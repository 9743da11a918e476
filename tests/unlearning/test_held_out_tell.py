"""Rows that a net's own train_split holds out stand in for unseen rows, where they are like any."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits, make_classification
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import ShuffleSplit
from skorch.dataset import ValidSplit
from skorch.helper import predefined_split

from skunlearn import FineTuneUnlearner, NetUnlearner, RandomLabelUnlearner, RetrainUnlearner
from skunlearn._recipe import training
from skunlearn._torch import skorch_nets
from skunlearn.exceptions import ModelDamagedWarning, NotForgottenWarning
from skunlearn.utils import all_unlearners
from tests.instances import MLP, SETTINGS, make_net
from tests.small import as_dataset
from tests.turns import in_turns

SPLIT = ValidSplit(5, stratified=True)
METHODS = [
    cls
    for name, cls in all_unlearners().items()
    if issubclass(cls, NetUnlearner) and name != "CTUnlearner"  # which wants convolutions
]


class TrainedAnew(NetUnlearner):
    """In truth a retraining, which promises nothing."""

    def _unlearn(self, net, retain, forget):
        recipe = skorch_nets.unwrap(self.estimator)
        return training.train(recipe, retain, self._classes, 1)


class Learning(MLP):
    """Writes down numbers of rows that gradients are taken of, by their first column."""

    seen = set()

    def forward(self, X):
        if torch.is_grad_enabled():
            self.seen.update(X[:, 0].tolist())
        return super().forward(X[:, 1:])


@pytest.fixture(scope="module")
def wrong():
    """Digits in no order, a fifth of the labels wrong."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    X, y = (X[order] / 16).astype(np.float32), y[order]
    y = np.where(rng.random(len(y)) < 0.2, (y + rng.integers(1, 10, len(y))) % 10, y)
    return X[:1000], y[:1000]


def net(**params):
    return make_net(module__hidden=512, max_epochs=60, train_split=SPLIT, **params)


def table(n):
    """Rows in no order."""
    X, y = make_classification(n, 8, n_informative=6, n_classes=3, random_state=0)
    return X.astype(np.float32), y


def ask(unlearner, forget, **request):
    """Entry of the log, and what was said of forgetting and of damage."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        unlearner.unlearn(indices=forget, **request)
    kinds = NotForgottenWarning, ModelDamagedWarning
    said = [str(w.message) for w in caught if issubclass(w.category, kinds)]
    return unlearner.deletions_[-1], said


def test_they_tell_that_rows_are_still_remembered():
    """At a twentieth of the net's rate, of which nothing else tells; the next one asks them too.

    A fifth of the labels is wrong, and the net has them by heart.
    """
    X, y = make_classification(
        1200, 20, n_informative=10, n_classes=5, flip_y=0.2, random_state=0
    )  # fmt: skip
    X, forget = X.astype(np.float32), np.flatnonzero(y == 0)[100:220]
    told = []
    for split in (SPLIT, None):
        recipe = net(lr=0.05, module__n_out=5).set_params(train_split=split)
        one = RandomLabelUnlearner(recipe, lr=0.0025, random_state=0).fit(X, y)
        for rows in (forget[:60], forget[60:]):
            entry, said = ask(one, rows)
            told.append(any("than of the unseen rows" in text for text in said))
            assert entry.get("unseen", {}).get("held_out", False) == (split is not None)
            assert ("not_looked_at" in entry) == (split is None)
    assert told[0]
    assert not any(told[2:])


def test_what_was_learnt_is_asked_of_rows_that_were_trained_on():
    """Random labels, of which a net knows those held out worse than by chance, and others well."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 12)).astype(np.float32), rng.integers(0, 3, 300)
    recipe = net(module__n_out=3, batch_size=16).set_params(module__hidden=64)
    one = RandomLabelUnlearner(recipe, lr=0.005, random_state=0).fit(X, y)
    entry, said = ask(one, range(150, 180))
    before = entry["measured"]["retain_before"]["loss"]
    assert before > 0.85 * np.log(3)
    assert len(said) == 1


def test_of_nets_trained_anew_nothing_is_said(wrong):
    one = TrainedAnew(net(), random_state=0).fit(*wrong)
    entry, said = ask(one, range(200, 300))
    assert said == []
    assert entry["unseen"]["held_out"]


def test_rows_that_are_brought_come_first(wrong):
    X, y = wrong
    one = FineTuneUnlearner(net(), random_state=0).fit(X[:700], y[:700])
    entry, _ = ask(one, range(300, 370), X_val=X[700:], y_val=y[700:])
    assert entry["unseen"]["rows"] == 300
    assert "held_out" not in entry["unseen"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("cls", in_turns(METHODS, 1), ids=lambda cls: cls.__name__)
def test_no_method_learns_from_them(cls):
    X, y = table(200)
    names = np.random.default_rng(0).permutation(200) / 256  # in no order
    X = np.c_[names.astype(np.float32), X]
    recipe = make_net(module__n_out=3, max_epochs=2, train_split=SPLIT).set_params(module=Learning)
    one = cls(recipe, random_state=0, **SETTINGS.get(cls.__name__, {}))
    Learning.seen.clear()
    one.fit(X, y)
    for k in (100, 120):
        one.unlearn(indices=range(k, k + 5))
    held = one._fitted.never_trained
    promises = one._make_promises()
    if promises.exact or promises.judges_itself:
        assert held is None
    else:
        assert len(held) > 30
        assert not Learning.seen & set(names[held].tolist())
        assert len(Learning.seen) > 120


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "split, order, frozen",
    [
        (None, "none", False),
        (ValidSplit(0.2, stratified=True), "none", False),  # drawn at random
        (ValidSplit(ShuffleSplit(1, random_state=None)), "none", False),
        (lambda data, y: (data, data), "none", False),  # of the user's own kind
        (SPLIT, "sorted", False),
        (SPLIT, "copies", False),
        (SPLIT, "none", True),  # it may have been trained on other rows
    ],
)
def test_where_nobody_can_say_they_are_not_asked(split, order, frozen):
    X, y = table(300)
    if order == "sorted":
        at = np.argsort(X[:, 0])
        X, y = X[at], y[at]
    elif order == "copies":
        X, y = np.repeat(X[:150], 2, axis=0), np.repeat(y[:150], 2)
        X = X + np.random.default_rng(0).normal(size=X.shape, scale=0.01).astype(np.float32)
    recipe = make_net(module__n_out=3, max_epochs=2, train_split=split)
    if frozen:
        recipe = FrozenEstimator(recipe.fit(X, y))
    entry, _ = ask(FineTuneUnlearner(recipe, random_state=0).fit(X, y), range(200, 230))
    assert "not_looked_at" in entry


@pytest.mark.filterwarnings("ignore")
def test_a_split_that_draws_the_same_each_time_is_known():
    X, y = table(300)
    split = ValidSplit(ShuffleSplit(1, test_size=0.2, random_state=0))
    recipe = make_net(module__n_out=3, max_epochs=2, train_split=split)
    entry, _ = ask(FineTuneUnlearner(recipe, random_state=0).fit(X, y), range(10))
    # Another draw of fewer rows: a fifth of a fifth is held out of both.
    assert entry.get("unseen", {}).get("rows", 0) < 30


@pytest.mark.filterwarnings("ignore")
def test_rows_of_a_predefined_split_are_no_rows_of_fit():
    X, y = table(300)
    recipe = make_net(
        module__n_out=3, max_epochs=2, train_split=predefined_split(as_dataset(X[200:], y[200:]))
    )
    entry, _ = ask(FineTuneUnlearner(recipe, random_state=0).fit(X[:200], y[:200]), range(50, 80))
    assert entry["unseen"]["rows"] == 100
    assert "held_out" not in entry["unseen"]


def test_exact_methods_need_none():
    X, y = table(300)
    recipe = make_net(module__n_out=3, max_epochs=1, train_split=SPLIT)
    one = RetrainUnlearner(recipe, random_state=0).fit(X, y).unlearn(indices=range(5))
    assert not {"unseen", "not_looked_at"} & set(one.deletions_[0])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("how", ["set", "in place", "loaded", "loaded frozen"])
def test_of_a_split_that_was_set_after_fit_nobody_can_say(how, tmp_path):
    """Rows that the new one would hold out were trained on; so were those of a frozen net."""
    X, y = table(300)
    split = ValidSplit(5, stratified=True)
    recipe = make_net(module__n_out=3, max_epochs=2, train_split=split)
    first = FrozenEstimator(recipe.fit(X, y)) if how == "loaded frozen" else recipe
    one = FineTuneUnlearner(first, random_state=0).fit(X, y)
    if how == "set":
        one.set_params(estimator__train_split=ValidSplit(3, stratified=True))
    elif how == "in place":
        split.cv = 3
    else:
        one.save(tmp_path / "model")
        other = make_net(module__n_out=3, max_epochs=2, train_split=ValidSplit(3, stratified=True))
        other = recipe if how == "loaded frozen" else other
        one = FineTuneUnlearner(other, random_state=0).load(tmp_path / "model").attach(X, y)
    entry, _ = ask(one, range(200, 230))
    assert "not_looked_at" in entry
    assert one._fitted.never_trained is None


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("requests", [0, 1, 2])
def test_a_model_that_was_loaded_knows_its_split(requests, tmp_path):
    """And which rows no request has trained on, as a file tells that was written after some."""
    X, y = table(300)
    recipe = make_net(module__n_out=3, max_epochs=2, train_split=SPLIT)
    one, stays = (FineTuneUnlearner(recipe, random_state=0).fit(X, y) for _ in range(2))
    for k in range(requests):
        for each in (one, stays):
            each.unlearn(indices=range(20 * k, 20 * k + 20))
    one.save(tmp_path / "model")
    one, gone = FineTuneUnlearner(recipe, random_state=0).load(tmp_path / "model"), 20 * requests
    one.attach(X[gone:], y[gone:])
    entries = [ask(each, range(200, 230))[0] for each in (one, stays)]
    assert entries[0]["unseen"]["held_out"]
    assert entries[0]["unseen"] == entries[1]["unseen"]
    assert np.array_equal(one._fitted.never_trained, stays._fitted.never_trained)
