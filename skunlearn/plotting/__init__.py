"""Pictures of forgetting, in the manner of scikit-learn's displays."""

from skunlearn.plotting.curve import MIACurveDisplay
from skunlearn.plotting.losses import LossHistogramDisplay
from skunlearn.plotting.report import UnlearningReportDisplay
from skunlearn.plotting.retention import RetentionCurveDisplay
from skunlearn.plotting.robustness import RobustnessDisplay
from skunlearn.plotting.tradeoff import TradeoffDisplay

__all__ = [
    "LossHistogramDisplay",
    "MIACurveDisplay",
    "RetentionCurveDisplay",
    "RobustnessDisplay",
    "TradeoffDisplay",
    "UnlearningReportDisplay",
]
