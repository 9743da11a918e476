"""ProximalUnlearner around an anchor between the original and new weights."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import RandomizedSearchCV
from torch import nn

from skunlearn import (
    ProximalUnlearner,
    ShrinkPerturbUnlearner,
)
from skunlearn.exceptions import UnlearningError
from skunlearn.metrics import MIAScorer
from skunlearn.model_selection import ForgetSplit, one_standard_error
from skunlearn.utils._check_tools import parameters, same_parameters
from tests.finetuning.nets import ALL, convolutional, line, ridge, w
from tests.heart import check_nearer, noisy_digits, told_apart
from tests.instances import make_net

# What the methods say about toy data is not what is tested here.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


# ------------------------------------------------------------------ the anchor


def test_a_share_of_the_weights_without_a_penalty_is_shrink_and_perturb(unrelated):
    X, y = unrelated
    for share in (0.0, 0.4):
        ours = ProximalUnlearner(convolutional(), penalty=0, anchor=share, random_state=0)
        other = ShrinkPerturbUnlearner(convolutional(), shrink=share, random_state=0)
        for unlearner in (ours, other):
            unlearner.fit(X, y).unlearn(indices=np.arange(9))
        assert same_parameters(parameters(ours.estimator_), parameters(other.estimator_))


def test_the_anchor_is_a_point_between_the_original_and_new_weights(unrelated):
    """A huge penalty stays where it starts: at a θᵒ + (1 − a) θⁿᵉʷ, whatever θᵒ is."""
    X, y = unrelated
    held = {}
    for share in (1.0, 0.25, 0.0):
        for lr in (0.1, 0.01):
            unlearner = ProximalUnlearner(
                convolutional(lr=lr), penalty=1e30, anchor=share, max_epochs=1, random_state=0
            ).fit(X, y)
            unlearner.unlearn(indices=[0, 1])
            held[share, lr] = parameters(unlearner.estimator_)
    for key in ALL:
        new, *mixed = (held[at][f"module.{key}"] for at in ((0.0, 0.1), (0.25, 0.1), (0.25, 0.01)))
        np.testing.assert_allclose(new, held[0.0, 0.01][f"module.{key}"], atol=1e-5)
        for found, lr in zip(mixed, (0.1, 0.01)):
            expected = 0.25 * held[1.0, lr][f"module.{key}"] + 0.75 * new
            np.testing.assert_allclose(found, expected, atol=1e-5)
    # Or the test could not fail.
    assert not np.allclose(held[1.0, 0.1]["module.head.weight"], new, atol=0.05)


def test_the_fixed_point_is_that_of_the_penalty_to_this_anchor(quadratic):
    X, y = quadratic
    params = {"anchor": 0.4, "schedule": "constant", "random_state": 0}
    held = ProximalUnlearner(line(), penalty=1e30, max_epochs=1, **params).fit(X, y)
    anchor = w(held.unlearn(indices=np.arange(8)))
    free = ProximalUnlearner(line(), penalty=0.5, max_epochs=500, **params).fit(X, y)
    free.unlearn(indices=np.arange(8))
    expected = ridge(X[8:], np.float32(y[8:]).astype(float), anchor, 0.5, np.ones(3))
    np.testing.assert_allclose(w(free), expected, rtol=1e-5)


def test_only_a_shrunk_anchor_needs_a_net_built_anew(unrelated):
    X, y = unrelated
    trained = convolutional().fit(X, y)
    trained.module_.head = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3))
    unlearner = ProximalUnlearner(FrozenEstimator(trained), random_state=0).fit(X, y)
    assert not unlearner._make_promises().trains_from_scratch
    unlearner.unlearn(indices=[0])
    unlearner.set_params(anchor=0.3)
    assert unlearner._make_promises().trains_from_scratch
    with pytest.raises(UnlearningError, match="changed after they were built"):
        unlearner.unlearn(indices=[1])
    assert len(unlearner.deletions_) == 1
    for wrong in (-0.1, 1.1, "original"):
        with pytest.raises(ValueError, match="anchor"):
            ProximalUnlearner(make_net(), anchor=wrong).fit(X, y)


@pytest.mark.filterwarnings("ignore::skunlearn.exceptions.ModelDamagedWarning")
def test_rows_known_by_heart_are_forgotten_at_a_shrunk_anchor():
    check_nearer(
        lambda net: ProximalUnlearner(net, anchor=0.3, random_state=0), way=0.75, moved=0.05
    )


def test_a_search_finds_a_setting_that_forgets_rows_known_by_heart(tmp_path):
    X, y, unseen, gone, net, state, before, wanted = noisy_digits()
    forget = np.isin(np.arange(len(y)), gone)
    unlearner = ProximalUnlearner(net, random_state=0, memory=str(tmp_path))
    search = RandomizedSearchCV(
        unlearner, unlearner.search_space(), n_iter=3, random_state=0, refit=one_standard_error,
        cv=ForgetSplit(2, forget=forget, random_state=0),
        scoring={"accuracy": "accuracy", "forgetting": MIAScorer(reference="short")},
    )  # fmt: skip
    search.fit(X, y, forget=forget)
    found = told_apart(search, (X[gone], y[gone]), unseen)
    for here, original, retrained in zip(found, before, wanted):
        assert abs(here - retrained) < 0.25 * abs(original - retrained), (found, before, wanted)
    assert search.best_estimator_.score(*unseen) > state["_fitted"].model.score(*unseen)
