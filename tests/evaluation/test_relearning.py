"""relearning_attack: hidden knowledge comes back from a few rows, forgotten knowledge does not."""

import copy

import numpy as np
import pytest
import torch

from skunlearn import FineTuneUnlearner
from skunlearn.evaluation import (
    over_unlearning,
    relearn_time,
    relearning_attack,
    verification_attack,
)
from skunlearn.utils._check_tools import generators, parameters, same_parameters
from tests.instances import make_net, make_regressor_net


@pytest.fixture(scope="module")
def case():
    """Random labels of 40 rows, which a net can only know by heart; and nets with and without."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(240, 20)).astype(np.float32)
    y = rng.integers(0, 4, 240)
    params = {"module__n_out": 4, "module__hidden": 200, "max_epochs": 60, "lr": 0.05, "verbose": 0}
    nets = {}
    for name, rows in (("original", slice(None)), ("retrained", slice(40, None))):
        torch.manual_seed(0)
        nets[name] = make_net(**params).fit(X[rows], y[rows])
    return nets, X[:40], y[:40]


def hidden(net):
    """The same net with outputs that are turned around by its last bias: it only hides."""
    new = copy.deepcopy(net)
    with torch.no_grad():
        new.module_.out.bias += torch.tensor([6.0, 0.0, 0.0, -6.0])
    return new


def test_hidden_knowledge_comes_back(case):
    nets, X, y = case
    models = nets | {"hidden": hidden(nets["original"])}
    results = relearning_attack(models, X, y, k=[4, 20], lr=0.5)
    assert list(results.index) == [(name, k) for name in models for k in (4, 20)]
    at = results.xs(20, level="k")
    assert at.loc["original", "before"] == 1
    assert at.loc["hidden", "before"] < 0.7
    assert at.loc["hidden", "excess"] > 0.2  # it had kept the rows
    assert at.loc["retrained", "excess"] == 0
    assert abs(at.loc["retrained", "regained"]) < 0.15  # random labels teach nothing of others
    assert np.allclose(results["regained"], results["after"] - results["before"])
    base = results.loc["retrained", "after"].loc[[4, 20, 4, 20, 4, 20]].to_numpy()
    assert np.allclose(results["excess"], results["after"] - base)


def test_only_rows_that_were_kept_back_are_counted(case):
    """With the rest's labels turned, learning the k rows cannot raise the figure."""
    nets, X, y = case
    wrong = y.copy()
    wrong[10:] = (y[10:] + 1) % 4
    whole = relearning_attack({"original": nets["original"]}, X, wrong, k=39, n_repeats=9)
    # One row is left in each draw, and about a quarter of these is among the first ten.
    assert set((whole["before"] * 9).round(6)) <= set(range(10))
    assert "excess" not in whole


def test_it_repeats_and_touches_nothing(case):
    nets, X, y = case
    before, state = {n: parameters(m) for n, m in nets.items()}, generators()
    runs = [relearning_attack(nets, X, y, k=3, n_repeats=2, random_state=s) for s in (0, 0, 1)]
    assert generators() == state
    assert runs[0].equals(runs[1])
    assert not runs[0].equals(runs[2])
    for name, net in nets.items():
        assert same_parameters(parameters(net), before[name])


def test_rows_of_other_classes_keep_the_net_from_collapse():
    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(3), 50)
    X = (rng.normal(size=(150, 4)) + 3 * np.eye(3, 4)[y]).astype(np.float32)
    net = make_net(module__n_out=3, verbose=0).fit(X[30:], y[30:])
    forget, others = (X[:40], y[:40]), (X[50:], y[50:])
    given = {"X_others": others[0], "y_others": others[1], "lr": 3.0, "max_epochs": 50}
    unseen = {"X_unseen": X[40:50], "y_unseen": y[40:50]}
    plain = relearning_attack({"net": net}, *forget, k=20, lr=3.0, max_epochs=50, **unseen)
    mixed = relearning_attack({"net": net}, *forget, k=20, **given, **unseen)
    assert plain["after"].item() == plain["unseen after"].item() == 1
    assert "others after" not in plain
    assert mixed["others after"].item() > 0.9
    # Without them everything is called by the one class.
    with_classes = relearning_attack(
        {"net": net}, *forget, k=20, lr=3.0, max_epochs=50, X_unseen=others[0], y_unseen=others[1]
    )
    assert with_classes["unseen after"].item() < 0.6


def test_unlearners_and_labels_of_any_kind(case):
    _, X, y = case
    names = np.array(list("abcd"))[y]
    net = make_net(max_epochs=2, module__n_out=4)
    unlearner = FineTuneUnlearner(net, random_state=0).fit(X, names)
    results = relearning_attack({"mine": unlearner}, X, names, k=np.array([2]), n_repeats=1)
    assert results.loc[("mine", 2), "before"] <= 1
    with pytest.raises(ValueError, match="labels"):
        relearning_attack({"mine": unlearner}, X, np.full(40, "z"), k=1)


def test_bad_requests(case):
    nets, X, y = case
    with pytest.raises(ValueError, match="at most 39"):
        relearning_attack(nets, X, y, k=40)
    for given in ({"k": 0}, {"lr": 0}, {"max_epochs": 0}, {"n_repeats": 0}):
        with pytest.raises(ValueError, match=next(iter(given))):
            relearning_attack(nets, X, y, **given)
    regressor = make_regressor_net(max_epochs=1).fit(X, X[:, :1])
    with pytest.raises(TypeError, match="no skorch classifier"):
        relearning_attack({"r": regressor}, X, X[:, 0], k=1)


@pytest.mark.parametrize("asked", [
    lambda net, X, y: relearning_attack(net, X, y),
    lambda net, X, y: relearn_time(net, X, y),
    lambda net, X, y: verification_attack(net, X, y, X),
    lambda net, X, y: over_unlearning(net, X, y, X_forget=X, y_forget=y),
])  # fmt: skip
def test_models_are_passed_by_name(case, asked):
    nets, X, y = case
    with pytest.raises(TypeError, match="models must be a dict of models by name, got NeuralNet"):
        asked(nets["original"], X, y)
