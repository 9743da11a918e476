"""Tools for the authors of unlearners."""

from skunlearn.utils.estimator_checks import (
    check_unlearner,
    parametrize_with_unlearning_checks,
    yield_unlearning_checks,
)

__all__ = [
    "check_unlearner",
    "parametrize_with_unlearning_checks",
    "yield_unlearning_checks",
]
