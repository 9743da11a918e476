"""What parameters may be is declared, checked before any training, and said in the error."""

import importlib.util

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import InvalidParameterError

from skunlearn import (
    AmnesiacUnlearner,
    BoundaryUnlearner,
    CertifiedRemovalUnlearner,
    FineTuneUnlearner,
    GradientAscentUnlearner,
    InfluenceUnlearner,
    L1SparseUnlearner,
    PUMAUnlearner,
    RetrainUnlearner,
    SCRUBUnlearner,
    ShardedUnlearner,
)
from skunlearn._rows.constraints import check_parameters
from skunlearn.influence import InverseCurvature
from skunlearn.utils import all_unlearners
from tests.instances import all_instances, make_net

EVERY = {type(one).__name__: one for one in all_instances()} | {"": InverseCurvature()}
if importlib.util.find_spec("torch_geometric") is not None:
    from skunlearn.graph import GraphEraser

    EVERY["GraphEraser"] = GraphEraser(make_net())


class Nothing:
    """What no parameter is."""

    def __repr__(self):
        return "Nothing()"


@pytest.mark.parametrize("name", EVERY)
def test_every_parameter_is_declared(name):
    estimator = EVERY[name]
    check_parameters(estimator)
    params, declared = estimator.get_params(deep=False), estimator._parameter_constraints
    assert set(params) <= set(declared)
    for parameter, value in params.items():
        if declared[parameter] == "no_validation":
            continue
        estimator.set_params(**{parameter: Nothing()})
        with pytest.raises(InvalidParameterError, match=rf"^{parameter} must be .*got Nothing\(\)"):
            check_parameters(estimator)
        estimator.set_params(**{parameter: value})


def test_all_public_methods_are_among_them():
    assert set(all_unlearners()) <= set(EVERY)


@pytest.mark.parametrize("method, params, message", [
    (FineTuneUnlearner, {"lr": 0}, r"lr must be a float in the range (0.0, inf) or None, got 0."),
    (FineTuneUnlearner, {"lr": np.nan}, "lr must be a float in the range (0.0, inf) or None, got"),
    (FineTuneUnlearner, {"lr": np.inf}, "lr must be a float in the range (0.0, inf) or None, got"),
    (FineTuneUnlearner, {"schedule": "cosine"},
     "schedule must be one of 'constant', 'linear', 'net', got 'cosine'."),
    (FineTuneUnlearner, {"max_epochs": 0}, "max_epochs must be an int in the range [1, inf) or N"),
    (FineTuneUnlearner, {"max_epochs": 1.5}, "max_epochs must be an int in the range [1, inf) or"),
    (FineTuneUnlearner, {"early_stopping": "yes"}, "early_stopping must be True or False, got"),
    (AmnesiacUnlearner, {"max_epochs": -1}, "max_epochs must be an int in the range [0, inf) or N"),
    (GradientAscentUnlearner, {"bound": "none"},
     "bound must be 'chance' or a float in the range (0.0, inf), got 'none'."),
    (GradientAscentUnlearner, {"bound": 0.0}, "bound must be 'chance' or a float in the range (0."),
    (BoundaryUnlearner, {"kind": None}, "kind must be one of 'expand', 'shrink', got None."),
    (L1SparseUnlearner, {"exclude": 3}, "exclude must be an instance of 'str' or an array-like"),
    (SCRUBUnlearner, {"rewind": "X"}, "rewind must be None or a pair (X, y)"),
    (SCRUBUnlearner, {"rewind": (1, 2, 3)}, "rewind must be None or a pair (X, y)"),
    (PUMAUnlearner, {"l1_ratio": 1.0}, "l1_ratio must be a float in the range [0.0, 1.0), got 1."),
    (InfluenceUnlearner, {"inverse__damping": -1.0},
     "damping must be a float in the range [0.0, inf) or None, got -1.0."),
    (RetrainUnlearner, {"random_state": "0"}, "random_state must be a seed (an int from 0 to "),
    (ShardedUnlearner, {"folder": 3}, "folder must be an instance of 'str', an instance of 'os.P"),
])  # fmt: skip
def test_fit_says_what_is_allowed_and_leaves_no_trace(data, method, params, message):
    unlearner = method(make_net()).set_params(**params)
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        unlearner.fit(*data)
    assert str(raised.value).startswith(message)
    assert not hasattr(unlearner, "estimator_")


def test_what_numpy_calls_numbers_and_truth_is_taken():
    unlearner = FineTuneUnlearner(
        make_net(), lr=np.float32(0.1), max_epochs=np.int64(2), early_stopping=np.False_,
        random_state=np.random.RandomState(0), verbose=True,
    )  # fmt: skip
    check_parameters(unlearner)


def test_unlearn_checks_what_was_set_since(data):
    unlearner = FineTuneUnlearner(make_net(max_epochs=1), random_state=0).fit(*data)
    with pytest.raises(ValueError, match="schedule must be one of"):
        unlearner.set_params(schedule="cosine").unlearn(indices=[0])
    assert unlearner.deletions_ == []


def test_outsiders_may_leave_the_declaration_out(data):
    class Undeclared(FineTuneUnlearner):
        def __init__(self, estimator, *, own=None, lr=None):
            super().__init__(estimator, lr=lr)
            self.own = own

    Undeclared(make_net(max_epochs=1), own=Nothing()).fit(*data)
    with pytest.raises(ValueError, match="lr must be"):
        Undeclared(make_net(max_epochs=1), lr=-1.0).fit(*data)

    class Plain(BaseEstimator):
        _parameter_constraints = {}

    check_parameters(Plain())


def test_relations_stay_checked(data):
    with pytest.raises(ValueError, match="use one"):
        FineTuneUnlearner(make_net(), early_stopping=True, average_weights=True).fit(*data)
    with pytest.raises(TypeError, match="LogisticRegression"):
        CertifiedRemovalUnlearner(make_net()).fit(*data)
