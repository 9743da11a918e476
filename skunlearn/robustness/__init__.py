"""Stress tests: what is left of forgetting, and of accuracy, when conditions change."""

from skunlearn.robustness.adversarial import ATTACKS, adversarial_rows
from skunlearn.robustness.conditions import (
    Adversarial,
    Corruption,
    NearForgotten,
    Subpopulation,
)
from skunlearn.robustness.corruptions import CORRUPTIONS, corrupt
from skunlearn.robustness.stress import robustness_report

__all__ = [
    "ATTACKS",
    "CORRUPTIONS",
    "Adversarial",
    "Corruption",
    "NearForgotten",
    "Subpopulation",
    "adversarial_rows",
    "corrupt",
    "robustness_report",
]
