"""Membership inference and other measures of what a model remembers."""

from skunlearn.metrics._accuracy_gaps import average_gap, tug_of_war
from skunlearn.metrics._attacks.blind import blind_attack
from skunlearn.metrics._attacks.challenge import ChallengeScore, challenge_score
from skunlearn.metrics._attacks.class_spread import (
    ClassSpread,
    SpreadDistance,
    class_spread_attack,
)
from skunlearn.metrics._attacks.gap import gap_attack
from skunlearn.metrics._attacks.klom import KLoM, klom
from skunlearn.metrics._attacks.learned_logistic import LogisticAttack, logistic_attack
from skunlearn.metrics._attacks.lira import lira, u_lira
from skunlearn.metrics._attacks.membership import compare_scores, membership_inference
from skunlearn.metrics._attacks.quantile import quantile_attack, quantile_scores
from skunlearn.metrics._attacks.result import MembershipInference, ScoreDistance
from skunlearn.metrics._attacks.rmia import rmia
from skunlearn.metrics._attacks.scores import membership_scores, squared_error
from skunlearn.metrics._attacks.svc import Efficacy, svc_efficacy
from skunlearn.metrics._calibration import expected_calibration_error
from skunlearn.metrics._distances import (
    activation_distance,
    agreement,
    js_divergence,
    kl_divergence,
    zero_retrain_forgetting,
)
from skunlearn.metrics._logits import cross_entropy, margin, true_class_confidence
from skunlearn.metrics._null import (
    RowDistances,
    distance_over_null,
    hellinger_distance,
    row_distances,
)
from skunlearn.metrics._poison_effects import (
    GaussianUnlearningScore,
    backdoor_success_rate,
    gaussian_unlearning_score,
    interclass_confusion,
)
from skunlearn.metrics._relative import RelativeSimilarity, relative_similarity_test
from skunlearn.metrics._scorers.class_scorers import ForgottenScorer, RetainedScorer
from skunlearn.metrics._scorers.mia_scorer import MIAScorer
from skunlearn.metrics._statistics.epsilon import (
    EpsilonBound,
    epsilon_from_counts,
    epsilon_lower_bound,
)
from skunlearn.metrics._statistics.interval_forms import Interval
from skunlearn.metrics._statistics.intervals import (
    auc,
    auc_interval,
    bootstrap_interval,
    delong_covariance,
    delong_interval,
)
from skunlearn.metrics._statistics.matching import match_weights
from skunlearn.metrics._statistics.true_positives import TruePositives, tpr_at_fpr

__all__ = [
    "expected_calibration_error",
    "ChallengeScore",
    "challenge_score",
    "ClassSpread",
    "SpreadDistance",
    "class_spread_attack",
    "LogisticAttack",
    "logistic_attack",
    "EpsilonBound",
    "epsilon_from_counts",
    "epsilon_lower_bound",
    "gap_attack",
    "KLoM",
    "klom",
    "lira",
    "u_lira",
    "GaussianUnlearningScore",
    "backdoor_success_rate",
    "gaussian_unlearning_score",
    "interclass_confusion",
    "quantile_attack",
    "quantile_scores",
    "TruePositives",
    "tpr_at_fpr",
    "RelativeSimilarity",
    "relative_similarity_test",
    "rmia",
    "Efficacy",
    "svc_efficacy",
    "ForgottenScorer",
    "Interval",
    "MIAScorer",
    "MembershipInference",
    "RetainedScorer",
    "ScoreDistance",
    "activation_distance",
    "agreement",
    "auc",
    "auc_interval",
    "average_gap",
    "blind_attack",
    "bootstrap_interval",
    "compare_scores",
    "cross_entropy",
    "delong_covariance",
    "delong_interval",
    "distance_over_null",
    "RowDistances",
    "hellinger_distance",
    "row_distances",
    "js_divergence",
    "kl_divergence",
    "margin",
    "match_weights",
    "membership_inference",
    "membership_scores",
    "squared_error",
    "true_class_confidence",
    "tug_of_war",
    "zero_retrain_forgetting",
]
