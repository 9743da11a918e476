"""Splitting rows, choosing parameters, and choosing the rows that are to be forgotten."""

from skunlearn.model_selection.forget_sets import (
    class_forget_set,
    nearest_forget_set,
    random_forget_set,
    subpopulation_forget_set,
)
from skunlearn.model_selection.hardness import (
    high_loss_forget_set,
    memorisation_scores,
    memorised_forget_set,
)
from skunlearn.model_selection.planted import (
    interclass_confusion_forget_set,
    mislabelled_forget_set,
    partly_known_forget_set,
)
from skunlearn.model_selection.poison import (
    PatchTrigger,
    backdoor_forget_set,
    gaussian_forget_set,
)
from skunlearn.model_selection.refit import one_standard_error
from skunlearn.model_selection.results import ForgetSet, PlantedForgetSet
from skunlearn.model_selection.splits import ForgetSplit
from skunlearn.model_selection.worst_case import worst_case_forget_set

__all__ = [
    "ForgetSet",
    "ForgetSplit",
    "PatchTrigger",
    "PlantedForgetSet",
    "backdoor_forget_set",
    "class_forget_set",
    "gaussian_forget_set",
    "high_loss_forget_set",
    "interclass_confusion_forget_set",
    "memorisation_scores",
    "memorised_forget_set",
    "mislabelled_forget_set",
    "nearest_forget_set",
    "one_standard_error",
    "partly_known_forget_set",
    "random_forget_set",
    "subpopulation_forget_set",
    "worst_case_forget_set",
]
