"""Shadow models of real rows: what they find, and what they do not find in retrained models."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits

from skunlearn import FineTuneUnlearner, RetrainUnlearner
from skunlearn.metrics import auc
from skunlearn.shadow import ShadowModels
from tests.instances import make_net

TARGETS = 8


@pytest.fixture(scope="module")
def digits():
    """The digits, a fifth of them mislabelled, so that there is something to remember."""
    X, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(y)) < 0.2, (y + rng.integers(1, 10, len(y))) % 10, y)
    return (X / 16).astype(np.float32), y


def test_shadow_models_see_more_than_the_population_attack(digits):
    X, y = digits
    recipe = make_net(module__hidden=128, max_epochs=20)
    shadows = ShadowModels(recipe, n_models=64, random_state=0).fit(X, y)
    found = {"margin": [], "online": [], "offline": []}
    for seed in range(TARGETS):
        members = np.random.default_rng(1000 + seed).random(len(y)) < 0.5
        model = RetrainUnlearner(recipe, random_state=seed).fit(X[members], y[members])
        scores = {
            "margin": shadows._margins(model),
            "online": shadows.lira(model),
            "offline": shadows.lira(model, mode="offline"),
        }
        for name, score in scores.items():
            found[name].append(auc(score[members], score[~members]))
    mean = {name: np.mean(values) for name, values in found.items()}
    assert mean["online"] > mean["margin"] + 0.05
    assert mean["offline"] > mean["margin"] + 0.03


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.NotForgottenWarning")
def test_u_lira_tells_a_light_fine_tuning_from_retraining(digits):
    X, y = digits[0][:800], digits[1][:800]
    net = make_net(module__hidden=128, max_epochs=20)
    forget, unseen = np.arange(100), np.arange(100, 200)
    candidates, members = np.arange(800) < 200, np.r_[0:100, 200:800]
    mean, population, covered = {}, [], 0
    for name, unlearner in (
        ("light", FineTuneUnlearner(net, lr=0.001, max_epochs=1)),
        ("retrained", RetrainUnlearner(net)),
    ):
        shadows = ShadowModels(unlearner, n_models=40, random_state=0)
        shadows.fit(X, y, candidates=candidates)
        results = []
        for seed in range(TARGETS):
            model = clone(unlearner).set_params(random_state=500 + seed)
            model.fit(X[members], y[members]).unlearn(indices=forget)
            results.append(shadows.attack(model, forget, unseen, random_state=0))
            if name == "light":
                score = shadows._margins(model)
                population.append(auc(score[forget], score[unseen]))
        mean[name] = np.mean([result.auc for result in results])
        if name == "retrained":
            covered = sum(not result.distinguishable for result in results)
    assert mean["light"] > max(0.6, np.mean(population) + 0.05)
    assert abs(mean["retrained"] - 0.5) < 0.06
    assert covered >= TARGETS - 2  # 95 % intervals: fewer has a chance of 0.006 (binomial)
