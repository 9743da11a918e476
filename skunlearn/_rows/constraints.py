"""What each parameter may be, in scikit-learn's own terms, and the check of it.

The one place that imports scikit-learn's private module of constraints, as other libraries do
(imbalanced-learn, scikit-fingerprints): from 1.6 to 1.9 what is used here has not changed.
"""

from functools import lru_cache
from numbers import Integral, Real

from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    InvalidParameterError,
    StrOptions,
    make_constraint,
)

__all__ = [
    "COUNT",
    "NOT_NEGATIVE",
    "POSITIVE",
    "SHARE",
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_parameters",
]

COUNT = Interval(Integral, 1, None, closed="left")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
POSITIVE = Interval(Real, 0, None, closed="neither")
SHARE = Interval(Real, 0, 1, closed="both")

# Where scikit-learn's own words are of its types.
_WORDS = {
    "boolean": "True or False",
    "random_state": "a seed (an int from 0 to 4294967295), a numpy RandomState or None",
}


def check_parameters(estimator):
    """Check each parameter of an estimator by its ``_parameter_constraints``.

    A parameter without an entry is not checked, so that an outsider's class may leave the
    declaration out.

    Raises
    ------
    InvalidParameterError
        scikit-learn's, both a ValueError and a TypeError. It says the parameter, its value and
        what is allowed.
    """
    for name, checks in _list_checks(type(estimator)):
        value = getattr(estimator, name)
        if not any(satisfied(value) for satisfied in checks):
            *others, last = map(_describe, estimator._parameter_constraints[name])
            said = f"{', '.join(others)} or {last}" if others else last
            raise InvalidParameterError(f"{name} must be {said}, got {value!r}.")


@lru_cache(maxsize=256)
def _list_checks(kind):
    """Parameters of a class of estimators that are checked, with tests of which one must hold.

    To make them takes most of a check, and every request asks for one.
    """
    declared = [(n, kind._parameter_constraints.get(n)) for n in kind._get_param_names()]
    return [
        (name, [make_constraint(one).is_satisfied_by for one in allowed])
        for name, allowed in declared
        if allowed not in (None, "no_validation")
    ]


def _describe(constraint):
    if isinstance(constraint, StrOptions):
        options = sorted(map(repr, constraint.options))
        return options[0] if len(options) == 1 else f"one of {', '.join(options)}"
    words = _WORDS.get(constraint) if isinstance(constraint, str) else None
    return words or str(make_constraint(constraint))
