"""scikit-learn's checks and ours over every estimator, all of them."""

import pytest

from tests.common_checks import (
    run_sklearn_check,
    run_unlearning_check,
    sklearn_crossing,
    unlearning_crossing,
)


@pytest.mark.parametrize("estimator, check", sklearn_crossing())
def test_sklearn_checks(estimator, check):
    run_sklearn_check(estimator, check)


@pytest.mark.parametrize("estimator, check", unlearning_crossing())
def test_unlearning_checks(estimator, check):
    run_unlearning_check(estimator, check)
