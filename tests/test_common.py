"""scikit-learn's checks and ours over every estimator; the cases left out are in tests/long."""

import pytest
from sklearn.base import is_classifier

from skunlearn.utils import all_unlearners
from tests.common_checks import (
    OF_EVERY_METHOD,
    covering,
    name_of,
    run_sklearn_check,
    run_unlearning_check,
    sklearn_crossing,
    turns_of_ours,
    turns_of_sklearns,
    unlearning_crossing,
)

ALL_OF_SKLEARNS, ALL_OF_OURS = sklearn_crossing(), unlearning_crossing()
SKLEARNS = covering(ALL_OF_SKLEARNS, turns_of_sklearns)
OURS = covering(ALL_OF_OURS, turns_of_ours)


@pytest.mark.parametrize("whole, part", [(ALL_OF_SKLEARNS, SKLEARNS), (ALL_OF_OURS, OURS)])
def test_every_estimator_and_every_check_is_met(whole, part):
    def met(cases, of):
        return {of(*case.values) for case in cases}

    for of in (
        lambda estimator, check: type(estimator),
        lambda estimator, check: name_of(check),
        lambda estimator, check: (type(estimator), type(estimator.estimator)),
        lambda estimator, check: (name_of(check), type(estimator.estimator)),
    ):
        assert met(part, of) == met(whole, of)
    assert met(part, lambda estimator, check: type(estimator).__name__) == set(all_unlearners())


def test_every_method_is_asked_for_what_is_promised_of_every_method():
    def asked(cases):
        of_classifiers = {}
        for case in cases:
            estimator, check = case.values
            if is_classifier(estimator.estimator):
                of_classifiers.setdefault(type(estimator), set()).add(name_of(check))
        return {cls: checks & OF_EVERY_METHOD for cls, checks in of_classifiers.items()}

    whole = asked(ALL_OF_OURS)
    assert asked(OURS) == whole
    assert set.union(*whole.values()) == OF_EVERY_METHOD


@pytest.mark.parametrize("estimator, check", SKLEARNS)
def test_sklearn_checks(estimator, check):
    run_sklearn_check(estimator, check)


@pytest.mark.parametrize("estimator, check", OURS)
def test_unlearning_checks(estimator, check):
    run_unlearning_check(estimator, check)
