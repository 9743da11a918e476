"""scikit-learn's checks and ours over every estimator; nothing is expected to fail."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from skunlearn.utils import parametrize_with_unlearning_checks
from tests.instances import all_instances


@parametrize_with_checks(all_instances())
def test_sklearn_checks(estimator, check):
    check(estimator)


@parametrize_with_unlearning_checks(all_instances())
def test_unlearning_checks(estimator, check):
    check(estimator)
