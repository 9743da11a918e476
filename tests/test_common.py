"""scikit-learn's checks and ours over every estimator; nothing is expected to fail."""

import functools

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils.estimator_checks import parametrize_with_checks

from skunlearn.utils import parametrize_with_unlearning_checks
from tests.instances import all_instances, binary_instances


def name_of(value):
    """Short names that are the same in every process, which the repr of a net is not."""
    if isinstance(value, BaseEstimator):
        return f"{type(value).__name__}-{type(value.estimator).__name__}"
    return (value.func if isinstance(value, functools.partial) else value).__name__


sklearn_checks = parametrize_with_checks(all_instances()).mark


@pytest.mark.parametrize(*sklearn_checks.args, ids=name_of)
def test_sklearn_checks(estimator, check):
    check(estimator)


@parametrize_with_unlearning_checks(all_instances() + binary_instances())
def test_unlearning_checks(estimator, check):
    check(estimator)
