"""Draws after deletions, with enough members to see small differences."""

import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import BaggingClassifier, ExtraTreesClassifier, RandomForestClassifier

from skunlearn import ForestUnlearner
from tests.exact.forests import SIX, law, p_value, patterns, stumps

pytestmark = pytest.mark.long


@pytest.mark.parametrize(
    "forest, m, replace",
    [
        (stumps(RandomForestClassifier, n=3000, max_samples=3), 3, True),
        (stumps(ExtraTreesClassifier, n=3000, bootstrap=True), 6, True),
        (stumps(BaggingClassifier, n=3000, max_samples=4), 4, True),
        (stumps(BaggingClassifier, n=3000, max_samples=3, bootstrap=False), 3, False),
    ],
    ids=["forest", "extra", "bagging", "pasting"],
)
def test_draws_after_many_requests(forest, m, replace):
    """p-values over many seeds are uniform, which one test at one seed cannot show."""
    X, y = SIX
    found = []
    for seed in range(6):
        forest.set_params(n_estimators=500)
        unlearner = ForestUnlearner(forest, random_state=seed).fit(X, y)
        unlearner.unlearn(indices=[2]).unlearn(indices=[5])
        found.append(p_value(patterns(unlearner, np.array([0, 1, 3, 4])), law(4, m, replace)))
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    unlearner = ForestUnlearner(forest.set_params(n_estimators=3000), random_state=9).fit(X, y)
    unlearner.unlearn(indices=[0, 3])
    assert p_value(patterns(unlearner, np.array([1, 2, 4, 5])), law(4, m, replace)) > 1e-3
