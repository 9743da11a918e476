"""Judge forgetting: against a retrained model, and against an adversary."""

from skunlearn.evaluation.audit import audit, audit_logits
from skunlearn.evaluation.comparison import compare
from skunlearn.evaluation.deletion_check import check_deletion, utility_change
from skunlearn.evaluation.gradients import input_gradients
from skunlearn.evaluation.over_unlearning import over_unlearning
from skunlearn.evaluation.reconstruction import Reconstruction, reconstruction_attack
from skunlearn.evaluation.relearn_time import relearn_time
from skunlearn.evaluation.relearning_attack import relearning_attack
from skunlearn.evaluation.report import Report
from skunlearn.evaluation.retention import RetentionCurve, retention_curve
from skunlearn.evaluation.streams import deletion_stream
from skunlearn.evaluation.verification_attack import verification_attack

__all__ = [
    "Reconstruction",
    "Report",
    "RetentionCurve",
    "audit",
    "audit_logits",
    "check_deletion",
    "compare",
    "deletion_stream",
    "input_gradients",
    "over_unlearning",
    "reconstruction_attack",
    "relearn_time",
    "relearning_attack",
    "retention_curve",
    "utility_change",
    "verification_attack",
]
