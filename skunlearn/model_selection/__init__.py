"""Splitting rows and choosing parameters."""

from skunlearn.model_selection.refit import one_standard_error
from skunlearn.model_selection.splits import ForgetSplit

__all__ = [
    "ForgetSplit",
    "one_standard_error",
]
