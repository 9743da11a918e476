"""Judge forgetting against a retrained model: figures, intervals, verdicts, reports."""

from skunlearn.evaluation.audit import audit, audit_logits
from skunlearn.evaluation.comparison import compare
from skunlearn.evaluation.gradients import input_gradients
from skunlearn.evaluation.relearn import relearn_time
from skunlearn.evaluation.report import Report
from skunlearn.evaluation.retention import RetentionCurve, retention_curve
from skunlearn.evaluation.streams import deletion_stream

__all__ = [
    "Report",
    "RetentionCurve",
    "audit",
    "audit_logits",
    "compare",
    "deletion_stream",
    "input_gradients",
    "relearn_time",
    "retention_curve",
]
