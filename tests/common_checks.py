"""scikit-learn's checks and ours crossed with the estimators, and a part of it that covers both.

Methods for nets are fitted and asked by the same code. So a check of scikit-learn's that fits
meets the plain method, half of those that watch the training and every tenth of the others, the
next check the next ones; what fits nothing, and estimators other than nets, are quick and met by
everything. Of ours those `OF_EVERY_METHOD` meet each with a classifier, those of
`AROUND_A_METHOD`, and nets with other outputs, every eighth, and the others every fourth; nets
are trained briefly where a check does not ask what they know. tests/long has the whole crossing.
"""

import functools

import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingRegressor, RandomForestClassifier
from sklearn.neighbors import KNeighborsRegressor
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch import NeuralNetClassifier, NeuralNetRegressor

from skunlearn import RetrainUnlearner
from skunlearn._torch.skorch_nets import is_net
from skunlearn.utils import parametrize_with_unlearning_checks
from skunlearn.utils._check_tools import sharing
from tests.instances import all_instances, binary_instances, make_net, make_regressor_net

WITHOUT_WEIGHTS = (BaggingRegressor, KNeighborsRegressor, LinearDiscriminantAnalysis)
# Of the class or its parameters; a method that breaks one is seen by no other method's.
FIT_NOTHING = {
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_sparse_tag",
    "check_estimator_tags_renamed",
    "check_estimators_partial_fit_n_features",
    "check_estimators_unfitted",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_set_params",
    "check_valid_tag_types",
}

# Labels, containers, names of rows and the log are handled by code that all methods share: in
# turns, too.
AROUND_A_METHOD = {
    "check_bad_requests",
    "check_clone",
    "check_files",
    "check_fit_forget",
    "check_input_untouched",
    "check_label_types",
    "check_log",
    "check_pickle_containers",
    "check_rows_of_request",
    "check_ways_of_naming",
}
# What the documentation promises of every method: each meets them in the quick tests, too.
OF_EVERY_METHOD = {
    "check_estimator_untouched",
    "check_moves_toward_retrained",
    "check_reads_as_declared",
    "check_reads_forget_set",
    "check_reads_only_its_rows",
    "check_second_request",
    "check_seeds",
}
# Checks that ask what a net knows; to the others it is the same how well it was trained.
OF_WHAT_IS_LEARNT = {
    "check_classifiers_classes",
    "check_classifiers_train",
    "check_moves_toward_retrained",
    "check_reads_as_declared",
    "check_regressors_train",
}
_TRAINED = {}  # what the checks of one estimator have in common, in this process


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
    failures = {f"check_sample_weight_equivalence_on_{kind}": why for kind in kinds}
    if isinstance(estimator.estimator, NeuralNetRegressor):
        failures["check_supervised_y_2d"] = "skorch's regressors want a column, nothing to warn of"
    return failures


def sklearn_crossing():
    """Every estimator with each of scikit-learn's checks, as parameters of a test."""
    # Some ask that a net learns, for which half the epochs do; one of ours what it remembers.
    quick = make_net(max_epochs=18), make_regressor_net(max_epochs=30)
    estimators = all_instances(*quick)
    cases = parametrize_with_checks(estimators, expected_failed_checks=expected_failures)
    return briefly([case_of(case) for case in cases.mark.args[1]], estimators)


def unlearning_crossing():
    """Every estimator with each of our checks, as parameters of a test."""
    estimators = all_instances() + binary_instances()
    return briefly(parametrize_with_unlearning_checks(estimators).mark.args[1], estimators)


def briefly(cases, estimators):
    """The same cases; where a check does not ask what a net knows, it is trained briefly."""
    nets = {}
    brief = {id(one): trained_briefly(one, nets) for one in estimators if is_net(one.estimator)}
    crossing = []
    for case in cases:
        estimator, check = case.values
        if name_of(check) not in OF_WHAT_IS_LEARNT:
            estimator = brief.get(id(estimator), estimator)
        crossing.append(pytest.param(estimator, check, id=case.id, marks=case.marks))
    return crossing


def trained_briefly(estimator, nets):
    """The same method around a net that is trained for a sixth of the epochs.

    `nets` holds those that were made for others, as checks share what they know of a net.
    """
    inner = estimator.estimator
    if id(inner) not in nets:
        nets[id(inner)] = clone(inner).set_params(max_epochs=inner.max_epochs // 6)
    new = type(estimator)(**estimator.get_params(deep=False) | {"estimator": nets[id(inner)]})
    if getattr(new, "max_epochs", None):
        new.set_params(max_epochs=-(-new.max_epochs // 6))
    return new


def case_of(case):
    """With a name; scikit-learn gives those that are to fail as parameters, others as pairs."""
    values, marks = (case.values, case.marks) if hasattr(case, "values") else (case, ())
    return pytest.param(*values, marks=marks, id="-".join(map(name_of, values)))


def covering(cases, every):
    """One of so many cases as `every(estimator, check)` says.

    Each check takes its turns on its own and begins elsewhere than the one before, so that all
    checks and all estimators are met.
    """
    kept, turns = [], {}
    for case in cases:
        estimator, check = case.values
        so_many = every(estimator, name_of(check))
        key = so_many, name_of(check), str(getattr(check, "keywords", ""))
        turns[key] = turns.setdefault(key, len(turns)) + 1
        if turns[key] % so_many == 0:
            kept.append(case)
    return kept


def turns_of_sklearns(estimator, check):
    """Of how many cases one stays in the quick tests: few of those that fit a net as others do."""
    if check in FIT_NOTHING or not is_net(estimator.estimator):
        return 1
    if isinstance(estimator, RetrainUnlearner):
        return 1
    if type(estimator.estimator) is NeuralNetClassifier and is_first_of_its_kind(estimator):
        return 2 if estimator._make_promises().watches_training else 10
    return 10


def turns_of_ours(estimator, check):
    """Of how many cases one stays in the quick tests: fewer of nets with other kinds of output.

    And of what is asked of requests before a method sees them.
    """
    if not is_net(estimator.estimator):
        return 1
    if type(estimator.estimator) is not NeuralNetClassifier or not is_first_of_its_kind(estimator):
        return 8
    if isinstance(estimator, RetrainUnlearner) or check in OF_EVERY_METHOD:
        return 1
    return 8 if check in AROUND_A_METHOD else 4


def is_first_of_its_kind(estimator):
    """Whether it is no variant of a method: shards have slices in tests of their own."""
    return getattr(estimator, "n_slices", 1) == 1


def run_unlearning_check(estimator, check):
    """Run one of ours on copies of what others of the same estimator have trained."""
    with sharing(_TRAINED):
        check(estimator)


def run_sklearn_check(estimator, check):
    """Run one of scikit-learn's checks, or skip it where the inner estimator cannot pass it."""
    inner = estimator.estimator
    if isinstance(inner, WITHOUT_WEIGHTS) and "sample_weight" in name_of(check):
        pytest.skip(f"no sample weights with {type(inner).__name__}; that they are refused is told")
    try:
        check(estimator)
    except Exception as error:
        if name_of(check) not in expected_failures(estimator):
            raise
        # Of each, pytest would parse scikit-learn's files again.
        raise error.with_traceback(None) from None
