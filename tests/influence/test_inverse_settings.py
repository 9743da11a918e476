"""The nested settings of the inverse: searched, named and refused."""

import json

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV

from skunlearn import InfluenceUnlearner, PUMAUnlearner
from skunlearn.influence import (
    InverseCurvature,
    influence,
)
from tests.instances import make_net

QUICK = {"inverse": InverseCurvature(solver="ekfac", curvature_rows=300), "random_state": 0}


def weights_of(net):
    return np.concatenate([p.detach().numpy().ravel() for p in net.module_.parameters()])


# ------------------------------------------------------------------ nested settings


@pytest.mark.parametrize("cls", [InfluenceUnlearner, PUMAUnlearner])
def test_a_search_reaches_the_nested_settings(data, cls):
    X, y = data
    search = GridSearchCV(
        cls(make_net(max_epochs=1), random_state=0),
        {"inverse__damping": [0.5, 2.0], "inverse__solver": ["ekfac"]},
        cv=2,
        error_score="raise",
    ).fit(X, y)
    found = search.best_estimator_
    assert found.inverse.solver == "ekfac"
    assert found.get_params()["inverse__damping"] == search.best_params_["inverse__damping"]
    space = cls(make_net()).search_space("grid", n_points=2)
    assert space["inverse__damping"] == [0.001, 10.0]
    for name, values in space.items():
        assert clone(search.estimator).set_params(**{name: values[0]}).get_params()[name]


def test_the_default_inverse_is_nobody_elses():
    one, other = (InfluenceUnlearner(make_net()) for _ in range(2))
    assert one.set_params(inverse__damping=7.0) is one
    assert (one.inverse.damping, other.inverse) == (7.0, None)
    given = InverseCurvature(damping=3.0)
    other.set_params(inverse=given, inverse__solver="exact")
    assert other.inverse is given
    assert (given.damping, given.solver) == (3.0, "exact")
    assert other.set_params(inverse=None).inverse is None
    # A clone has a copy of its own.
    clone(one).set_params(inverse__damping=0.0)
    assert one.inverse.damping == 7.0
    with pytest.raises(ValueError, match="Invalid parameter 'solvent'"):
        one.set_params(inverse__solvent="cg")


def test_no_damping_is_that_of_the_use(data):
    X, y = data
    net = make_net(max_epochs=3).set_params(verbose=0).fit(X, y)

    def moved(inverse):
        unlearner = InfluenceUnlearner(FrozenEstimator(net), inverse=inverse, random_state=0)
        return weights_of(unlearner.fit(X, y).unlearn(indices=[0, 1]).estimator_)

    def ranked(inverse):
        return influence(net, X, y, X[:2], y[:2], inverse=inverse)

    for use, damping, other in ((moved, 1.0, 0.1), (ranked, 0.1, 1.0)):
        given = {d: use(InverseCurvature(solver="ekfac", damping=d)) for d in (damping, other)}
        unsaid = use(InverseCurvature(solver="ekfac"))
        np.testing.assert_array_equal(unsaid, given[damping])
        assert not np.array_equal(unsaid, given[other])


def test_the_certificate_names_the_nested_settings(data):
    X, y = data
    unlearner = InfluenceUnlearner(make_net(max_epochs=1), **QUICK).fit(X, y)
    (entry,) = json.loads(unlearner.unlearn(indices=[3]).certificate())["deletions"]
    assert "solver='ekfac'" in entry["parameters"]["inverse"]


@pytest.mark.parametrize("inverse", ["ekfac", {"solver": "ekfac"}, InverseCurvature])
def test_what_is_no_inverse_is_refused(data, inverse):
    X, y = data
    unlearner = InfluenceUnlearner(make_net(max_epochs=1), inverse=inverse)
    with pytest.raises(TypeError, match=r"inverse must be.*InverseCurvature"):
        unlearner.fit(X, y)
    with pytest.raises(TypeError, match=r"inverse must be.*InverseCurvature"):
        influence(make_net(max_epochs=1).fit(X, y), X, y, X, y, inverse=inverse)
