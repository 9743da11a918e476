"""scikit-learn's checks and ours over every estimator."""

import functools

import pytest
from sklearn.base import BaseEstimator
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingRegressor, RandomForestClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks

from skunlearn._skorch import is_net
from skunlearn.utils import parametrize_with_unlearning_checks
from tests.instances import all_instances, binary_instances

WITHOUT_WEIGHTS = (BaggingRegressor, KNeighborsRegressor, LinearDiscriminantAnalysis)


def name_of(value):
    """Short names that are the same in every process, which the repr of a net is not."""
    if isinstance(value, BaseEstimator):
        return f"{type(value).__name__}-{type(value.estimator).__name__}"
    return (value.func if isinstance(value, functools.partial) else value).__name__


def expected_failures(estimator):
    """Nothing but what no net and no forest can do, scikit-learn's own among them."""
    if is_net(estimator.estimator):
        why = "trained in batches, in which a row of weight two is not a row that comes twice"
    elif isinstance(estimator.estimator, RandomForestClassifier):
        why = "another bootstrap when a row comes twice"
    else:
        return {}
    kinds = "dense_data", "sparse_data"
    return {f"check_sample_weight_equivalence_on_{kind}": why for kind in kinds}


sklearn_checks = parametrize_with_checks(
    all_instances(), expected_failed_checks=expected_failures
).mark


@pytest.mark.parametrize(*sklearn_checks.args, ids=name_of)
def test_sklearn_checks(estimator, check):
    inner = estimator.estimator
    if isinstance(inner, WITHOUT_WEIGHTS) and "sample_weight" in name_of(check):
        pytest.skip(f"no sample weights with {type(inner).__name__}; that they are refused is told")
    check(estimator)


@parametrize_with_unlearning_checks(all_instances() + binary_instances())
def test_unlearning_checks(estimator, check):
    check(estimator)
