"""Makers of forget sets: drawn, planted, poisoned, hard, damaging, costly."""

from skunlearn.forget_sets.costly import costly_forget_set
from skunlearn.forget_sets.damaging import damaging_forget_set
from skunlearn.forget_sets.drawn import (
    class_forget_set,
    nearest_forget_set,
    random_forget_set,
    subpopulation_forget_set,
)
from skunlearn.forget_sets.hardness import (
    high_loss_forget_set,
    memorisation_scores,
    memorised_forget_set,
)
from skunlearn.forget_sets.planted import (
    interclass_confusion_forget_set,
    mislabelled_forget_set,
    partly_known_forget_set,
)
from skunlearn.forget_sets.poison import PatchTrigger, backdoor_forget_set, gaussian_forget_set
from skunlearn.forget_sets.results import ForgetSet, PlantedForgetSet
from skunlearn.forget_sets.worst_case import worst_case_forget_set

__all__ = [
    "ForgetSet",
    "PatchTrigger",
    "PlantedForgetSet",
    "backdoor_forget_set",
    "class_forget_set",
    "costly_forget_set",
    "damaging_forget_set",
    "gaussian_forget_set",
    "high_loss_forget_set",
    "interclass_confusion_forget_set",
    "memorisation_scores",
    "memorised_forget_set",
    "mislabelled_forget_set",
    "nearest_forget_set",
    "partly_known_forget_set",
    "random_forget_set",
    "subpopulation_forget_set",
    "worst_case_forget_set",
]
