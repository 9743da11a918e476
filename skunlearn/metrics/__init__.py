"""Membership inference and other measures of what a model remembers."""

from skunlearn.metrics._logits import cross_entropy, margin, true_class_confidence
from skunlearn.metrics.attacks import (
    MembershipInference,
    compare_scores,
    membership_inference,
    membership_scores,
    squared_error,
)
from skunlearn.metrics.blind import blind_attack
from skunlearn.metrics.class_scorers import ForgottenScorer, RetainedScorer
from skunlearn.metrics.intervals import (
    Interval,
    auc,
    auc_interval,
    bootstrap_interval,
    delong_interval,
)
from skunlearn.metrics.matching import match_weights
from skunlearn.metrics.scorers import MIAScorer

__all__ = [
    "ForgottenScorer",
    "Interval",
    "MIAScorer",
    "MembershipInference",
    "RetainedScorer",
    "auc",
    "auc_interval",
    "blind_attack",
    "bootstrap_interval",
    "compare_scores",
    "cross_entropy",
    "delong_interval",
    "margin",
    "match_weights",
    "membership_inference",
    "membership_scores",
    "squared_error",
    "true_class_confidence",
]
