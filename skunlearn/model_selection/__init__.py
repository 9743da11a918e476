"""Splitting rows and choosing parameters when some rows are to be forgotten."""

from skunlearn.model_selection.refit import one_standard_error
from skunlearn.model_selection.splits import ForgetSplit

__all__ = ["ForgetSplit", "one_standard_error"]
