"""Search spaces hold valid settings around the defaults."""

import sys

import numpy as np
import pytest
from sklearn.model_selection import RandomizedSearchCV

from skunlearn import NegGradPlusUnlearner, SCRUBUnlearner, UNSIRUnlearner
from skunlearn.model_selection import ForgetSplit
from skunlearn.utils import all_unlearners
from tests.instances import make_net

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.mark.parametrize("name", sorted(all_unlearners(nets=True)))
def test_search_spaces_hold_valid_settings(name):
    unlearner = all_unlearners()[name](make_net(), random_state=0)
    if not hasattr(unlearner, "search_space"):
        pytest.skip("there is nothing to tune")
    rng = np.random.RandomState(0)
    space = unlearner.search_space()
    for values in (space, unlearner.search_space("grid", n_points=3)):
        for key, choices in values.items():
            assert key in unlearner.get_params()
            picked = choices.rvs(size=5, random_state=rng) if hasattr(choices, "rvs") else choices
            for value in picked:
                unlearner.set_params(**{key: value})
                unlearner._check_parameters()
    with pytest.raises(ValueError, match="kind must be"):
        unlearner.search_space("all")


@pytest.mark.parametrize("name", sorted(all_unlearners(nets=True)))
def test_searches_look_around_the_defaults(name):
    unlearner = all_unlearners()[name](make_net(lr=0.1, max_epochs=30))
    if not hasattr(unlearner, "search_space"):
        pytest.skip("there is nothing to tune")
    space = unlearner.search_space()
    if "max_epochs" in space:
        low, high = space["max_epochs"].support()
        assert low < unlearner._epochs() < high
    if "lr" in space:
        low, high = space["lr"].support()
        assert low < 0.1 * unlearner._lr_share < high


def test_the_space_of_unsir_reaches_beyond_the_rate_of_the_net():
    """On nets trained at a low rate the default leaves the class, and so do smaller ones."""
    assert UNSIRUnlearner(make_net(lr=0.1)).search_space()["lr"].support()[1] >= 0.3


def test_optuna_takes_the_spaces():
    optuna = pytest.importorskip("optuna", reason="Optuna is not installed")
    space = SCRUBUnlearner(make_net()).search_space("optuna")
    assert space["alpha"] == optuna.distributions.FloatDistribution(1e-4, 1.0, log=True)
    assert isinstance(space["max_epochs"], optuna.distributions.IntDistribution)


def test_without_optuna_it_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match="pip install optuna"):
        SCRUBUnlearner(make_net()).search_space("optuna")


def test_search_spaces_work_in_a_search(data):
    X, y = data
    unlearner = NegGradPlusUnlearner(make_net(module__n_out=3, max_epochs=2), random_state=0)
    forget = np.arange(60) < 12
    search = RandomizedSearchCV(
        unlearner, unlearner.search_space(), n_iter=3, random_state=0,
        cv=ForgetSplit(2, forget=forget, random_state=0),
    )  # fmt: skip
    search.fit(X, y, forget=forget)
    assert 0.7 <= search.best_params_["beta"] <= 0.999
