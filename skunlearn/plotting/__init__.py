"""Pictures of forgetting, in the manner of scikit-learn's displays."""

from skunlearn.evaluation._showing.palette import PALETTE
from skunlearn.plotting.auto_display import AutoUnlearnerDisplay
from skunlearn.plotting.curve import MIACurveDisplay
from skunlearn.plotting.forget_set_display import ForgetSetDisplay
from skunlearn.plotting.forgotten_class import ForgottenClassDisplay
from skunlearn.plotting.loss_histogram import LossHistogramDisplay
from skunlearn.plotting.report_display import UnlearningReportDisplay
from skunlearn.plotting.retention_display import RetentionCurveDisplay
from skunlearn.plotting.robustness_display import RobustnessDisplay
from skunlearn.plotting.tradeoff import TradeoffDisplay

__all__ = [
    "AutoUnlearnerDisplay",
    "ForgetSetDisplay",
    "ForgottenClassDisplay",
    "LossHistogramDisplay",
    "MIACurveDisplay",
    "PALETTE",
    "RetentionCurveDisplay",
    "RobustnessDisplay",
    "TradeoffDisplay",
    "UnlearningReportDisplay",
]
